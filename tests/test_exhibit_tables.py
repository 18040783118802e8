"""Exhibits of the papers: drawn from stored data, beside what was printed; no work is lost."""

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exhibit_session import TINY
from typer.testing import CliRunner

from deep.settings import Settings
from paper_figures.exhibit import Exhibit, Place, read_csv, write_csv
from paper_figures.exhibits import EXHIBITS, exhibit, produce
from paper_figures.recipes import claimed, straight
from paper_figures.scale import SCALES, Run, scaled
from paper_figures.style import STYLES, line, style
from paper_figures.tables import compared, controls, latex, scores
from theorylab.cli import build
from theorylab.errors import UnknownNameError, UsageError


# --- scales -------------------------------------------------------------------------------------
def test_a_preset_keeps_relative_lengths_and_says_what_it_reduced() -> None:
    base = Settings(data="cifar10", model="resnet18", batch_size=8, epochs=200.0)
    recipe = [
        Run("a", "", base), Run("b", "", replace(base, batch_size=32)),
        Run("c", "", replace(base, epochs=20.0)), Run("d", "", replace(base, data="svhn")),
    ]  # fmt: skip
    preset = replace(SCALES["laptop"], steps=1000, batch=16)
    found, left_out = scaled(recipe, preset, {"digits": 1437})
    assert [run.settings.batch_size for run in found] == [4, 16, 4]
    a, b, c = (run.settings.steps for run in found)
    assert (a, c) == (1000, 100)
    assert abs(4 * b - a) <= 4
    assert "digits for cifar10" in found[0].scale
    assert "resnet20 for resnet18" in found[0].scale
    assert [(run.row, "svhn" in reason or "cifar10" in reason) for run, reason in left_out] == [
        ("d", True)
    ]
    whole, none = scaled(recipe, SCALES["paper"], {})
    assert not none
    assert all(run.scale == "" and run.settings.epochs in (200.0, 20.0) for run in whole)


def test_a_method_that_drops_layers_needs_a_network_that_can() -> None:
    base = Settings(data="cifar10", model="vgg11", batch_size=8, epochs=1.0)
    recipe = [
        Run("a", "", replace(base, model_options={"depth_dropout": 0.5})),
        Run("b", "", replace(base, model="resnet18", model_options={"stochastic_depth": 0.5})),
    ]
    found, left_out = scaled(recipe, SCALES["laptop"], {"digits": 1437})
    assert [(r.row, dict(r.settings.model_options)) for r in found] == [
        ("b", {"stochastic_depth": 0.5})
    ]
    assert "no depth to drop" in left_out[0][1]


# --- tables -------------------------------------------------------------------------------------
def rows(
    row: Any, column: Any, accuracies: Any, arm: str = "", scale: str = "", wanted: Any = 5
) -> Any:
    """One run a seed: a curve that ends at the given accuracy."""
    return [
        {"row": row, "column": column, "arm": arm, "seed": seed, "seeds": wanted, "steps": steps,
         "test_accuracy": value * steps / 100, "scale": scale}
        for seed, value in enumerate(accuracies) for steps in (0, 50, 95, 100)
    ]  # fmt: skip


def table_of(data: Any) -> Any:
    item = Exhibit("tralgo.table_4", "", "Table 4", lambda _: data, lambda *_: None, straight())
    return compared(item, data).set_index(["row", "column"])


def test_published_beside_measured() -> None:
    data = pd.DataFrame(
        rows("SGD", "2", [0.85, 0.86, 0.87, 0.85, 0.86])
        + rows("TRSGD", "2", [0.70, 0.71, 0.69], scale="digits for cifar10")
        + rows("SGD", "8", [0.9])
        + rows("SGD", "32", [math.nan, 0.9, 0.91])
    )
    table = table_of(data)
    first = table.loc["SGD", "2"]
    assert first.published == pytest.approx(85.69)
    assert first.measured == pytest.approx(85.8)
    assert first.difference == pytest.approx(0.11)
    assert (first["told apart"], first.scale) == ("no", "as in the paper")
    # Student's interval of 70, 71, 69: 70 -+ 4.303 / sqrt(3).
    second = table.loc["TRSGD", "2"]
    assert (second.low, second.high) == pytest.approx((70 - 2.4843, 70 + 2.4843), abs=1e-3)
    assert second["told apart"] == "yes"
    assert second.scale == "digits for cifar10; 3 of 5 seeds"
    assert table.loc["SGD", "8"]["told apart"] == "one seed"
    assert math.isnan(table.loc["SGD", "8"].low)
    assert table.loc["SGD", "32"].seeds == 2
    assert "1 of 3 seeds diverged" in table.loc["SGD", "32"].scale


def test_statistics_of_a_run() -> None:
    data = pd.DataFrame(
        [{"row": "a", "column": "b", "arm": "", "seed": 0, "steps": s, "test_accuracy": v}
         for s, v in ((0, 0.1), (80, 0.9), (95, 0.5), (100, 0.7))]
    )  # fmt: skip
    for statistic, value in (("final", 70.0), ("last tenth", 60.0), ("maximum", 90.0)):
        assert scores(data, "a", "b", "", statistic) == {0: pytest.approx(value)}


def test_a_printed_improvement_is_paired_over_seeds() -> None:
    data = pd.DataFrame(rows("r", "SGD", [0.5, 0.6]) + rows("r", "Ours", [0.52, 0.62]))
    place = Place("VGG11/B=16", "improvement/1/2", ("r", "Ours"), "final", ("r", "SGD"))
    item = Exhibit("stochastic_batch_size.table_4", "", "", lambda _: data, lambda *_: None,
                   lambda _: [place])  # fmt: skip
    (found,) = compared(item, data).to_dict("records")
    assert found["measured"] == pytest.approx(2.0)
    assert (found["low"], found["high"]) == pytest.approx((2.0, 2.0))


def test_which_part_of_a_gain_survives() -> None:
    method = [0.80, 0.81, 0.82]
    data = pd.DataFrame(
        rows("M", "c", method)
        + rows("M", "c", [0.70, 0.712, 0.721], "same gradients")
        + rows("M", "c", [0.80, 0.82, 0.81], "lambda=0")
        + rows("M", "c", [0.75, 0.74, 0.76], "own step")
        + rows("M", "c", [0.90, 0.891, 0.911], "same gradients, own step")
        + rows("M", "d", [0.8, 0.9]) + rows("M", "d", [0.7, 0.8], "same rounds")
    )  # fmt: skip
    found = {(r["column"], r["arm"]): r for r in controls(data).to_dict("records")}
    assert found["c", "same gradients"]["survives"] == "yes"
    assert found["c", "lambda=0"]["survives"] == "undecided"
    own = found["c", "same gradients, own step"]
    assert own["survives"] == "no"  # against the method at its own step
    assert own["gain"] == pytest.approx(-15.07, abs=0.01)
    assert ("c", "own step") not in found
    # Two seeds that differ by the same ten points are no evidence.
    assert found["d", "same rounds"]["survives"] == "undecided"


def test_control_arms_have_the_methods_work() -> None:
    settings = Settings(optimizer="trsgd", lr=0.1, epochs=10.0, options={"S": 10})
    found = {run.arm: run for run in claimed("M", "c", settings)}
    assert found["same gradients"].settings.epochs == 10.0
    assert found["same rounds"].settings.epochs == 1.0
    assert found["lambda=0"].settings.options["lam"] == 0.0
    assert found["own step"].tune
    assert found["same gradients, own step"].tune


@pytest.mark.parametrize("key", ["tralgo.table_4", "stochastic_batch_size.table_5", "sngm.table_1"])
def test_latex_compiles(key: str, session: Any, tmp_path: Path, no_training: Any) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    item = exhibit(key)
    session.scale = replace(TINY, seeds=3)
    data = item.compute(session)
    body = item.tables(data) if item.tables else latex(
        item, compared(item, data), controls(data), {"command": "x_y % z"}
    )  # fmt: skip
    packages = "booktabs,longtable,amsmath,amssymb,graphicx"
    (tmp_path / "page.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{{packages}}}\n\\begin{{document}}\n{body}"
        "\\end{document}\n"
    )
    ran = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:]


def test_pgf_compiles(session: Any, tmp_path: Path, no_training: Any) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    keys = ("tralgo.table_4", "lrsgd.figure_2", "lrsgd.figure_s1", "tralgo.figure_4")
    for key in keys:  # texts with underscores, percent signs, mathematics; images
        produce(exhibit(key), session, tmp_path, style("iclr"), ("pgf",))
    page = "\n".join(rf"\input{{{key}.pgf}}\clearpage" for key in keys)
    (tmp_path / "page.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{pgf,amsmath,amssymb,lmodern}}\n"
        f"\\begin{{document}}{page}\\end{{document}}\n"
    )
    ran = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:]


# --- looks --------------------------------------------------------------------------------------
def test_lines_are_told_apart_in_grey() -> None:
    looks = [line(i) for i in range(8)]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == 8
    grey = []
    for look in looks[:4]:
        r, g, b = (int(look["color"][k : k + 2], 16) for k in (1, 3, 5))
        grey.append(0.299 * r + 0.587 * g + 0.114 * b)
    assert min(abs(a - b) for i, a in enumerate(grey) for b in grey[:i]) > 15


@pytest.mark.parametrize("name", STYLES)
def test_figures_have_the_venues_width_and_their_fonts(
    name: Any, session: Any, tmp_path: Path, no_training: Any
) -> None:
    item = exhibit("tralgo.figure_1")
    made = produce(item, session, tmp_path, style(name), ("pdf", "svg"))
    svg = next(path for path in made.files if path.suffix == ".svg").read_text()
    (width,) = re.findall(r'<svg [^>]*?width="([\d.]+)pt"', svg)
    assert float(width) == pytest.approx(72 * style(name).page, abs=0.01)
    assert "<text" not in svg  # glyphs are drawn
    pdf = next(path for path in made.files if path.suffix == ".pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


# --- the command --------------------------------------------------------------------------------
def refused(*arguments: Any) -> Any:
    result = CliRunner().invoke(build(), ["figure", *arguments])
    assert isinstance(result.exception, UsageError), result.output
    message = str(result.exception.args[0])
    assert "\n" not in message
    return message


def test_mistakes_get_one_clear_line(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path)]
    assert "did you mean sngm.table_2" in refused("sngm.tabel_2", *out)
    assert "nowhere does not exist" in refused("sngm.table_2", "--data-dir", "nowhere", *out)
    missing = refused("sngm.table_2", "--preset", "paper", *out)
    assert "cifar10: a directory with" in missing
    assert "unknown preset 'huge'" in refused("sngm.table_2", "--preset", "huge", *out)
    assert "unknown style" in refused("sngm.table_2", "--style", "nature", *out)
    assert "unknown 'gif'" in refused("sngm.table_2", "--formats", "gif", *out)
    with pytest.raises(UnknownNameError, match="unknown exhibit"):
        exhibit("sngm.table_9")


COMMITTED = sorted((Path(__file__).parent.parent / "docs" / "exhibits").rglob("*.csv"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_data_are_of_exhibits_and_say_how_they_were_made(path: Any) -> None:
    _, made = read_csv(path)
    assert made["exhibit"] in EXHIBITS
    assert made["command"].startswith("theorylab figure ")
    assert made["exhibit"] in made["command"] or "--all" in made["command"]
    assert path.stat().st_size < 2**20


def test_exhibits_are_listed() -> None:
    result = CliRunner().invoke(build(), ["figure", "--list"])
    assert result.exit_code == 0
    assert all(key in result.output for key in EXHIBITS)


def test_data_come_back_as_they_were_written(tmp_path: Path) -> None:
    data = pd.DataFrame({"row": ["a, b", "1"], "arm": ["", "x"], "value": [1.5, math.nan]})
    path = write_csv(tmp_path / "x.csv", data, {"seed": 3})
    again, kept = read_csv(path)
    assert kept == {"seed": 3}
    pd.testing.assert_frame_equal(data, again)
    whole = path.read_text()
    path.write_text(whole.replace("1.5", "2.5"))
    with pytest.raises(UsageError, match="was edited"):
        read_csv(path)
    path.write_text(json.dumps({"not": "this"}))
    with pytest.raises(UsageError, match="not what"):
        read_csv(path)
