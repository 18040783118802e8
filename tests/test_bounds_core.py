"""Units, symbols, domains, claims, conditions, statements and proof steps."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from bounds import (
    Claim,
    Condition,
    Domain,
    DomainError,
    Measured,
    Statement,
    Symbol,
    Units,
    UnitsError,
    units_of,
)
from bounds.evaluation import evaluate
from bounds.notation import B, C, Delta, L, T, beta, ell, eta, kappa, sigma, t
from bounds.proof import Identity, Minimal, Nonnegative, Telescopes
from bounds.quantities import decrease, gradient_norm_squared, value_difference
from bounds.render import claim_latex
from bounds.symbol import COUNT, POSITIVE, UNIT_INTERVAL

exponents = st.integers(-4, 4)
units = st.builds(Units, exponents, exponents)
scales = st.floats(0.1, 10.0)


# --- units ------------------------------------------------------------------------------------
@given(units, units, units)
def test_units_form_a_commutative_group(u: Units, v: Units, w: Units) -> None:
    assert u * v == v * u
    assert (u * v) * w == u * (v * w)
    assert u * Units() == u
    assert u / u == Units()


@given(units, exponents, exponents)
def test_units_powers_add_and_multiply(u: Units, p: int, q: int) -> None:
    assert u**p * u**q == u ** (p + q)
    assert (u**p) ** q == u ** (p * q)


@given(units, units, scales, scales)
def test_scale_is_a_homomorphism(u: Units, v: Units, a: float, b: float) -> None:
    assert (u * v).scale(a, b) == pytest.approx(u.scale(a, b) * v.scale(a, b), rel=1e-9)


@given(units, units)
def test_units_of_products_roots_and_sums(u: Units, v: Units) -> None:
    x, y = Symbol("x", "", POSITIVE, u), Symbol("y", "", POSITIVE, v)
    assert units_of(x * y) == u * v
    assert units_of(sp.sqrt(x)) ** 2 == u
    assert units_of(sp.Max(x, 2 * x)) == u
    if u == v:
        assert units_of(x + y) == u
    else:
        with pytest.raises(UnitsError) as fault:
            units_of(x + y)
        assert len(fault.value.terms) == 2


def test_units_faults() -> None:
    with pytest.raises(UnitsError, match="argument of exp"):
        units_of(sp.exp(ell))
    with pytest.raises(UnitsError, match="exponent"):
        units_of(2**ell)
    assert units_of(sp.exp(ell * eta)) == Units()
    assert str(Units(F=1, X=-2)) == "F/X^2"
    assert str(Units(X=sp.Rational(1, 2))) == "X^(1/2)"


# --- symbols and domains ----------------------------------------------------------------------
@pytest.mark.parametrize("latex", ["x_{", "}x{", "{x}}", "a$b", r"\\{"])
def test_latex_that_would_break_a_formula_is_refused(latex: str) -> None:
    with pytest.raises(ValueError, match="u: braces that close and no \\$ required in latex"):
        Symbol("u", latex=latex)


@pytest.mark.parametrize("latex", [r"\{x\}", r"\left\{ {x} \right\}", r"\$"])
def test_escaped_braces_are_no_braces(latex: str) -> None:
    assert Symbol("u", latex=latex).latex == latex


@pytest.mark.parametrize("symbol", [eta, beta, B, kappa, Delta, decrease, gradient_norm_squared])
def test_symbols_survive_pickling(symbol: Symbol) -> None:
    copy = pickle.loads(pickle.dumps(symbol))
    assert copy == symbol
    assert hash(copy) == hash(symbol)
    assert type(copy) is type(symbol)
    for name in ("name", "meaning", "domain", "units", "role", "latex", "typical"):
        assert getattr(copy, name) == getattr(symbol, name)
    assert pickle.loads(pickle.dumps(symbol**2 / 3)) == symbol**2 / 3


def test_symbols_of_one_name_and_different_units_do_not_mix() -> None:
    """Sympy caches by equality: an equal twin would bring its units into others' formulas."""
    length = Symbol("eta", "a length", POSITIVE, Units(X=1))
    assert length != eta
    assert units_of(2 * eta * sigma) != units_of(2 * length * sigma)
    assert units_of(2 * length * sigma) == Units(F=1)
    assert (length + eta).free_symbols == {length, eta}
    assert sp.simplify(length - eta) != 0


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (POSITIVE, [1e-300, 1.0, [0.1, 5.0]], [0.0, -1.0, math.nan, [1.0, 0.0]]),
        (UNIT_INTERVAL, [0.0, 0.999, [[0.0], [0.5]]], [1.0, -1e-9, [0.5, 1.0]]),
        (COUNT, [1, 7.0, np.arange(1, 5)], [0, 1.5, math.nan, [1, 2.5]]),
        (Domain(0, 1, True, True), [0.5], [0.0, 1.0]),
        (Domain(), [-1e9, 0], [math.nan]),
    ],
)
def test_domain_contains(domain: Domain, inside: list[float], outside: list[float]) -> None:
    assert all(domain.contains(value) for value in inside)
    assert not any(domain.contains(value) for value in outside)


@given(st.floats(-10, 10), st.floats(0, 10), st.booleans(), st.booleans(), st.floats(-25, 25))
def test_domain_is_its_interval(
    lower: float, width: float, left: bool, right: bool, value: float
) -> None:
    upper = lower + width
    expected = (value > lower if left else value >= lower) and (
        value < upper if right else value <= upper
    )
    assert Domain(lower, upper, left, right).contains(value) == expected


# --- claims -----------------------------------------------------------------------------------
def _measured(name: str) -> Measured:
    return Measured(name, name, nonnegative=True)


x, y = _measured("x"), _measured("y")
a, b = Symbol("a", "", POSITIVE), Symbol("b", "", POSITIVE)


@pytest.mark.parametrize(
    ("claim", "small", "large"),
    [
        (Claim(x, "<=", a + b), x, a + b),
        (Claim(x, ">=", a), -x, -a),
        (Claim(x + a, ">=", b * y), b * y - x, a),
        (Claim(x, "<=", a * y), x, a * y),
        (Claim(x, "<=", a * y + b), x - a * y, b),
        (Claim(x, "==", a), x, a),
        (Claim(a, "<=", b), a, b),
        (Claim(a, ">=", b), b, a),
        (Claim(x, "<=", (y + a) * b), x, (y + a) * b),  # nothing certified stands alone
    ],
)
def test_claim_sides(claim: Claim, small: sp.Expr, large: sp.Expr) -> None:
    left, right = claim.sides
    assert sp.expand(left - small) == 0
    assert sp.expand(right - large) == 0


def test_claim_knows_what_is_measured() -> None:
    assert Claim(x, "<=", a * y).measured == {x, y}
    assert Claim(a, "<=", b).measured == frozenset()
    assert str(Claim(x, "<=", a, big_o=True)) == "x <= O(a)"


# --- conditions and evaluation ------------------------------------------------------------------
def test_condition_holds_for_every_entry() -> None:
    condition = Condition(eta, "<=", 1 / (2 * ell))
    assert condition.holds({"eta": 0.125, "ell": 4.0})
    assert condition.holds({"eta": np.array([0.1, 0.125]), "ell": 4.0})
    assert not condition.holds({"eta": np.array([0.1, 0.126]), "ell": 4.0})
    assert condition.holds({"eta": 0.1 + 0.2, "ell": 1 / 0.6})  # equal but for rounding
    assert not Condition(eta, "<", 1 / ell).holds({"eta": 0.25, "ell": 4.0})


def test_division_by_zero_is_infinite_not_an_error() -> None:
    assert Condition(eta, "<=", 1 / sigma).holds({"eta": 5.0, "sigma": 0.0})


def test_evaluate_broadcasts_minima() -> None:
    expression = sp.Min(sp.sqrt(C) / L, C ** sp.Rational(1, 4), 5)
    got = evaluate(expression, {"C": np.array([16.0, 256.0, 1e6]), "L": 2.0})
    np.testing.assert_allclose(got, [2.0, 4.0, 5.0])


@pytest.mark.parametrize(
    ("expression", "at"),
    [(sp.factorial(T), [1, 6, 24]), (sp.binomial(T + 1, 2), [1, 6, 10]),
     (sp.gamma(T + 1), [1, 6, 24]), (sp.harmonic(T), [1, 11 / 6, 25 / 12]),
     (sp.Sum(1 / t, (t, 1, T)), [1, 11 / 6, 25 / 12]), (sp.Sum(t, (t, T, 2)), [3, 0, 0]),
     (sp.Sum(t * b, (b, 1, t), (t, 1, T)), [1, 25, 65]),
     (sp.Product(1 - 1 / (t + 1), (t, 1, T)), [1 / 2, 1 / 4, 1 / 5]),
     (sp.erf(T), [0.842700793, 0.999977910, 0.999999985]), (sp.LambertW(T * sp.exp(T)), [1, 3, 4]),
     (sp.log(sp.factorial(200 * T)), [math.lgamma(200 * k + 1) for k in (1, 3, 4)])],
)  # fmt: skip
def test_evaluate_knows_what_numpy_does_not(expression: sp.Expr, at: list[float]) -> None:
    """Each stopped with a traceback: only one number at a time was taken, or none."""
    horizons = np.array([[1.0], [3.0], [4.0]])
    got = evaluate(expression, {"T": horizons})
    np.testing.assert_allclose(got, np.reshape(at, (3, 1)), rtol=1e-8)
    assert float(evaluate(expression, {"T": 3.0})) == pytest.approx(at[1], rel=1e-8)


def test_what_has_no_number_is_named() -> None:
    assert np.isnan(evaluate(sp.gamma(a), {"a": -1.0}))  # a pole
    with pytest.raises(ValueError, match=r"no number is known for g\(T\)"):
        evaluate(sp.Function("g")(T), {"T": 1.0})


def _demo(**changes: object) -> Statement:
    fields = {
        "key": "demo.lemma", "label": "Lemma", "form": "printed",
        "claim": Claim(gradient_norm_squared, "<=", 4 * kappa * Delta / (eta * T)),
        "prescription": {kappa: 1 / (1 - beta), eta: 1 / (2 * ell)},
        "conditions": (Condition(eta, "<=", 1 / ell),),
    }  # fmt: skip
    return Statement(**{**fields, **changes})  # type: ignore[arg-type]


def test_statement_resolves_its_prescription_and_keeps_what_is_given() -> None:
    demo = _demo()
    values = {"ell": 2.0, "beta": 0.5, "Delta": 1.0, "T": 4}
    assert demo.resolve(values)["eta"] == 0.25
    assert float(demo.bound(values)) == 8.0
    assert float(demo.bound({**values, "eta": 0.5})) == 4.0
    np.testing.assert_allclose(demo.bound({**values, "T": np.array([4, 8])}), [8.0, 4.0])
    assert [s.name for s in demo.symbols] == ["Delta", "T", "beta", "ell"]
    assert demo.units == "consistent"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta": 1.0}, r"beta \(momentum\) must lie in \[0, 1\), got 1"),
        ({"T": 2.5}, r"T .* must lie in \{1, 2, \.\.\.\}, got 2\.5"),
        ({"eta": 0.75}, r"requires eta <= 1/ell, got ell = 2, eta = 0\.75"),
        ({"Delta": np.array([1.0, -2.0])}, "Delta .* got an array from -2 to 1"),
    ],
)
def test_refusals_name_the_condition_and_the_value(change: dict[str, Any], message: str) -> None:
    values = {"ell": 2.0, "beta": 0.5, "Delta": 1.0, "T": 4}
    with pytest.raises(DomainError, match=message):
        _demo().bound({**values, **change})


def test_units_fault_names_the_offenders() -> None:
    wrong = _demo(claim=Claim(gradient_norm_squared, "<=", Delta / (eta * T) + sigma))
    assert wrong.units == "inconsistent"
    assert "sigma" in str(wrong.units_fault)
    # A prescribed symbol has the units of what it stands for.
    assert _demo(prescription={kappa: 1 / (1 - beta), eta: 1 / C}).units == "inconsistent"


# --- rendering --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rhs", "expected"),
    [
        (2 * (1 - beta), r"2 \left(1 - \beta\right)"),
        (2 * Delta * (1 - beta) / (eta * T), r"\frac{2 \left(1 - \beta\right) \Delta}{\eta T}"),
        (L * kappa * eta, r"L \kappa \eta"),
        (
            sigma**2 / B + 2 * ell * Delta / T,
            r"\frac{2 \ell \Delta}{T} + \frac{\sigma^{2}}{B}",
        ),
        (ell * value_difference, r"\ell \left(F(u)-F(w)\right)"),
    ],
)
def test_formulas_keep_the_papers_form(rhs: sp.Expr, expected: str) -> None:
    assert claim_latex(Claim(x, "<=", rhs)) == rf"x \leq {expected}"


# --- proof steps that must fail -------------------------------------------------------------------
z = sp.Symbol("z", positive=True)


@pytest.mark.parametrize(
    ("true", "false"),
    [
        (
            Identity("a square", (z + 1) ** 2, z**2 + 2 * z + 1),
            Identity("no square", (z + 1) ** 2, z**2 + 2 * z),
        ),
        (
            Identity("substituted", sp.sqrt(z) * eta, sp.Integer(2), {z: 4, eta: sp.Integer(1)}),
            Identity("substituted", sp.sqrt(z) * eta, sp.Integer(3), {z: 4, eta: sp.Integer(1)}),
        ),
        (
            Minimal("least", z + 4 / z, {z: sp.Integer(2)}),
            Minimal("not stationary", z + 4 / z, {z: sp.Integer(1)}),
        ),
        (
            Minimal("least", (z - 1) ** 2, {z: sp.Integer(1)}),
            Minimal("greatest", -((z - 1) ** 2), {z: sp.Integer(1)}),
        ),
        (
            Nonnegative("by its factors", z**2 + 2 * z),
            Nonnegative("changes sign", z**2 - 2 * z),
        ),
        (
            Nonnegative("by a certificate", z**2 - 2 * z + 1, (z - 1) ** 2),
            Nonnegative("another expression", z**2 - 2 * z + 2, (z - 1) ** 2),
        ),
        (
            Nonnegative("a number", sp.E - sp.Rational(27, 10)),
            Nonnegative("a number", sp.E - sp.Rational(28, 10)),
        ),
    ],
)
def test_proof_steps_tell_true_from_false(true: Any, false: Any) -> None:
    assert true.holds()
    assert not false.holds()


f, g, i = sp.IndexedBase("f"), sp.IndexedBase("g"), sp.Symbol("i", integer=True)


@pytest.mark.parametrize(
    ("summand", "total"),
    [
        (f[i] - f[i + 1], f[0] - f[T]),
        (eta * (f[i] - f[i + 1]) + sigma**2, eta * (f[0] - f[T]) + T * sigma**2),
        (f[i] * g[i] - f[i + 1] * g[i + 1], f[0] * g[0] - f[T] * g[T]),
        (2 * i + 1, T**2),
    ],
)
def test_telescoping(summand: Any, total: Any) -> None:
    assert Telescopes("as claimed", summand, total, i, T).holds()
    for wrong in (total.subs(T, T + 1), total.subs(T, T - 1), total + 1, 2 * total, -total):
        assert not Telescopes("another total", summand, wrong, i, T).holds()
    for other in (summand.subs(i, i + 1), 2 * summand, summand + 1):
        assert not Telescopes("another summand", other, total, i, T).holds()


def test_what_does_not_telescope_is_refused() -> None:
    assert not Telescopes("a plus", f[i] + f[i + 1], f[0] - f[T], i, T).holds()
    assert not Telescopes("two sequences", f[i] - g[i + 1], f[0] - g[T], i, T).holds()
    # T terms of T are T^2, though this total grows by T.
    assert not Telescopes("terms that depend on T", T, T * (T - 1) / 2, i, T).holds()
