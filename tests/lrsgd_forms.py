"""Shared by the tests of bounds_lrsgd."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bounds.evaluation import evaluate
from bounds.statement import Statement


def geometric(theta: Any) -> Any:
    return np.log1p(-theta) / np.log(theta)


def bound(statement: Statement, **values: Any) -> float:
    return float(statement.bound(values))


def unchecked(statement: Statement, **values: Any) -> float:
    """The bound whether or not the conditions hold."""
    return float(evaluate(statement.claim.rhs, statement.resolve(values)))


# --- known values -------------------------------------------------------------------------------
UNIT = {"G": 1.0, "Bf": 1.0, "ell": 1.0, "delta": 1.0}


def steps_needed(theta: Any) -> Any:
    return math.ceil(math.log(1e-13) / math.log(1 - geometric(theta)))
