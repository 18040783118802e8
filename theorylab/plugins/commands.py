"""The registered commands, listed without loading what they run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from theorylab.plugins import registry

__all__ = ["Command", "commands"]

_OWN = ("theorylab", "deep", "paper_figures")


@dataclass(frozen=True)
class Command:
    """A command as a list shows it.

    Attributes
    ----------
    point : EntryPoint
    summary : str
        What it does, in a line.
    own : bool
        Whether it is one of this project's.
    """

    point: EntryPoint
    summary: str
    own: bool

    def load(self) -> Callable[..., Any]:
        """Its function."""
        return self.point.load()


@cache
def commands() -> Mapping[str, Command]:
    """Every command by the name it is called by: that of its entry point, with dashes.

    The project's own are not loaded for that. A plug-in's is, so that one that cannot be is named
    whatever the user asks for.

    Examples
    --------
    >>> commands()["units"].own
    True
    """
    found: dict[str, Command] = {}
    origins: dict[str, str] = {}
    for point in registry.points("commands"):
        own = point.value.split(".")[0] in _OWN
        if own:
            summary = _summary(point.value)
        else:
            function = next(iter(registry.items("commands", point, "COMMANDS")), None)
            if function is None:
                continue
            if not callable(function):
                said = f"expected a function, got {type(function).__name__}"
                registry.leave_out("commands", registry.origin(point), said)
                continue
            summary = _first_line(function.__doc__)
        name = point.name.replace("_", "-")
        if registry.claim("commands", name, registry.origin(point), origins):
            found[name] = Command(point, summary, own)
    return found


def _summary(where: str) -> str:
    """The first line of the docstring of ``module:function``, read from its source alone."""
    module, _, name = where.partition(":")
    top, *rest = module.split(".")
    package = find_spec(top)
    if package is None or package.submodule_search_locations is None:
        return ""
    path = Path(package.submodule_search_locations[0]).joinpath(*rest).with_suffix(".py")
    source = path.read_text(encoding="utf-8")
    start = source.index(f"\ndef {name}(")
    end = source.find("\n\n\n", start)  # parsing the whole file takes ten times as long
    (function,) = ast.parse(source[start : None if end < 0 else end]).body
    assert isinstance(function, ast.FunctionDef)
    return _first_line(ast.get_docstring(function))


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]
