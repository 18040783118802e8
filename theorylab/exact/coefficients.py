"""A linear rule run on coefficient vectors: its code is its own model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.step import follow
from theorylab.errors import UsageError
from theorylab.method.rule import State, UpdateRule, independent, round_starts
from theorylab.problem.oracle import Oracle

__all__ = ["Call", "Held", "Path", "unroll"]

_CALLS = 40  # gradient evaluations in one problem; its size grows with their square
_GEOMETRY = frozenset({"prox", "projection", "linear_minimizer"})


@dataclass(frozen=True)
class Call:
    """One gradient evaluation: where (coefficients), and the indices of its two unknowns."""

    where: np.ndarray
    gradient: int
    noise: int | None


@dataclass(frozen=True)
class Held:
    """A point where a subgradient of the simple part is known: both as coefficients."""

    where: np.ndarray
    subgradient: np.ndarray
    unknown: int


@dataclass(frozen=True)
class Path:
    """A run as coefficients over its unknowns.

    ``held`` are the answers of a prox, a projection or a linear minimizer, each with an unknown of
    its own. ``rounds`` holds the iterates at each round's start and at the end, one row an outcome
    of the noise so far, and ``outputs`` what the method would return there; ``parents`` the row of
    the round before that each row descends from.
    """

    calls: tuple[Call, ...]
    held: tuple[Held, ...]
    rounds: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    parents: tuple[np.ndarray, ...]
    unknowns: int

    @property
    def moves_along(self) -> bool:
        """Whether moving ``w_0`` moves every point alike, so that the origin is of no account."""
        points = (*self.rounds, *self.outputs)
        at = [call.where[0] for call in self.calls] + [held.where[0] for held in self.held]
        at += [x for w in points for x in w[:, 0]]
        return bool(np.allclose(at, 1.0, rtol=0, atol=1e-12))


@final
class _Unknowns(Oracle):
    """Answers every question for a gradient, or for geometry, with an unknown of its own.

    Where there is noise, rows are pairs that share a point: their gradients are ``g + v`` and
    ``g - v``. Without pairs a row has the first of these.
    """

    def __init__(self, rule: UpdateRule, basis: Tensor, noisy: bool) -> None:
        super().__init__()
        self.rule, self.basis, self.noisy = rule, basis, noisy
        self.used = 1
        self.found: list[Call] = []
        self.held: list[Held] = []
        self.asked = False
        self.paired = True

    @property
    def _who(self) -> str:
        return f"worst case: {self.rule.name} asks for more, and the semidefinite model"

    def _unknown(self) -> int:
        if len(self.found) >= _CALLS or self.used >= len(self.basis):
            raise UsageError(
                f"worst case: {self.rule.name} needs more than the {_CALLS} gradient evaluations "
                "that are modelled: lower T, S or set sigma = 0"
            )
        self.used += 1
        return self.used - 1

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        if not self.noisy:
            return self.full_gradient(w)
        if self.asked:
            raise UsageError(f"worst case: {self.rule.name} takes a mini-batch's gradient twice; "
                             "the noise modelled is of one point: set sigma = 0")  # fmt: skip
        self.asked = True
        rows: list[Tensor] = []
        for point in w[::2] if self.paired else w:
            gradient, noise = self._unknown(), self._unknown()
            self.found.append(Call(point.numpy(), gradient, noise))
            rows.append(self.basis[gradient] + self.basis[noise])
            if self.paired:
                rows.append(self.basis[gradient] - self.basis[noise])
        return torch.stack(rows)

    def full_gradient(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        if when is False:
            return w
        rows: list[Tensor] = []
        for point in w:
            gradient = self._unknown()
            self.found.append(Call(point.numpy(), gradient, None))
            rows.append(self.basis[gradient])
        return torch.stack(rows)

    def prox(self, w: Tensor, step: Any) -> Tensor:
        """``w - step s`` with the unknown subgradient s of the simple part at that very point."""
        steps = torch.as_tensor(step, dtype=w.dtype).expand(len(w), 1)
        return torch.stack([self._hold(x - size * s, s, k) for x, size, (s, k)
                            in zip(w, steps, self._fresh(len(w)), strict=True)])  # fmt: skip

    def projection(self, w: Tensor) -> Tensor:
        return self.prox(w, 1.0)  # of the set's indicator, whatever the step

    def linear_minimizer(self, g: Tensor) -> Tensor:
        """An unknown point at which ``-g`` is normal to the set."""
        return torch.stack([self._hold(u, -row, k) for row, (u, k)
                            in zip(g, self._fresh(len(g)), strict=True)])  # fmt: skip

    def _fresh(self, count: int) -> list[tuple[Tensor, int]]:
        indices = [self._unknown() for _ in range(count)]
        return [(self.basis[k], k) for k in indices]

    def _hold(self, where: Tensor, subgradient: Tensor, unknown: int) -> Tensor:
        self.held.append(Held(where.numpy(), subgradient.numpy(), unknown))
        return where


def unroll(rule: UpdateRule, rounds: int, noisy: bool, warm: int = 0) -> Path:
    """Run ``rule`` with vectors replaced by their coefficients over the unknowns.

    The unknowns are ``w_0``, then a gradient (and a noise vector) for each evaluation, and a
    subgradient or a point for each prox, projection or linear minimization. A rule
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
    if rule.draws or rule.lags != 1 or (noisy and not independent(rule)):
        raise UsageError(f"worst case: {rule.name} consumes randomness of its own")
    if rounds > _CALLS:
        raise UsageError(f"worst case: at most {_CALLS} rounds are modelled, got {rounds}: lower T")
    starts = round_starts(rule, rounds)
    if starts is None:
        raise UsageError(f"worst case: the rounds of {rule.name} are random or too long")

    # The step at which the round after the warm ones begins.
    first = int(np.flatnonzero(starts)[warm]) if warm else 0

    def walk(basis: Tensor) -> tuple[_Unknowns, list[Tensor], list[Tensor], list[np.ndarray]]:
        oracle = _Unknowns(rule, basis, noisy)
        kept: list[Tensor] = []
        returned: list[Tensor] = []
        parents: list[np.ndarray] = []
        ancestor = np.zeros(1, dtype=int)

        def oracle_of(k: int, w: Tensor) -> Oracle:
            oracle.asked = False
            return oracle

        path: list[tuple[Tensor, State]] = []
        if first:
            oracle.paired = False
            path = list(follow(rule, basis[:1], oracle_of, starts[:first].tolist()))
        w, state = path.pop() if path else (basis[:1], None)
        oracle.paired = True
        path += follow(rule, w, oracle_of, starts[first:].tolist(), state=state, first=first,
                       branches=2 if noisy else 1)  # fmt: skip
        for (w, state), begins in zip(path, [*starts, True], strict=True):
            ancestor = np.repeat(ancestor, len(w) // len(ancestor))
            if begins:
                kept.append(w)
                returned.append(rule.output(w, state))
                parents.append(ancestor)
                ancestor = np.arange(len(w))
        return oracle, kept, returned, parents

    most = 1 + _CALLS * (1 + noisy + bool(rule.needs & _GEOMETRY))
    trial = torch.from_numpy(np.random.default_rng(7).standard_normal((most, most + 3)))
    with torch.no_grad():
        oracle, kept, returned, parents = walk(torch.eye(most, dtype=torch.float64))
        _, moved, given, _ = walk(trial)
    linear = all(
        torch.allclose(have, coefficients @ trial, rtol=1e-8, atol=1e-8)
        for have, coefficients in zip([*moved, *given], [*kept, *returned], strict=True)
    )
    if not linear:
        raise UsageError(
            f"worst case: {rule.name} is not linear in its gradients, so no semidefinite "
            f"program models it"
        )
    used = oracle.used
    calls = tuple(dataclasses.replace(call, where=call.where[:used]) for call in oracle.found)
    held = tuple(
        Held(h.where[:used], h.subgradient[:used], h.unknown) for h in oracle.held
    )  # fmt: skip
    points, outputs = (tuple(w.numpy()[:, :used] for w in ws) for ws in (kept, returned))
    return Path(calls, held, points, outputs, tuple(parents), used)
