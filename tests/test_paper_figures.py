"""Figures are drawn from stored data alone, as vectors, and carry where the data came from."""

import json

import pytest
from matplotlib.figure import Figure

from paper_figures import stability, theory
from paper_figures.style import PAGE
from theorylab.cli.stability import stability as run_stability
from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.studies.sweep import sweep

TWINS = {"family": "stability_twins", "parameters": {"n": 20}}
BOWL = {"family": "quadratic", "parameters": {"dim": 2, "noise": "two_point", "sigma": 0.5}}
DRAWERS = {
    "over_time": stability.draw_over_time, "exponents": stability.draw_exponents,
    "map": stability.draw_map, "trade_off": stability.draw_trade_off,
}  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    found = run_stability(
        ["sgd", "lrsgd_r"], TWINS, horizons=(5, 10, 20), thetas=(0.1, 0.25), pairs=1, seeds=64,
        out=tmp_path_factory.mktemp("stability"), progress=False,
    )  # fmt: skip
    return json.loads(json.dumps(found))


@pytest.fixture
def canvases(monkeypatch):
    """Every figure that is saved, for a look at what is on it."""
    seen = []
    plain = Figure.savefig

    def watched(canvas, target, **options):
        seen.append(canvas)
        return plain(canvas, target, **options)

    monkeypatch.setattr(Figure, "savefig", watched)
    return seen


def assert_vector_files(paths, provenance):
    assert {path.suffix for path in paths} == {".pdf", ".svg"}
    for path in paths:
        text = path.read_bytes()
        assert text.startswith(b"%PDF" if path.suffix == ".pdf" else b"<?xml")
    svg = next(path for path in paths if path.suffix == ".svg").read_text()
    assert provenance["code"] in svg


@pytest.mark.parametrize("name", DRAWERS)
def test_a_stability_figure_is_drawn_from_its_report(name, report, tmp_path, canvases):
    paths = DRAWERS[name](report, tmp_path / name)
    assert_vector_files(paths, report["provenance"])
    assert canvases[0].get_figwidth() in (PAGE, PAGE / 2)


def test_the_gap_drawn_is_the_gap_measured(report, tmp_path, canvases):
    stability.draw_over_time(report, tmp_path / "gap")
    lines = [line.get_ydata() for line in canvases[0].axes[0].get_lines()]
    ends = {round(float(y[-1]), 9) for y in lines if len(y)}
    assert {round(row["curve"]["gap"][-1], 9) for row in report["rows"]} & ends


def test_what_a_report_lacks_is_said(report, tmp_path):
    with pytest.raises(UsageError, match="no map"):
        stability.draw_map({**report, "map": None}, tmp_path / "map")
    rows = [row for row in report["rows"] if row["theta"] != 0.25]
    with pytest.raises(UsageError, match="theta"):
        stability.draw_trade_off({**report, "rows": rows}, tmp_path / "trade")
    with pytest.raises(UsageError, match="no results at"):
        stability.command(tmp_path / "nothing.json")


def test_measured_and_both_bounds_are_drawn(tmp_path, canvases):
    table = sweep("sngm.theorem_1", "T", BOWL, replicas=32, out=tmp_path, progress=False)
    paths = theory.draw(json.loads(json.dumps(table)), tmp_path / "sngm")
    assert_vector_files(paths, table["provenance"])
    (axes,) = canvases[0].axes
    labels = set(axes.get_legend_handles_labels()[1])
    assert labels == {"measured", "printed bound", "repaired bound"}
    drawn = axes.containers[0].lines[0].get_ydata()
    kept = [r for r in table["rows"] if r["form"] == "printed" and r["bound"] is not None]
    assert list(drawn) == [r["measured"] for r in kept]


def test_an_empty_sweep_is_refused(tmp_path):
    with pytest.raises(UsageError, match="admissible"):
        theory.draw({"rows": [], "key": "x", "axis": "T"}, tmp_path / "x")


def test_every_paper_has_its_main_figure():
    papers = {key.split(".", 1)[0] for key, _ in registry.statements()}
    assert set(theory.MAIN) == papers - {"hardt_recht_singer"}
