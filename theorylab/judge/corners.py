"""Which corners of a domain are tried, and what stands in for one that is not admissible."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

from theorylab.judge.covering import covering_rows

__all__ = ["corners", "nearest"]

_REACHES = (1.0, 0.5, 0.25, 0.125)  # of counts, by factors: where they lie between their ends


def corners(
    names: Sequence[str], beyond: Collection[str], count: int
) -> list[dict[str, str] | None]:
    """Which symbols are to lie at which end, point by point; the others are typical.

    First none; then, one by one and as far as ``count`` has room (one at least), those of
    ``beyond``, which no condition keeps from what nobody chooses; then all; then a point drawn at
    random (``None``); then each end by itself.

    >>> corners(["eta"], [], 6)
    [{}, {'eta': 'lower'}, {'eta': 'upper'}, None, {'eta': 'upper'}, {'eta': 'lower'}]
    """
    ends = ("lower", "upper")
    together = [
        {name: ends[upper] for name, upper in zip(names, row, strict=True)}
        for row in covering_rows(len(names))
    ]
    alone = [{name: end} for name in names for end in reversed(ends)]
    first = [{name: "upper"} for name in beyond][: max(1, count - 2 - len(together))]
    return [{}, *first, *together, None, *(wish for wish in alone if wish not in first)]


def nearest(
    at: Callable[..., dict[str, Any] | None], wish: Mapping[str, str], counts: Collection[str]
) -> dict[str, Any] | None:
    """The point at the ends of ``wish``, or the nearest admissible one.

    Those of ``counts`` at their upper ends come down together until the runs are short enough, with
    repetitions to spare; where that is of no use, as few symbols as possible (one or two) are
    typical instead.

    Parameters
    ----------
    at : callable
        ``at(wish, reach)``: the point, ``None`` where none is admissible; counts lie at ``reach``
        of their way up, by factors.
    wish : mapping of str to "lower" or "upper"
    counts : collection of str

    Examples
    --------
    >>> def short(wish, reach):
    ...     T = 400**reach if wish.get("T") == "upper" else 1
    ...     return {"T": round(T)} if T < 100 else None
    >>> nearest(short, {"T": "upper"}, {"T"})
    {'T': 20}
    """
    for released in (*combinations(wish, 0), *combinations(wish, 1), *combinations(wish, 2)):
        ends = {name: end for name, end in wish.items() if name not in released}
        long = any(end == "upper" and name in counts for name, end in ends.items())
        for reach in _REACHES if long else _REACHES[:1]:
            found = at(ends, reach)
            if found is not None:
                return found
    return None
