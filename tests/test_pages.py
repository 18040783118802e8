"""What the README and the documentation show is what happens.

Python blocks run, page by page, each page in one module; a ``text`` block right after one is what
it prints. Command lines run where a ``sh`` block of a guide has them, and are parsed everywhere.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from paper_figures.exhibits import EXHIBITS
from theorylab.cli import build
from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.studies.pages import held
from theorylab.studies.verdict_table import listed

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(p for p in sorted(DOCS.rglob("*.md")) if "generated" not in p.parts),
]
LONG = {"hunt.md", "stability.md"}
"""Of docs/: a hunt of 20 seconds, and a growth measured for ten."""
GUIDES = [p for p in PAGES if p.name in ("own_package.md", "index.md", "theorem.md")]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$(?:\n+```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _blocks(page: Path, language: str) -> Iterator[tuple[str, str | None]]:
    for kind, code, printed in _BLOCK.findall(page.read_text()):
        if kind == language:
            yield code, printed or None


def _marked(page: Path) -> Any:
    slow = page.parent == DOCS and page.name in LONG
    return pytest.param(page, id=_name(page), marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("page", [_marked(p) for p in PAGES[1:] if "```python" in p.read_text()])
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = types.ModuleType("mypackage")  # what pages call a package of the reader's
    vars(theirs)["MyOptimizer"] = torch.optim.AdamW
    monkeypatch.setitem(sys.modules, "mypackage", theirs)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # where dataclasses look their names up
    for number, (code, printed) in enumerate(_blocks(page, "python")):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, f"{_name(page)}, block {number + 1}", "exec"), vars(module))
        if printed is not None:
            assert out.getvalue() == printed, f"{_name(page)}, block {number + 1}"


def _commands(text: str) -> Iterator[list[str]]:
    """Lines that call the command line, those in indented and in fenced blocks."""
    fenced = "".join(code for kind, code, _ in _BLOCK.findall(text) if kind in ("sh", "bash"))
    indented = "".join(re.findall(r"^ {4}(?:\$ )?(theorylab (?:.*\\\n)*.*\n)", text, re.MULTILINE))
    for line in (fenced + indented).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["theorylab"]:
            yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_command_lines_parse(page: Path) -> None:
    """Every option that a page shows exists, and takes such a value."""
    group = typer.main.get_command(build())
    for words in _commands(page.read_text()):
        with group.make_context("theorylab", list(words)) as context:
            name, command, rest = group.resolve_command(context, list(words))  # type: ignore[attr-defined]
            with command.make_context(name, list(rest), parent=context):
                pass


@pytest.mark.parametrize("page", GUIDES, ids=_name)
def test_a_guides_commands_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for code, _ in _blocks(page, "sh"):
        for line in code.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "theorylab"
            done = CliRunner().invoke(build(), words[1:])
            assert done.exit_code == 0, done.output


def test_every_page_is_in_the_sites_navigation() -> None:
    trees = [DOCS / "index.md", *DOCS.glob("*/index.md")]
    listed = {
        (tree.parent / line.strip()).relative_to(DOCS).as_posix()
        for tree in trees
        for tree_text in re.findall(r"```{toctree}\n(.*?)```", tree.read_text(), re.DOTALL)
        for line in tree_text.splitlines() if line and not line.startswith(":")
    }  # fmt: skip
    pages = {p.relative_to(DOCS).with_suffix("").as_posix() for p in PAGES if DOCS in p.parents}
    assert pages - {"index"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_linked_files_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", text):
        if "generated/" not in target:  # written when the site is built
            assert (page.parent / target).exists(), f"{_name(page)}: {target}"


def test_the_gallery_shows_every_exhibit_or_says_how_to_draw_it() -> None:
    page = _module(DOCS / "generate.py")._gallery()
    for key in EXHIBITS:
        drawn = (DOCS / "exhibits" / f"{key}.svg").is_file()
        assert (f"exhibits/{key}.svg" in page) == drawn
        assert drawn or f"`theorylab figure {key}`" in page or f"recorded/{key}.svg" in page
    kept = [p for folder in ("figures", "exhibits") for p in (DOCS / folder).rglob("*.svg")]
    assert kept
    assert not [p.name for p in kept if p.relative_to(DOCS).as_posix() not in page]


def _module(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what commands write into pages --------------------------------------------------------------
def test_the_readmes_sentence_on_speed_is_what_the_benchmarks_page_says() -> None:
    """Else: python benchmarks/speed_sentence.py docs/benchmarks.md README.md."""
    speed = _module(ROOT / "benchmarks" / "speed_sentence.py")
    page = (DOCS / "benchmarks.md").read_text()
    assert held(ROOT / "README.md", speed.MARKERS) == speed.sentence(page)
    with pytest.raises(UsageError, match="lacks rows"):
        speed.sentence(page.replace("| svrg |", "| sgd |").replace("1,000 |", "500 |"))


def test_the_sentence_on_speed_takes_the_ends_of_the_rows_it_speaks_of() -> None:
    heads = "| cores | dtype | replicas | numba / ours | JAX / ours | first use, s |"
    others = "| method | replicas | numba / ours | JAX / ours | first use, s |"
    page = "\n".join([
        heads, "|---|---|---|---|---|---|", "| 1 | float32 | 1,000 | 90 | 90 | 0 |",
        "| 2 | float32 | 1 | 0.25 | 0.5 | 0 |", "| 2 | float32 | 100 | 80 | 80 | 0 |",
        "| 2 | float32 | 1,000 | 3 | 0.9 | 0 |", "| 2 | float32 | 10,000 | 2 | 1.5 | 0 |",
        "| 2 | float64 | 1,000 | 70 | 70 | 0 |", "",
        others, "|---|---|---|---|---|", "| svrg | 1,000 | 4 | 5 | 0 |",
    ])  # fmt: skip
    text = _module(ROOT / "benchmarks" / "speed_sentence.py").sentence(page)
    assert re.findall(r"[\d.]+ to [\d.]+", text) == [
        "0.9 to 1.5", "2 to 3", "5 to 5", "4 to 4", "0.5 to 0.5", "0.25 to 0.25",
    ]  # fmt: skip


def test_the_readmes_verdicts_are_of_statements_that_exist() -> None:
    shown = listed(held(ROOT / "README.md", "verdicts"))
    assert shown
    assert set(shown) <= {key for key, _ in registry.statements()}


@pytest.mark.parametrize(
    "words",
    [("verify", "sngm.lemma_1"), ("power", "sngm.lemma_1"), ("worst-case", "sngm.lemma_1"),
     ("calibration",), ("compare",), ("conformance", "torch.optim:SGD")],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_page_without_its_markers_is_refused_before_anything_is_computed(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text("no markers")
    done = CliRunner().invoke(build(), [*words, "--page", "page.md"])
    assert isinstance(done.exception, UsageError)
    assert re.fullmatch(r"page.md needs the lines <!-- .* --> and <!-- .* --> once each",
                        str(done.exception))  # fmt: skip
    assert not list(tmp_path.rglob("cells/*"))
    assert (tmp_path / "page.md").read_text() == "no markers"


def test_verify_writes_the_rows_that_the_page_lists(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before\n<!-- verdicts -->\n<!-- end of verdicts -->\nAfter\n")
    keys = ["sngm.lemma_2", "stochastic_batch_size.eq_18_mean", "sngm.definition_1"]
    options = ["--instances", "0", "--out", str(tmp_path / "out"), "--page", str(page), "--json"]

    def written() -> tuple[list[Any], str]:
        done = CliRunner().invoke(build(), ["verify", *keys, *options])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)["results"], held(page, "verdicts")

    results, text = written()
    assert sorted(listed(text)) == sorted(keys)
    table = [[cell.strip() for cell in line.split("|")[1:-1]]
             for line in text.splitlines() if line.startswith("| `")]  # fmt: skip
    told = {(key.strip("`"), form): cell for key, printed, _, repaired, _, _ in table
            for form, cell in (("printed", printed), ("repaired", repaired)) if cell}  # fmt: skip
    assert told == {(r["key"], r["form"]): f"{r['verdict']} ({r['evidence']})" for r in results}
    assert {"ok", "differ", ""} >= {row[-1] for row in table}
    assert "\n- printed: violated 1, " in text
    assert page.read_text().startswith("Before\n<!--")
    page.write_text(page.read_text().replace(f"| `{keys[0]}` |", "| gone |"))
    _, text = written()
    assert sorted(listed(text)) == sorted(keys[1:])
    assert "\n- shown: 2 of 3 statements\n" in text
    assert "\n- printed: violated 1, " in text


def test_the_readmes_theorem_takes_twenty_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ((code, _),) = _blocks(ROOT / "README.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1].split(",")[0] for line in lines] == [
        "holds (exact law)", "not refuted (samples)",
    ]  # fmt: skip
