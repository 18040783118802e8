"""The documentation site: `make docs` builds it from docs/ into site/html, strictly."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402

from theorylab import __version__  # noqa: E402

project = "theorylab"
author = copyright = "The theorylab authors"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"theorylab {__version__}"
html_show_sourcelink = False
exclude_patterns = ["conf.py", "generate.py", "counterexamples", "measured"]

myst_heading_anchors = 3
myst_enable_extensions = ["attrs_block"]
suppress_warnings = ["ref.python"]  # a type named in a docstring may be that of two modules
nb_execution_mode = "off"  # the tests run the notebooks; the site shows what they printed

napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_preprocess_types = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"

_SHOWN = re.compile(r"(``.*?``|:[a-z:]+:`[^`]*`|`[^`]+`)")
_SIGNS = re.compile(r"([|*\\]|(?<=\w)_(?!\w))")


def _formulas(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings say ||grad F||^2 and F*: no markup is meant."""
    literal: int | None = None
    for place, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None and not line.lstrip().startswith((">>>", "...", "- ", "* ")):
            parts = _SHOWN.split(line)
            parts[::2] = [_SIGNS.sub(r"\\\1", part) for part in parts[::2]]
            lines[place] = "".join(parts)
        if line.rstrip().endswith("::") and literal is None:
            literal = indent


_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!http)([^)#\s]+)\)")


def _folders(app: Any, page: str, source: list[str]) -> None:
    """Links to a folder, or to a file outside docs/, have no page here: their text stays."""

    def shown(link: re.Match[str]) -> str:
        target = (HERE / page).parent / link[2]
        outside = not target.resolve().is_relative_to(HERE)
        return link[1] if target.is_dir() or outside else link[0]

    if (HERE / f"{page}.md").is_file():
        source[0] = _LINK.sub(shown, source[0])


def setup(app: Any) -> None:
    """Write the generated pages, and hook in."""
    generate.write(HERE / "generated")
    app.connect("autodoc-process-docstring", _formulas, priority=100)  # before napoleon
    app.connect("source-read", _folders)
