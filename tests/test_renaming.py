"""No meaning hangs on a symbol's name: a statement with every symbol renamed is judged alike."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import sympy as sp

import synthetic
from bounds import Algorithm, Measured, Statement, Symbol
from bounds.notation import B, T
from theorylab.judge.check import check
from theorylab.plugins import registry

KEYS = (
    "lrsgd.definition_4_1", "lrsgd.claim_sgd_case", "sngm.lemma_2",
    "sngm.theorem_1", "sngm.corollary_1",
    "stochastic_batch_size.eq_9", "stochastic_batch_size.eq_12", "stochastic_batch_size.eq_13",
    "stochastic_batch_size.claim_p_1_algorithm_1", "tralgo.lemma_2", "tralgo.theorem_1",
    "tralgo.theorem_2", "tralgo.lemma_3_inner_gradient", "tralgo.claim_any_batch",
)  # fmt: skip
COIN = synthetic.quadratic(dim=1, noise="two_point", sigma=1.0)
WAVES = synthetic.bounded_nonconvex(dim=1, noise="two_point", sigma=0.5)  # certifies a G as well


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
        statement, algorithm=algorithm, proof=(), rate=None, trivial=moved(statement.trivial),
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


def test_keys_and_defaults_are_known() -> None:
    assert set(KEYS) <= {key for key, _ in registry.statements()}
    assert (T.name, B.name) == ("T", "B")
