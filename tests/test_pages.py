"""What the README and the documentation show is what happens.

Python blocks run, page by page, each page in one module; a ``text`` block right after one is what
it prints. Command lines run where a ``sh`` block of a guide has them, and are parsed everywhere.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
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
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate._gallery()
    for key in EXHIBITS:
        drawn = (DOCS / "exhibits" / f"{key}.svg").is_file()
        assert (f"exhibits/{key}.svg" in page) == drawn
        assert drawn or f"`theorylab figure {key}`" in page or f"recorded/{key}.svg" in page
    kept = [p for folder in ("figures", "exhibits") for p in (DOCS / folder).rglob("*.svg")]
    assert kept
    assert not [p.name for p in kept if p.relative_to(DOCS).as_posix() not in page]


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
