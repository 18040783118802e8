"""Look for a worst case beyond a statement's bound, over small points of its domain."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import product

import numpy as np

from bounds.claim import DomainError
from bounds.statement import Statement
from theorylab.errors import UsageError
from theorylab.exact.function_class import MissingExtra
from theorylab.exact.program import modelled
from theorylab.exact.worst_case import WorstCase, normalised_points, worst_case

__all__ = ["refutation"]

_ROUNDS = (1.0, 2.0, 10.0, 5.0, 20.0)
_CONDITIONING = ({"mu": 0.1}, {"mu": 0.01})
_POINTS = 2  # of the domain at first, for each short length and conditioning; longer runs have one


def refutation(
    statement: Statement, limit: int = 12, seed: int = 0, until: float = math.inf
) -> WorstCase | None:
    """The first exact worst case beyond the bound; ``None`` if none is found or none can be asked.

    Short runs come first, then longer ones with exact gradients, as far as the statement's
    domain admits them; with ``mu``, two condition numbers. A few points of each, then those that
    hold every pair of ends, as a check has them.

    Parameters
    ----------
    statement : Statement
    limit : int
        How many programs to solve, at most.
    seed : int
        Of the points of the domain.
    until : float
        The time (``time.monotonic()``) after which no further program is begun.

    Returns
    -------
    WorstCase or None
        Its ``rebuilt`` and ``spec``, where there are any, are an instance like any other, that
        a search can measure, shrink and write down.

    Examples
    --------
    >>> from bounds import Algorithm, Claim
    >>> from bounds.assumptions import SMOOTH
    >>> from bounds.notation import ell, eta
    >>> from bounds.quantities import decrease, gradient_norm_squared
    >>> greedy = Statement("demo.greedy", "Lemma", "printed",
    ...     Claim(decrease, ">=", gradient_norm_squared / ell), (SMOOTH,),
    ...     Algorithm("sgd", {"eta": 1 / ell}))
    >>> found = refutation(greedy)                                # doctest: +SKIP
    >>> round(found.ratio, 6), found.rebuilt.verdict              # doctest: +SKIP
    (2.0, 'violated')
    """
    if statement.claim.big_o or statement.claim.sense == "==":
        return None
    if not all(map(modelled, statement.claim.measured)):
        return None
    for solved, values in enumerate(_points(statement, seed)):
        if solved >= limit or time.monotonic() >= until:
            return None
        try:
            found = worst_case(statement, values)
        except MissingExtra:
            return None
        except (UsageError, DomainError, KeyError):
            continue
        if found.refutes:
            return found
    return None


def _points(statement: Statement, seed: int) -> Iterator[dict[str, float]]:
    names = {s.name for s in (*statement.symbols, *statement.constants)}
    long = set() if statement.algorithm is None else statement.algorithm.horizon.free_symbols
    horizon = [s.name for s in long if s.name in names]
    lengths = _ROUNDS if horizon else (1.0,)
    seen: list[dict[str, float]] = []
    shapes = _CONDITIONING if "mu" in names else ({},)
    for corners, T, shape in product((False, True), lengths, shapes):
        for sigma in (1.0, 0.0) if "sigma" in names and T <= 2 else (0.0,):
            fixed = {**dict.fromkeys(horizon, T), "sigma": sigma, **shape}
            known = {k: v for k, v in fixed.items() if k in names}
            few = _POINTS if T <= 2 else 1
            try:
                table = normalised_points(statement, known, None if corners else few, seed)
            except (UsageError, DomainError):
                continue
            for values in table:
                point = {k: float(v) for k, v in values.items() if np.ndim(v) == 0}
                if point not in seen:
                    seen.append(point)
                    yield point
