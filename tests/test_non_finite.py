"""What leaves the numbers is a result: refused, unknown or diverged; never a crash or a verdict."""

from __future__ import annotations

import contextlib
import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import sympy as sp

import synthetic
from bounds import Statement
from bounds.assumptions import RELAXED_SMOOTH
from bounds.claim import Claim, DomainError
from bounds.notation import L0, L1
from bounds.path import PathOf
from bounds.quantities import distance, gradient_norm_at_u, gradient_norm_at_w
from bounds.symbol import POSITIVE, Domain, Measured, Symbol
from bounds.units import Units
from theorylab import Stratified, check, run
from theorylab.errors import AssumptionError, UsageError
from theorylab.hunt.rescaling import rescale
from theorylab.judge.comparison import compare
from theorylab.method import SGD, TRSGD
from theorylab.plugins import registry
from theorylab.quantities.protocol import Measurement
from theorylab.quantities.recorded import _reduced
from theorylab.stability.exponents import fit_exponent
from theorylab.stability.supremum import largest_gap
from theorylab.stability.twins import run_twins

EVERY = sorted(registry.statements())
OBJECTIVES = {
    "noisy": lambda: synthetic.quadratic(noise="gaussian", sigma=1.0),
    "waves": lambda: synthetic.bounded_nonconvex(dim=2),
    "robust": lambda: synthetic.robust_regression(n=10, dim=2),
    "bowl": lambda: synthetic.quadratic(dim=2),
    "convex": lambda: synthetic.classification(n=10, dim=2, alpha=0.0),
}


# --- objectives and values that no double can judge ------------------------------------------
@pytest.mark.parametrize("start", [1e80, 1e120, 1e155, 1e300])
def test_far_starts_are_refused_in_one_line_by_every_statement(start: float) -> None:
    """290 overflow errors once."""
    far = synthetic.quadratic(start=start, noise="gaussian", sigma=1.0)
    said: Counter[str] = Counter()
    for key, form in EVERY:
        if not registry.statement(key, form).claim.measured:
            continue
        with pytest.raises(UsageError) as caught:
            check(key, far, form=form, count=1, replicas=8, effort=1e3)
        assert "\n" not in str(caught.value)
        said["powers of what lies beyond" in str(caught.value)] += 1
    print(f"{dict(said)} of {len(EVERY)}")
    assert said[True] > 50


@pytest.mark.parametrize("a", [1e-60, 1e60])
def test_objectives_in_absurd_units_are_refused(a: float) -> None:
    """Scaled by 1e-60 a bound was 0, and 1.8e-123 above it."""
    tiny = rescale(synthetic.bounded_nonconvex(dim=2), a, 1.0)
    with pytest.raises(AssumptionError, match=r"state it in other units"):
        check("sngm.theorem_1", tiny, form="repaired", count=1, replicas=8, effort=1e3)


@pytest.mark.parametrize("a", [1e-20, 1e-8, 1e8, 1e20])
@pytest.mark.parametrize("key", ["sngm.theorem_1", "sngm.lemma_2", "tralgo.descent"])
def test_units_that_doubles_hold_change_no_verdict(key: str, a: float) -> None:
    plain = synthetic.bounded_nonconvex(dim=2)
    asked: dict[str, Any] = {"form": "repaired", "count": 2, "replicas": 8, "effort": 1e4}
    assert check(key, rescale(plain, a, 1.0), **asked).verdict == check(key, plain, **asked).verdict


def test_a_bound_that_vanishes_on_the_way_refutes_nothing() -> None:
    """a^7 b^5 at 1e-50 and 1e50 is 1e-100, and 0 in doubles."""
    a, b, m = Symbol("a"), Symbol("b"), Measured("m", units=Units(F=4))
    values = {"a": 1e-50, "b": 1e50, "Delta": 1e-50}
    for measured, outcome in ((1e-101, "unknown"), (1e-90, "violated"), (0.0, "holds")):
        found = Measurement({"m": np.array([[measured]])}, "arithmetic")
        compared = compare(Claim(m, "<=", a**7 * b**5), values, found, 0.01)
        assert compared.bound[0] == 0
        assert compared.outcomes()[0] == outcome


@pytest.mark.parametrize("size", [1e-162, 1e-200, 1e160])
def test_a_square_that_vanishes_on_the_way_refutes_nothing(size: float) -> None:
    """The triangle inequality at 3e-162 was called violated: of a square of it one digit is left.

    Its sum of squares has one sign, which was taken to lose none.
    """
    x, y = (Symbol(name, "", POSITIVE) for name in "xy")
    for factor, outcomes in ((1.0, {"holds"}), (0.7, {"violated", "unknown"})):
        claim = Claim(sp.sqrt(x**2 + y**2), "<=", factor * (x + y))
        nothing = Measurement({"-": np.zeros((1, 1))}, "arithmetic")
        found = compare(claim, {"x": 3 * size, "y": 2.5e-3 * size}, nothing, 0.01)
        assert found.outcomes()[0] in {*outcomes, "unknown"}


@pytest.mark.parametrize(("law", "replicas"), [("arithmetic", 1), ("law", 1), ("samples", 4000)])
@pytest.mark.parametrize(
    ("norm", "other", "outcome"),
    # A norm of 1e180 is inf. Of what lies beside it nothing was asked, but of the bound alone.
    [(math.inf, 1e200, "unknown"), (math.inf, 1e100, "violated"), (1e300, math.inf, "unknown"),
     (1.0, math.inf, "holds"),
     (math.inf, math.inf, "unknown"), (1e120, 1e119, "violated")],
)  # fmt: skip
def test_an_overflow_beside_a_larger_term_is_no_evidence(
    law: Any, replicas: int, norm: float, other: float, outcome: str
) -> None:
    """A true bound, of Gronwall, was called violated by exact arithmetic."""
    m, k, ell = Measured("m"), Measured("k"), Symbol("ell")
    values = {"m": np.full((1, replicas), norm), "k": np.full((1, replicas), other)}
    ranges = {"m": (0.0, math.inf), "k": (0.0, 1e201)}
    found = Measurement(values, law, ranges=ranges)
    outcomes = compare(Claim(m - k, "<=", ell), {"ell": 1.0}, found, 0.01).outcomes()
    assert outcomes[0] == outcome or (law == "samples" and outcomes[0] == "not refuted")


def test_a_quotient_that_overflowed_on_the_way_is_no_evidence() -> None:
    """The square of 1e160 over that of 1e150 is 1e20."""
    ell = Symbol("ell")
    m, k = (Measured(name, nonnegative=True) for name in "mk")
    found = Measurement({"m": np.array([[1e160]]), "k": np.array([[1e150]])}, "arithmetic")
    for bound, outcome in ((1e21, "unknown"), (1e19, "violated")):
        compared = compare(Claim(m**2 / k**2, "<=", ell), {"ell": bound}, found, 0.01)
        assert compared.outcomes()[0] == outcome


def test_a_bound_that_grows_exponentially_is_not_refuted_by_its_overflow() -> None:
    """``(L, lambda)``-smoothness bounds ``||grad F(u)||`` by Gronwall's inequality."""
    d, g, at_u = distance, gradient_norm_at_w, gradient_norm_at_u
    claim = Claim(at_u, "<=", (L0 / L1 + g) * sp.exp(L1 * d) - L0 / L1)
    true = Statement("demo.gronwall", "X", "printed", claim, (RELAXED_SMOOTH,))
    far = synthetic.relaxed_smooth(dim=7, shape="cosh", frequency=0.1, amplitude=0.0161, p=3,
                                   L1=8.0, start=4.65)  # fmt: skip
    for seed in range(5):
        assert check(true, far, count=20, seed=seed).verdict != "violated"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_value_that_is_no_number_lies_in_no_domain(value: float) -> None:
    assert not Domain().contains(value)
    assert not Domain(0, lower_open=True).contains(np.array([1.0, value]))
    with pytest.raises(UsageError, match=f"check: eta must be finite, got {value}"):
        check("sngm.theorem_1", synthetic.quadratic(), values={"eta": value})
    with pytest.raises(DomainError, match="eta"):
        registry.statement("sngm.theorem_1", "repaired").validate(
            {"eta": value, "ell": 1.0, "Delta": 1.0, "sigma": 1.0, "beta": 0.5, "T": 3.0, "B": 1.0}
        )


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [("stochastic_batch_size.claim_dropout", "eta", 1e-320), ("lrsgd.remark_3_7", "T", 1e308),
     ("tralgo.theorem_2_complexity", "C", 1e160), ("tralgo.lemma_3_exact", "lam", 1e308),
     ("stochastic_batch_size.claim_dropout", "eta", 1e308)],
)  # fmt: skip
def test_values_that_a_fuzz_found_violated_or_crashed_are_refused(
    key: str, name: str, value: float
) -> None:
    with pytest.raises(DomainError, match="state it in other units"):
        check(key, OBJECTIVES["waves"](), form="repaired", values={name: value})


def test_a_count_beyond_all_counting_is_refused() -> None:
    with pytest.raises(ValueError, match=r"S must be one number .* at most 1e\+15, got 1e\+30"):
        TRSGD(lam=1.0, S=1e30)  # type: ignore[arg-type]


def fuzz(count: int, seed: int) -> Counter[str]:
    """Checks of true statements at one value far off, and what came of them."""
    rng = random.Random(seed)
    built = {name: build() for name, build in OBJECTIVES.items()}
    repaired = [key for key, form in EVERY if form == "repaired"]
    said: Counter[str] = Counter()
    while sum(said.values()) < count:
        key = rng.choice(repaired)
        symbols = [s.name for s in registry.statement(key, "repaired").hyperparameters]
        if not symbols:
            continue
        power = rng.choice([-320, -60, -49, -40, -30, -20, -15, 8, 16, 20, 30, 40, 49, 100, 308])
        values = {rng.choice(symbols): rng.choice([1, 1, 1, -1]) * 10.0**power}
        name = rng.choice(list(built))
        outcome = "refused"
        with contextlib.suppress(UsageError, DomainError):
            outcome = check(key, built[name], form="repaired", values=values, count=1, replicas=8,
                            effort=1e4).verdict  # fmt: skip
        assert outcome != "violated", (key, values, name)
        said[outcome] += 1
    return said


def test_true_statements_at_absurd_values_are_never_violated() -> None:
    print(dict(fuzz(30, 0)))


@pytest.mark.slow
def test_true_statements_at_many_absurd_values_are_never_violated() -> None:
    print(dict(fuzz(2000, 1)))


# --- runs ------------------------------------------------------------------------------------
@pytest.mark.parametrize("at", [None, range(7), Stratified(3)], ids=["end", "all", "strata"])
@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_a_run_that_diverges_says_so_and_when(at: Any, compile: bool) -> None:
    bowl = synthetic.quadratic(dim=1)
    out = run(bowl, SGD(eta=1e200), 6, replicas=3, at=at, compile=compile, progress=False)
    assert "; 3 diverged" in repr(out)
    first = {None: 6, range(7): 1}.get(at)
    if first is not None:
        assert out.diverged.tolist() == [first] * 3
    assert not np.isfinite(out.mean("value")).any()
    calm = run(bowl, SGD(eta=0.1), 6, replicas=3, at=at, compile=compile, progress=False)
    assert calm.diverged.tolist() == [-1] * 3
    assert "diverged" not in repr(calm)


def test_only_the_replicas_that_diverge_are_named() -> None:
    import torch

    etas = torch.tensor([[0.1], [1e200], [0.1]], dtype=torch.float64)
    out = run(synthetic.quadratic(dim=1), SGD(eta=etas), 6, replicas=3, at=range(7),
              progress=False)  # fmt: skip
    assert out.diverged.tolist() == [-1, 1, -1]
    assert np.isfinite(out.mean("value")).tolist() == [True, False, True]
    short = run(synthetic.quadratic(dim=1), SGD(eta=etas), 6, replicas=3, at=range(7),
                reduce="sum", progress=False)  # fmt: skip
    assert short.diverged.tolist() == [-1, 6, -1]


@pytest.mark.parametrize(
    ("reduce", "second"), [("mean", math.inf), ("sum", math.inf), ("max", math.nan),
                           ("min", math.nan)]
)  # fmt: skip
def test_no_reduction_of_a_path_drops_what_is_lost(reduce: Any, second: float) -> None:
    part = PathOf(reduce, "gradient_norm", "0..T-1")
    quantity = Measured("m", nonnegative=True, path=part)
    numbers = np.array([[1.0, 1.0, 1.0], [2.0, np.nan, np.inf], [3.0, 1.0, np.nan]])
    found = _reduced(part, numbers, 3, quantity)
    assert np.isfinite(found[0])
    np.testing.assert_equal(found[1], second)
    np.testing.assert_equal(found[2], math.nan if reduce == "min" else math.inf)


def test_samples_that_are_lost_neither_hold_nor_refute() -> None:
    """One repetition in 2,000 that is NaN counts as the worst that is possible."""
    m = Measured("m", nonnegative=True)
    rest = np.full((1, 2000), 0.4)
    for lost in (np.nan, np.inf):
        numbers = rest.copy()
        numbers[0, 0] = lost
        found = Measurement({"m": numbers}, "samples", ranges={"m": (0.0, np.inf)})
        below = compare(Claim(m, "<=", 0.5), {}, found, 0.01)
        assert below.outcomes()[0] == "not refuted"
        assert not np.isfinite(below.measured[0])
    plain = Measurement({"m": rest}, "samples", ranges={"m": (0.0, 1.0)})
    assert compare(Claim(m, "<=", 0.5), {}, plain, 0.01).outcomes()[0] == "holds"


# --- twins -----------------------------------------------------------------------------------
def test_twins_that_diverge_have_no_gap_and_say_so() -> None:
    rng = np.random.default_rng(0)
    data = synthetic.finite_sum(rng.standard_normal((20, 2)), rng.standard_normal(20), "squared")
    twins = run_twins(data, SGD(eta=1e200), 8, pairs=2, seeds=8, progress=False)
    assert not np.isfinite(twins.distance).any()
    found = largest_gap(twins)
    assert math.isnan(found.value)
    assert all(math.isnan(end) for end in found.interval)


def test_a_fit_says_how_many_points_it_leaves_out() -> None:
    ends = [(1.9, 2.1), (3.8, 4.2), (7.6, 8.4)]
    whole = fit_exponent([1, 10, 100], [2, 4, 8], ends)
    lost = fit_exponent([1, 10, 100, 1000, 10_000], [2, 4, 8, math.nan, 1.0],
                        [*ends, (math.nan, math.nan), (-math.inf, math.inf)])  # fmt: skip
    assert whole is not None
    assert lost is not None
    assert (whole["left_out"], lost["left_out"]) == (0, 2)
    assert lost["exponent"] == whole["exponent"]
