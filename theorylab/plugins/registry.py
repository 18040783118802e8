"""Registries that packages fill by entry points.

A package of yours joins in by declaring, in its ``pyproject.toml``::

    [project.entry-points."theorylab.statements"]
    mypaper = "mypackage.mypaper"        # a module with STATEMENTS, or a Statement itself

and likewise ``theorylab.rules`` (``RULES``), ``theorylab.objectives`` (``FAMILIES``),
``theorylab.quantities`` (``QUANTITIES``, ``RECORDERS``, ``PROTOCOLS``), ``theorylab.networks``
(``NETWORKS``), ``theorylab.datasets`` (``DATASETS``) and ``theorylab.commands``. A name that is
registered twice is an error; a plug-in that does not load is named and left out.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from bounds.statement import Form, Statement
from theorylab.errors import UnknownNameError, UsageError
from theorylab.method.rule import UpdateRule
from theorylab.problem.objective import Family

__all__ = [
    "commands", "families", "family", "leave_out", "plugins", "rule", "rules", "statement",
    "statements", "table", "unknown",
]  # fmt: skip


def plugins(kind: str, *attributes: str) -> Iterator[tuple[str, Any]]:
    """Every object registered under ``theorylab.<kind>``, in a stable order, with its origin.

    A module contributes the items of the first of its ``attributes`` that it has; any other
    object contributes itself. A plug-in that does not load is named in one line on stderr, once,
    and left out.
    """
    points = entry_points(group=f"theorylab.{kind}")
    for point in sorted(points, key=lambda p: (p.name, p.value)):
        origin = f"{point.name} = {point.value}"
        try:
            loaded = point.load()
            items = _items(loaded, attributes) if isinstance(loaded, ModuleType) else (loaded,)
        except (Exception, SystemExit) as error:  # whatever it does, the rest goes on
            leave_out(kind, origin, f"{type(error).__name__}: {error}")
            continue
        for item in items:
            yield origin, item


def _items(module: ModuleType, attributes: tuple[str, ...]) -> tuple[Any, ...]:
    for name in attributes:
        if hasattr(module, name):
            found = getattr(module, name)
            return tuple(found.values() if isinstance(found, Mapping) else found)
    raise AttributeError(f"the module has no {' or '.join(sorted(attributes))}")


@cache
def leave_out(kind: str, origin: str, reason: str) -> None:
    """Say once on stderr, in one line, why a plug-in is left out."""
    reason = " ".join(reason.split())
    print(f"plug-in {origin} (theorylab.{kind}) is left out: {reason}", file=sys.stderr)


def table(
    kind: str, attribute: str, is_one: Callable[[Any], bool], what: str, *,
    key: Callable[[Any], Any] = lambda item: item.name, own: Iterable[Any] = (),
    beside: tuple[str, ...] = (), elsewhere: Callable[[Any], bool] = lambda item: False,
) -> dict[Any, Any]:  # fmt: skip
    """All that is registered under ``theorylab.<kind>``, by name.

    Parameters
    ----------
    kind, attribute : str
        The group, and the name under which a module lists its items.
    is_one : callable
        Whether an item is of the right kind. One that is not is named on stderr and left out.
    what : str
        What an item is, for messages: ``"a Statement"``.
    key : callable
        The item's name.
    own : iterable
        Items that come with the toolkit and no entry point.
    beside : tuple of str
        Other lists that a module of this group may have instead.
    elsewhere : callable
        Whether an item belongs to one of those.

    Raises
    ------
    UsageError
        If a name is registered twice; the message names both origins.

    Examples
    --------
    >>> sorted(table("rules", "RULES", lambda item: True, "a rule"))[:2]
    ['accelerated_sgd', 'adagrad_norm']
    """
    found: dict[Any, Any] = {}
    origins: dict[Any, str] = {}
    registered = [("theorylab itself", item) for item in own]
    registered += plugins(kind, attribute, *beside)
    for origin, item in registered:
        if not is_one(item):
            if not elsewhere(item):
                leave_out(kind, origin, f"expected {what}, got {type(item).__name__}")
            continue
        name = key(item)
        _claim(kind, name, origin, origins)
        found[name] = item
    return found


def _claim(kind: str, name: Any, origin: str, origins: dict[Any, str]) -> None:
    """Give the name to the plug-in, if it is free."""
    if name in origins:
        shown = " ".join(map(str, name)) if isinstance(name, tuple) else name
        raise UsageError(
            f"{shown} is registered twice in theorylab.{kind}: by {origins[name]} and by {origin}"
        )
    origins[name] = origin


@cache
def statements() -> Mapping[tuple[str, Form], Statement]:
    """Every registered statement by ``(key, form)``, printed before repaired."""
    return table("statements", "STATEMENTS", lambda item: isinstance(item, Statement),
                 "a Statement", key=lambda item: (item.key, item.form))  # fmt: skip


def statement(key: str, form: Form = "printed") -> Statement:
    """The statement ``key``; where no repair was needed, its repaired form is the printed one."""
    table = statements()
    if (key, form) in table:
        return table[key, form]
    other: Form = "printed" if form == "repaired" else "repaired"
    if (key, other) in table:
        return table[key, other]
    raise unknown("statement", key, {k for k, _ in table})


def _is_rule(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, UpdateRule)


@cache
def rules() -> Mapping[str, type[UpdateRule]]:
    """Every registered update rule by name."""
    return table("rules", "RULES", _is_rule, "an UpdateRule")


def rule(name: str) -> type[UpdateRule]:
    """The update rule registered under ``name``."""
    if name not in rules():
        raise unknown("rule", name, rules())
    return rules()[name]


@cache
def families() -> Mapping[str, Family]:
    """Every registered objective family by name."""
    return table("objectives", "FAMILIES", lambda item: isinstance(item, Family), "a Family")


def family(name: str) -> Family:
    """The objective family registered under ``name``."""
    if name not in families():
        raise unknown("objective", name, families())
    return families()[name]


@cache
def commands() -> Mapping[str, Callable[..., Any]]:
    """Every command by the name it is called by: that of its entry point, with dashes."""
    found: dict[str, Callable[..., Any]] = {}
    origins: dict[str, str] = {}
    for origin, command in plugins("commands", "COMMANDS"):
        name = origin.split(" = ")[0].replace("_", "-")
        if not callable(command):
            leave_out("commands", origin, f"expected a function, got {type(command).__name__}")
            continue
        _claim("commands", name, origin, origins)
        found[name] = command
    return found


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a ``name`` that is none of ``known``, with the nearest ones."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
    return UnknownNameError(f"unknown {what} {name!r}; {hint}")
