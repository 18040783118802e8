"""A GPU in a few minutes: device checks, throughput, and as much of the papers' tables as fits.

``python -m deep.gpu --out DIR --minutes 8`` writes one file, ``DIR/gpu.jsonl``, a line as soon as
it is known. The same command goes on where it was stopped.
"""
