"""Registries that packages fill by entry points.

A package of yours joins in by declaring, in its ``pyproject.toml``::

    [project.entry-points."theorylab.statements"]
    mypaper = "mypackage.mypaper"        # a module with STATEMENTS, or a Statement itself

and likewise ``theorylab.rules`` (``RULES``), ``theorylab.objectives`` (``FAMILIES``),
``theorylab.quantities`` (``PROTOCOLS``), ``theorylab.networks`` (``NETWORKS``),
``theorylab.datasets`` (``DATASETS``) and ``theorylab.commands``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from bounds.statement import Form, Statement
from theorylab.errors import UnknownNameError, UsageError
from theorylab.method.rule import UpdateRule
from theorylab.problem.objective import Family

__all__ = ["family", "families", "plugins", "rule", "rules", "statement", "statements", "unknown"]


def plugins(kind: str, attribute: str, required: bool = True) -> Iterable[tuple[str, Any]]:
    """Every object registered under ``theorylab.<kind>``, in a stable order, with its plug-in.

    A module contributes the items of its ``attribute``, which it must have where that is
    ``required``; any other object contributes itself.
    """
    for point in sorted(entry_points(group=f"theorylab.{kind}"), key=lambda p: (p.name, p.value)):
        try:
            loaded = point.load()
        except Exception as error:
            raise UsageError(
                f"the plug-in {point.name!r} ({point.value}) in theorylab.{kind} does not load: "
                f"{type(error).__name__}: {error}"
            ) from error
        if isinstance(loaded, ModuleType):
            if required and not hasattr(loaded, attribute):
                raise UsageError(f"the plug-in module {point.value} has no {attribute}")
            for item in getattr(loaded, attribute, ()):
                yield point.name, item
        elif required:
            yield point.name, loaded


@cache
def statements() -> Mapping[tuple[str, Form], Statement]:
    """Every registered statement by ``(key, form)``, printed before repaired."""
    found: dict[tuple[str, Form], Statement] = {}
    for origin, item in plugins("statements", "STATEMENTS"):
        if not isinstance(item, Statement):
            raise UsageError(f"plug-in {origin!r}: expected a Statement, got {type(item).__name__}")
        if (item.key, item.form) in found:
            raise UsageError(f"plug-in {origin!r} registers {item.key} ({item.form}) twice")
        found[item.key, item.form] = item
    return found


def statement(key: str, form: Form = "printed") -> Statement:
    """The statement ``key``; where no repair was needed, its repaired form is the printed one."""
    table = statements()
    if (key, form) in table:
        return table[key, form]
    other: Form = "printed" if form == "repaired" else "repaired"
    if (key, other) in table:
        return table[key, other]
    raise unknown("statement", key, {k for k, _ in table})


@cache
def rules() -> Mapping[str, type[UpdateRule]]:
    """Every registered update rule by name."""
    return {item.name: item for _, item in plugins("rules", "RULES")}


def rule(name: str) -> type[UpdateRule]:
    """The update rule registered under ``name``."""
    if name not in rules():
        raise unknown("rule", name, rules())
    return rules()[name]


@cache
def families() -> Mapping[str, Family]:
    """Every registered objective family by name."""
    return {item.name: item for _, item in plugins("objectives", "FAMILIES")}


def family(name: str) -> Family:
    """The objective family registered under ``name``."""
    if name not in families():
        raise unknown("objective", name, families())
    return families()[name]


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a ``name`` that is none of ``known``, with the nearest ones."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
    return UnknownNameError(f"unknown {what} {name!r}; {hint}")
