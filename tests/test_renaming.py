"""No meaning hangs on a symbol's name: a statement with every symbol renamed is judged alike."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import sympy as sp

import synthetic
from bounds import Algorithm, Measured, Statement, Symbol
from bounds.notation import B, T
from bounds.statement import Rate
from theorylab.judge import rates
from theorylab.judge.check import check
from theorylab.plugins import registry
from theorylab.problem.objective import Objective
from theorylab.studies import cells
from theorylab.studies.twin_cells import stability_cell

KEYS = (
    "lrsgd.definition_4_1", "lrsgd.claim_sgd_case", "sngm.lemma_2",
    "sngm.theorem_1", "sngm.corollary_1",
    "stochastic_batch_size.eq_9", "stochastic_batch_size.eq_12", "stochastic_batch_size.eq_13",
    "stochastic_batch_size.claim_p_1_algorithm_1", "tralgo.lemma_2", "tralgo.theorem_1",
    "tralgo.theorem_2", "tralgo.lemma_3_inner_gradient", "tralgo.claim_any_batch",
)  # fmt: skip
COIN = synthetic.quadratic(dim=1, noise="two_point", sigma=1.0)
WAVES = synthetic.bounded_nonconvex(dim=1, noise="two_point", sigma=0.5)  # certifies a G as well
ORDERS: dict[str, Objective] = {
    "lrsgd.remark_3_2": synthetic.bounded_nonconvex(dim=2),
    "lrsgd.claim_inner_rate": WAVES, "sngm.eq_6": COIN,
    "sngm.corollary_1_complexity": WAVES, "tralgo.theorem_1_complexity": WAVES,
    "tralgo.claim_progress": WAVES, "tralgo.claim_balance": WAVES,
    "lrsgd.theorem_3_4": synthetic.stability_twins(n=10),
}  # fmt: skip


def renamed(statement: Statement) -> Statement:
    """The statement with every symbol but certified constants called otherwise, openly bound."""
    new: dict[Symbol, Symbol] = {}

    def other(symbol: Symbol) -> Symbol:
        if symbol.role == "constant" or symbol.name == "t":  # what objectives certify; the time
            return symbol
        if symbol not in new:
            new[symbol] = Symbol(f"{symbol.name}_x", symbol.meaning, symbol.domain, symbol.units,
                                 symbol.role, symbol.latex, symbol.typical)  # fmt: skip
        return new[symbol]

    def moved(expression: Any) -> Any:
        if expression is None:
            return None
        expression = sp.sympify(expression)
        table: dict[Any, Any] = {}
        for symbol in expression.free_symbols:
            if isinstance(symbol, Measured):
                bound = {name: moved(value) for name, value in symbol.parameters.items()}
                table[symbol] = symbol.bind(**bound)
            elif isinstance(symbol, Symbol):
                table[symbol] = other(symbol)
        return expression.xreplace(table)

    own = {s.name: s for s in (*statement.symbols, *statement.prescription)}
    algorithm = statement.algorithm
    if algorithm is not None:
        settings = {name: moved(value) for name, value in algorithm.settings.items()}
        for field in dataclasses.fields(registry.rule(algorithm.rule)):
            if field.name not in settings and field.name in own:  # left to the symbol of its name
                settings[field.name] = moved(own[field.name])
        ends = [moved(end) if {own.get(s.name) for s in end.free_symbols} <= end.free_symbols
                else end for end in (algorithm.horizon, algorithm.batch)]  # fmt: skip
        algorithm = Algorithm(algorithm.rule, settings, *ends)
    claim = statement.claim
    return dataclasses.replace(
        statement, algorithm=algorithm, proof=(), trivial=moved(statement.trivial),
        burn_in=None if statement.burn_in is None else other(statement.burn_in),
        rate=None if statement.rate is None else Rate(
            other(statement.rate.scale),
            {other(s): moved(e) for s, e in statement.rate.exponents.items()},
            {other(s): moved(e) for s, e in statement.rate.along.items()},
            statement.rate.grows,
        ),
        claim=dataclasses.replace(claim, lhs=moved(claim.lhs), rhs=moved(claim.rhs),
                                  failure=moved(claim.failure)),
        prescription={other(s): moved(e) for s, e in statement.prescription.items()},
        conditions=tuple(dataclasses.replace(c, lhs=moved(c.lhs), rhs=moved(c.rhs))
                         for c in statement.conditions),
    )  # fmt: skip


@pytest.mark.parametrize(("key", "form"), [
    (key, form) for key, form in registry.statements() if key in KEYS
])  # fmt: skip
def test_the_verdict_is_the_same(key: str, form: Any) -> None:
    statement = registry.statement(key, form)
    other = renamed(statement)
    names = {s.name for s in (*statement.hyperparameters, *statement.prescription)} - {"t"}
    assert not names & {s.name for s in (*other.hyperparameters, *other.prescription)}
    where = WAVES if key.startswith("tralgo") else COIN
    one, two = (check(s, where, count=1, replicas=32, effort=1e4) for s in (statement, other))
    assert one.verdict == two.verdict
    assert one.measured == pytest.approx(two.measured, rel=1e-12, abs=1e-300)
    assert one.bound == pytest.approx(two.bound, rel=1e-12)


@pytest.mark.parametrize("key", sorted(ORDERS))
def test_growth_is_the_same(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The last size is left out where no repaired statement proves the order; of all sizes here.
    monkeypatch.setattr(rates, "_settled", lambda curve: False)
    statement = registry.statement(key, "printed")
    assert statement.claim.big_o
    other = renamed(statement)
    assert other.rate is not None
    one, two = (check(s, ORDERS[key], replicas=16, effort=2e4) for s in (statement, other))
    assert (one.growth is None) == (two.growth is None)
    assert two.growth is None or two.growth == pytest.approx(one.growth, rel=1e-9, abs=1e-12)
    # What follows from a repaired statement in the registry's own symbols is known of those alone.
    if one.evidence != "algebra":
        assert (one.verdict, one.evidence) == (two.verdict, two.evidence)


TWINS = {"family": "stability_twins", "parameters": {"n": 10}}


@pytest.mark.parametrize("key", [
    "hardt_recht_singer.theorem_3_8", "hardt_recht_singer.theorem_3_12",
    "lrsgd.theorem_3_4", "lrsgd.theorem_3_4.best_burn_in", "lrsgd.theorem_3_6",
    "lrsgd.theorem_4_3", "lrsgd.theorem_4_9", "lrsgd.theorem_4_9.best_burn_in",
])  # fmt: skip
def test_a_stability_study_takes_the_same_steps(key: str) -> None:
    statement = registry.statement(key, "repaired")
    other = renamed(statement)
    assert statement.algorithm is not None
    spec = {**TWINS, "family": "linear_twins"} if key.endswith("3_8") else TWINS
    cell = {
        "kind": "stability", "objective": spec, "inner": 3, "pairs": 1, "seeds": 8, "seed": 0,
        "remove": False, "search": 0, "rule": statement.algorithm.rule, "n": 10, "T": 12, "c": 0.25,
        "theta": 0.2,
    }  # fmt: skip
    one, two = (
        stability_cell({**cell, "statement": cells.name(s)}, sent=[s]) for s in (statement, other)
    )
    assert (one["t0"], one["n"], one["T"]) == (two["t0"], two["n"], two["T"])
    pairs = zip(one["curve"]["bound"], two["curve"]["bound"], strict=True)
    for a, b in ((one["bound"], two["bound"]), *pairs):
        assert (a is None) == (b is None)
        assert a is None or a == pytest.approx(b, rel=1e-12)
    assert one["bound"] is not None
    assert (one["t0"] is None) == (statement.burn_in is None)


def test_keys_and_defaults_are_known() -> None:
    assert set(KEYS) | set(ORDERS) <= {key for key, _ in registry.statements()}
    assert (T.name, B.name) == ("T", "B")
