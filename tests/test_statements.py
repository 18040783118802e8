"""What every registered statement must satisfy, whoever wrote it."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import mpmath
import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser

from bounds import DomainError, Statement, units_of
from bounds.evaluation import evaluate, in_digits
from bounds.proof import Telescopes
from bounds.render import claim_latex, latex, mathml, text
from theorylab.judge.domain import points
from theorylab.plugins import registry

TABLE = registry.statements()
STATEMENTS = list(TABLE.values())
FORMS: dict[str, set[str]] = {}
for key, form in TABLE:
    FORMS.setdefault(key, set()).add(form)


MOST = np.finfo(float).max


def _name(statement: Statement) -> str:
    return f"{statement.key}-{statement.form}"


def _points(statement: Statement, count: int = 6) -> list[dict[str, float]]:
    """Admissible points, with a positive number for every measured quantity."""
    measured = {
        m.name: 1.25 + 0.5 * i for i, m in enumerate(sorted(statement.claim.measured, key=str))
    }
    return [{**point, **measured} for point in points(statement, {}, seed=3, count=count)]


def _free(statement: Statement, point: dict[str, float]) -> dict[str, float]:
    prescribed = {symbol.name for symbol in statement.prescription}
    return {name: value for name, value in point.items() if name not in prescribed}


def _in_digits(statement: Statement, row: dict[str, float]) -> mpmath.mpf:
    values = statement.resolve(row)
    symbols, exactly = in_digits(statement.claim.rhs)
    return exactly(*(mpmath.mpf(float(values[s.name])) for s in symbols))


every_statement = pytest.mark.parametrize("statement", STATEMENTS, ids=_name)


@every_statement
def test_is_well_formed(statement: Statement) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+){1,2}", statement.key)
    assert statement.paper == statement.key.split(".")[0]
    assert statement.label
    assert statement.form in ("printed", "repaired")
    assert isinstance(statement.text, str)


@every_statement
def test_one_name_is_one_symbol(statement: Statement) -> None:
    symbols = {*statement.symbols, *statement.constants, *statement.prescription}
    assert len({symbol.name for symbol in symbols}) == len(symbols)


@every_statement
def test_says_why(statement: Statement) -> None:
    if statement.form == "repaired" or "repaired" not in FORMS[statement.key]:
        assert statement.note.strip()


@every_statement
def test_renders(statement: Statement) -> None:
    formula = latex(statement)
    assert formula.startswith(claim_latex(statement.claim))
    for symbol in statement.prescription:
        assert f"{symbol.latex} = " in formula
    MathTextParser("agg").parse(f"${formula}$")
    assert statement._repr_latex_() == f"$\\displaystyle {formula}$"
    assert ElementTree.fromstring(mathml(statement)).tag.endswith("math")
    shown = text(statement)
    assert shown.startswith(f"{statement.label} ({statement.key}, {statement.form})\n")
    for symbol in statement.claim.measured:
        assert symbol.meaning in shown


@every_statement
def test_bound_evaluates_with_numbers_and_arrays(statement: Statement) -> None:
    rows = [_free(statement, point) for point in _points(statement)]
    one_by_one = np.array([float(statement.bound(row)) for row in rows])
    for row, value in zip(rows, one_by_one, strict=True):
        # At a corner a power of the horizon may be beyond what doubles hold; then it truly is.
        assert np.isfinite(value) or (value > 0 and _in_digits(statement, row) > MOST)
    together = statement.bound({name: np.array([row[name] for row in rows]) for name in rows[0]})
    np.testing.assert_allclose(np.broadcast_to(together, len(rows)), one_by_one, rtol=1e-12)


@every_statement
def test_values_outside_the_domain_are_refused_by_name(statement: Statement) -> None:
    point = _free(statement, _points(statement, 1)[0])
    for symbol in statement.symbols:
        domain = symbol.domain
        outside = [domain.lower - 1.5, domain.upper + 1.5]
        outside += [domain.lower] if domain.lower_open else []
        outside += [domain.upper] if domain.upper_open else []
        outside += [2.5] if domain.integer else []
        for value in (v for v in outside if np.isfinite(v)):
            with pytest.raises(DomainError) as refusal:
                statement.bound({**point, symbol.name: value})
            assert symbol.name in str(refusal.value)
            assert f"{value:.6g}" in str(refusal.value)


@every_statement
def test_missing_values_are_named(statement: Statement) -> None:
    point = _free(statement, _points(statement, 1)[0])
    needed = {symbol.name for symbol in statement.claim.rhs.free_symbols} & point.keys()
    for name in needed:
        with pytest.raises(KeyError, match=name):
            statement.bound({k: v for k, v in point.items() if k != name})


@pytest.mark.parametrize(
    ("statement", "step"),
    [
        pytest.param(s, step, id=f"{_name(s)}-{i}")
        for s in STATEMENTS
        for i, step in enumerate(s.proof)
    ],
)
def test_proof_step_holds(statement: Statement, step: Any) -> None:
    assert step.holds(), f"{statement.key}: {step.text}"


@every_statement
def test_a_sum_that_telescopes_has_no_other_total(statement: Statement) -> None:
    for step in statement.proof:
        if isinstance(step, Telescopes):
            assert not replace(step, total=step.total + 1).holds()
            assert not replace(step, total=step.total.subs(step.upper, step.upper + 1)).holds()
            assert not replace(step, summand=2 * step.summand).holds()


@every_statement
def test_repaired_units_agree(statement: Statement) -> None:
    if statement.form == "repaired":
        assert statement.units_fault is None


@every_statement
def test_rescaling_f_and_w_rescales_the_bound(statement: Statement) -> None:
    """Units, checked by numbers: f -> a f, w -> b w moves every symbol and the bound alike."""
    if statement.units == "inconsistent":
        return
    a, b = 3.7, 0.6
    units = {s.name: s.units for s in (*statement.symbols, *statement.claim.measured)}
    for side in (statement.claim.lhs, statement.claim.rhs):
        expected = units_of(statement.expanded(side)).scale(a, b) if side != 0 else 1.0
        for point in _points(statement):
            point = _free(statement, point)
            scaled = {
                name: value * units[name].scale(a, b) if name in units else value
                for name, value in point.items()
            }
            before = float(evaluate(side, statement.resolve(point)))
            after = float(evaluate(side, statement.resolve(scaled)))
            assert after == pytest.approx(expected * before, rel=1e-8)


@every_statement
def test_survives_pickling(statement: Statement) -> None:
    copy = pickle.loads(pickle.dumps(statement))
    assert (copy.key, copy.form, copy.units) == (statement.key, statement.form, statement.units)
    assert copy.symbols == statement.symbols
    assert copy.assumptions == statement.assumptions
    point = _free(statement, _points(statement, 1)[0])
    assert float(copy.bound(point)) == pytest.approx(float(statement.bound(point)), rel=1e-12)


def test_papers_are_all_there() -> None:
    papers = {statement.paper for statement in STATEMENTS}
    assert {"tralgo", "lrsgd", "sngm", "stochastic_batch_size"} <= papers
