"""TRAlgo's statements against known answers and against exact enumeration on small instances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import sympy as sp

from bounds import DomainError, Statement, tralgo
from bounds.evaluation import evaluate
from bounds.proof import Identity, Minimal, Nonnegative, NonnegativeOn, Step, Telescopes

BY_FORM = {(s.key.split(".")[1], s.form): s for s in tralgo.STATEMENTS}
STEPS = [(s, i) for s in tralgo.STATEMENTS for i in range(len(s.proof))]


def repaired(name: str) -> Statement:
    return BY_FORM[name, "repaired"]


# --- instances --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Wave:
    """f' is a triangle wave of height G, slopes ell and -delta; noise is +-sigma.

    It attains ell, delta, G and Bf at once: G^2 = 4 Bf ell delta/(ell + delta).
    """

    ell: float
    delta: float
    G: float
    sigma: float

    @property
    def Bf(self) -> float:
        return self.G**2 * (1 / self.ell + 1 / self.delta) / 4

    def _phase(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rise, fall = 2 * self.G / self.ell, 2 * self.G / self.delta
        x = np.mod(w + rise / 2, rise + fall) - rise / 2  # 0 is a minimum, [-rise/2, ...)
        return x, x <= rise / 2

    def gradient(self, w: np.ndarray) -> np.ndarray:
        x, rising = self._phase(w)
        top = 2 * self.G / self.ell / 2
        return np.where(rising, self.ell * x, self.G - self.delta * (x - top))

    def value(self, w: np.ndarray) -> np.ndarray:
        x, rising = self._phase(w)
        top = self.G / self.ell
        low = self.ell * x**2 / 2
        high = self.ell * top**2 / 2 + self.G * (x - top) - self.delta * (x - top) ** 2 / 2
        return np.where(rising, low, high) - self.Bf

    @property
    def constants(self) -> dict[str, float]:
        return {"ell": self.ell, "delta": self.delta, "G": self.G, "sigma": self.sigma,
                "Bf": self.Bf}  # fmt: skip

    def proximal(self, anchor: np.ndarray, lam: float) -> np.ndarray:
        low, high = anchor - 2 * self.G / lam, anchor + 2 * self.G / lam
        for _ in range(200):
            middle = (low + high) / 2
            right = self.gradient(middle) + lam * (middle - anchor) > 0
            low, high = np.where(right, low, middle), np.where(right, middle, high)
        return (low + high) / 2


def sgd(f: Wave, w0: np.ndarray, eta: float, steps: int) -> list[np.ndarray]:
    """Every path: arrays of shape (starts, 2^steps), one a time 0..steps."""
    signs = np.array(list(product((-1.0, 1.0), repeat=steps))).T.reshape(steps, 1, -1)
    path = [np.repeat(w0[:, None], 2**steps, axis=1)]
    for sign in signs:
        path.append(path[-1] - eta * (f.gradient(path[-1]) + f.sigma * sign))
    return path


def trsgd(f: Wave, w0: np.ndarray, lam: float, S: int, T: int) -> list[np.ndarray]:
    """Every path, at the ends of the rounds 0..T."""
    signs = np.array(list(product((-1.0, 1.0), repeat=S * T))).T.reshape(T, S, 1, -1)
    ends = [np.repeat(w0[:, None], 2 ** (S * T), axis=1)]
    for rounds in signs:
        w = anchor = ends[-1]
        for k, sign in enumerate(rounds, 1):
            g = f.gradient(w) + f.sigma * sign + lam * (w - anchor)
            w = w - g / ((lam - f.delta) * k)
        ends.append(w)
    return ends


def waves(count: int, seed: int = 0) -> list[Wave]:
    rng = np.random.default_rng(seed)
    scale = lambda: 10 ** rng.uniform(-1, 1)
    noise = lambda: rng.choice([0, 0.1, 1, 4])
    return [
        Wave(ell := scale(), ell * rng.uniform(0.02, 1), slope := scale(), slope * noise())
        for _ in range(count)
    ]


def starts(f: Wave) -> np.ndarray:
    period = 2 * f.G * (1 / f.ell + 1 / f.delta)
    return np.linspace(0, period, 41)[:-1] - f.G / f.ell


def holds(statement: Statement, measured: dict[str, np.ndarray], values: dict[str, float]) -> float:
    """The largest measured - bound, relative to the terms' size."""
    table = statement.validate(values) | measured
    small, large = (evaluate(side, table) for side in statement.claim.sides)
    size = np.abs(large) + sum(np.abs(v) for v in measured.values()) + 1e-300
    return float(np.max((small - large) / size))


# --- spot checks by brute force -----------------------------------------------------------------
def test_the_wave_has_the_constants_it_claims() -> None:
    f = Wave(2.0, 0.5, 3.0, 0.0)
    w = np.linspace(-30, 30, 200_001)
    slope, value = f.gradient(w), f.value(w)
    curvature = np.diff(slope) / np.diff(w)
    assert curvature.max() == pytest.approx(2)
    assert curvature.min() == pytest.approx(-0.5)
    assert np.abs(slope).max() == pytest.approx(3, rel=1e-3)
    assert value.max() == pytest.approx(f.Bf, rel=1e-6)
    assert value.min() == pytest.approx(-f.Bf)
    assert np.abs(np.diff(value) / np.diff(w) - (slope[1:] + slope[:-1]) / 2).max() < 1e-6


def test_the_trivial_bound_is_attained() -> None:
    f = Wave(1.0, 1.0, 1.0, 0.0)
    assert float(evaluate(tralgo.theorem_1_repaired.trivial, f.constants)) == pytest.approx(f.G**2)


@pytest.mark.parametrize("f", waves(12), ids=str)
def test_sgd(f: Wave) -> None:
    for eta in (0.1 / f.ell, 0.5 / f.ell, 1.9 / f.ell):
        w, after = sgd(f, starts(f), eta, 1)
        measured = {
            "decrease": f.value(w[:, 0]) - f.value(after).mean(1),
            "gradient_norm_squared": f.gradient(w[:, 0]) ** 2,
        }
        values = f.constants | {"eta": eta, "B": 1.0}
        assert holds(tralgo.descent, measured, values) <= 1e-12
        if eta <= 0.5 / f.ell:
            assert holds(tralgo.lemma_1, measured, values) <= 1e-12
    for T in (1, 2, 5):
        path = sgd(f, starts(f), 0.5 / f.ell, T + 1)
        squares = np.array([(f.gradient(w) ** 2).mean(1) for w in path])
        first, later = squares[:T].mean(0), squares[1 : T + 1].mean(0)
        values = f.constants | {"T": T, "B": 1.0, "Delta": 2 * f.Bf}
        assert holds(tralgo.theorem_1_repaired, {"mean_next_gradient_norm_squared": later},
                     values) <= 1e-12  # fmt: skip
        table = tralgo.theorem_1_delta.validate(values)
        suboptimality = f.value(path[0][:, 0]) + f.Bf
        bound = evaluate(tralgo.theorem_1_delta.claim.rhs, table | {"Delta": suboptimality})
        assert np.all(first <= bound * (1 + 1e-12))
        assert holds(tralgo.theorem_1_interpolated, {"mean_next_gradient_norm_squared": later},
                     values) <= 1e-12  # fmt: skip
        interpolated = tralgo.theorem_1_interpolated.claim.rhs
        assert np.all(first <= evaluate(interpolated, values | {"eta": 0.5 / f.ell}) + 1e-12)


@pytest.mark.parametrize("f", waves(10, seed=1), ids=str)
@pytest.mark.parametrize("S", [1, 2, 3, 7])
def test_one_round_of_trsgd(f: Wave, S: int) -> None:
    lams = [2 * f.delta, 2 * f.delta * 1.3, 2 * f.ell, (f.ell + 3 * f.delta) / 2, 9 * f.ell]
    w0 = starts(f)
    for lam in lams:
        w, after = trsgd(f, w0, lam, S, 1)
        target = f.proximal(w0, lam)
        pull = lam * (after - w)
        measured = {
            "inner_distance_squared": ((after - target[:, None]) ** 2).mean(1),
            "start_distance_squared": (w0 - target) ** 2,
            "inner_gradient_norm_squared": ((f.gradient(after) + pull) ** 2).mean(1),
            "next_gradient_norm_squared": (f.gradient(after) ** 2).mean(1),
            "displacement_squared": ((after - w) ** 2).mean(1),
            "decrease": f.value(w0) - f.value(after).mean(1),
        }
        values = f.constants | {"lam": lam, "S": S}
        for name in ("lemma_2", "lemma_2_lipschitz", "lemma_2_contraction", "lemma_3_exact",
                     "lemma_3_inner_gradient", "lemma_3"):  # fmt: skip
            statement = repaired(name)
            if name in ("lemma_3_inner_gradient", "lemma_3") and lam != 2 * f.ell:
                continue
            if name == "lemma_2_contraction" and lam < (f.ell + 3 * f.delta) / 2 * (1 - 1e-12):
                continue
            used = {s.name for s in statement.claim.measured}
            got = {k: v for k, v in measured.items() if k in used}
            assert holds(statement, got, values) <= 1e-9, (name, lam)


@pytest.mark.parametrize("f", waves(10, seed=2), ids=str)
@pytest.mark.parametrize(("S", "T"), [(1, 6), (3, 3), (4, 2)])
def test_several_rounds_of_trsgd(f: Wave, S: int, T: int) -> None:
    for lam in (2 * f.delta, 2 * f.ell):
        ends = trsgd(f, starts(f), lam, S, T)
        mean = np.mean([(f.gradient(w) ** 2).mean(1) for w in ends[1:]], axis=0)
        measured = {"mean_next_gradient_norm_squared": mean}
        values = f.constants | {"lam": lam, "S": S, "T": T, "Delta": 2 * f.Bf}
        assert holds(tralgo.claim_lam_2delta_rate_repaired, measured, values) <= 1e-12
        if lam == 2 * f.ell:
            for name in ("theorem_2", "theorem_2_sum", "theorem_2_delta", "theorem_2_interpolated"):
                assert holds(repaired(name), measured, values) <= 1e-12, name


def test_the_inner_problem_is_attained() -> None:
    """Lemma 2, contraction: equality, by enumerating all signs of the noise."""
    ell, delta, lam, S, sigma = 1.0, 0.5, 2.0, 6, 0.3
    mu, chi = lam - delta, (lam + ell) / (lam - delta)
    start = S * sigma / (mu * (chi - 1)) * 1.01  # far enough that noise never crosses back
    gradient = lambda e: np.where(e > 0, (lam + ell) * e, mu * e)  # of G_t, w* = 0
    signs = np.array(list(product((-1.0, 1.0), repeat=S))).T
    e = np.full(2**S, start)
    for k, sign in enumerate(signs, 1):
        e = e - (gradient(e) + sigma * sign) / (mu * k)
    values = {"ell": ell, "delta": delta, "lam": lam, "S": S, "sigma": sigma,
              "start_distance_squared": start**2}  # fmt: skip
    bound = tralgo.lemma_2_contraction.bound(values)
    assert (e**2).mean() == pytest.approx(float(bound), rel=1e-12)


def test_the_noise_term_of_theorem_1_is_attained_and_the_printed_one_is_too_small() -> None:
    f = Wave(1.0, 1.0, 1.0, 0.1)  # |w| <= sigma/ell stays where f is a quadratic
    T = 100_000
    # E w^2 moves as v -> v/4 + sigma^2/4 there; its mean over t = 1..T from v = 0:
    v = f.sigma**2 / 3 * (1 - 0.25 ** np.arange(1, T + 1))
    values = f.constants | {"T": T, "B": 1.0}
    assert v.mean() > float(tralgo.theorem_1.bound(values))
    assert v.mean() <= float(tralgo.theorem_1_repaired.bound(values))
    assert v.mean() == pytest.approx(float(tralgo.theorem_1_repaired.bound(values)), rel=0.02)


def test_lemma_2_as_printed_fails_after_rescaling() -> None:
    f = Wave(0.01, 0.01, 1.0, 1.0)
    lam, S = 0.02, 4
    w, after = trsgd(f, np.zeros(1), lam, S, 1)
    found = ((after - f.proximal(w[:, 0], lam)[:, None]) ** 2).mean()
    values = f.constants | {"lam": lam, "S": S}
    assert found > 2 * float(tralgo.lemma_2.bound(values))
    assert found <= float(tralgo.lemma_2_repaired.bound(values))


def test_repaired_lemma_2_is_never_above_the_textbook_route() -> None:
    """That route bounds E||g||^2 of the regularised gradient by (1 + lam/mu)^2 (G^2 + sigma^2)."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        ell = 10 ** rng.uniform(-1, 1)
        delta, G, sigma = ell * rng.uniform(0, 1), *10 ** rng.uniform(-1, 1, 2)
        lam = 2 * delta + ell * rng.uniform(1e-3, 3)
        S = int(rng.integers(1, 100))
        values = {"ell": ell, "delta": delta, "G": G, "sigma": sigma, "lam": lam, "S": S}
        sharp = float(tralgo.lemma_2_repaired.bound(values))
        plain = float(tralgo.lemma_2_lipschitz.bound(values))
        assert sharp <= plain * (1 + 1e-12)
        textbook = (1 + lam / (lam - delta)) ** 2 * (G**2 + sigma**2) / ((lam - delta) ** 2 * S)
        assert plain <= textbook


# --- known answers ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("statement", "values", "expected"),
    [
        (tralgo.theorem_1, {"ell": 2, "Bf": 3, "sigma": 4, "T": 6, "B": 2}, 6.0),
        (tralgo.theorem_1_repaired, {"ell": 2, "Bf": 3, "sigma": 3, "T": 8, "B": 3}, 5.0),
        (tralgo.theorem_1_delta, {"ell": 3, "Delta": 2, "sigma": 3, "T": 8, "B": 3}, 3.0),
        (tralgo.lemma_2, {"ell": 1, "lam": 2, "delta": 0.5, "G": 1, "sigma": 2, "S": 4}, 20.0),
        # chi = 4: two early steps; (4 + 4 * 2/4)/(0.25 * 4)
        (tralgo.lemma_2_repaired,
         {"ell": 1, "lam": 1, "delta": 0.5, "G": 1, "sigma": 2, "S": 4}, 6.0),
        # kappa = 1: chi = 3, F = 8, E = 9 (1/9 + 4/81)
        (tralgo.theorem_2_repaired,
         {"ell": 1, "delta": 1, "Bf": 10, "T": 10, "G": 2, "sigma": 1, "S": 9},
         (((13 / 9) ** 0.5 / 2 + (12 + 13 / 9) ** 0.5) / 1.5) ** 2),
        (tralgo.theorem_2_sum,
         {"ell": 1, "delta": 1, "Bf": 10, "T": 10, "G": 2, "sigma": 1, "S": 9}, 8 + 13 / 9),
        (tralgo.theorem_2,
         {"ell": 1, "delta": 1, "Bf": 10, "T": 10, "G": 2, "sigma": 1, "S": 9}, 44.0),
        # T = 4, M = 16; then chi = 3, T = 2, S = 16
        (tralgo.theorem_1_complexity_repaired, {"ell": 3, "Bf": 3, "sigma": 24, "C": 64}, 24.0),
        (tralgo.theorem_2_complexity_repaired,
         {"ell": 1, "delta": 1, "Bf": 9, "G": 16, "sigma": 8, "C": 32}, 36 + 36 + 9.0),
        (tralgo.claim_small_batch_tuned,
         {"ell": 1, "Bf": 1, "sigma": 3, "C": 64}, 1.0),
    ],
)  # fmt: skip
def test_bounds(statement: Statement, values: dict[str, float], expected: float) -> None:
    extra = {"G": 1.0} if "G" not in values else {}
    assert float(statement.bound(extra | values)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "form", "kappa_zero", "kappa_one"),
    [
        ("theorem_2", "repaired", 4, 16 / 3),
        ("theorem_2_sum", "repaired", 8, 8),
        ("theorem_2_interpolated", "repaired", 4, 32 / 7),
    ],
)
def test_first_term_of_theorem_2(name: str, form: str, kappa_zero: float, kappa_one: float) -> None:
    for delta, expected in ((0.0, kappa_zero), (1.0, kappa_one)):
        values = {"ell": 1.0, "delta": delta, "Bf": 1.0, "T": 1, "S": 1e14, "G": 1, "sigma": 1}
        assert float(BY_FORM[name, form].bound(values)) == pytest.approx(expected, rel=1e-5)


def test_complexities_follow_from_the_theorems_they_name() -> None:
    values = {"ell": 1.0, "Bf": 1.0, "sigma": 1.0, "C": 100.0, "G": 1.0, "delta": 1.0}
    assert float(tralgo.theorem_1_complexity.bound(values)) == pytest.approx(0.2)
    assert float(tralgo.theorem_2_complexity.bound(values)) == pytest.approx(28.9 * np.sqrt(2))
    for C in (10, 1e4, 1e8):
        for statement, theorem in (
            (tralgo.theorem_1_complexity_repaired, tralgo.theorem_1_repaired),
            (tralgo.theorem_2_complexity_repaired, tralgo.theorem_2_sum),
        ):
            table = statement.validate(values | {"C": C})
            assert float(theorem.bound(table)) == float(statement.bound(values | {"C": C}))
    assert float(statement.bound(values | {"C": 1e12})) * 1e6 == pytest.approx(12 * 2**0.5, 1e-4)


def test_claims_between_bounds_hold_over_their_domains() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        ell, Bf, G, sigma = 10 ** rng.uniform(-1.5, 1.5, 4)
        values = {"ell": ell, "Bf": Bf, "G": G, "sigma": sigma, "delta": ell * rng.uniform(0, 1),
                  "T": np.ceil(72 * ell * Bf / sigma**2 * rng.uniform(1, 2)),
                  "S": np.ceil(max(81, 9 * G / sigma) * rng.uniform(1, 2))}  # fmt: skip
        claim = tralgo.claim_small_batch_repaired.claim
        table = tralgo.claim_small_batch_repaired.validate(values)
        assert evaluate(claim.lhs, table) <= evaluate(claim.rhs, table)
        M = np.ceil(max(1, (G / sigma) ** 2 / 36) * rng.uniform(1, 3))
        table = tralgo.claim_progress_repaired.validate(values | {"M": M, "S": 36 * M})
        error = evaluate(tralgo.lemma_3_inner_gradient_repaired.claim.rhs, table)
        assert error <= sigma**2 / (2 * M) * (1 + 1e-12)
        table = tralgo.theorem_1_balance.validate(values | {"C": rng.integers(1, 1000)})
        claim = tralgo.theorem_1_balance.claim
        assert evaluate(claim.lhs, table) <= evaluate(claim.rhs, table) * (1 + 1e-12)


# --- units and domains --------------------------------------------------------------------------
def test_units_are_found_by_computation() -> None:
    assert {s.key for s in tralgo.STATEMENTS if s.units == "inconsistent"} == {
        f"tralgo.{name}"
        for name in ("lemma_2", "lemma_3", "lemma_3_inner_gradient", "theorem_2",
                     "theorem_2_complexity", "claim_balance", "claim_lam_2delta_rate",
                     "claim_any_batch")
    }  # fmt: skip
    assert all(s.units == "consistent" for s in tralgo.STATEMENTS if s.form == "repaired")
    fault = str(tralgo.lemma_2.units_fault)
    assert "G has units F/X" in fault
    assert "F^2/X^2" in fault


@pytest.mark.parametrize(
    ("statement", "values", "needles"),
    [
        (tralgo.lemma_1, {"ell": 1.0, "eta": 0.6, "sigma": 1.0, "B": 1},
         ["eta <= 1/(2*ell)", "0.6"]),
        (tralgo.lemma_2_repaired,
         {"ell": 1.0, "lam": 0.9, "delta": 0.5, "G": 1, "sigma": 1, "S": 1},
         ["lam >= 2*delta", "0.9"]),
        (tralgo.lemma_2, {"ell": 1.0, "lam": 0.5, "delta": 0.5, "G": 1, "sigma": 1, "S": 1},
         ["lam > delta", "0.5"]),
        (tralgo.theorem_1, {"ell": 1.0, "Bf": 1.0, "sigma": 1.0, "T": 0.5, "B": 1}, ["T (", "0.5"]),
        (tralgo.theorem_2_repaired,
         {"ell": 1.0, "delta": 1.5, "Bf": 1, "T": 1, "G": 1, "sigma": 1, "S": 1},
         ["delta <= ell", "1.5"]),
        (tralgo.claim_small_batch_repaired,
         {"ell": 1.0, "delta": 1, "Bf": 1, "T": 71, "G": 1, "sigma": 1, "S": 81},
         ["T >= 72", "T = 71"]),
    ],
)  # fmt: skip
def test_values_outside_the_domain_are_refused(
    statement: Statement, values: dict[str, float], needles: list[str]
) -> None:
    with pytest.raises(DomainError) as error:
        statement.bound(values)
    assert all(needle in str(error.value) for needle in needles), str(error.value)


# --- proofs ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("statement", "i"), STEPS, ids=lambda v: getattr(v, "key", v))
def test_every_step_holds_and_its_mutant_does_not(statement: Statement, i: int) -> None:
    step = statement.proof[i]
    assert step.holds(), step.text
    mutant = spoilt(step)
    assert mutant is None or not mutant.holds(), step.text


def spoilt(step: Step) -> Step | None:
    """A wrong step: another right side, the opposite sign, another minimiser."""
    if isinstance(step, Identity):
        return replace(step, rhs=sp.Rational(9, 10) * step.rhs + sp.Rational(1, 7))
    if isinstance(step, Nonnegative):
        return replace(step, expression=-step.expression - 1)
    if isinstance(step, NonnegativeOn):
        return replace(step, expression=-step.expression)
    if isinstance(step, Minimal):
        return replace(step, at={k: 2 * v for k, v in step.at.items()})
    assert isinstance(step, Telescopes)
    return replace(step, total=step.total.subs(step.upper, step.upper + 1))
