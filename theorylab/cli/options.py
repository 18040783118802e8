"""What several commands' options share."""

from __future__ import annotations

__all__ = ["MAX_SEED"]

MAX_SEED = 2**32 - 1  # CMA-ES takes no larger one
