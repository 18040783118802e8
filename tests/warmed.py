"""Imported by the server that killed processes are forked from: they are born with all caches full.

One thread alone, before and after: a process that is forked has no other.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

torch.set_num_threads(1)

from killed_work import sweep  # noqa: E402

with tempfile.TemporaryDirectory() as folder:
    sweep(Path(folder), 1)
