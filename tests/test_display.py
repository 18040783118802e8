"""How objects show themselves: one line in a terminal, a line and a plot in a notebook."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

import bounds.assumptions
import bounds.notation
import deep.gan
import deep.study
import paper_figures.report.collect
import synthetic
import theorylab
from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import SMOOTH, Assumption
from bounds.notation import T, beta, ell, eta, sigma
from bounds.quantities import min_gradient_norm_squared, total_decrease
from bounds.render import text
from bounds.symbol import Symbol
from theorylab.__main__ import main as theorylab_main
from theorylab.engine.driver import run
from theorylab.exact.tabular import Tabular
from theorylab.hunt.search import Hunt, hunt
from theorylab.interrupts import Interrupts
from theorylab.judge.verdict import Verdict
from theorylab.method import SGD
from theorylab.plugins import registry
from theorylab.quantities import quantities
from theorylab.stability.supremum import largest_gap
from theorylab.stability.twins import run_twins
from theorylab.studies import (
    calibration,
    errata,
    falsify,
    glossary,
    power,
    stability,
    sweep,
    units,
    verify,
    worst_case,
)
from theorylab.studies.catalogue import catalogue, describe
from theorylab.studies.report import Report

_LOADED = (
    calibration, errata, falsify, glossary, power, stability, sweep, units, verify, worst_case,
    deep.gan, deep.study, paper_figures.report.collect,
)  # fmt: skip
"""Whose reports are tried."""

FALSE = Statement("demo.false", "Remark", "printed", Claim(1 / (1 - beta), "<=", 3))


def _reports(of: Any = Report) -> Iterator[Any]:
    kind: Any
    for kind in of.__subclasses__():
        yield kind
        yield from _reports(kind)


def _wellformed(shown: str) -> ElementTree.Element:
    return ElementTree.fromstring(shown.replace("<br>", "<br/>"))


@pytest.mark.parametrize("name", sorted(registry.families()))
def test_an_objective_is_one_line_and_a_table_of_its_constants(name: str) -> None:
    family = registry.family(name)
    objective = family.build(**(family.defaults[0] if family.defaults else {}))
    assert repr(objective).startswith("<")
    assert "object at" not in repr(objective)
    assert len(repr(objective)) < 120
    page = _wellformed(f"<div>{objective._repr_html_()}</div>")
    assert {row[0].text for row in page.iter("tr")} >= set(objective.constants())


def test_twins_gaps_and_runs_are_one_line() -> None:
    data = synthetic.robust_regression(n=20, dim=2)
    twins = run_twins(data, SGD(eta=0.1), 6, pairs=2, seeds=8, at=range(0, 7, 3))
    shown = (twins, largest_gap(twins, ascent=0), run(data, SGD(eta=0.1), 5, replicas=3, seed=0))
    for item in shown:
        assert "\n" not in repr(item)
        assert len(repr(item)) < 160
    assert repr(twins) == (
        "<2 twins of robust_regression (n = 20), 8 repetitions, recorded 3 times up to 6>"
    )


def test_every_report_is_one_line() -> None:
    for kind in _reports():
        # A dataclass writes a repr of its own unless the class has one.
        assert "__repr__" in vars(kind), kind
        assert kind.__repr__.__qualname__.startswith(("Report.", kind.__name__)), kind
        assert not kind.__repr__.__qualname__.startswith("__create_fn__"), kind
    shown = catalogue([FALSE])
    assert repr(shown) == "<Catalogue: 1 row of key, form, label, algorithm, claim, units>"


def test_a_reports_table_sorts_on_a_click() -> None:
    shown = catalogue([FALSE])._repr_html_()
    assert shown.count("onclick") == 6
    _wellformed(shown.replace("=>", "="))  # arrows are legal in HTML's attributes, not in XML's


@pytest.mark.parametrize("statement", registry.statements().values(), ids=lambda s: repr(s)[:60])
def test_a_statement_fits_its_terminal(statement: Statement) -> None:
    assert repr(statement).startswith(f"<{statement.key} ({statement.form}): ")
    for width in (80, 120):
        assert max(map(len, text(statement, width).splitlines()[1:])) <= width
        told = describe(statement, width)
        assert max(map(len, told.splitlines()[1:])) <= width
        for symbol in statement.hyperparameters:
            assert f"chosen    {symbol.name} in {symbol.domain}" in told


def test_a_verdict_is_a_line_with_its_evidence_and_a_plot() -> None:
    found = theorylab.check("sngm.lemma_2", synthetic.quadratic(sigma=0.0), replicas=4)
    assert repr(found).startswith("<sngm.lemma_2 (printed): ")
    assert found.told in repr(found)
    page = _wellformed(found._repr_html_())
    places: dict[str, Any] = {}
    for element in page.iter():
        places.setdefault(element.tag.split("}")[-1], element)
    assert "svg" in places
    assert places["circle"].get("cx") is not None


@pytest.mark.parametrize(("measured", "bound"), [
    (math.nan, math.nan), (1.0, math.inf), (0.0, 0.0), (-1.0, 2.0), (3.0, -1.0),
])  # fmt: skip
def test_a_verdict_without_finite_sides_has_no_plot(measured: float, bound: float) -> None:
    found = Verdict("a.b", "printed", "not refuted", measured, bound=bound, objective="<&>")
    page = _wellformed(found._repr_html_())
    finite = math.isfinite(measured) and math.isfinite(bound) and measured != bound
    assert bool(list(page.iter("{http://www.w3.org/2000/svg}svg"))) == finite


def test_a_hunt_shows_what_it_found() -> None:
    found = hunt(FALSE, limit=20)
    assert repr(found).startswith("<demo.false (printed): violated, ")
    assert "ratio" in found._repr_html_()
    assert "why" in repr(Hunt("a.b", "printed", "not applicable", reason="why"))


@pytest.mark.parametrize("kind", ["symbols", "quantities", "assumptions", "rules"])
def test_the_glossary_lists_what_statements_use(kind: glossary.Kind) -> None:
    found = glossary.glossary(kind)
    names = {term.name for term in found}
    for statement in registry.statements().values():
        used = {
            "symbols": {s.name for s in statement.symbols},
            "quantities": {q.name for q in statement.measured},
            "assumptions": {a.name for a in statement.assumptions},
            "rules": {statement.algorithm.rule} if statement.algorithm else set(),
        }[kind]
        assert used <= names
    assert len(found.to_json()[kind]) == len(found) == len(found.to_pandas())
    assert all(term.meaning for term in found)


def test_the_glossary_leaves_nothing_out() -> None:
    registered: dict[glossary.Kind, set[str]] = {
        "symbols": {s.name for s in vars(bounds.notation).values() if isinstance(s, Symbol)},
        "quantities": set(quantities()),
        "assumptions": {
            a.name for a in vars(bounds.assumptions).values() if isinstance(a, Assumption)
        },
        "rules": set(registry.rules()),
        "objectives": set(registry.families()),
    }
    for kind, names in registered.items():
        assert names
        assert names <= {term.name for term in glossary.glossary(kind)}, kind


def test_every_import_of_the_glossary_gives_what_it_names() -> None:
    for kind in ("symbols", "quantities", "assumptions", "rules"):
        for term in glossary.glossary(kind):
            words = term.python.split()
            if words:
                found = getattr(importlib.import_module(words[1]), words[3])
                assert found.name == term.name
    lengths = [t.python for t in glossary.symbols() if t.name == "eta"]
    assert lengths[1].endswith("import eta_length")


@pytest.mark.parametrize("word", ["mu", "R", "convex"])
def test_families_are_found_by_what_they_certify(word: str) -> None:
    found = glossary.objectives().matching(word)
    assert {"quadratic", "strongly_convex"} <= {term.name for term in found}
    assert all(word in (*term.constants, *term.declared) for term in found)


def test_a_counterexample_shows_its_formula_its_knots_and_its_runs() -> None:
    claim = Statement(
        "demo.descent", "Theorem", "printed",
        Claim(min_gradient_norm_squared, "<=", 4 * ell / (3 * T) * total_decrease), (SMOOTH,),
        Algorithm("sgd"),
        conditions=(Condition(eta, "<=", 1 / ell), Condition(sigma, "<=", 0)),
    )  # fmt: skip
    table = Tabular(claim, (1.0, 2.0), ((1.0, 1.25),), 1.0, {"T": 1.0, "eta": 1.0})
    assert table.violates
    page = _wellformed(table._repr_html_())
    assert [float(cell.text or "nan") for cell in page.iter("td") if cell.text not in ("w", "g_1")]
    svg = "{http://www.w3.org/2000/svg}"
    assert len(list(page.iter(f"{svg}circle"))) == 2  # w_0 and w_1
    assert len(list(page.iter(f"{svg}polyline"))) == 2  # F, and the run
    numbers = Tabular(FALSE, (), (), 0.0, {"beta": 0.75})
    assert "4 &gt; 3 at beta = 0.75" in numbers._repr_html_()
    assert not list(_wellformed(numbers._repr_html_()).iter(f"{svg}svg"))


def test_no_command_tells_of_the_font_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    monkeypatch.setattr("theorylab.cli.main", lambda: None)
    for name in ("install", "begin"):
        monkeypatch.setattr(Interrupts, name, lambda self: None)
    try:
        theorylab_main()
        assert not logger.isEnabledFor(logging.WARNING)
    finally:
        logger.setLevel(level)
