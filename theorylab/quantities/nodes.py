"""Points that integrate what a rule does with normal numbers of its own, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from theorylab.method.rule import UpdateRule

__all__ = ["Nodes", "nodes_of"]

_OUTCOMES = 4096
_NODES = 3  # a coordinate: degree 2, so that squares are integrated exactly


@dataclass(frozen=True, eq=False)
class Nodes:
    """Points and weights that integrate polynomials over the rule's own normal numbers.

    Attributes
    ----------
    points : ndarray, shape (q, c)
        One row a node, over all numbers of a step; last come rows that only test whether the
        step is a polynomial of degree 2 in each.
    weights : ndarray, shape (q,)
        0 for those that test.
    between : ndarray, shape (tests, nodes)
        The values at the tests are these combinations of those at the nodes.
    """

    points: np.ndarray
    weights: np.ndarray
    between: np.ndarray

    def own(self, rule: UpdateRule, dim: int, repeat: int) -> dict[str, Tensor]:
        """Each draw of the rule, every node ``repeat`` times."""
        found, at = {}, 0
        for draw in rule.draws:
            width = dim if draw.per == "coordinate" else 1
            column = np.repeat(self.points[:, at : at + width], repeat, axis=0)
            found[draw.name], at = torch.from_numpy(column), at + width
        return found


def nodes_of(rule: UpdateRule, dim: int) -> Nodes | None:
    """Gauss-Hermite nodes for the normal numbers of one step; ``None`` where there are others."""
    if any(draw.law != "normal" for draw in rule.draws):
        return None
    count = sum(dim if draw.per == "coordinate" else 1 for draw in rule.draws)
    if _NODES**count > _OUTCOMES:
        return None
    if not count:
        return Nodes(np.zeros((1, 0)), np.ones(1), np.zeros((0, 1)))
    x, p = np.polynomial.hermite_e.hermegauss(_NODES)
    p = p / p.sum()
    picks = np.array(list(product(range(_NODES), repeat=count)))
    points, weights = x[picks], p[picks].prod(1)
    tests = np.random.default_rng(3).standard_normal((4, count)) * [[1.0], [1.0], [4.0], [8.0]]
    gaps = [[np.prod([(tests - x[k]) / (x[j] - x[k]) for k in range(_NODES) if k != j], axis=0)]
            for j in range(_NODES)]  # fmt: skip
    single = np.concatenate(gaps)  # (node, test, coordinate)
    between = np.stack([single[pick, :, np.arange(count)].prod(0) for pick in picks], axis=1)
    return Nodes(np.vstack([points, tests]), np.r_[weights, np.zeros(len(tests))], between)
