"""A function for every size of an O(.) claim, all of one class.

What an O(.) hides may depend on the class, its smoothness or the distance from a minimizer, and not
on the function: the function may be another at every size, as the slowest of gradient descent is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import bounds.notation
from bounds.notation import Delta, R, d, mu, mu_pl, mu_qg, n, s_min
from bounds.symbol import Symbol
from theorylab.errors import UsageError
from theorylab.problem.objective import Objective

__all__ = ["Course"]

_FROM_BELOW = frozenset(s.name for s in (mu, mu_pl, mu_qg, s_min))
_FROM_ABOVE = (
    frozenset(
        s.name
        for s in vars(bounds.notation).values()
        if isinstance(s, Symbol) and s.role == "constant"
    )
    - _FROM_BELOW
    - {n.name, d.name}
)
_SAME = 1e-9


@dataclass(frozen=True)
class Course:
    """The objective at each size, as ``check`` takes it for an O(.) claim.

    Parameters
    ----------
    at : callable
        The objective at a size.
    told : str
        How it moves, as verdicts print it.

    Examples
    --------
    >>> import synthetic
    >>> def slow(size):
    ...     return synthetic.huber(width=1 / size, start=3 * size)
    >>> Course(slow, "width like T^-1").require_one_class(slow(16), slow(64), ["ell"])
    >>> steeper = Course(lambda size: synthetic.huber(ell=size), "ell like T")
    >>> steeper.require_one_class(steeper.at(16), steeper.at(64), ["ell"])
    Traceback (most recent call last):
    theorylab.errors.UsageError: ell like T: what an O(.) hides may depend on ell, 16 first, then 64
    """

    at: Callable[[float], Objective]
    told: str

    def require_one_class(
        self, first: Objective, other: Objective, named: Collection[str]
    ) -> None:  # fmt: skip
        """Refuse an objective beyond the class of the first: it certifies a worse constant.

        How far the start is from the minimum is told by ``Delta`` or by ``R``: where ``named``,
        what a bound spells out, has one of them, the other is free.

        Raises
        ------
        UsageError
            Naming the constant: larger, or smaller where it bounds from below, or other at all
            where its kind is not known; or one that ``other`` does not certify.
        """
        starts = {Delta.name, R.name}
        free = starts - set(named) if starts & set(named) else set()
        for one, two in (
            (first.constants(), other.constants()),
            (first.sample_constants(), other.sample_constants()),
            (first.region_constants(), other.region_constants()),
        ):
            table = {name: float(constant) for name, constant in two.items()}
            for name, constant in one.items():
                was, now = float(constant), table.get(name, math.nan)
                if name not in free and not _no_worse(name, was, now):
                    raise UsageError(
                        f"{self.told}: what an O(.) hides may depend on {name}, "
                        f"{was:.6g} first, then {now:.6g}"
                    )


def _no_worse(name: str, was: float, now: float) -> bool:
    if math.isclose(was, now, rel_tol=_SAME):
        return True
    if name in _FROM_BELOW:
        return now > was
    return name in _FROM_ABOVE and now < was
