"""Games of two players, whose fields are no gradients: bilinear, and curved for both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from synthetic.deterministic import Deterministic
from synthetic.separable import spread
from synthetic.shared import at_least, count, given, positive
from theorylab.problem.field import Field
from theorylab.problem.objective import Constant

__all__ = ["quadratic_game"]

_HOW = "closed form"


@final
class _QuadraticGame(Field, Deterministic):
    """``g(x, y) = (mu x + b y, mu y - b x)``, entry by entry; ``w = (x, y)``."""

    def __init__(self, mu: float, b: Tensor, start: float, parameters: Mapping[str, Any]) -> None:
        self.name, self.parameters = "quadratic_game", parameters
        self.mu, self.b = mu, b
        self.start = b.new_full((2 * len(b),), start)

    def gradient(self, w: Tensor) -> Tensor:
        x, y = w.chunk(2, dim=-1)
        return torch.cat([self.mu * x + self.b * y, self.mu * y - self.b * x], dim=-1)

    def deterministic_constants(self) -> Mapping[str, Constant]:
        # The Jacobian is normal: its singular values are sqrt(mu^2 + b_j^2), each twice.
        ends = [math.hypot(self.mu, float(e)) for e in (self.b.max(), self.b.min())]
        found = dict(zip(("ell", "s_min"), (Constant(e, _HOW, True) for e in ends), strict=True))
        return found | ({"mu": Constant(self.mu, _HOW, True)} if self.mu else {})

    def minimizer(self) -> Tensor:
        return torch.zeros_like(self.start)


def quadratic_game(
    pairs: int = 2,
    coupling: float = 1.0,
    condition: float = 2.0,
    mu: float = 0.0,
    start: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> Field:
    """``min_x max_y (mu/2)||x||^2 + sum_j b_j x_j y_j - (mu/2)||y||^2``, b falling geometrically.

    With ``mu = 0`` it is bilinear: gradient descent-ascent turns away from the saddle point
    ``(0, 0)`` at any step.

    Parameters
    ----------
    pairs : int
        Coordinates of either player.
    coupling : float
        The largest b_j (F/X^2).
    condition : float
        The largest b_j over the least, at least 1.
    mu : float
        Either player's own curvature (F/X^2), at least 0.
    start : float
        Every coordinate of ``w_0`` (X).

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = quadratic_game(mu=0.75)
    >>> {k: float(c) for k, c in F.constants().items() if k in ("ell", "mu")}
    {'ell': 1.25, 'mu': 0.75}
    >>> "mu" in quadratic_game().constants(), "Delta" in quadratic_game().constants()
    (False, False)
    """
    parameters = given(locals())
    who = "quadratic_game"
    pairs = count(who, "pairs", pairs)
    positive(who, coupling=coupling, condition=condition)
    at_least(who, 1, condition=condition)
    at_least(who, 0, mu=mu)
    b = torch.tensor(coupling * spread(pairs, condition), dtype=dtype)
    return _QuadraticGame(float(mu), b, float(start), parameters)
