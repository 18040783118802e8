"""A rule's steps as random affine maps, and the exact second moments of all that it carries.

Where sample gradients are affine in w, a step of many rules that ask their oracle for more than
one gradient (at two points, of every sample, of the whole sum, values) is still affine in all
numbers ``y`` of the iterate and the state: ``y' = A y + b``, with ``(A, b)`` fixed by the step's
mini-batch and by the normal numbers that the rule draws. So ``M_t = E[(1, y_t)(1, y_t)^T]`` obeys
``M_{t+1} = sum_i p_i B_i M_t B_i^T``, over every mini-batch that the sampler may draw after what
it drew before. The maps are found by running the rule itself on a basis.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds.path import PathOf
from theorylab.engine.clock import watched_clock
from theorylab.engine.metering import spend
from theorylab.engine.recorders import is_open, recorders
from theorylab.engine.recording import recorded
from theorylab.engine.step import follow
from theorylab.errors import UsageError
from theorylab.method.rule import State, UpdateRule, round_starts
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch
from theorylab.problem.sampler import Branches, weights_of
from theorylab.quantities.expectations import Numbers, assembled
from theorylab.quantities.nodes import Nodes, nodes_of
from theorylab.quantities.protocol import Experiment, Measurement
from theorylab.quantities.scaled import unscaled

__all__ = ["Form", "JointMoments", "joint_moments", "whole_run"]

_EPS = float(np.finfo(float).eps)
_LINEAR = 1e-11  # of the terms: more than rounding, less than any bend
_ENTRIES = 4_000_000  # of all maps of one step
_OPERATIONS = 5e8
_STEPS = 2_000
_OUTCOMES = 4096
_MEMORIES = 2048
_BIG = 2.0**300
# A rule that clips is affine only near by. From far away differences of values lose digits.
_FAR, _FAR_OF_VALUES = 2.0**60, 2.0**20
_FAR_LINEAR = 1e-3


@dataclass(frozen=True, eq=False)
class Form:
    """A quadratic function ``(1, x)^T matrix (1, x)`` of the scaled state x, known up to ``error``.

    ``error`` bounds the error of every entry of the matrix.
    """

    matrix: np.ndarray
    error: float


@dataclass(frozen=True, eq=False)
class JointMoments:
    """Second moments of the iterate and the rule's state together, at some rounds.

    Attributes
    ----------
    frame : _Frame
        How ``x`` stands for the iterate and the state.
    table : ndarray, shape (m, D + 1, D + 1)
        ``E[(1, x)(1, x)^T]`` at each round, divided by ``4**exponents``.
    errors : ndarray, shape (m, D + 1, D + 1)
        Matrices ``E`` with ``-E <= error of table <= E``.
    exponents : ndarray of int, shape (m,)
    """

    frame: _Frame
    table: np.ndarray
    errors: np.ndarray
    exponents: np.ndarray

    def mean(self, form: Form) -> tuple[np.ndarray, np.ndarray]:
        """The expectation of a quadratic function at each round, and a bound on its rounding."""
        value = np.einsum("ij,tij->t", form.matrix, self.table)
        size = np.einsum("ij,tij->t", np.abs(form.matrix), np.abs(self.table))
        spectrum, basis = np.linalg.eigh(form.matrix)
        absolute = (basis * np.abs(spectrum)) @ basis.T
        error = np.einsum("ij,tij->t", absolute, self.errors) + 4 * len(absolute) * _EPS * size
        error = error + form.error * np.abs(self.table).sum((1, 2))
        return unscaled(value, error, self.exponents)

    def form(self, name: str, power: int = 1, origin: float = 0.0) -> Form | None:
        """What is recorded under a name, raised to a power, as a quadratic function.

        By its values at the basis and between: ``None`` where others show that it is none.

        Parameters
        ----------
        name : str
            As :func:`theorylab.run` records it.
        power : int
        origin : float
            What the number is a difference from, whose rounding it inherits.
        """
        frame = self.frame
        size = frame.size
        first, second = np.triu_indices(size)
        one, two = np.random.default_rng(11).standard_normal((2, size))
        probes = np.stack([one, -one, 2.0**20 * two, -(2.0**20) * two])
        x = np.zeros((1 + size + len(first) + len(probes), size))
        x[1 : size + 1] = np.eye(size)
        between = slice(size + 1, size + 1 + len(first))
        x[between] = np.eye(size)[first] + np.eye(size)[second]
        x[between.stop :] = probes
        with torch.no_grad():
            w, state = frame.unpacked(x)
            found = recorded(name, frame.objective, frame.rule, w, state).double().numpy()
        found = found**power
        zero, ends, pairs = found[0], found[1 : size + 1], found[between]
        matrix = np.zeros((size + 1, size + 1))
        matrix[0, 0] = zero
        twice = pairs[first == second]  # at 2 e_i: q(2e) = 4 a + 2 b + c
        bend = (twice - 2 * ends + zero) / 2
        matrix[0, 1:] = matrix[1:, 0] = (ends - zero - bend) / 2
        mixed = (pairs - ends[first] - ends[second] + zero) / 2
        matrix[1 + first, 1 + second] = matrix[1 + second, 1 + first] = mixed
        matrix[np.arange(1, size + 1), np.arange(1, size + 1)] = bend
        largest = float(np.abs(found[: between.stop]).max()) + abs(origin)
        points = np.hstack([np.ones((len(probes), 1)), probes])
        modelled = np.einsum("ti,ij,tj->t", points, matrix, points)
        terms = np.abs(points).sum(1) ** 2 * largest
        lost = 16 * _EPS * (1 + float(np.abs(frame.centre).max()) / frame.scale)
        if not (np.abs(modelled - found[between.stop :]) <= 64 * size * lost * terms).all():
            return None
        return Form(matrix, lost * largest)


def joint_moments(
    objective: Objective, rule: UpdateRule, rounds: int, batch: int, keep: Sequence[int],
) -> JointMoments | None:  # fmt: skip
    """Exact second moments of the iterate and the rule's state at the rounds ``keep``.

    ``None`` where the structure is lacking: sample gradients that are not affine in w, a rule
    that is not affine in what it carries (far from the minimizer, too), more outcomes, memories
    of the sampler, numbers or steps than are held.

    Parameters
    ----------
    objective : Objective
    rule : UpdateRule
    rounds : int
        How many rounds the run takes.
    batch : int
        Samples a step.
    keep : sequence of int
        Increasing, each in ``0 .. rounds``.

    Examples
    --------
    Two samples in a random order, by steps of 1: the last one alone is left.

    >>> import synthetic
    >>> from theorylab.method import ReshuffledSGD
    >>> F = synthetic.quadratic(dim=1, noise="shifts", sigma=0.5, n=2)
    >>> found = joint_moments(F, ReshuffledSGD(eta=1.0), 2, 1, [2])
    >>> value, error = found.mean(found.form("distance_to_minimizer_squared"))
    >>> value.round(12).tolist(), bool(error[0] < 1e-12)
    ([0.25], True)
    """
    form = objective.affine_gradients()
    if form is None or rule.lags != 1 or not rule.sampler.constant:
        return None
    starts = round_starts(rule, rounds, longest=_STEPS)
    if starts is None or len(starts) > _STEPS:
        return None
    if not 1 <= rule.sampler.count(objective, batch) <= _OUTCOMES:
        return None
    H, c = form.mean
    frame = _Frame.of(objective, rule, np.linalg.lstsq(H, -c, rcond=None)[0])
    nodes = nodes_of(rule, objective.dim)
    if frame is None or nodes is None or len(keep) * (frame.size + 1) ** 2 > _ENTRIES:
        return None
    maps = rule.sampler.count(objective, batch) * nodes.between.shape[1]
    if len(starts) * maps * (frame.size + 1) ** 3 > _OPERATIONS:
        return None
    return _Recursion(frame, nodes, batch).run(starts, set(keep))


def whole_run(experiment: Experiment) -> Measurement | None:
    """The experiment's quantities of a whole run by these moments; ``None`` where they lack."""
    objective, T = experiment.objective, experiment.rounds
    paths = [quantity.path for quantity in experiment.statement.measured]
    parts = {part for path in paths if path is not None for part in path.parts}
    if None in paths or any(
        part.reduce not in ("at", "mean", "sum") or is_open(part.record) for part in parts
    ):
        return None
    ends = (T, *experiment.horizons)
    keep = sorted({k for part in parts for end in ends for k in part.rounds(end)})
    found = joint_moments(objective, experiment.rule, T, experiment.batch_size, keep)
    if found is None:
        return None

    def numbers_of(part: PathOf) -> Numbers | None:
        recorder = recorders().get(part.record.removeprefix("output."))
        origin = recorder.origin(objective) if recorder and recorder.origin else 0.0
        form = found.form(part.record, part.power, origin)
        if form is None:
            return None
        numbers, errors = np.full((2, T + 1), np.nan)
        numbers[keep], errors[keep] = found.mean(form)
        return Numbers(numbers, errors)

    return assembled(experiment, numbers_of)


@dataclass(frozen=True, eq=False)
class _Frame:
    """``(w, state) = centre + scale x``: the numbers that a rule carries as one vector.

    The centre is the minimizer, and the rule's first state there; the scale is a power of two
    about as large as the way to it.
    """

    objective: Objective
    rule: UpdateRule
    state: State
    centre: np.ndarray
    scale: float
    start: np.ndarray

    @classmethod
    def of(cls, objective: Objective, rule: UpdateRule, centre: np.ndarray) -> _Frame | None:
        if objective.start.dtype != torch.float64:
            return None
        target = torch.from_numpy(centre).unsqueeze(0)
        with torch.no_grad():
            here, there = (rule.init(w, MiniBatch(objective))
                           for w in (objective.start.unsqueeze(0), target))  # fmt: skip
        first, last = _packed(objective.start.unsqueeze(0), here)[0], _packed(target, there)[0]
        if first.shape != last.shape or not np.isfinite([first, last]).all():
            return None
        # Near the centre, but not so near that the basis is lost in its rounding.
        largest = max(np.abs(first - last).max(), 2.0**-20 * np.abs(last).max())
        scale = 2.0 ** math.ceil(math.log2(largest)) if largest > 0 else 1.0
        return cls(objective, rule, there, last, scale, (first - last) / scale)

    @property
    def size(self) -> int:
        return len(self.centre)

    def unpacked(self, x: np.ndarray, state: State | None = None) -> tuple[Tensor, State]:
        """Rows of ``x`` as iterates and states; what all runs share is taken from ``state``."""
        y = torch.from_numpy(self.centre + self.scale * x)
        d, rows = self.objective.dim, len(y)
        w, at, parts = y[:, :d].contiguous(), d, []
        for model, part in zip(self.state, self.state if state is None else state, strict=True):
            if not _of_rows(model, 1):
                parts.append(part)
                continue
            length = model[0].numel()
            parts.append(y[:, at : at + length].reshape(rows, *model.shape[1:]).contiguous())
            at += length
        return w, type(self.state)(*parts)

    def packed(self, w: Tensor, state: State) -> np.ndarray:
        """The rows of ``x`` of iterates and states, whatever all rows share given to each."""
        whole = [
            torch.as_tensor(part, dtype=w.dtype).expand(len(w), *model.shape[1:])
            if _of_rows(model, 1) else part
            for model, part in zip(self.state, state, strict=True)
        ]  # fmt: skip
        y = _packed(w, type(self.state)(*whole))
        return np.asarray((y - self.centre) / self.scale)


def _of_rows(part: Any, rows: int) -> bool:
    """Whether a part of a state has an entry a row."""
    return isinstance(part, Tensor) and part.ndim > 1 and len(part) == rows


def _packed(w: Tensor, state: State) -> np.ndarray:
    rows = len(w)
    parts = [part.reshape(rows, -1) for part in state if _of_rows(part, rows)]
    return torch.cat([w, *parts], dim=1).double().numpy()


# --- the recursion ------------------------------------------------------------------------------
class _Recursion:
    def __init__(self, frame: _Frame, nodes: Nodes, batch: int) -> None:
        self.frame, self.nodes, self.batch = frame, nodes, batch
        objective, rule, size = frame.objective, frame.rule, frame.size
        self.weights = weights_of(rule.sampler, objective)
        values = rule.needs & {"value", "full_value"}
        far, loose = (_FAR_OF_VALUES, _FAR_LINEAR) if values else (_FAR, _LINEAR)
        # What rounding may do to the probes: two near, two far, each with its opposite.
        self.near = np.array([[_LINEAR], [_LINEAR], [loose], [loose]])
        one, two = np.random.default_rng(7).standard_normal((2, size))
        probes = np.stack([one, -one, far * two, -far * two])
        self.basis = np.vstack([np.zeros((1, size)), np.eye(size), probes])
        self.state = frame.state  # with what all runs share, as of this step
        self.lost = 0.0
        # By whether a step begins a round: maps that any such step has on the same mini-batches.
        self.found: dict[bool, tuple[bytes, np.ndarray]] = {}
        self.clock, self.reads = watched_clock()
        self.mass: dict[Hashable, float] = {None: 1.0}  # the probability of each memory

    def run(self, starts: np.ndarray, keep: set[int]) -> JointMoments | None:
        width = self.frame.size + 1
        x = np.r_[1.0, self.frame.start]
        blur = np.r_[0.0, np.abs(self.frame.start) + np.abs(self.frame.centre) / self.frame.scale]
        E = 8 * width * _EPS * np.diag(x**2 + blur**2)
        held: dict[Hashable, np.ndarray] = {None: np.outer(x, x)}
        table, errors, exponents = [], [], []
        exponent, round_, spent = 0, 0, 0.0
        for k, begins in enumerate([*starts.tolist(), True]):
            if begins:
                if round_ in keep:
                    table.append(_sum(held.values()))
                    errors.append(E.copy())
                    exponents.append(exponent)
                round_ += 1
            if k == len(starts):
                break
            step = self._advance(held, E, k, begins)
            if step is None:
                return None
            held, E, cost = step
            spent += cost
            if spent > _OPERATIONS:
                return None
            largest = max(float(M.diagonal().max()) for M in held.values())
            if not math.isfinite(largest):
                return None
            if largest > _BIG:
                shift = math.frexp(largest)[1] // 2
                held = {key: np.ldexp(M, -2 * shift) for key, M in held.items()}
                E, exponent = np.ldexp(E, -2 * shift), exponent + shift
        return JointMoments(self.frame, np.stack(table), np.stack(errors), np.array(exponents))

    def _advance(
        self, held: dict[Hashable, np.ndarray], E: np.ndarray, k: int, begins: bool
    ) -> tuple[dict[Hashable, np.ndarray], np.ndarray, float] | None:
        """``E[B M B^T]`` of what the sampler may remember, and the error of their sum."""
        objective, sampler = self.frame.objective, self.frame.rule.sampler
        width = self.frame.size + 1
        moved: dict[Hashable, np.ndarray] = {}
        mass: dict[Hashable, float] = {}
        error = np.zeros_like(E)
        total = _sum(held.values())
        root = np.sqrt(np.maximum(np.diagonal(total) + np.diagonal(E), 0.0))
        laws: dict[Hashable, Branches] = {}
        later: set[Hashable] = set()
        for key in held:
            law = sampler.branches(objective, self.batch, key)
            if law is None:
                return None
            later.update(law.memories)
            if len(later) > _MEMORIES:
                return None  # before the branches of every other memory are listed
            laws[key] = law
        place: dict[bytes, int] = {}  # of each mini-batch among those whose maps are found
        distinct: list[np.ndarray] = []
        for law in laws.values():
            for draw in law.draws:
                if place.setdefault(draw.tobytes(), len(place)) == len(distinct):
                    distinct.append(draw)
        rows = len(self.basis) * len(self.nodes.points) * len(distinct)
        if rows * width > _ENTRIES:
            return None
        found = self._maps(np.stack(distinct), k, begins)
        if found is None:
            return None
        maps, self.state = found
        cost = 0.0
        centre = np.r_[0.0, np.abs(self.frame.centre)] / self.frame.scale
        for memory, M in held.items():
            law = laws[memory]
            picks = np.array([place[draw.tobytes()] for draw in law.draws])
            B = maps[picks].reshape(-1, width, width)
            chances = np.outer(law.chances, self._node_weights).ravel()
            cost += len(B) * width**3
            sizes = np.abs(B) @ root + centre
            local = (8 * (width + 8) * _EPS + self.lost) * (chances @ sizes**2)
            error += self.mass[memory] * (_mean(B, E, chances) + np.diag(width * local))
            for after, addend, chance in _by_memory(law.memories, B, M, chances):
                moved[after] = moved[after] + addend if after in moved else addend
                mass[after] = mass.get(after, 0.0) + self.mass[memory] * chance
        self.mass = mass
        return moved, error, cost

    @property
    def _node_weights(self) -> np.ndarray:
        return self.nodes.weights[: self.nodes.between.shape[1]]

    def _maps(self, draws: np.ndarray, k: int, begins: bool) -> tuple[np.ndarray, State] | None:
        """The affine maps of a step: ``(m, nodes, D + 1, D + 1)``, and the state after it.

        A step that does not read ``t``, and leaves what all runs share as it was, is that of any
        other time: its maps are found once.
        """
        frame, rule = self.frame, self.frame.rule
        rows, size, points = len(self.basis), frame.size, len(self.nodes.points)
        known = self.found.get(begins)
        if known is not None and known[0] == draws.tobytes():
            spend(1, len(draws) * points * rows)
            return known[1], self.state
        x = np.tile(self.basis, (len(draws) * points, 1))
        batch = torch.from_numpy(np.repeat(draws, points * rows, axis=0))
        numbers = self.nodes.own(rule, frame.objective.dim, rows)
        own = {name: column.repeat(len(draws), 1) for name, column in numbers.items()}
        with torch.no_grad():
            w, state = frame.unpacked(x, self.state)
            oracle = MiniBatch(frame.objective, [batch], self.weights)
            step = follow(rule, w, lambda k, w: oracle, [begins], state=state, first=k,
                          own=lambda k, w: own, clock=self.clock)  # fmt: skip
            self.reads.clear()
            try:
                *_, (w, state) = step
            except UsageError:
                return None
        moved = frame.packed(w, state)
        if moved.shape != x.shape or not np.isfinite(moved).all():
            return None
        moved = moved.reshape(len(draws) * points, rows, size)
        B = np.zeros((len(moved), size + 1, size + 1))
        B[:, 0, 0] = 1.0
        B[:, 1:, 0] = moved[:, 0]
        B[:, 1:, 1:] = (moved[:, 1 : size + 1] - moved[:, :1]).swapaxes(1, 2)
        probes = np.hstack([np.ones((len(self.near), 1)), self.basis[size + 1 :]])
        modelled = (B @ probes.T).swapaxes(1, 2)[..., 1:]
        terms = (np.abs(B) @ np.abs(probes).T).swapaxes(1, 2)[..., 1:]
        terms = terms + np.abs(frame.centre) / frame.scale
        terms = terms + np.abs(probes).max(1, keepdims=True)
        off = np.abs(modelled - moved[:, size + 1 :])
        if (off > self.near * terms).any():
            return None
        self.lost = max(self.lost, 16 * float((off[:, :2] / terms[:, :2]).max()))
        maps = B.reshape(len(draws), points, size + 1, size + 1)
        nodes = self.nodes.between.shape[1]
        if points > nodes:  # is it a polynomial of the rule's own numbers?
            modelled = np.einsum("tn,bnij->btij", self.nodes.between, maps[:, :nodes])
            terms = np.einsum("tn,bnij->btij", np.abs(self.nodes.between), np.abs(maps[:, :nodes]))
            if (
                np.abs(modelled - maps[:, nodes:]) > _LINEAR * terms.max((2, 3), keepdims=True)
            ).any():
                return None
        if not self.reads and self._alike(state):
            self.found[begins] = draws.tobytes(), maps[:, :nodes]
        return maps[:, :nodes], state

    def _alike(self, state: State) -> bool:
        """Whether what all runs share is as it was before the step."""
        parts = zip(self.frame.state, self.state, state, strict=True)
        return all(
            _of_rows(model, 1)
            or old is new
            or torch.equal(torch.as_tensor(old), torch.as_tensor(new))
            for model, old, new in parts
        )


def _mean(B: np.ndarray, M: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """``sum_i p_i B_i M B_i^T``."""
    width = len(M)
    left = (chances[:, None, None] * (B @ M)).transpose(1, 0, 2).reshape(width, -1)
    total = left @ B.transpose(1, 0, 2).reshape(width, -1).T
    return np.asarray(0.5 * (total + total.T))


def _sum(tables: Iterable[np.ndarray]) -> np.ndarray:
    return np.sum(list(tables), axis=0)


def _by_memory(
    memories: tuple[Hashable, ...], B: np.ndarray, M: np.ndarray, chances: np.ndarray
) -> Iterator[tuple[Hashable, np.ndarray, float]]:
    """The part of ``sum_i p_i B_i M B_i^T``, and of ``sum_i p_i``, that leads to each memory."""
    if len(set(memories)) == 1:
        yield memories[0], _mean(B, M, chances), float(chances.sum())
        return
    each = (chances[:, None, None] * (B @ M)) @ B.transpose(0, 2, 1)
    parts = each.reshape(len(memories), -1, *M.shape).sum(1)
    parts = 0.5 * (parts + parts.transpose(0, 2, 1))
    yield from zip(memories, parts, chances.reshape(len(memories), -1).sum(1).tolist(), strict=True)
