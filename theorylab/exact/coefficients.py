"""A linear rule run on coefficient vectors: its code is its own model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.method.rule import UpdateRule, round_starts

__all__ = ["Call", "Path", "unroll"]

_CALLS = 40  # gradient evaluations in one problem; its size grows with their square


@dataclass(frozen=True)
class Call:
    """One gradient evaluation: where (coefficients), and the indices of its two unknowns."""

    where: np.ndarray
    gradient: int
    noise: int | None


@dataclass(frozen=True)
class Path:
    """A run as coefficients over its unknowns.

    ``rounds`` holds the iterates at each round's start and at the end, one row an outcome of the
    noise so far; ``parents`` the row of the round before that each row descends from.
    """

    calls: tuple[Call, ...]
    rounds: tuple[np.ndarray, ...]
    parents: tuple[np.ndarray, ...]
    unknowns: int

    @property
    def moves_along(self) -> bool:
        """Whether moving ``w_0`` moves every point alike, so that the origin is of no account."""
        at = [call.where[0] for call in self.calls] + [x for w in self.rounds for x in w[:, 0]]
        return bool(np.allclose(at, 1.0, rtol=0, atol=1e-12))


def unroll(rule: UpdateRule, rounds: int, noisy: bool, warm: int = 0) -> Path:
    """Run ``rule`` with vectors replaced by their coefficients over the unknowns.

    The unknowns are ``w_0``, then a gradient (and a noise vector) for each evaluation. A rule
    that is linear in them moves coefficient vectors exactly as it moves vectors. The first
    ``warm`` rounds follow one outcome of the noise; from then on every step has two.

    Raises
    ------
    UsageError
        If the rule is not linear, or draws randomness of its own, or the run is too long.

    Examples
    --------
    >>> from theorylab.method import MSGD
    >>> path = unroll(MSGD(eta=0.5, beta=0.25), 2, noisy=False)
    >>> path.rounds[2].tolist()  # w_2 over (w_0, g_0, g_1)
    [[1.0, -0.625, -0.5]]
    """
    if rule.draws or rule.lags != 1:
        raise UsageError(f"worst case: {rule.name} consumes randomness of its own")
    if rounds > _CALLS:
        raise UsageError(f"worst case: at most {_CALLS} rounds are modelled, got {rounds}: lower T")
    starts = round_starts(rule, rounds)
    if starts is None:
        raise UsageError(f"worst case: the rounds of {rule.name} are random or too long")
    steps = len(starts)
    begun = np.cumsum(starts)
    first = int(np.argmax(begun > warm)) if warm < rounds else steps
    rows = [2 ** max(0, k - first) if noisy else 1 for k in range(steps)]
    if sum(rows) > _CALLS:
        raise UsageError(
            f"worst case: {rounds} rounds of {rule.name} need {sum(rows)} gradient evaluations; "
            f"at most {_CALLS} are modelled: lower T, S or set sigma = 0"
        )
    unknowns = 1 + sum(rows) * (2 if noisy else 1)
    trial = torch.from_numpy(np.random.default_rng(7).standard_normal((unknowns, unknowns + 3)))

    def walk(basis: Tensor) -> tuple[list[Call], list[Tensor], list[np.ndarray]]:
        w = basis[:1]
        state = rule.init(w)
        calls: list[Call] = []
        kept, parents = [], []
        ancestor = np.zeros(1, dtype=int)
        used = 1
        for k in range(steps):
            if starts[k]:
                kept.append(w)
                parents.append(ancestor)
                ancestor = np.arange(len(w))
            gradients = []
            for row in w:
                noise = used + 1 if noisy else None
                calls.append(Call(row.numpy(), used, noise))
                if noise is None:
                    gradients.append(basis[used])
                elif k < first:
                    gradients.append(basis[used] + basis[noise])
                else:
                    gradients += [basis[used] + basis[noise], basis[used] - basis[noise]]
                used += 2 if noisy else 1
            if noisy and k >= first:
                count = len(w)
                w = w.repeat_interleave(2, dim=0)
                state = {
                    name: x.repeat_interleave(2, dim=0) if x.ndim and len(x) == count else x
                    for name, x in state.items()
                }
                ancestor = np.repeat(ancestor, 2)
            draw = {
                "t": torch.tensor(float(k + 1), dtype=torch.float64),
                "restart": torch.tensor([[bool(starts[k])]]),
            }
            w, state = rule.update(w, torch.stack(gradients), state, draw)
        return calls, [*kept, w], [*parents, ancestor]

    with torch.no_grad():
        calls, kept, parents = walk(torch.eye(unknowns, dtype=torch.float64))
        _, actual, _ = walk(trial)
    linear = all(
        torch.allclose(have, coefficients @ trial, rtol=1e-8, atol=1e-8)
        for have, coefficients in zip(actual, kept, strict=True)
    )
    if not linear:
        raise UsageError(
            f"worst case: {rule.name} is not linear in its gradients, so no semidefinite "
            f"program models it"
        )
    return Path(tuple(calls), tuple(w.numpy() for w in kept), tuple(parents), unknowns)
