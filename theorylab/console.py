"""Where tables are printed: a terminal at its own width, a file or pipe wide enough for all."""

from __future__ import annotations

import sys

from rich.console import Console

__all__ = ["console"]

_WIDE = 120


def console() -> Console:
    """A console on stdout whose tables lose no cell when they are redirected.

    >>> console().width >= 1
    True
    """
    # sys.stdout as it is now: a notebook or a test may have replaced it.
    found = Console(file=sys.stdout)
    return found if found.is_terminal or found.is_jupyter else Console(file=sys.stdout, width=_WIDE)
