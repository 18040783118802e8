"""Torch's threads: how many work on an operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["alone"]


@contextmanager
def alone() -> Iterator[None]:
    """A block in which torch works on this thread alone.

    Several threads share out a sum or a product, whose bits then depend on how many there are; and
    they go on looking for work for some milliseconds, each on a core of its own.

    >>> with alone():
    ...     torch.get_num_threads()
    1
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
