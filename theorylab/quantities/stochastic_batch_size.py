"""Stochastic batch size: update probabilities of a gradient, and what a coordinate lives through.

The rule is asked for its probabilities, moves and averages; what the paper says they should be
is computed apart from it in numpy, so that a wrong rule and a wrong statement both show.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.step import follow
from theorylab.errors import UsageError
from theorylab.method import stochastic_batch_size as rules
from theorylab.method.layers import Layout
from theorylab.problem.oracle import FunctionOracle, MiniBatch, Oracle
from theorylab.quantities.protocol import Experiment, Measurement, Protocol, gradient_scale

__all__ = ["ConstantProbability", "CoordinateSteps", "UpdateProbabilities"]

_Rule = rules.StochasticBatchSize1 | rules.StochasticBatchSize2

_KIND = "layer"
_EPS = float(np.finfo(float).eps)
# A deviation below this part of the mean is rounding error of equal numbers.
_EQUAL = 4e-15
# Above that, but below this part, standardising shows mostly rounding: nothing can be said.
_BLURRED = 1e-9
# Draws that make the rule's own probability, 1/2 at alpha = lambda = 0, say yes and no.
_YES, _NO = 0.0, 0.9


def _rule(experiment: Experiment) -> _Rule:
    if experiment.statement.algorithm is None:
        raise UsageError(f"{experiment.statement.key} names no algorithm")
    rule = experiment.rule
    if not isinstance(rule, _Rule):
        raise UsageError(f"{experiment.statement.key}: {rule.name} has no update probabilities")
    return rule


# --- what (17) and (19) say -------------------------------------------------------------------
@dataclass(frozen=True)
class _Standardised:
    """(17) and (19) of one gradient or many, every quantity spread over coordinates."""

    local: np.ndarray
    local_mean: np.ndarray
    local_std: np.ndarray
    sigma: np.ndarray
    layer: np.ndarray
    layer_mean: np.ndarray
    layer_std: np.ndarray
    sigma_of_means: np.ndarray


def _standardise(g: np.ndarray, sizes: Sequence[int]) -> _Standardised:
    """Population moments of ``|g|`` (last axis) in layers of ``sizes`` of one kind; 0/0 is 0."""
    parts = np.split(np.abs(g), np.cumsum(sizes)[:-1], axis=-1)
    means = np.stack([part.mean(-1) for part in parts], -1)
    stds = np.stack([part.std(-1) for part in parts], -1)
    stds = np.where(stds <= _EQUAL * means, 0.0, stds)
    shares = np.asarray(sizes) / np.sum(sizes)
    centre = (means * shares).sum(-1, keepdims=True)
    spread = np.sqrt(((means - centre) ** 2 * shares).sum(-1, keepdims=True))
    spread = np.where(spread <= _EQUAL * centre, 0.0, spread)
    layer = _ratio(means - centre, spread)
    local = [_ratio(part - means[..., i, None], stds[..., i, None]) for i, part in enumerate(parts)]
    mean_of_layer = (layer * shares).sum(-1, keepdims=True)
    std_of_layer = np.sqrt(((layer - mean_of_layer) ** 2 * shares).sum(-1, keepdims=True))

    def spread_out(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, sizes, axis=-1)

    everywhere = np.ones_like(g)
    return _Standardised(
        np.concatenate(local, -1),
        spread_out(np.stack([part.mean(-1) for part in local], -1)),
        spread_out(np.stack([part.std(-1) for part in local], -1)),
        spread_out(stds), spread_out(layer),
        mean_of_layer * everywhere, std_of_layer * everywhere, spread * everywhere,
    )  # fmt: skip


def _blurred(g: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Rows whose magnitudes, or whose layers' means, are equal up to a few digits of rounding."""
    parts = np.split(np.abs(g), np.cumsum(sizes)[:-1], axis=-1)
    means = np.stack([part.mean(-1) for part in parts], -1)
    stds = np.stack([part.std(-1) for part in parts], -1)
    near = (stds > 0) & (stds <= _BLURRED * means)
    apart = np.ptp(means, axis=-1)
    return near.any(-1) | ((apart > 0) & (apart <= _BLURRED * means.max(-1)))


def _ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.divide(x, y, out=np.zeros(np.broadcast_shapes(x.shape, y.shape)), where=y > 0)


def _layer_means(x: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    parts = np.split(x, np.cumsum(sizes)[:-1])
    return np.repeat([part.mean() for part in parts], sizes)


# --- the update probabilities of one gradient ---------------------------------------------------
def _layer(rng: np.random.Generator, shape: str) -> np.ndarray:
    """A layer's gradient, its norms skewed, symmetric, with one outlier, equal, zero or alone."""
    size, scale = int(rng.integers(2, 40)), 10.0 ** rng.uniform(-3, 3)
    shapes: dict[str, Callable[[], np.ndarray]] = {
        "skewed": lambda: rng.lognormal(sigma=2.0, size=size),
        "normal": lambda: np.abs(rng.standard_normal(size)),
        "two values": lambda: rng.integers(1, 3, size=size).astype(float),
        "outlier": lambda: np.where(np.arange(400) == 0, 1.0, 1e-3),
        "hole": lambda: np.where(np.arange(400) == 0, 0.0, 1.0),
        "equal": lambda: np.full(size, 0.7),
        "zero": lambda: np.zeros(size),
        "single": lambda: rng.uniform(size=1),
    }
    norms = shapes[shape]()
    return scale * norms * rng.choice((-1.0, 1.0), size=len(norms))


_SHAPES = ("skewed", "normal", "two values", "outlier", "hole", "equal", "zero", "single")
_MIXTURES = 8


def _networks(seed: int) -> list[tuple[str, list[np.ndarray]]]:
    """Gradients layer by layer: one layer of each shape, alike ones, and mixtures."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x5B5,)))
    found = [(f"one layer: {shape}", [_layer(rng, shape)]) for shape in _SHAPES]
    twin = _layer(rng, "skewed")
    found.append(("two equal layers", [twin, twin.copy()]))
    found.append(("layers of one parameter", [_layer(rng, "single") for _ in range(6)]))
    big = np.ones(300)
    found.append(("one loud layer", [100.0 * np.ones(1), *(0.5 * big for _ in range(3))]))
    for k in range(_MIXTURES):
        shapes = rng.choice(_SHAPES, size=int(rng.integers(2, 7)))
        found.append((f"mixture {k}", [_layer(rng, shape) for shape in shapes]))
    return found


def _mirrored(layer: np.ndarray) -> np.ndarray:
    """Norms of the same mean that lie symmetrically about it, twice as many."""
    norms = np.abs(layer)
    mean = norms.mean()
    off = norms - mean
    reach = np.abs(off).max()
    if reach > mean:  # a norm is not negative
        off *= mean / reach
    return np.maximum(np.concatenate([mean + off, mean - off]), 0.0)


@dataclass(frozen=True, eq=False)
class _Example:
    """A gradient with what (17) and (19) say of it, by the quantities' names."""

    g: np.ndarray
    sizes: list[int]
    mirror: np.ndarray
    norms: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, layers: list[np.ndarray]) -> _Example:
        g, sizes = np.concatenate(layers), [len(layer) for layer in layers]
        norms = _standardise(g, sizes)
        return cls(g, sizes, np.concatenate([_mirrored(layer) for layer in layers]), {
            "standardised_norm": norms.local, "standardised_norm_mean": norms.local_mean,
            "standardised_norm_std": norms.local_std, "layer_norm_std": norms.sigma,
            "standardised_layer_norm": norms.layer,
            "standardised_layer_norm_mean": norms.layer_mean,
            "standardised_layer_norm_std": norms.layer_std,
            "layer_mean_std": norms.sigma_of_means, "coordinate_norm": np.abs(g),
            "layer_norm_mean": _layer_means(np.abs(g), sizes),
        })  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Examples:
    """All gradients of a seed, and the name of each of their coordinates."""

    gradients: tuple[_Example, ...]
    labels: tuple[str, ...]


@lru_cache(maxsize=4)
def _examples(seed: int) -> _Examples:
    """What is the same for every rule and objective; not to be written to."""
    networks = _networks(seed)
    labels = (
        f"{name}, layer {i + 1} of {len(layers)}, parameter {j + 1}"
        for name, layers in networks for i, layer in enumerate(layers) for j in range(len(layer))
    )  # fmt: skip
    return _Examples(tuple(_Example.of(layers) for _, layers in networks), tuple(labels))


class UpdateProbabilities(Protocol):
    """(16)-(21) for gradients of many shapes; one instance a coordinate. Exact.

    The probabilities are the rule's, the standardised norms are not.
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {
            "standardised_norm", "standardised_norm_mean", "standardised_norm_std",
            "layer_norm_std", "standardised_layer_norm", "standardised_layer_norm_mean",
            "standardised_layer_norm_std", "layer_mean_std", "update_probability",
            "mean_update_probability", "symmetric_mean_update_probability",
            "network_mean_update_probability", "coordinate_norm", "layer_norm_mean",
        }
    )  # fmt: skip
    of_objective = False

    def measure(self, experiment: Experiment) -> Measurement:
        examples = _examples(experiment.seed)
        rows = [self._quantities(experiment, example) for example in examples.gradients]
        values = {k: np.concatenate([r[k] for r in rows])[:, None] for k in experiment.measured}
        return Measurement(values, law="arithmetic", labels=examples.labels)

    @staticmethod
    def _quantities(experiment: Experiment, example: _Example) -> Mapping[str, np.ndarray]:
        names = experiment.measured
        if not names - set(example.norms):
            return example.norms
        rule, sizes, found = _rule(experiment), example.sizes, dict(example.norms)
        p = _probabilities(rule, example.g, sizes)
        found["update_probability"] = p
        found["mean_update_probability"] = _layer_means(p, sizes)
        found["network_mean_update_probability"] = np.full_like(p, p.mean())
        if "symmetric_mean_update_probability" in names:
            doubled = [2 * size for size in sizes]
            means = _layer_means(_probabilities(rule, example.mirror, doubled), doubled)
            firsts = np.cumsum(doubled) - doubled
            found["symmetric_mean_update_probability"] = np.repeat(means[firsts], sizes)
        return found


def _layout(sizes: Sequence[int]) -> Layout:
    return tuple((_KIND, int(size)) for size in sizes)


def _probabilities(rule: _Rule, g: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    p = rules.update_probability(torch.from_numpy(g), rule.alpha, rule.lambda_, _layout(sizes))
    return p.expand(g.shape).numpy()


# --- steps along a run --------------------------------------------------------------------------
_STEPS, _ROWS = 10, 8


class CoordinateSteps(Protocol):
    """Every coordinate at every step of some short runs; one instance a coordinate and step.

    The moves, and Algorithm 2's average, are the rule's; indicators, counts and plain means come
    from a second account that is kept beside it. Algorithm 1 remembers every mini-batch here.
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {
            "update_indicator", "coordinate_move", "batch_count", "accumulated_gradient",
            "moving_average", "mean_of_gradients", "accumulated_gradient_error", "mean_drift",
            "current_gradient",
        }
    )  # fmt: skip

    def measure(self, experiment: Experiment) -> Measurement:
        objective, names = experiment.objective, experiment.measured
        sizes = (
            [objective.dim] if objective.dim == 1 else [-(-objective.dim // 2), objective.dim // 2]
        )
        changes: dict[str, Any] = {"layout": _layout(sizes)}
        rule = _rule(experiment)
        first = isinstance(rule, rules.StochasticBatchSize1)
        if first:
            changes["memory"] = _STEPS
            if names & {"moving_average", "accumulated_gradient_error"}:
                raise UsageError(f"{rule.name} keeps no moving average")
        rule = dataclasses.replace(rule, **changes)
        rng = np.random.default_rng(experiment.run_seed)
        samples = torch.from_numpy(objective.draw(rng, _STEPS, _ROWS, experiment.batch_size))
        uniforms = rng.random((_STEPS, _ROWS, objective.dim))
        rows: list[dict[str, np.ndarray]] = []
        with torch.no_grad(), np.errstate(over="ignore", invalid="ignore"):
            w = objective.start.expand(_ROWS, -1).contiguous()
            state, count = rule.init(w, MiniBatch(objective)), np.ones(w.shape)
            blurred = np.zeros((_ROWS, 1), dtype=bool)
            iterates: list[np.ndarray] = []
            gradients: list[np.ndarray] = []
            terms: list[np.ndarray] = []  # what the gradients are summed from
            for t in range(_STEPS):
                iterates.append(w.numpy())
                gradient = objective.sample_gradient(w, samples[t])
                gradients.append(gradient.numpy())
                terms.append(gradient_scale(objective, (w, gradient)))
                pooled = _pooled(objective.sample_gradient, w, samples[: t + 1], count)
                judged = pooled if first else gradients[-1]
                chi = _indicator(rule, judged, uniforms[t], sizes)
                blurred = blurred | _blurred(judged, sizes)[:, None]
                oracle = MiniBatch(objective, samples[: t + 1].flip(0).unbind(0))
                after, new = _one_step(rule, w, oracle, state, t, _like(w, uniforms[t]))
                own = np.full_like(pooled, np.nan)
                if not first:
                    # Where nothing is updated the average survives the step.
                    _, kept = _one_step(rule, w, oracle, state, t, torch.ones_like(w))
                    assert kept.mean is not None
                    own = kept.mean.numpy()
                rows.append(
                    _account(iterates, gradients, terms, count, pooled, own)
                    | {
                        "update_indicator": chi,
                        "coordinate_move": (after - w).numpy(),
                        "current_gradient": gradients[-1],
                        "blurred": np.broadcast_to(blurred, w.shape),
                    }
                )
                if not bool(torch.isfinite(after).all()):
                    break
                w, state, count = after, new, np.where(chi > 0, 1.0, count + 1)
        # Gradients that overflowed are no evidence; moves that did are, of the rule.
        seen = [r["lost_gradient"] + np.abs(r["accumulated_gradient"]) for r in rows]
        keep = (np.isfinite(np.stack(seen)) & ~np.stack([r["blurred"] for r in rows])).ravel()
        values = {k: np.stack([r[k] for r in rows]).ravel()[keep, None] for k in names}
        rounding = np.stack([r["lost_gradient"] for r in rows])
        if "coordinate_move" in names:
            steps = _STEPS * float(rule.eta)  # type: ignore[arg-type]
            rounding = steps * rounding + np.stack([r["lost_move"] for r in rows])
        labels = tuple(
            f"step {t + 1}, run {r + 1}, coordinate {j + 1}"
            for t, r, j in product(range(len(rows)), range(_ROWS), range(objective.dim))
        )
        kept_labels = tuple(label for label, k in zip(labels, keep, strict=True) if k)
        return Measurement(values, "arithmetic", kept_labels, rounding.ravel()[keep])


def _one_step(
    rule: _Rule, w: Tensor, oracle: Oracle, state: rules.Waiting, t: int, chi: Tensor
) -> tuple[Tensor, rules.Waiting]:
    """Step t (from 0) of the rule, whose uniform draws are ``chi``."""
    path = follow(rule, w, lambda k, w: oracle, [True], state=state, first=t,
                  own=lambda k, w: {"chi": chi})  # fmt: skip
    *_, (after, new) = path
    assert isinstance(new, rules.Waiting)
    return after, new


def _like(w: Tensor, x: np.ndarray) -> Tensor:
    return torch.from_numpy(x).to(w.dtype)


def _pooled(sample_gradient: Any, w: Tensor, samples: Tensor, count: np.ndarray) -> np.ndarray:
    """Entry j: the gradient at ``w`` on the last ``count_j`` batches taken as one batch."""
    out = np.zeros(w.shape)
    for k in np.unique(count):
        batch = torch.cat(samples[-int(k) :].unbind(0), dim=1)
        out = np.where(count == k, sample_gradient(w, batch).numpy(), out)
    return out


def _indicator(rule: _Rule, g: np.ndarray, uniform: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    norms = _standardise(g, sizes)
    alpha, lambda_ = float(rule.alpha), float(rule.lambda_)  # type: ignore[arg-type]
    x = alpha * norms.local + lambda_ * norms.layer
    return (uniform < 1 / (1 + np.exp(-x))).astype(float)


def _account(
    iterates: list[np.ndarray], gradients: list[np.ndarray], terms: list[np.ndarray],
    count: np.ndarray, pooled: np.ndarray, own: np.ndarray,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Plain means over the last ``count_j`` steps, and what rounding loses of them."""
    past = np.stack(gradients[::-1])
    ages = np.arange(len(past))[:, None, None]
    held = ages < count
    drifts = np.linalg.norm(np.stack(iterates[::-1]) - iterates[-1], axis=-1)[..., None]
    largest = np.stack(terms).max(0)
    return {
        "batch_count": count, "accumulated_gradient": pooled, "moving_average": own,
        "mean_of_gradients": (past * held).sum(0) / count,
        "accumulated_gradient_error": np.abs(own - pooled),
        "mean_drift": (drifts * held).sum(0) / count,
        "lost_gradient": 64 * _EPS * largest * np.ones_like(count),
        "lost_move": 8 * _EPS * np.abs(iterates[-1]).max(-1, keepdims=True) * np.ones_like(count),
    }  # fmt: skip


# --- a constant probability ---------------------------------------------------------------------
_HORIZON = 8
_SLOPES = (1.0, -2.0, 0.3)
_TAIL = 1e-12


class ConstantProbability(Protocol):
    """The rule with every update probability replaced by p. Exact: all paths are followed.

    Each coordinate of a linear objective is given a path of its own; there are ``2^T`` of them
    for T steps, and an update after k batches has probability ``p (1-p)^(k-1)``.
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {"update_frequency", "accumulated_batches", "relative_progress"}
    )
    of_objective = False

    def measure(self, experiment: Experiment) -> Measurement:
        rule, names = _rule(experiment), experiment.measured
        alone = {
            "update_frequency": self._frequency, "accumulated_batches": self._batches,
            "relative_progress": self._progress,
        }  # fmt: skip
        # Each is one number a row; rows mean different things, so only one can be spoken of.
        if len(names) != 1:
            raise UsageError(f"measured one at a time: {', '.join(sorted(names))}")
        (name,) = names
        values, rounding = alone[name](experiment, rule)
        return Measurement({name: values.reshape(-1, 1)}, law="law", rounding=rounding)

    @staticmethod
    def _frequency(experiment: Experiment, rule: _Rule) -> tuple[np.ndarray, float]:
        moved, weights = _follow(rule, _p(experiment), 1.0)
        return ((np.diff(moved, axis=0) != 0) * weights).sum(-1), 0.0

    @staticmethod
    def _progress(experiment: Experiment, rule: _Rule) -> tuple[np.ndarray, float]:
        found = []
        for slope in _SLOPES:
            path, weights = _follow(rule, _p(experiment), slope)
            whole = _HORIZON * float(rule.eta) * slope  # type: ignore[arg-type]
            found.append(((path[0] - path[-1]) / whole) @ weights)
        return np.array(found), 0.0

    @staticmethod
    def _batches(experiment: Experiment, rule: _Rule) -> tuple[np.ndarray, float]:
        """The move of an update under (13)'s k eta, in units of eta g, is the k it used."""
        p = _p(experiment)
        rule = _without_memory(dataclasses.replace(rule, step="k_eta"))
        longest = _longest_wait(p)
        w, oracle = torch.zeros(1, dtype=torch.float64), FunctionOracle(torch.ones_like)
        yes, no = (torch.full_like(w, draw) for draw in (_YES, _NO))
        # The count restarts at an update.
        _, state = _one_step(rule, w, oracle, rule.init(w, oracle), 0, yes)
        waiting = []
        for _ in range(longest):
            waiting.append(state)
            _, state = _one_step(rule, w, oracle, state, 0, no)
        parts: list[Any] = [None if column[0] is None else torch.stack(column)
                            for column in zip(*waiting, strict=True)]  # fmt: skip
        stacked = rules.Waiting(*parts)
        still = torch.zeros(longest, 1, dtype=w.dtype)
        after, _ = _one_step(rule, still, oracle, stacked, 0, yes)
        used = -after.numpy()[:, 0] / float(rule.eta)  # type: ignore[arg-type]
        weights = p * (1 - p) ** np.arange(longest)
        beyond = (1 - p) ** longest * (longest + 1 / p)
        return np.array([used @ weights]), float(beyond)


def _p(experiment: Experiment) -> float:
    (name,) = experiment.measured
    p = experiment.parameter(name, "p")
    if not 0 < p <= 1:
        raise UsageError(f"{experiment.statement.key}: needs a probability p in (0, 1], got {p}")
    return p


def _longest_wait(p: float) -> int:
    """After how many batches too few coordinates still wait to change E[k] = 1/p."""
    return 1 if p == 1 else math.ceil(math.log(_TAIL * p) / math.log1p(-p))


def _without_memory(rule: _Rule) -> _Rule:
    return (
        dataclasses.replace(rule, memory=1)
        if isinstance(rule, rules.StochasticBatchSize1)
        else rule
    )


def _follow(rule: _Rule, p: float, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Every path of ``_HORIZON`` updates or not: iterates (T + 1, 2^T) and their weights."""
    rule = _without_memory(rule)
    says = np.array(list(product((False, True), repeat=_HORIZON))).T
    w = torch.zeros(says.shape[1], dtype=torch.float64)
    oracle = FunctionOracle(lambda w: torch.full_like(w, slope))
    chi = torch.from_numpy(np.where(says, _YES, _NO))
    steps = follow(rule, w, lambda k, w: oracle, [True] * _HORIZON,
                   own=lambda k, w: {"chi": chi[k]})  # fmt: skip
    path = [moved.numpy() for moved, _ in steps]
    updates = says.sum(0)
    return np.stack(path), p**updates * (1 - p) ** (_HORIZON - updates)
