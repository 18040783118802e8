"""Certified ranges of measured quantities, from the objective's certificates."""

from __future__ import annotations

import math
from collections.abc import Iterable

from theorylab.problem.objective import Objective
from theorylab.quantities.protocol import Range

__all__ = ["certified_ranges"]

_SQUARED_GRADIENTS = frozenset(
    {
        "mean_gradient_norm_squared", "mean_next_gradient_norm_squared",
        "min_gradient_norm_squared", "first_gradient_norm_squared",
        "final_gradient_norm_squared", "matched_sgd_mean_gradient_norm_squared",
        "gradient_norm_squared", "next_gradient_norm_squared",
    }
)  # fmt: skip
_NONNEGATIVE = frozenset(
    {
        "final_displacement_squared", "final_distance_to_minimizer_squared", "buffer_norm",
        "displacement_squared", "inner_distance_squared", "start_distance_squared",
        "inner_gradient_norm_squared", "gradient_variance", "batch_variance",
        "shuffled_batch_variance", "twin_distance", "expected_twin_distance",
        "expected_perturbed_twin_distance", "mean_round_length", "evaluations_to_reach",
    }
)  # fmt: skip


def certified_ranges(objective: Objective, names: Iterable[str]) -> dict[str, Range]:
    """The range of one repetition's number, for each quantity of which something is certified.

    A gradient is no longer than ``G``, and its square no larger than ``2 ell (Bf - inf F)``; a
    squared norm is nonnegative; a value lies between ``inf F`` and ``Bf``. What is known of a
    quantity is half infinite where one side alone is certified; names of which nothing is known
    are left out.

    Examples
    --------
    >>> import synthetic
    >>> waves = synthetic.bounded_nonconvex(dim=1)
    >>> ranges = certified_ranges(waves, ["mean_gradient_norm", "final_displacement_squared"])
    >>> ranges["final_displacement_squared"]
    (0.0, inf)
    >>> ranges["mean_gradient_norm"][1] <= float(waves.constants()["G"])
    True
    """
    known = {k: float(v) for k, v in objective.constants().items()}
    lowest, highest = objective.minimum(), known.get("Bf", math.inf)
    least = lowest if math.isfinite(lowest) else -highest
    height = max(highest - least, 0.0) if math.isfinite(least) else math.inf
    steepest = known.get("G", math.inf) ** 2
    if "ell" in known:
        steepest = min(steepest, 2 * known["ell"] * height if height < math.inf else math.inf)
    found: dict[str, Range] = {}
    for name in names:
        if name in _SQUARED_GRADIENTS:
            found[name] = (0.0, steepest)
        elif name == "mean_gradient_norm":
            found[name] = (0.0, math.sqrt(steepest))
        elif name == "final_suboptimality" and math.isfinite(lowest):
            found[name] = (0.0, height)
        elif name == "total_decrease":
            start = float(objective.value(objective.start.unsqueeze(0))[0])
            found[name] = (start - highest, start - least)
        elif name == "decrease":
            found[name] = (-height, height)
        elif name in _NONNEGATIVE:
            found[name] = (0.0, math.inf)
        elif name == "round_length_probability":
            found[name] = (0.0, 1.0)
    return found
