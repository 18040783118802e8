"""Pages that are written from the registries: papers, glossary, gallery, reference.

Nothing here knows a statement: what is registered is what is shown. Verdicts and tightness are read
from errata.md, the exhibits from the files in exhibits/.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from latex2mathml.converter import convert

from bounds.render import mathml
from bounds.statement import Statement
from paper_figures.exhibits import EXHIBITS
from paper_figures.names import PAPERS, paper_name
from theorylab.plugins import registry
from theorylab.studies.catalogue import bound_symbols
from theorylab.studies.glossary import Kind, glossary

__all__ = ["write"]

HERE = Path(__file__).parent
REFERENCE: Mapping[str, Sequence[str]] = {
    "Statements": ("bounds.statement", "bounds.claim", "bounds.symbol", "bounds.units",
                   "bounds.path", "bounds.assumptions", "bounds.proof", "bounds.render"),
    "Objectives and oracles": ("theorylab.problem",),
    "Methods": ("theorylab.method",),
    "Runs": ("theorylab.engine.driver", "theorylab.engine.recorders"),
    "Quantities": ("theorylab.quantities",),
    "Verdicts": ("theorylab.judge",),
    "The hunt and exact worst cases": ("theorylab.hunt", "theorylab.exact"),
    "Twins": ("theorylab.stability",),
    "Studies": ("theorylab.studies",),
    "Plug-ins and the store": ("theorylab.plugins",),
    "torch.optim": ("theorylab.torch",),
    "Objectives with certified constants": ("synthetic",),
    "Networks": ("deep.study", "deep.gan", "deep.twins"),
    "Figures": ("paper_figures.theory", "paper_figures.stability", "paper_figures.exhibits",
                "paper_figures.style"),
}  # fmt: skip


def write(folder: Path) -> None:
    """Write every generated page anew; what is unchanged is not touched, so a build stays quick."""
    pages = dict(_pages())
    if folder.is_dir():
        for old in folder.rglob("*.md"):
            if old.relative_to(folder).as_posix() not in pages:
                old.unlink()
    for name, text in pages.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_text() != text:
            target.write_text(text)


def _pages() -> Iterator[tuple[str, str]]:
    evidence = _evidence((HERE / "errata.md").read_text())
    by_paper: dict[str, list[Statement]] = {}
    for statement in registry.statements().values():
        by_paper.setdefault(statement.paper, []).append(statement)
    others = {paper: found for paper, found in by_paper.items() if paper not in PAPERS}
    for paper, title in PAPERS.items():
        yield f"papers/{paper}.md", _paper(paper, title, by_paper[paper], evidence)
    yield "papers/methods.md", _methods(others, evidence)
    yield "papers/index.md", _index("The papers", _PAPERS_INTRO, [*PAPERS, "methods"])
    yield "glossary.md", _glossary()
    yield "gallery.md", _gallery()
    for title, names in REFERENCE.items():
        yield f"reference/{_slug(title)}.md", _reference(title, names)
    yield "reference/index.md", _index(
        "Reference", "Drawn from the docstrings; each example in them is a test.",
        [_slug(title) for title in REFERENCE],
    )  # fmt: skip


_PAPERS_INTRO = """\
Every numbered statement as printed and, where the printed one is false or can be sharpened, in a
repaired form. Formulas, assumptions and notes come from the registry; verdicts and counterexamples
from [the errata](../../errata.md), which a hunt wrote. *Not refuted* is no proof."""


def _index(title: str, intro: str, names: Sequence[str]) -> str:
    listed = "\n".join(names)
    return f"# {title}\n\n{intro}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"


# --- papers --------------------------------------------------------------------------------------
def _evidence(errata: str) -> Mapping[str, list[str]]:
    """By key, the lines of the errata page on verdict, counterexample and tightness."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^### ", errata, flags=re.MULTILINE)[1:]:
        key = re.search(r"\(`([^`]+)`\)", section.splitlines()[0])
        if key is not None:
            found[key[1]] = [
                _linked(line) for line in section.splitlines()
                if re.match(r"- \*\*(Verdict|Counterexample|Tightness):\*\*", line)
            ]  # fmt: skip
    return found


def _linked(line: str) -> str:
    return re.sub(
        r"`(counterexamples/[\w.]+\.py)`",
        lambda m: f"[{m[1].split('/')[1]}](../../{m[1]})" if (HERE / m[1]).is_file() else m[0],
        line,
    )


def _paper(
    paper: str, title: str, found: Sequence[Statement], evidence: Mapping[str, Sequence[str]]
) -> str:
    module = importlib.import_module(f"bounds.{paper}")
    parts = [f"# {title}", _plain(_opening(module.__doc__ or ""))]
    violated = {s.key for s in found if any("** violated" in e for e in evidence.get(s.key, ()))}
    count = len({s.key for s in found if s.form == "printed"})
    parts.append(f"{count} printed statements; violated: {len(violated)}.")
    parts += _statements(found, evidence, "##")
    shown = [item for item in EXHIBITS.values() if item.paper == paper]
    if shown:
        parts.append("## Exhibits")
        for item in shown:
            parts.append(f"**{item.number}**, `theorylab figure {item.key}`: {_plain(item.title)}")
            parts += _pictures(item.key, "../../")
    return "\n\n".join(parts) + "\n"


def _methods(others: Mapping[str, Sequence[Statement]], evidence: Mapping[str, list[str]]) -> str:
    parts = [
        "# Known theorems of other methods",
        "One known theorem or more for each method, in true form. Beside each stands a false "
        "neighbour, which is not registered and which the tests refute.",
    ]
    for paper, found in others.items():
        parts.append(f"## {paper.replace('_', ' ')}")
        parts += _statements(found, evidence, "###")
    return "\n\n".join(parts) + "\n"


def _statements(
    found: Sequence[Statement], evidence: Mapping[str, Sequence[str]], level: str
) -> Iterator[str]:
    by_key: dict[str, list[Statement]] = {}
    for statement in found:
        by_key.setdefault(statement.key, []).append(statement)
    for key, forms in by_key.items():
        yield f"{level} {_plain(forms[0].label)} (`{key}`)"
        for statement in forms:
            fault = statement.units_fault
            yield f"**{statement.form.capitalize()}.** {_plain(statement.text)}".rstrip()
            yield f'```{{raw}} html\n<div class="formula">{mathml(statement)}</div>\n```'
            told = []
            if statement.assumptions:
                told.append("assumes " + ", ".join(f"`{a.name}`" for a in statement.assumptions))
            if statement.algorithm is not None:
                told.append(f"runs `{bound_symbols(statement)}`")
            if fault is not None:
                told.append(f"units differ: {_plain(str(fault))}")
            if told:
                yield f"{'; '.join(told)}.".replace("assumes", "Assumes", 1)
            if statement.note:
                yield f"*{_plain(statement.note)}*"
        if key in evidence:
            yield "\n".join(evidence[key])


def _pictures(key: str, up: str) -> list[str]:
    places = (f"exhibits/{key}.svg", f"exhibits/recorded/{key}.svg")
    return [f"![{key}]({up}{place})" for place in places if (HERE / place).is_file()]


# --- glossary, gallery, reference ----------------------------------------------------------------
def _glossary() -> str:
    parts = [
        "# Glossary",
        "The one symbol table, the measured quantities, the assumptions, the methods and the "
        "families of objectives, from the registry; on the command line `theorylab symbols`, "
        "`quantities`, `assumptions`, `rules`, `objectives`. "
        "Units are powers of F, the unit of value, and X, the unit of length.",
    ]
    kinds: tuple[Kind, ...] = ("symbols", "quantities", "assumptions", "rules", "objectives")
    for kind in kinds:
        heads = {"symbols": ["", "import", "meaning", "domain", "units"],
                 "quantities": ["", "name", "units"],
                 "assumptions": ["import", "condition", "constants"],
                 "rules": ["name", "step", "fields"],
                 "objectives": ["name", "function", "certifies", "is"]}[kind]  # fmt: skip
        rows = []
        for term in glossary(kind):
            sign = convert(term.latex) if term.latex else ""
            if kind == "symbols":
                name = term.python.rsplit(" ", 1)[-1]
                rows.append([sign, f"`{name}`" if name else f"*{_plain(term.name)}*",
                             _plain(term.meaning), term.domain, term.units])  # fmt: skip
            elif kind == "quantities":
                rows.append([sign, f"`{term.name}`", term.units])
            else:
                name = term.python.rsplit(" ", 1)[-1] if kind == "assumptions" else term.name
                last = term.fields if kind == "rules" else term.constants
                shown = f"`{term.meaning}`".replace("|", r"\|")
                rows.append([f"`{name}`", shown, _names(last)])
                if kind == "objectives":
                    rows[-1].append(_names(term.declared))
        parts += [f"## {kind.capitalize()}", _table(heads, rows)]
    return "\n\n".join(parts) + "\n"


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _gallery() -> str:
    parts = ["# Gallery", _GALLERY_INTRO]
    for item in EXHIBITS.values():
        pictures = _pictures(item.key, "../")
        if pictures:
            parts.append(f"## {paper_name(item.paper)}, {item.number}")
            parts.append(f"{_plain(item.title)}. {_plain(item.supports)}".strip())
            parts += pictures
    absent = [item for item in EXHIBITS.values() if not _pictures(item.key, "../")]
    rows = [
        [paper_name(item.paper), item.number, _plain(item.title), f"`theorylab figure {item.key}`"]
        for item in absent
    ]
    parts += ["## Not kept here", "`theorylab plan figure KEY` says what each of these takes.",
              _table(["paper", "", "what it shows", "command"], rows)]  # fmt: skip
    return "\n\n".join(parts) + "\n"


_GALLERY_INTRO = """\
What each picture shows and what it cannot show is said in [the exhibits](../exhibits.md);
`theorylab figure KEY` draws one anew. Pictures in `exhibits/recorded` come from a GPU, at a share
of the paper's recipe.

![the report of a run](../figures/report.png)

![gap and distance over t, with the bounds](../figures/stability_over_time.svg)

![the gap over T](../figures/stability_exponents.svg)"""


def _reference(title: str, names: Sequence[str]) -> str:
    parts = [f"# {title}"]
    for name in names:
        for module in _modules(name):
            parts.append(
                f"## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```"
            )
    return "\n\n".join(parts) + "\n"


def _modules(name: str) -> Iterator[str]:
    """The module, or those of a package that list public names; private ones are left out."""
    module = importlib.import_module(name)
    if not hasattr(module, "__path__"):
        yield name
        return
    for found in sorted(pkgutil.iter_modules(module.__path__), key=lambda m: m.name):
        inner = f"{name}.{found.name}"
        if not found.ispkg and getattr(importlib.import_module(inner), "__all__", None):
            yield inner


# --- text ----------------------------------------------------------------------------------------
def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _plain(text: str) -> str:
    """Text as Markdown that shows it as it is; ``code`` stays code."""
    parts = re.split(r"(``.+?``)", " ".join(text.split()))
    return "".join(
        part if i % 2 else re.sub(r"([\\`*_{}\[\]<>#|~$^])", r"\\\1", part)
        for i, part in enumerate(parts)
    )


def _opening(doc: str) -> str:
    """A docstring's first two paragraphs."""
    return " ".join(inspect.cleandoc(doc).split("\n\n")[:2])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
