"""Registries that packages fill by entry points.

A package of yours joins in by declaring, in its ``pyproject.toml``::

    [project.entry-points."theorylab.statements"]
    mypaper = "mypackage.mypaper"        # a module with STATEMENTS, or a Statement itself

and likewise ``theorylab.rules`` (``RULES``), ``theorylab.objectives`` (``FAMILIES``),
``theorylab.quantities`` (``QUANTITIES``, ``RECORDERS``, ``PROTOCOLS``), ``theorylab.networks``
(``NETWORKS``), ``theorylab.datasets`` (``DATASETS``) and ``theorylab.commands``. A plug-in
that does not load, takes a name that exists (the project's own come first) or one that is no name
is named and left out.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any

from theorylab.errors import UnknownNameError, printable
from theorylab.plugins.isolation import OWN, fault, load

# Imported where they are asked for: the command line lists itself without torch and sympy.
if TYPE_CHECKING:
    from bounds.statement import Form, Statement
    from theorylab.method.rule import UpdateRule
    from theorylab.problem.objective import Family

__all__ = [
    "claim", "families", "family", "items", "leave_out", "origin", "plugins", "points", "rule",
    "rules", "statement", "statements", "table", "unknown",
]  # fmt: skip

_MOST = 100_000
# Names that an error lists; of more, the command that does.
_FEW = 30
_LISTED = {"statement": "statements", "rule": "rules", "objective": "objectives",
           "check": "conformance --list"}  # fmt: skip


def plugins(kind: str, *attributes: str) -> Iterator[tuple[str, Any]]:
    """Every object registered under ``theorylab.<kind>``, in a stable order, with its origin.

    A module contributes the items of the first of its ``attributes`` that it has; any other
    object contributes itself. A plug-in that does not load is named in one line on stderr, once,
    and left out.
    """
    for point in points(kind):
        for item in items(kind, point, *attributes):
            yield origin(point), item


def points(kind: str) -> list[EntryPoint]:
    """The entry points of ``theorylab.<kind>``, the project's own first; nothing is loaded."""
    found = entry_points(group=f"theorylab.{kind}")
    return sorted(found, key=lambda p: (p.value.split(".")[0] not in OWN, p.name, p.value))


def origin(point: EntryPoint) -> str:
    """The entry point as its package wrote it."""
    return f"{point.name} = {point.value}"


def items(kind: str, point: EntryPoint, *attributes: str) -> tuple[Any, ...]:
    """What an entry point registers; nothing, and a line on stderr, where it does not load."""
    try:
        loaded = load(point)
        return _items(loaded, attributes) if isinstance(loaded, ModuleType) else (loaded,)
    except (Exception, SystemExit) as error:  # whatever it does, the rest goes on
        leave_out(kind, origin(point), f"{type(error).__name__}: {error}")
        return ()


def _items(module: ModuleType, attributes: tuple[str, ...]) -> tuple[Any, ...]:
    for name in attributes:
        if hasattr(module, name):
            found = getattr(module, name)
            given = found.values() if isinstance(found, Mapping) else found
            kept = tuple(islice(given, _MOST + 1))
            if len(kept) > _MOST:
                raise ValueError(f"{name} has no end: more than {_MOST:,} items")
            return kept
    raise AttributeError(f"the module has no {' or '.join(sorted(attributes))}")


@cache
def leave_out(kind: str, origin: str, reason: str) -> None:
    """Say once on stderr, in one line, why a plug-in is left out."""
    reason, origin = printable(" ".join(reason.split()), 500), printable(origin, 200)
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

    Examples
    --------
    >>> sorted(table("rules", "RULES", lambda item: True, "a rule"))[:2]
    ['accelerated_sgd', 'adagrad_norm']
    """
    found: dict[Any, Any] = {}
    origins: dict[Any, str] = {}
    registered = [("theorylab itself", item) for item in own]
    registered += plugins(kind, attribute, *beside)
    for owner, item in registered:
        if not is_one(item):
            if not elsewhere(item):
                leave_out(kind, owner, f"expected {what}, got {type(item).__name__}")
            continue
        try:
            name = key(item)
        except Exception as error:  # an item of somebody else's may do anything
            leave_out(kind, owner, f"it has no name: {type(error).__name__}: {error}")
            continue
        if claim(kind, name, owner, origins):
            found[name] = item
    return found


def claim(kind: str, name: Any, owner: str, origins: dict[Any, str]) -> bool:
    """Give the name to the plug-in of that origin, if it is one and is free; else say why not."""
    reason = fault(kind, name)
    if not reason and name in origins:
        shown = " ".join(map(str, name)) if isinstance(name, tuple) else name
        reason = f"{shown} is registered already, by {origins[name]}"
    if reason:
        leave_out(kind, owner, reason)
        return False
    origins[name] = owner
    return True


@cache
def statements() -> Mapping[tuple[str, Form], Statement]:
    """Every registered statement by ``(key, form)``, printed before repaired."""
    from bounds.statement import Statement

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
    from theorylab.method.rule import UpdateRule

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
    from theorylab.problem.objective import Family

    return table("objectives", "FAMILIES", lambda item: isinstance(item, Family), "a Family")


def family(name: str) -> Family:
    """The objective family registered under ``name``."""
    if name not in families():
        raise unknown("objective", name, families())
    return families()[name]


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a ``name`` that is none of ``known``, with the nearest ones.

    Else with all of them, or the command that lists them where they would fill a screen.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
    if not close and len(names) > _FEW and what in _LISTED:
        hint = f"`theorylab {_LISTED[what]}` lists the {len(names)} there are"
    return UnknownNameError(f"unknown {what} {name!r}; {hint}")
