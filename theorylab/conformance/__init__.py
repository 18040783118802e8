"""A conformance suite for any torch optimizer, one's own or somebody else's.

>>> import torch
>>> from theorylab.conformance import Claims, conform
>>> report = conform(torch.optim.AdamW, Claims(decay="decoupled"), only=["weight_decay_order"])
>>> report.passed
True

A check is a function with ``@check`` in the file of its concept; :mod:`.registry` collects them.
"""

from __future__ import annotations

from theorylab.conformance.check import Finding
from theorylab.conformance.claims import Claims
from theorylab.conformance.report import Conformance, Survey
from theorylab.conformance.study import conform
from theorylab.conformance.testing import conformance_test

__all__ = ["Claims", "Conformance", "Finding", "Survey", "conform", "conformance_test"]
