"""What several commands' options share."""

from __future__ import annotations

import math

import typer

__all__ = ["MAX_SEED", "finite"]

MAX_SEED = 2**32 - 1  # CMA-ES takes no larger one


def finite(value: float) -> float:
    """Refuse an option's value of ``inf`` or ``nan``, which a minimum lets pass."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, got {value}")
    return value
