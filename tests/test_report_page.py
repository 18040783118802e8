"""The report: one page of all that a run found, and the same as LaTeX."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import Browser, found
from typer.testing import CliRunner

from paper_figures.exhibit import write_csv
from paper_figures.report import collect
from paper_figures.report.collect import Finding
from paper_figures.report.page import page
from paper_figures.report.plots import Series, lines, ratios
from paper_figures.style import style
from paper_figures.verdicts import draw_errata
from theorylab.cli import build
from theorylab.errors import UsageError
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry

SCRIPT = 'print("lhs > rhs & <so on>")\n'
OUTCOMES = [
    ("violated", "exact law"), ("not refuted", "samples"), ("holds", "exact arithmetic"),
    ("holds", "valid interval"), ("vacuous", "exact law"), ("not applicable", ""),
]  # fmt: skip


def write(path: Any, table: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder as verify, falsify, worst-case and figure leave it, over every statement."""
    folder = tmp_path_factory.mktemp("run")
    rows = []
    for i, (key, form) in enumerate(registry.statements()):
        verdict, evidence = OUTCOMES[i % len(OUTCOMES)]
        row = Verdict(
            key, form, verdict, 2.0, (1.5, 2.5), 1.0, 2.0, objective="quadratic",
            constants={"L": 1.0}, hyperparameters={"eta": 0.5}, replicas=16, comparisons=9,
            evidence=evidence,
        ).to_json()  # fmt: skip
        row["objectives"] = [{"objective": name, "verdict": verdict, "evidence": evidence,
                              "ratio": 0.5 + k, "reason": ""}
                             for k, name in enumerate(("quadratic", "<b>huber</b>"))]  # fmt: skip
        rows.append(row)
    made = {"command": "theorylab verify --data breast_cancer --jobs 2 --out x", "seed": 3,
            "code": "abc", "time": "now"}  # fmt: skip
    write(folder / "results.json", {"schema": 1, "provenance": made, "results": rows})
    best = Verdict("sngm.lemma_2", "printed", "violated", 2.0, (2.0, 2.0), 1.0, 2.0,
                   objective="quadratic", evidence="exact law").to_json()  # fmt: skip
    example = {"script": "counterexamples/x.py", "reason": "", "smaller": 3.0, "larger": 2.0,
               "knots": [0.0, 1.0, 2.0], "slopes": [[0.0, -1.0, 0.0], [0.0, 1.0, 1.0]],
               "start": 1.0, "values": {}, "exact": ["3", "2"]}  # fmt: skip
    hunts = [{"key": "sngm.lemma_2", "form": "printed", "verdict": "violated", "how": "units",
              "evaluations": 7, "seconds": 1.0, "reason": "", "ratio": 2.0, "best": best,
              "instance": None, "counterexample": example}]  # fmt: skip
    write(folder / "falsify" / "results.json",
          {"provenance": {"command": "theorylab falsify"}, "results": hunts})  # fmt: skip
    (folder / "falsify" / "counterexamples").mkdir()
    (folder / "falsify" / "counterexamples" / "x.py").write_text(SCRIPT)
    solved = {"key": "sngm.theorem_1", "form": "printed", "values": {"T": 2.0}, "primal": 0.9,
              "dual": 0.91, "bound": 1.0, "ratio": 0.9, "scope": "every function"}  # fmt: skip
    write(folder / "worst_case" / "results.json", {"results": [solved]})
    sweep = [{"form": form, "x": x, "measured": 0.5 / x, "interval": [0.4 / x, None],
              "bound": bound / x} for form, bound in (("printed", 2.0), ("repaired", 1.0))
             for x in (1.0, 10.0, 100.0)]  # fmt: skip
    along = {"key": "sngm.theorem_1", "axis": "T", "objective": "quadratic", "rows": sweep}
    write(folder / "figures" / "sngm.theorem_1.T.json", along)
    made = {"exhibit": "sngm.table_2", "preset": "smoke"}
    write_csv(folder / "figures" / "sngm.table_2.csv", pd.DataFrame({"row": ["a"]}), made)
    table = pd.DataFrame({"row": ["SNGM"], "published": [91.4], "measured": [None]})
    write_csv(folder / "figures" / "sngm.table_2.table.csv", table, made)
    write(folder / "cells" / "broken.json", [])
    return folder


def test_everything_found_is_on_the_page(run: Any) -> None:
    report = collect(run)
    html = page(report)
    keys = list(dict.fromkeys(key for key, _ in registry.statements()))
    assert [entry.key for entry in report] == keys
    assert html.count('<tbody class="entry"') == len(keys)
    entry = next(e for e in report if e.key == "sngm.theorem_1")
    assert entry.sweep is not None
    assert [s.dual for s in entry.solved] == [0.91]
    assert entry.commands == (
        "theorylab verify sngm.theorem_1 --data breast_cancer --seed 3",
        "theorylab figure sngm.theorem_1 --axis T",
    )
    assert "between 0.9 and 0.91, bound 1" in html
    assert "printed, exact worst case: 0.91 at T = 2" in html
    assert "&lt;b&gt;huber" in html  # nothing from a file is markup
    assert "<b>huber" not in html
    assert "lhs &gt; rhs &amp; &lt;so on&gt;" in html
    assert "in exact arithmetic: 3 against 2" in html
    assert [x.key for x in report.exhibits] == ["sngm.table_2"]
    assert "91.4" in html


def test_the_page_stands_alone(run: Any) -> None:
    html = page(collect(run))
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", html))
    assert addresses <= {"http://www.w3.org/1998/Math/MathML"}
    assert "default-src 'none'" in html
    assert len(html) < 4_000_000


def test_a_counterexample_outweighs_what_checks_left_open(run: Any) -> None:
    entry = next(e for e in collect(run) if e.key == "sngm.lemma_2")
    assert entry.outcome("printed") == ("violated", "exact law")
    assert entry.hunts["printed"].counterexample.script == SCRIPT


def test_scripts_outside_the_folder_are_not_read(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (tmp_path / "secret.py").write_text("secret = 1")
    path = folder / "falsify" / "results.json"
    path.write_text(path.read_text().replace("counterexamples/x.py", "../../secret.py"))
    assert "secret = 1" not in page(collect(folder))


def test_mistakes_get_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no results at"):
        collect(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no results"):
        collect(tmp_path)
    (tmp_path / "results.json").write_text('{"results": [{"verdict": "holds", "measured": 1}]}')
    with pytest.raises(UsageError, match="not what theorylab writes"):
        collect(tmp_path)
    (tmp_path / "results.json").write_text('{"results": [')
    with pytest.raises(UsageError, match="is not JSON"):
        collect(tmp_path)


def test_the_command_writes_page_and_latex(run: Any, tmp_path: Path) -> None:
    runner = CliRunner()
    for flags, name in (([], "a.html"), (["--latex"], "a.tex")):
        target = tmp_path / name
        result = runner.invoke(build(), ["report", str(run), "-o", str(target), *flags])
        assert result.exit_code == 0, result.output
        assert str(target) in result.output
        assert target.stat().st_size > 1000


def test_a_page_of_hunts_alone(run: Any, tmp_path: Path) -> None:
    target = tmp_path / "a.html"
    result = CliRunner().invoke(build(), ["report", str(run / "falsify"), "-o", str(target)])
    assert result.exit_code == 0, result.output
    assert "sngm.lemma_2" in target.read_text()


def test_the_report_is_a_table_too(run: Any) -> None:
    report = collect(run)
    table = report.to_pandas()
    assert set(table.verdict) == {v for v, _ in OUTCOMES}
    assert len(report.to_json()["results"]) == len(table)


def test_latex_compiles(run: Any, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    body = collect(run).to_latex()
    (tmp_path / "page.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,longtable,amsmath,amssymb}\n"
        f"\\begin{{document}}\n{body}\\end{{document}}\n"
    )
    ran = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:]


def test_verdicts_and_tightness_are_drawn(run: Any, tmp_path: Path) -> None:
    result = CliRunner().invoke(build(), ["figure-verdicts", str(run), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {"tightness.pdf", "tightness.svg", "verdicts.png"} <= {
        p.name for p in tmp_path.iterdir()
    }
    canvas = draw_errata(collect(run), style("icml"))
    bars = [int(text.get_text()) for text in canvas.axes[0].texts]
    assert sum(bars) == sum(bool(e.outcome(f)[0]) for e in collect(run)
                            for f in ("printed", "repaired"))  # fmt: skip


def test_axes_are_logarithmic_only_where_every_value_is_positive() -> None:
    assert ">100<" in lines([Series("a", "measured", [1.0, 100.0], [1.0, 2.0])], "x", "y")
    plot = lines([Series("a", "measured", [0.0, 1.0], [-1.0, 1.0])], "x", "y")
    assert ">-1<" in plot
    assert lines([Series("a", "measured", [], [])], "x", "y") == ""


# --- in a browser -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def browser(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if found() is None:
        pytest.skip("no Chromium is installed")
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(collect(run)))
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(path)
        yield opened


VISIBLE = "[...document.querySelectorAll('tbody.entry')].filter(e => !e.hidden)"


def choose(browser: Any, name: Any, value: Any) -> None:
    browser.run(f"""(() => {{ const field = document.getElementById({name!r});
        field.value = {value!r}; field.dispatchEvent(new Event('input')); }})()""")


def test_what_is_closed_costs_nothing_when_the_page_opens(browser: Any) -> None:
    # How long it takes to open is the machine's matter; that little is laid out is the page's.
    boxes = "document.querySelectorAll({!r}).length"
    drawn = "[...document.querySelectorAll({!r})].filter(e => e.checkVisibility()).length"
    for selector in ("math", "svg", "pre"):
        assert browser.run(boxes.format(selector)) > 0
        assert browser.run(drawn.format(selector)) == 0
    pictures = "[...document.querySelectorAll('img')].every(i => i.loading === 'lazy' && "
    assert browser.run(pictures + "i.closest('details') && !i.closest('details').open)")
    # The filters stay in sight over the verdicts they act on, and no further.
    assert browser.run("document.getElementById('exhibits').closest('section') === null")


def test_the_browser_filters(browser: Any, run: Any) -> None:
    every = len(collect(run))
    assert browser.run(f"{VISIBLE}.length") == every
    choose(browser, "paper", "sngm")
    papers = browser.run(f"{VISIBLE}.map(e => e.dataset.paper)")
    assert set(papers) == {"sngm"}
    choose(browser, "verdict", "violated")
    choose(browser, "form", "repaired")
    assert set(browser.run(f"{VISIBLE}.map(e => e.dataset.repaired)")) == {"violated"}
    for name in ("paper", "verdict", "form"):
        choose(browser, name, "")
    choose(browser, "evidence", "valid interval")
    pairs = browser.run(
        f"{VISIBLE}.map(e => [e.dataset.printedevidence, e.dataset.repairedevidence])"
    )
    assert pairs
    assert all("valid interval" in pair for pair in pairs)
    choose(browser, "evidence", "")
    choose(browser, "search", "SNGM.theorem_1  any")
    assert browser.run(f"{VISIBLE}.map(e => e.dataset.key)") == ["sngm.theorem_1"]
    assert browser.run("document.getElementById('count').textContent") == "1 shown"
    choose(browser, "search", "")
    assert browser.run(f"{VISIBLE}.length") == every


def test_the_browser_sorts(browser: Any) -> None:
    browser.run("document.querySelector('[data-sort=key]').click()")
    keys = browser.run(f"{VISIBLE}.map(e => e.dataset.key)")
    assert keys == sorted(keys, key=str.lower)
    browser.run("document.querySelector('[data-sort=key]').click()")
    assert browser.run(f"{VISIBLE}.map(e => e.dataset.key)") == keys[::-1]


def test_the_browser_lays_out_mathematics(browser: Any) -> None:
    browser.run("document.querySelectorAll('tr.body').forEach(row => { row.hidden = false; })")
    box = "(e => { const r = e.getBoundingClientRect(); return [r.width, r.height]; })"
    sizes = browser.run(f"[...document.querySelectorAll('math[display=block]')].map({box})")
    assert len(sizes) > 100
    assert all(width > 5 and height > 5 for width, height in sizes)
    # A numerator stands above its denominator.
    assert browser.run("""[...document.querySelectorAll('mfrac')].every(e => {
        const [above, below] = [...e.children].map(c => c.getBoundingClientRect());
        return above.bottom <= below.top + 1; })""")
    assert not browser.run("document.querySelectorAll('merror').length")


def test_the_browser_works_by_keyboard(browser: Any) -> None:
    browser.run("document.querySelectorAll('tr.body').forEach(row => { row.hidden = true; })")
    browser.run("document.querySelector('.toggle').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                     windowsVirtualKeyCode=13)  # fmt: skip
    assert browser.run("document.activeElement.getAttribute('aria-expanded')") == "true"
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowDown", code="ArrowDown",
                 windowsVirtualKeyCode=40)  # fmt: skip
    toggles = "[...document.querySelectorAll('.toggle')].indexOf(document.activeElement)"
    assert browser.run(toggles) == 1


def test_the_browser_has_dark_and_light(browser: Any) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    before = browser.run(colour)
    browser.run("document.getElementById('theme').click()")
    assert browser.run(colour) != before


def test_paper_is_light_whatever_the_screen_shows(browser: Any) -> None:
    ink = "getComputedStyle(document.body).color"
    for theme in ("dark", "light"):
        browser.run(f"document.documentElement.dataset.theme = {theme!r}")
        browser.call("Emulation.setEmulatedMedia", media="print",
                     features=[{"name": "prefers-color-scheme", "value": "dark"}])  # fmt: skip
        assert browser.run(ink) == "rgb(0, 0, 0)"
        assert browser.run("getComputedStyle(document.querySelector('.filters')).display") == "none"
        browser.call("Emulation.setEmulatedMedia", media="", features=[])
    browser.run("delete document.documentElement.dataset.theme")


def test_nothing_is_wider_than_a_phone(browser: Any) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844,
                 deviceScaleFactor=2, mobile=True)  # fmt: skip
    browser.run("document.querySelectorAll('tr.body').forEach(row => { row.hidden = false; })")
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") == 390
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_the_browser_complains_of_nothing_and_asks_no_network(browser: Any) -> None:
    assert browser.complaints() == []
    assert browser.requests() == []


def test_ratios_that_differ_by_rounding_stand_together() -> None:
    verdict = Verdict("k", "printed", "holds", 1.0)

    def places(*values: float) -> list[float]:
        seen = tuple((f"f{k}", "holds", "exact law", x, "") for k, x in enumerate(values))
        text = ratios({"printed": Finding(verdict, seen)})
        return [float(x) for x in re.findall(r'cx="([0-9.]+)"', text)]

    near = places(1 - 1e-16, 1.0, 1 + 2.3e-16)
    assert max(near) - min(near) < 0.2
    apart = places(0.9, 1.0)
    assert max(apart) - min(apart) > 100
