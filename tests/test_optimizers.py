"""Update rules: against plain loops in numpy, and laws every registered rule obeys."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from method_references import REFERENCES as MORE_REFERENCES
from optimizer_references import (
    CASES,
    DIM,
    STEPS,
    Batches,
    Problem,
    every_case,
    path,
)
from torch import Tensor

from theorylab.method import (
    LARS,
    LRSGD_C,
    LRSGD_R,
    MSGD,
    RULES,
    SGD,
    SNGD,
    SNGM,
    TRSGD,
    AcceleratedSGD,
    Adam,
    Alternating,
    AMSGrad,
    EntropySGD,
    Nesterov,
    RMSprop,
    StochasticBatchSize1,
    StochasticBatchSize2,
    TRAdam,
    proximal,
)
from theorylab.method.rule import UpdateRule, entries
from theorylab.problem.oracle import Oracle

# --- the references: each method written out as a loop ---------------------------------------
Reference = Callable[[Any, Problem], Iterator[np.ndarray]]


def value(hyper: Any, t: float) -> Any:
    if isinstance(hyper, Tensor):
        return hyper.double().numpy()
    return hyper(t) if callable(hyper) else hyper


def sgd(r: SGD, p: Problem) -> Iterator[np.ndarray]:
    w = p.start.copy()
    for s in range(STEPS):
        w = w - value(r.eta, s + 1) * (p.gradient(s, w) + value(r.weight_decay, 0) * w)
        yield w


def halves(r: Alternating, p: Problem) -> Iterator[np.ndarray]:
    w = p.start.copy()
    for s in range(STEPS):
        g, block = p.gradient(s, w), slice(None, (DIM + 1) // 2)
        if s % 2 == 1:
            block = slice((DIM + 1) // 2, None)
        w = w.copy()
        w[block] = w[block] - value(r.eta, s + 1) * g[block]
        yield w


def msgd(r: MSGD, p: Problem) -> Iterator[np.ndarray]:
    w, v = p.start.copy(), np.zeros(DIM)
    for s in range(STEPS):
        v = value(r.beta, 0) * v + p.gradient(s, w) + value(r.weight_decay, 0) * w
        w = w - value(r.eta, s + 1) * v
        yield w


def nesterov(r: Nesterov, p: Problem) -> Iterator[np.ndarray]:
    w, v = p.start.copy(), np.zeros(DIM)
    for s in range(STEPS):
        g = p.gradient(s, w) + r.weight_decay * w
        v = r.beta * v + g
        w = w - value(r.eta, s + 1) * (g + r.beta * v)
        yield w


def sngm_(r: Any, p: Problem) -> Iterator[np.ndarray]:
    beta = getattr(r, "beta", 0.0)
    w, u = p.start.copy(), np.zeros(DIM)
    for s in range(STEPS):
        g = p.gradient(s, w)
        eta, decay = value(r.eta, s + 1), value(r.weight_decay, 0)
        if r.decoupled:
            u = beta * u + g / math.sqrt(sum(x * x for x in g))
            w = w - eta * u - eta * decay * w
        else:
            g = g + decay * w
            u = beta * u + g / math.sqrt(sum(x * x for x in g))
            w = w - eta * u
        yield w


def anchored(r: Any, p: Problem) -> Iterator[np.ndarray]:
    """TRSGD, LRSGD-R, LRSGD-C."""
    w, v = p.start.copy(), np.zeros(DIM)
    t, warm = 0, getattr(r, "t0", 0)
    for s, begins in enumerate(p.restarts(r)):
        if begins:
            anchor, k, t = w.copy(), 0, t + 1
        k += 1
        lam, inner = value(r.lam, t), value(r.inner, t)
        if t <= warm:
            step = value(r.eta, t)
        elif isinstance(r, LRSGD_R):
            step = r.theta / lam if inner is None else inner
        else:
            step = 1 / (lam - r.delta) if inner is None else inner
            step = step / k if getattr(r, "falling", True) else step
        pull = 2 * lam / inner if r.variant == "authors" else lam
        decay, beta = value(r.weight_decay, 0), value(r.beta, 0)
        v = beta * v + p.gradient(s, w) + pull * (w - anchor) + decay * w
        w = w - step * v
        yield w


def adam(r: Any, p: Problem) -> Iterator[np.ndarray]:
    """Adam, AMSGrad, TRAdam."""
    w, m, v, top = p.start.copy(), np.zeros(DIM), np.zeros(DIM), np.zeros(DIM)
    for s, begins in enumerate(p.restarts(r)):
        if begins:
            anchor, k = w.copy(), 0
        k += 1
        eta = value(r.eta, s + 1)
        g = p.gradient(s, w) + value(r.weight_decay, 0) * w
        if isinstance(r, TRAdam):
            g += (2 * r.lam / eta if r.variant == "authors" else r.lam) * (w - anchor)
            eta = eta / k
        m = r.beta1 * m + (1 - r.beta1) * g
        v = r.beta2 * v + (1 - r.beta2) * g**2
        top = np.maximum(top, v)
        second = top if isinstance(r, AMSGrad) or getattr(r, "amsgrad", False) else v
        if isinstance(r, AMSGrad) and r.variant == "paper":
            w = w - eta * m / (np.sqrt(second) + r.eps)
        else:
            mhat, vhat = m / (1 - r.beta1 ** (s + 1)), second / (1 - r.beta2 ** (s + 1))
            # The authors add eps to the root before its bias is removed.
            late = isinstance(r, TRAdam) and r.variant == "authors"
            eps = r.eps / math.sqrt(1 - r.beta2 ** (s + 1)) if late else r.eps
            w = w - eta * mhat / (np.sqrt(vhat) + eps)
        yield w


def rmsprop(r: RMSprop, p: Problem) -> Iterator[np.ndarray]:
    w, v, u = p.start.copy(), np.zeros(DIM), np.zeros(DIM)
    for s in range(STEPS):
        g = p.gradient(s, w) + r.weight_decay * w
        v = r.alpha * v + (1 - r.alpha) * g**2
        u = r.beta * u + g / (np.sqrt(v) + r.eps)
        w = w - value(r.eta, s + 1) * u
        yield w


def layers(layout: Any) -> list[tuple[str, slice]]:
    if not layout:
        return [("all", slice(0, DIM))]
    ends = np.cumsum([n for _, n in layout])
    return [(kind, slice(e - n, e)) for (kind, n), e in zip(layout, ends, strict=True)]


def lars(r: LARS, p: Problem) -> Iterator[np.ndarray]:
    w, v = p.start.copy(), np.zeros(DIM)
    for s in range(STEPS):
        g, eta, wd = p.gradient(s, w), value(r.eta, s + 1), r.weight_decay
        nxt = w.copy()
        for _, j in layers(r.layout):
            size = np.linalg.norm(w[j])
            if r.variant == "decayed_norm":
                ratio = r.trust * size / np.linalg.norm(g[j] + wd * w[j])
            else:
                ratio = r.trust * size / (np.linalg.norm(g[j]) + wd * size)
            if r.variant == "skip_without_decay" and wd == 0:
                ratio = 1.0
            if r.variant == "outside":
                v[j] = r.beta * v[j] + ratio * (g[j] + wd * w[j])
                nxt[j] = w[j] - eta * v[j]
            else:
                v[j] = r.beta * v[j] + eta * ratio * (g[j] + wd * w[j])
                nxt[j] = w[j] - v[j]
        w = nxt
        yield w


def entropy(r: EntropySGD, p: Problem) -> Iterator[np.ndarray]:
    w, outer_v, rounds, s = p.start.copy(), np.zeros(DIM), 0, 0
    authors = r.variant == "authors"
    if authors:
        outer_v = p.gradient(0, w)  # theirs is a copy of the gradient at the start
    while True:
        anchor, mu, inner_v = w.copy(), w.copy(), np.zeros(DIM)
        gamma = r.gamma0 if authors else r.gamma0 * (1 + r.gamma1) ** rounds
        for k in range(r.S):
            g = p.gradient(s, w) + r.weight_decay * w
            inner_v = r.beta * inner_v + g
            g = g + r.beta * inner_v
            if authors:
                g = g + gamma * (w - anchor) + r.eps / math.sqrt(0.5 * r.inner) * p.normal[s]
                w = w - r.inner * g
                mu = r.average * mu + (1 - r.average) * w
            else:
                g = g + gamma * (w - anchor)
                w = w - r.inner * g + math.sqrt(r.inner) * r.eps * p.normal[s]
                mu = (1 - r.average) * mu + r.average * w
            if k == r.S - 1:
                g = (anchor - mu) * (1 if authors else gamma) + r.weight_decay * anchor
                outer_v = r.beta * outer_v + g
                w = anchor - value(r.eta, s + 1) * (g + r.beta * outer_v)
                rounds += 1
            yield w
            s += 1
            if s == STEPS:
                return


def accelerated(r: AcceleratedSGD, p: Problem) -> Iterator[np.ndarray]:
    w, wbar = p.start.copy(), p.start.copy()
    b = r.c**2 * r.xi / r.kappa
    z = r.c / (r.c + b)
    for s in range(STEPS):
        eta, g = value(r.eta, s + 1), p.gradient(s, w) + r.weight_decay * w
        wbar = (1 - b) * wbar + b * (w - r.kappa * eta / r.c * g)
        w = z * (w - eta * g) + (1 - z) * wbar
        yield w


def probability(r: Any, g: np.ndarray) -> np.ndarray:
    size, p = np.abs(g), np.empty(DIM)
    segments = layers(r.layout)
    means = {j.start: size[j].mean() for _, j in segments}
    for kind, j in segments:
        like = [i for other, i in segments if r.across == "all" or other == kind]
        counts = [i.stop - i.start for i in like]
        centre = np.average([means[i.start] for i in like], weights=counts)
        spread = math.sqrt(
            np.average([(means[i.start] - centre) ** 2 for i in like], weights=counts)
        )
        tilde = 0.0 if spread < 1e-12 else (means[j.start] - centre) / spread
        sigma = size[j].std()
        v = np.zeros(j.stop - j.start) if sigma < 1e-12 else (size[j] - means[j.start]) / sigma
        p[j] = 1 / (1 + np.exp(-r.alpha * v - r.lambda_ * tilde))
    return p


def batch_size(r: Any, p: Problem) -> Iterator[np.ndarray]:
    """Stochastic batch size, Algorithms 1 and 2, one parameter at a time."""
    first = isinstance(r, StochasticBatchSize1)
    w, v, mean = p.start.copy(), np.zeros(DIM), np.zeros(DIM)
    waiting: list[list[int]] = [[] for _ in range(DIM)]
    for s in range(STEPS):
        now, used = p.gradient(s, w), np.zeros(DIM)
        for j in range(DIM):
            waiting[j].append(s)
            if first:
                held = waiting[j][-r.memory :]
                used[j] = np.mean([p.gradient(batch, w)[j] for batch in held])
            else:
                mean[j] += (now[j] - mean[j]) / len(waiting[j])
                used[j] = mean[j]
        chosen = p.uniform[s] < probability(r, used if first else now)
        nxt = w.copy()
        for j in map(int, np.flatnonzero(chosen)):
            eta = value(r.eta, s + 1) * (len(waiting[j]) if r.step == "k_eta" else 1)
            v[j] = r.beta * v[j] + used[j] + r.weight_decay * w[j]
            nxt[j] = w[j] - eta * v[j]
            waiting[j], mean[j] = [], 0.0
        w = nxt
        yield w


REFERENCES: dict[type[UpdateRule], Reference] = {
    SGD: sgd, MSGD: msgd, Nesterov: nesterov, SNGM: sngm_, SNGD: sngm_, TRSGD: anchored,
    LRSGD_R: anchored, LRSGD_C: anchored, Adam: adam, AMSGrad: adam, TRAdam: adam,
    RMSprop: rmsprop, LARS: lars, EntropySGD: entropy, AcceleratedSGD: accelerated,
    StochasticBatchSize1: batch_size, StochasticBatchSize2: batch_size, Alternating: halves,
}  # fmt: skip


REFERENCES |= MORE_REFERENCES


def reference(rule: UpdateRule, problem: Problem) -> np.ndarray:
    return np.array(list(REFERENCES[type(rule)](rule, problem)))


def test_every_rule_has_cases_and_a_unique_name() -> None:
    assert {type(rule) for rule in CASES.values()} == set(RULES) == set(REFERENCES)
    assert len({rule.name for rule in RULES}) == len(RULES)


@every_case
def test_25_steps_agree_with_plain_loops(case: str) -> None:
    for seed in (0, 1):
        problem = Problem(seed)
        expected = reference(CASES[case], problem)
        assert np.abs(expected).max() < 1e3
        np.testing.assert_allclose(path(CASES[case], problem), expected, rtol=1e-11, atol=1e-12)


@every_case
def test_float32_stays_float32_and_near(case: str) -> None:
    rule, problem = CASES[case], Problem()
    w = torch.as_tensor(problem.start).float()  # type: ignore[attr-defined]
    state = rule.init(w, Batches(problem, 0))
    w, state = rule.update(w, Batches(problem, 0), state, problem.draw(rule, 0, torch.float32))
    assert w.dtype == torch.float32
    assert {value.dtype for value in entries(state).values()} <= {torch.float32}
    if "batch size" not in case:  # a draw next to p may fall on its other side
        near = path(rule, problem, torch.float32)
        np.testing.assert_allclose(near, path(rule, problem), rtol=2e-3, atol=2e-3)


@every_case
def test_every_number_matters(case: str) -> None:
    """A mutant for each field: moving one number must break the agreement."""
    rule, problem = CASES[case], Problem()
    expected = reference(rule, problem)
    for field in dataclasses.fields(rule):
        number = getattr(rule, field.name)
        if isinstance(number, bool) or not isinstance(number, int | float) or number == 0:
            continue
        if field.name in ("eps", "theta", "gamma1") or (case, field.name) in IDLE:
            continue
        # What decides by comparison with a draw has to move far to change a decision.
        far = (case.startswith("batch size") and field.name in ("alpha", "lambda_")) or (
            field.name == "gamma"
        )
        moved = number + 1 if isinstance(number, int) else number * (4 if far else 1.05)
        mutant = dataclasses.replace(rule, **{field.name: moved})
        same = np.allclose(path(mutant, problem), expected, rtol=1e-9, atol=1e-10)
        assert not same, field.name


# Fields without effect in a case, and why. (eps, theta and gamma1 have a test of their own.)
IDLE = {
    ("batch size 1", "lambda_"),  # one layer
    ("batch size 2", "lambda_"),
    ("batch size 1", "memory"),  # nothing waited longer
    ("svrg", "S"),  # mini-batches differ by a constant: no anchor is better than another
    ("lars, no decay", "trust"),  # the ratio is skipped
    ("two-point zeroth order", "mu"),  # a central difference is exact on a quadratic
}


@pytest.mark.parametrize(
    ("case", "field", "moved"),
    [
        ("trsgd", "delta", 0.6),
        ("lrsgd_c", "delta", 0.6),
        ("lrsgd_r", "theta", 0.24),
        ("adam", "eps", 1e-3),
        ("rmsprop", "eps", 1e-3),
        ("entropy_sgd", "eps", 0.2),
        ("entropy_sgd", "gamma1", 0.2),
        ("entropy_sgd, authors", "eps", 0.2),
    ],
)
def test_fields_that_act_in_some_cases_only(case: str, field: str, moved: float) -> None:
    rule = dataclasses.replace(CASES[case], **{field: moved})
    assert not np.allclose(path(rule, Problem()), reference(CASES[case], Problem()), atol=1e-8)
    np.testing.assert_allclose(path(rule, Problem()), reference(rule, Problem()), rtol=1e-10)


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("trsgd, authors", {"variant": "paper"}),
        ("lrsgd_r, authors", {"variant": "paper"}),
        ("lrsgd_c, authors", {"variant": "paper"}),
        ("tradam, authors", {"variant": "paper"}),
        ("tradam, amsgrad", {"amsgrad": False}),
        ("lrsgd_c, constant step", {"falling": True}),
        ("entropy_sgd, authors", {"variant": "paper"}),
        ("amsgrad, torch", {"variant": "paper"}),
        ("lars, outside", {"variant": "paper"}),
        ("lars, decayed norm", {"variant": "paper"}),
        ("sngm, decoupled", {"decoupled": False}),
        ("batch size 2, k eta", {"step": "eta"}),
        ("batch size 2, all layers", {"across": "kind"}),
    ],
)
def test_variants_differ(case: str, change: dict[str, Any]) -> None:
    other = dataclasses.replace(CASES[case], **change)
    assert not np.allclose(path(other, Problem()), reference(CASES[case], Problem()), atol=1e-6)


def _frozen_index(w: Tensor, state: Any, restart: Tensor) -> Any:
    fresh = restart.to(w.dtype)
    return state._replace(k=state.k + 1, anchor=torch.lerp(state.anchor, w, fresh))


def _wandering_anchor(w: Tensor, state: Any, restart: Tensor) -> Any:
    return begin_round(w, state, restart)._replace(anchor=w)


def _late_anchor(w: Tensor, state: Any, restart: Tensor) -> Any:
    return begin_round(w, state, restart)._replace(anchor=state.anchor)


begin_round = proximal.begin_round


@pytest.mark.parametrize("mutant", [_frozen_index, _wandering_anchor, _late_anchor])
@pytest.mark.parametrize("case", ["trsgd", "lrsgd_c", "trsgd, momentum and decay"])
def test_wrong_rounds_are_caught(
    case: str, mutant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proximal, "begin_round", mutant)
    expected = reference(CASES[case], Problem())
    assert not np.allclose(path(CASES[case], Problem()), expected, atol=1e-6)


class Listening(Batches):
    """Notes which questions are asked."""

    def __init__(self, problem: Problem, s: int) -> None:
        super().__init__(problem, s)
        self.asked: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name in vars(Oracle):
            object.__getattribute__(self, "asked").add(name)
        return object.__getattribute__(self, name)


@every_case
def test_needs_are_what_is_asked(case: str) -> None:
    rule, problem = CASES[case], Problem()
    w = torch.as_tensor(problem.start)  # type: ignore[attr-defined]
    before, oracle = Listening(problem, 0), Listening(problem, 0)
    state = rule.init(w, before)
    asked = set(before.asked)
    rule.update(w, oracle, state, problem.draw(rule, 0))
    inner = {"gradient", "every_gradient"} if "full_gradient" in rule.needs else {"gradient"}
    assert (asked | oracle.asked) - inner == rule.needs - inner
