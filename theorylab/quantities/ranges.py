"""Certified ranges of measured quantities, from the objective's certificates."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bounds.path import PathOf
from theorylab.engine.recorders import recorders
from theorylab.problem.objective import Objective
from theorylab.quantities.protocol import Range

__all__ = ["certified_ranges", "path_range"]

_SQUARED_GRADIENTS = frozenset({"gradient_norm_squared", "next_gradient_norm_squared",
                                "matched_sgd_mean_gradient_norm_squared"})  # fmt: skip
_NONNEGATIVE = frozenset(
    {
        "displacement_squared", "inner_distance_squared", "start_distance_squared",
        "inner_gradient_norm_squared", "gradient_variance", "batch_variance",
        "shuffled_batch_variance", "twin_distance", "expected_twin_distance",
        "expected_perturbed_twin_distance", "mean_round_length", "evaluations_to_reach",
    }
)  # fmt: skip


def certified_ranges(objective: Objective, names: Iterable[str]) -> dict[str, Range]:
    """The range of one repetition's number, for each quantity of which something is certified.

    A gradient is no longer than ``G``, and its square no larger than ``2 ell (Bf - inf F)``; a
    squared norm is nonnegative. What is known of a quantity is half infinite where one side alone
    is certified; names of which nothing is known are left out.

    Examples
    --------
    >>> import synthetic
    >>> waves = synthetic.bounded_nonconvex(dim=1)
    >>> ranges = certified_ranges(waves, ["gradient_norm_squared", "displacement_squared"])
    >>> ranges["displacement_squared"]
    (0.0, inf)
    >>> ranges["gradient_norm_squared"][1] <= float(waves.constants()["G"]) ** 2
    True
    """
    squares = _of("gradient_norm_squared", objective)
    heights = _of("suboptimality", objective)
    height = math.inf if heights is None else heights[1]
    if heights is None and (values := _of("value", objective)) is not None:
        height = values[1] - values[0]
    found: dict[str, Range] = {}
    for name in names:
        if name in _SQUARED_GRADIENTS and squares is not None:
            found[name] = squares
        elif name == "decrease":
            found[name] = (-height, height)
        elif name in _NONNEGATIVE:
            found[name] = (0.0, math.inf)
        elif name == "round_length_probability":
            found[name] = (0.0, 1.0)
    return found


def path_range(objective: Objective, path: PathOf, horizon: int) -> Range | None:
    """The certified range of one run's number of a path; ``None`` where nothing is certified.

    Parameters
    ----------
    objective : Objective
    path : PathOf
    horizon : int
        The number of rounds T.

    Examples
    --------
    >>> import synthetic
    >>> from bounds.quantities import final_displacement_squared, mean_gradient_norm
    >>> waves = synthetic.bounded_nonconvex(dim=1)
    >>> path_range(waves, final_displacement_squared.path, 3)
    (0.0, inf)
    >>> path_range(waves, mean_gradient_norm.path, 3)[1] <= float(waves.constants()["G"])
    True
    """
    first, *subtracted = path.parts
    least, most = _part(objective, first, horizon) or (-math.inf, math.inf)
    if subtracted:
        low, high = _part(objective, subtracted[0], horizon) or (-math.inf, math.inf)
        recorder = recorders().get(first.record)
        if first.times == "0" and recorder is not None and not recorder.whole:
            begin = objective.start.unsqueeze(0)  # the same in every run
            number = float(recorder(objective, begin)[0]) ** first.power
            least = most = number
        least, most = least - high, most - low
    return None if (least, most) == (-math.inf, math.inf) else (least, most)


def _part(objective: Objective, part: PathOf, horizon: int) -> tuple[float, float] | None:
    if part.record.startswith("state."):
        found: tuple[float, float] | None = (0.0, math.inf)  # a norm
    else:
        found = _of(part.record.removeprefix("output."), objective)
    if found is None:
        return None
    low, high = found
    if part.power > 1:
        even = part.power % 2 == 0 and low < 0
        ends = low**part.power, high**part.power
        low, high = (0.0, max(ends)) if even else ends
    count = len(part.rounds(horizon)) if part.reduce == "sum" else 1
    return count * low, count * high


def _of(record: str, objective: Objective) -> tuple[float, float] | None:
    certificate = recorders()[record].range
    return None if certificate is None else certificate(objective)
