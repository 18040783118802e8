"""Figures are drawn from stored data alone, as vectors, and carry where the data came from."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from bounds import Claim, Measured, Statement, Symbol, sngm, tralgo
from bounds.symbol import POSITIVE
from paper_figures import stability, theory
from paper_figures.exhibit import read_csv
from paper_figures.exhibits import EXHIBITS
from paper_figures.style import PAGE, figure, save, style
from theorylab.cli import main
from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.plugins.specs import objective_specs
from theorylab.studies.selection import select
from theorylab.studies.stability import stability as run_stability
from theorylab.studies.sweep import SweepReport, SweepRow, sweep

EXHIBITS_KEPT = Path(__file__).parent.parent / "docs" / "exhibits"
TWINS = {"family": "stability_twins", "parameters": {"n": 20}}
BOWL = {"family": "quadratic", "parameters": {"dim": 2, "noise": "two_point", "sigma": 0.5}}
DRAWERS = {
    "over_time": stability.draw_over_time, "exponents": stability.draw_exponents,
    "map": stability.draw_map, "trade_off": stability.draw_trade_off,
}  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = run_stability(
        ["sgd", "lrsgd_r"], TWINS, horizons=(5, 10, 20), thetas=(0.1, 0.25), pairs=1, seeds=64,
        out=tmp_path_factory.mktemp("stability"), progress=False,
    )  # fmt: skip
    return json.loads(json.dumps(found.to_json()))


@pytest.fixture
def canvases(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every figure that is saved, for a look at what is on it."""
    seen = []
    plain = Figure.savefig

    def watched(canvas: Any, target: Any, **options: Any) -> Any:
        seen.append(canvas)
        return plain(canvas, target, **options)

    monkeypatch.setattr(Figure, "savefig", watched)
    return seen


def assert_vector_files(paths: Any, provenance: Any) -> None:
    assert {path.suffix for path in paths} == {".pdf", ".svg"}
    for path in paths:
        text = path.read_bytes()
        assert text.startswith(b"%PDF" if path.suffix == ".pdf" else b"<?xml")
    svg = next(path for path in paths if path.suffix == ".svg").read_text()
    assert provenance["code"] in svg


@pytest.mark.parametrize("name", DRAWERS)
def test_a_stability_figure_is_drawn_from_its_report(
    name: Any, report: Any, tmp_path: Path, canvases: Any
) -> None:
    paths = DRAWERS[name](report, tmp_path / name)
    assert_vector_files(paths, report["provenance"])
    assert canvases[0].get_figwidth() in (PAGE, PAGE / 2)
    assert_nothing_is_cut_off(canvases[0])


def assert_nothing_is_cut_off(canvas: Any) -> None:
    """Legends and titles lie on the page."""
    canvas.canvas.draw()
    texts = [text for axes in canvas.axes for text in (axes.title, axes.xaxis.label,
                                                       axes.yaxis.label)]  # fmt: skip
    for part in (*canvas.legends, *texts):
        box = part.get_window_extent()
        if box.width > 0:
            assert -1 <= box.x0 <= box.x1 <= canvas.bbox.width + 1, part
            assert -1 <= box.y0 <= box.y1 <= canvas.bbox.height + 1, part


@pytest.mark.parametrize("key", ["stochastic_batch_size.table_2", "stochastic_batch_size.table_3"])
def test_labels_of_small_panels_do_not_overlap(key: str) -> None:
    data, _ = read_csv(EXHIBITS_KEPT / f"{key}.csv")
    canvas = EXHIBITS[key].draw(data, style("screen"))
    canvas.draw_without_rendering()
    labelled = 0
    for axes in canvas.axes:
        for axis in (axes.xaxis, axes.yaxis):
            shown = [t for t in axis.get_ticklabels() if t.get_visible() and t.get_text()]
            boxes = [t.get_window_extent() for t in shown]
            labelled += len(boxes)
            for k, box in enumerate(boxes):
                assert not any(box.overlaps(other) for other in boxes[k + 1 :]), shown
    assert labelled


def test_what_another_run_drew_stays_beside(tmp_path: Path) -> None:
    first: dict[str, Any] = {"command": "theorylab verify", "seed": 0, "style": "icml"}
    for made in (
        first,
        {**first, "time": "later"},
        {**first, "seed": 1},
        {**first, "style": "jmlr"},
    ):
        save(figure(), tmp_path / "verdicts", made)
    assert (
        len(list(tmp_path.glob("verdicts*.svg"))) == len(list(tmp_path.glob("verdicts*.pdf"))) == 3
    )
    newest = (tmp_path / "verdicts.svg").read_text()
    assert "jmlr" in newest


def test_the_gap_drawn_is_the_gap_measured(report: Any, tmp_path: Path, canvases: Any) -> None:
    stability.draw_over_time(report, tmp_path / "gap")
    lines = [line.get_ydata() for line in canvases[0].axes[0].get_lines()]
    ends = {round(float(y[-1]), 9) for y in lines if len(y)}
    assert {round(row["curve"]["gap"][-1], 9) for row in report["rows"]} & ends


def test_what_a_report_lacks_is_said(report: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no map"):
        stability.draw_map({**report, "map": None}, tmp_path / "map")
    rows = [row for row in report["rows"] if row["theta"] != 0.25]
    with pytest.raises(UsageError, match="theta"):
        stability.draw_trade_off({**report, "rows": rows}, tmp_path / "trade")
    with pytest.raises(UsageError, match="no results at"):
        stability.command(tmp_path / "nothing.json")


def test_measured_and_both_bounds_are_drawn(tmp_path: Path, canvases: Any) -> None:
    found = sweep(select(["sngm.theorem_1"], None, "both"), "T", BOWL, replicas=32, out=tmp_path,
                  progress=False)  # fmt: skip
    paths = theory.draw(found, tmp_path / "sngm")
    assert_vector_files(paths, found.to_json()["provenance"])
    (axes,) = canvases[0].axes
    labels = set(axes.get_legend_handles_labels()[1])
    assert labels == {"measured, 99% interval", "printed bound", "repaired bound"}
    drawn = axes.containers[0].lines[0].get_ydata()
    kept = [r for r in found if r.form == "printed" and r.bound is not None]
    assert list(drawn) == [r.measured for r in kept]
    assert_nothing_is_cut_off(canvases[0])


def test_an_axis_does_not_follow_a_run_down_to_nothing(tmp_path: Path, canvases: Any) -> None:
    rows = [SweepRow("printed", float(T), 10.0 ** (-T), (0.0, None), 1.0 / T)
            for T in (1, 5, 20)]  # fmt: skip
    theory.draw(SweepReport((sngm.theorem_1,), "T", "quadratic", tuple(rows)), tmp_path / "deep")
    (axes,) = canvases[0].axes
    assert axes.get_ylim()[0] > 1e-12
    (marked,) = [line for line in axes.get_lines() if "below" in str(line.get_label())]
    assert list(marked.get_xdata()) == [20.0]
    assert_nothing_is_cut_off(canvases[0])


def test_an_empty_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="admissible"):
        theory.draw(SweepReport((sngm.theorem_1,), "T", "quadratic", ()), tmp_path / "x")


def test_a_number_that_no_axis_shows_is_refused(tmp_path: Path) -> None:
    """A margin of a logarithmic axis overflowed."""
    rows = (SweepRow("printed", 31.0, 1.0, (1.0, 1.0), 1e308),)
    with pytest.raises(UsageError, match="at T = 31 a number is beyond 1e\\+150"):
        theory.draw(SweepReport((sngm.theorem_1,), "T", "quadratic", rows), tmp_path / "x")


def test_a_sign_that_matplotlib_does_not_know_is_its_name(tmp_path: Path, canvases: Any) -> None:
    step = Symbol("step_size", "step size", POSITIVE, latex=r"\bm{h}")
    left = Measured("my_norm", latex=r"\bm{g}_T")
    own = Statement("mine.lemma", "Lemma", "printed", Claim(left, "<=", step))
    row = SweepRow("printed", 1.0, 1.0, (1.0, 1.0), 2.0)
    theory.draw(SweepReport((own,), "step_size", "quadratic", (row,)), tmp_path / "own")
    (axes,) = canvases[0].axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step size", "my norm")


def test_every_paper_has_its_main_figure() -> None:
    assert set(theory.MAIN) == {key.split(".", 1)[0] for key in EXHIBITS}
    assert {key for key, _ in theory.MAIN.values()} <= {key for key, _ in registry.statements()}
    for forms, axis in theory.main_rates():
        assert axis in {s.name for s in forms[-1].hyperparameters}


@pytest.mark.parametrize(
    "key", ["sngm.lemma_1", "tralgo.assumption_1_lipschitz", "sngm.definition_1"]
)
def test_a_true_lemma_is_never_drawn_as_violated(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canvases: Any
) -> None:
    """Its figure once lowered what the objective certifies, and drew the lemma as false."""
    monkeypatch.chdir(tmp_path)
    theory.measured_against_bound(select([key], None, "both"), replicas=16, out=tmp_path,
                                  progress=False)  # fmt: skip
    (path,) = tmp_path.glob(f"{key}.*.json")
    table = json.loads(path.read_text())
    statement = registry.statement(key)
    assert table["axis"] not in {s.name for s in statement.constants} or (
        table["axis"] in {p.name for p in registry.family(table["objective"]).parameters}
    )
    assert table["rows"]
    assert {row["verdict"] for row in table["rows"]} <= {"holds", "not refuted", "vacuous"}


def test_a_certified_constant_is_no_axis_and_cannot_be_fixed(tmp_path: Path) -> None:
    spec = {"family": "relaxed_smooth", "parameters": {"dim": 1}}
    can = "not a choice; choose a parameter of relaxed_smooth: dim, frequency"
    with pytest.raises(UsageError, match=f"L0 is what relaxed_smooth certifies, {can}"):
        sweep(sngm.lemma_1, "L0", spec, out=tmp_path, progress=False)
    with pytest.raises(UsageError, match="ell is what quadratic certifies, not a choice"):
        sweep(tralgo.lemma_1, "B", BOWL, fixed={"ell": 0.1}, out=tmp_path, progress=False)
    with pytest.raises(UsageError, match="does not depend on 'wings'; choose one of"):
        sweep(sngm.theorem_1, "wings", BOWL, out=tmp_path, progress=False)


def test_a_familys_parameter_is_certified_anew_at_every_value(tmp_path: Path) -> None:
    found = sweep(sngm.definition_1, "ell", BOWL, [0.5, 2.0, 8.0], replicas=16, out=tmp_path,
                  progress=False)  # fmt: skip
    assert {row.x for row in found} == {0.5, 2.0, 8.0}
    assert "violated" not in {row.verdict for row in found}
    assert "ell" not in found.parameters


def test_what_is_held_is_shown_and_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canvases: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    theory.measured_against_bound(
        select(["sngm.theorem_1"], None, "both"), "T", objective_specs("quadratic"),
        given={"beta": 0.25, "ell": 3}, replicas=16, out=tmp_path, progress=False,
    )  # fmt: skip
    title = canvases[0].axes[0].get_title()
    assert title.startswith("SNGM, Theorem 1\n")
    assert r"$\beta$ = 0.25" in title
    assert "ell = 3" in title
    assert r"$\eta$ = " in title


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sngm.lemma_1", "--axis", "L0"), "L0 is what relaxed_smooth certifies, not a choice"),
        (("tralgo.lemma_1", "--set", "G=3"), "has no parameter 'G'; it has"),
    ],
)
def test_the_command_refuses_a_certified_constant_in_one_line(
    arguments: Any,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["theorylab", "figure", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.strip().count("\n") == 0
