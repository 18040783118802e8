"""Exact moments of a run, where sample gradients are affine in w and the rule is linear.

With ``x_t = (1, w_t - w*, state_t)`` stacked, a step is ``x_{t+1} = B x_t`` for a random matrix
``B`` that depends on the step's mini-batch alone, so ``M_t = E[x_t x_t^T]`` obeys the linear
recursion ``M_{t+1} = E[B M_t B^T]``. From it follow the exact expectations of F, of
``||grad F||^2`` and of squared distances at any time: a mean that lives on events too rare to be
sampled included. Beside ``M_t`` runs a matrix ``E_t`` with ``-E_t <= error of M_t <= E_t`` (in
the order of symmetric matrices), which the same positive recursion carries along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds.path import PathOf
from theorylab.engine.step import follow
from theorylab.errors import UsageError
from theorylab.method.rule import State, UpdateRule, entries, independent, round_starts
from theorylab.problem.affine import AffineGradients
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import Fed
from theorylab.quantities.expectations import Numbers, assembled
from theorylab.quantities.protocol import Experiment, Measurement
from theorylab.quantities.scaled import unscaled

__all__ = [
    "Moments",
    "Step",
    "covers",
    "linear_steps",
    "moments",
    "whole_run",
]

_LARGEST = 36  # of d + 1: the second moment of a gradient is a table of its fourth power
_STEPS = 20_000
_BIG = 2.0**300
_MOVES = 64  # of a run that are held at once
_FAR = 2.0**100  # a rule that clips is linear only near by
_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Step:
    """A linear rule's step: ``(w, state)' = P (w, state) + q g``, every vector alike.

    Attributes
    ----------
    matrix : ndarray, shape (k, k)
        ``P``, over w and the k - 1 vectors of the state.
    gradient : ndarray, shape (k,)
        ``q``.
    """

    matrix: np.ndarray
    gradient: np.ndarray


@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moments of w at some rounds, about the centre ``w*``.

    Attributes
    ----------
    centre : ndarray, shape (d,)
        ``w*``: a stationary point of F where there is one.
    stationary : bool
        Whether ``grad F(w*) = 0``.
    gradient : ndarray, shape (d, d + 1)
        ``J`` with ``grad F(w) = J (1, u)``, where ``u = w - w*``.
    table : ndarray, shape (m, d + 1, d + 1)
        ``E[(1, u)(1, u)^T]`` at each round, divided by ``4**exponents`` so that it cannot
        overflow.
    errors : ndarray, shape (m, d + 1, d + 1)
        Matrices ``E`` with ``-E <= error of table <= E``.
    exponents : ndarray of int, shape (m,)
    """

    centre: np.ndarray
    stationary: bool
    gradient: np.ndarray
    table: np.ndarray
    errors: np.ndarray
    exponents: np.ndarray

    def quadratic(self, form: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``E[(1, u)^T form (1, u)]`` at each round, and a bound on its rounding.

        Parameters
        ----------
        form : ndarray, shape (d + 1, d + 1)
            Symmetric.
        """
        value = np.einsum("ij,tij->t", form, self.table)
        size = np.einsum("ij,tij->t", np.abs(form), np.abs(self.table))
        spectrum, basis = np.linalg.eigh(form)
        absolute = (basis * np.abs(spectrum)) @ basis.T
        error = np.einsum("ij,tij->t", absolute, self.errors) + 4 * len(form) * _EPS * size
        return unscaled(value, error, self.exponents)

    @property
    def suboptimality(self) -> np.ndarray:
        """The form of ``F(w) - F(w*)``."""
        form = np.zeros((len(self.centre) + 1,) * 2)
        form[1:, 1:] = 0.5 * self.gradient[:, 1:]
        form[0, 1:] = form[1:, 0] = 0.5 * self.gradient[:, 0]
        return form

    @property
    def gradient_norm_squared(self) -> np.ndarray:
        """The form of ``||grad F(w)||^2``."""
        return self.gradient.T @ self.gradient

    def distance_squared(self, point: np.ndarray) -> np.ndarray:
        """The form of ``||w - point||^2``."""
        rows = np.hstack([(self.centre - point)[:, None], np.eye(len(point))])
        return rows.T @ rows


def moments(
    objective: Objective, rule: UpdateRule, rounds: int, batch: int, keep: Sequence[int],
) -> Moments | None:  # fmt: skip
    """Exact first and second moments of ``w`` at the rounds ``keep``.

    ``None`` where the structure is lacking: sample gradients that are not affine in w, a rule
    that is not linear in ``(w, state, g)`` or draws randomness of its own, rounds of random
    length, more than 20,000 steps or 35 dimensions.

    Parameters
    ----------
    objective : Objective
    rule : UpdateRule
    rounds : int
        How many rounds the run takes.
    batch : int
        Samples a step, drawn with replacement.
    keep : sequence of int
        Increasing, each in ``0 .. rounds``.

    Examples
    --------
    One step factor is 0.1 and the other -1.5, so ``E w^2`` grows by 1.13 a step while nearly
    every run shrinks.

    >>> import numpy as np, synthetic
    >>> from theorylab.method import SGD
    >>> F = synthetic.finite_sum(np.sqrt([[0.9], [2.5]]), np.zeros(2), "squared", start=[1.0])
    >>> found = moments(F, SGD(eta=1.0), 2, 1, (0, 1, 2))
    >>> found.quadratic(np.diag([0.0, 1.0]))[0].round(6).tolist()
    [1.0, 1.13, 1.2769]
    """
    form = objective.affine_gradients()
    if form is None or objective.dim + 1 > _LARGEST:
        return None
    starts = round_starts(rule, rounds, longest=_STEPS)
    if starts is None or len(starts) > _STEPS:
        return None
    found = linear_steps(rule, starts)
    if found is None:
        return None
    first, steps = found
    return _recursion(_Law(form), objective.start.double().numpy(), first, steps, starts, batch,
                      keep)  # fmt: skip


def covers(path: PathOf) -> bool:
    """Whether a path is made of means of quadratic functions of ``w``, as far as is known here.

    >>> from bounds.quantities import final_suboptimality, mean_gradient_norm
    >>> covers(final_suboptimality.path), covers(mean_gradient_norm.path)
    (True, False)
    """
    return all(
        part.atom.removeprefix("output.") in _FORMS and part.reduce in ("at", "mean", "sum")
        for part in path.parts
    )


def whole_run(experiment: Experiment) -> Measurement | None:
    """The experiment's quantities of a whole run by moments; ``None`` where they do not apply."""
    quantities, T, objective = (
        experiment.statement.measured,
        experiment.rounds,
        experiment.objective,
    )
    rule = experiment.rule
    if T > _STEPS or not all(q.path is not None and covers(q.path) for q in quantities):
        return None
    parts = {part for q in quantities if q.path is not None for part in q.path.parts}
    if any(p.record.startswith("output.") for p in parts) and not _returns_iterate(rule):
        return None
    found = moments(objective, rule, T, experiment.batch_size, range(T + 1))
    if found is None:
        return None
    known = {
        atom: _FORMS[atom](found, objective)
        for atom in {part.atom.removeprefix("output.") for part in parts}
    }
    return assembled(experiment, lambda part: known[part.atom.removeprefix("output.")])


def _returns_iterate(rule: UpdateRule) -> bool:
    return type(rule).output is UpdateRule.output


def _squares(found: Moments, objective: Objective) -> Numbers:
    return Numbers(*found.quadratic(found.gradient_norm_squared))


def _excess(found: Moments, objective: Objective) -> Numbers | None:
    if not (found.stationary and math.isfinite(objective.minimum())):
        return None
    return Numbers(*found.quadratic(found.suboptimality))  # F is convex and w* minimises it


def _values(found: Moments, objective: Objective) -> Numbers:
    origin = float(
        objective.value(torch.from_numpy(found.centre)[None].to(objective.start.dtype))[0]
    )
    return Numbers(*found.quadratic(found.suboptimality), origin)


def _moved(found: Moments, objective: Objective) -> Numbers:
    return Numbers(*found.quadratic(found.distance_squared(objective.start.double().numpy())))


def _far(found: Moments, objective: Objective) -> Numbers | None:
    target = objective.minimizer()
    if target is None:
        return None
    return Numbers(*found.quadratic(found.distance_squared(target.double().numpy())))


_FORMS: Mapping[str, Callable[[Moments, Objective], Numbers | None]] = {
    "gradient_norm_squared": _squares, "suboptimality": _excess, "value": _values,
    "distance_squared": _moved, "distance_to_minimizer_squared": _far,
}  # fmt: skip
"""What is known of a record raised to its power, by name."""


# --- the rule, run on coefficients ------------------------------------------------------------
def linear_steps(rule: UpdateRule, starts: np.ndarray) -> tuple[np.ndarray, list[Step]] | None:
    """The rule's steps as matrices, and the start of ``(w, state)`` as multiples of ``w_0``.

    The rule itself is run on the unit vectors of ``(w, state, g)``; that it is linear, and that
    it treats all coordinates alike, is checked along a run on random vectors. ``None`` if it is
    not, or draws randomness of its own.

    >>> from theorylab.method import MSGD
    >>> first, steps = linear_steps(MSGD(eta=0.5, beta=0.25), np.ones(1, dtype=bool))
    >>> first.tolist(), steps[0].matrix.tolist(), steps[0].gradient.tolist()
    ([1.0, 0.0], [[1.0, -0.125], [0.0, 0.25]], [-0.5, 1.0])
    """
    if rule.draws or rule.lags != 1 or not independent(rule):
        return None
    rng = np.random.default_rng(5)
    probe = torch.from_numpy(rng.uniform(0.5, 2.0, (1, 7)) * rng.choice([-1.0, 1.0], (1, 7)))
    with torch.no_grad():
        begin = _first(rule, probe)
        if begin is None:
            return None
        state = entries(begin)
        names = [name for name, x in state.items() if isinstance(x, Tensor) and x.shape == (1, 7)]
        width = len(names) + 1
        actual = torch.cat([probe, *(state[name] for name in names)])
        unit = torch.ones(1, 1, dtype=torch.float64)
        one = entries(rule.init(unit, Fed(rule.name, unit, None)))
        first = np.array([1.0, *(float(one[name]) for name in names)])
        if not np.allclose(actual, first[:, None] * probe.numpy(), rtol=1e-12, atol=0):
            return None
        others = {k: v for k, v in state.items() if k not in names}
        basis = torch.eye(width + 1, dtype=torch.float64)
        steps: list[Step] = []
        for k, begins in enumerate(starts):
            given = others | {name: basis[i + 1 : i + 2] for i, name in enumerate(names)}
            stepped = _step(rule, basis[:1], basis[-1:], _with(begin, given), k, bool(begins))
            rows = None if stepped is None else _rows(stepped, names)
            if rows is None:
                return None
            steps.append(Step(rows[:, :-1].numpy().copy(), rows[:, -1].numpy().copy()))
            g = torch.from_numpy(rng.standard_normal((1, 7)))
            given = others | {name: actual[i + 1 : i + 2] for i, name in enumerate(names)}
            stepped = _step(rule, actual[:1], g, _with(begin, given), k, bool(begins))
            assert stepped is not None
            model = rows @ torch.cat([actual, g])
            moved = _rows(stepped, names)
            size = rows.abs() @ torch.cat([actual, g]).abs()
            if moved is None or bool(((moved - model).abs() > 1e-12 * size + 1e-300).any()):
                return None
            if not k & (k + 1):  # at steps 1, 2, 4, 8, ...
                distant = others | {n: _FAR * actual[i + 1 : i + 2] for i, n in enumerate(names)}
                stepped = _step(rule, _FAR * actual[:1], _FAR * g, _with(begin, distant), k,
                                bool(begins))  # fmt: skip
                assert stepped is not None
                gone = _rows(stepped, names)
                if gone is None or bool(((gone - _FAR * model).abs() > 1e-9 * _FAR * size).any()):
                    return None
            # Along a long run numbers may grow or die out; fresh ones test the next step as well.
            grown = not 1e-3 < float(moved.abs().max()) < 1e3
            actual = torch.from_numpy(rng.standard_normal((width, 7))) if grown else moved
            others = {name: getattr(stepped[1], name) for name in others}
    return first, steps


def _first(rule: UpdateRule, w: Tensor) -> State | None:
    """The rule's first state; ``None`` if it asks for gradients."""
    try:
        return rule.init(w, Fed(rule.name, w, None))
    except UsageError:
        return None


def _with(state: State, parts: Mapping[str, Any]) -> State:
    return state._replace(**parts)  # type: ignore[attr-defined]


def _step(
    rule: UpdateRule, w: Tensor, g: Tensor, state: State, k: int, begins: bool
) -> tuple[Tensor, State] | None:
    """Step k on the gradient ``g``; ``None`` if the rule asks for more than that."""
    try:
        path = follow(rule, w, lambda k, w: Fed(rule.name, w, g), [begins], state=state, first=k)
        *_, last = path
    except UsageError:
        return None
    return last


def _rows(moved: tuple[Tensor, State], names: list[str]) -> Tensor | None:
    w, state = moved
    found = entries(state)
    if set(names) - set(found):
        return None
    return torch.cat([w, *(found[name] for name in names)])


# --- the recursion ----------------------------------------------------------------------------
class _Law:
    """A sample gradient ``g = J (1, u)``, with ``J = [H_i w* + c_i, H_i]``, and noise."""

    def __init__(self, form: AffineGradients) -> None:
        H, c = form.mean
        self.centre = np.linalg.lstsq(H, -c, rcond=None)[0]
        offsets = form.matrices @ self.centre + form.offsets
        parts = np.concatenate([offsets[:, :, None], form.matrices], axis=2)
        residual = H @ self.centre + c
        # At an exact minimizer the mean gradient vanishes: what is left of it is rounding.
        lost = 1024 * _EPS * (np.abs(H) @ np.abs(self.centre) + np.abs(c))
        self.stationary = bool(np.all(np.abs(residual) <= lost))
        if self.stationary:
            parts[:, :, 0] -= residual
        self.mean = np.einsum("i,ijk->jk", form.chances, parts)
        self.parts, self.chances, self.covariance = parts, form.chances, form.covariance
        self.shape = d, D = self.mean.shape
        rows = parts.reshape(-1, d * D)
        table = (form.chances[:, None] * rows).T @ rows
        self.square = table.reshape(d, D, d, D).transpose(0, 2, 1, 3).reshape(d * d, D * D)
        self.absolute = np.abs(parts)
        # H_i w* + c_i is a difference: it carries the rounding of its terms.
        terms = np.abs(form.matrices) @ np.abs(self.centre) + np.abs(form.offsets)
        self.absolute[:, :, 0] = terms

    def beyond_the_mean(self, M: np.ndarray, batch: int) -> np.ndarray:
        """``E[g g^T]`` less that of the mean gradient, from ``M = E[(1, u)(1, u)^T]``."""
        d, D = self.shape
        of_mean = self.mean @ M @ self.mean.T
        single = (self.square @ M.reshape(D * D)).reshape(d, d)
        second = of_mean + (single - of_mean + M[0, 0] * self.covariance) / batch
        return np.asarray(second - of_mean)

    def spread(self, root: np.ndarray) -> np.ndarray:
        """Mean squares of what a gradient's coordinates are summed from, shape ``(d,)``."""
        return (
            self.chances @ (self.absolute @ root) ** 2 + root[0] ** 2 * self.covariance.diagonal()
        )


def _recursion(
    law: _Law, start: np.ndarray, first: np.ndarray, steps: list[Step], starts: np.ndarray,
    batch: int, keep: Sequence[int],
) -> Moments:  # fmt: skip
    D, width = law.shape[1], len(first)
    centred = np.concatenate([start - law.centre, *(f * start for f in first[1:])])
    x = np.concatenate([[1.0], centred])
    M = np.outer(x, x)
    # 2 (v.x)(v.e) <= k (v.x)^2 + (v.e)^2/k bounds the error of x x^T by a diagonal matrix.
    blur = np.concatenate([[0.0], np.abs(start) + np.abs(law.centre),
                           *(np.abs(f * start) for f in first[1:])])  # fmt: skip
    E = 8 * len(x) * _EPS * np.diag(x**2 + blur**2)
    table, errors, exponents = [], [], []
    exponent, wanted, round_ = 0, set(keep), 0
    moves: dict[bytes, _Move] = {}

    def record() -> None:
        table.append(M[:D, :D].copy())
        errors.append(E[:D, :D].copy())
        exponents.append(exponent)

    for step, begins in zip(steps, starts, strict=True):
        if begins:
            if round_ in wanted:
                record()
            round_ += 1
        key = step.matrix.tobytes() + step.gradient.tobytes()
        if key not in moves:  # most rules take few different steps
            moves = {} if len(moves) == _MOVES else moves
            moves[key] = _Move(step, law)
        move = moves[key]
        root = np.sqrt(np.maximum(M.diagonal() + E.diagonal(), 0.0))
        absolute = move.sizes @ root
        felt = np.zeros_like(absolute)
        felt[1:] = move.gains * np.tile(np.sqrt(law.spread(root[:D])), width)
        if move.drifts:  # what moves w* is a difference as well
            absolute[1:] += np.tile(np.abs(law.centre), width) * root[0]
        # Every entry errs by at most k eps q_i q_j, and such a matrix is at most the diagonal
        # one of D k eps q_i^2.
        local = 8 * (len(x) + 8) * _EPS * (absolute + felt) ** 2
        M = move.advance(M, batch)
        E = move.advance(E, batch) + np.diag(len(x) * local)
        largest = float(M.diagonal().max())
        if largest > _BIG:
            shift = math.frexp(largest)[1] // 2
            M, E, exponent = np.ldexp(M, -2 * shift), np.ldexp(E, -2 * shift), exponent + shift
    if round_ in wanted:
        record()
    return Moments(law.centre, law.stationary, law.mean, np.stack(table), np.stack(errors),
                   np.array(exponents))  # fmt: skip


class _Move:
    """``x' = A x + Q g`` over ``x = (1, w - w*, state)``, of one step of a rule."""

    def __init__(self, step: Step, law: _Law) -> None:
        (width, d), centre = (len(step.gradient), law.shape[0]), law.centre
        A = np.zeros((1 + width * d, 1 + width * d))
        A[0, 0] = 1.0
        A[1:, 1:] = np.kron(step.matrix, np.eye(d))
        drift = np.outer(step.matrix[:, 0], centre)  # (P applied to w* in the place of w) - w*
        drift[0] -= centre
        A[1:, 0] = drift.ravel()
        self._law, self._Q = law, np.zeros((len(A), d))
        self._Q[1:] = np.kron(step.gradient[:, None], np.eye(d))
        self._mean = A.copy()  # with the mean of g
        self._mean[:, : law.shape[1]] += self._Q @ law.mean
        self.sizes, self.gains = np.abs(A), np.kron(np.abs(step.gradient), np.ones(d))
        self.drifts = bool(A[1:, 0].any())

    def advance(self, M: np.ndarray, batch: int) -> np.ndarray:
        """``E[B M B^T]``."""
        D = self._law.shape[1]
        moved = self._mean @ M @ self._mean.T
        moved += self._Q @ self._law.beyond_the_mean(M[:D, :D], batch) @ self._Q.T
        return np.asarray(0.5 * (moved + moved.T))
