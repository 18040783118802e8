"""The code that a cell's result depends on, and no other: what a stored result is valid for."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any

from bounds.statement import Statement
from theorylab.plugins import registry

__all__ = ["code_behind", "code_of", "meaning", "modules_behind", "statement_digest"]

_OWN = ("bounds", "theorylab", "synthetic", "deep", "paper_figures")
_GROUPS = ("quantities", "networks", "datasets")
_NUMERICS = ("numpy", "scipy", "sympy", "mpmath", "torch", "cma", "cvxpy", "clarabel", "pepit",
             "scikit-learn")  # fmt: skip


def code_of(function: Callable[[Any], Any], cell: Mapping[str, Any]) -> str:
    """A digest of the code that ``function(cell)`` runs.

    It covers the function's module and all that this imports; the statements, rules and families
    that the cell names (all families, if it names none), and every plug-in of quantities,
    networks and data sets; the versions of the numerical libraries. Comments and docstrings do not
    count, and a statement counts by its content: an edit elsewhere voids no result.

    Examples
    --------
    >>> def double(cell):
    ...     return 2 * cell["x"]
    >>> code_of(double, {"x": 1}) == code_of(double, {"x": 2})
    True
    """
    while isinstance(function, partial):
        function = function.func
    names = frozenset(_strings(cell))
    return _digest(frozenset({function.__module__}), names & _known_names())


@cache
def statement_digest(statement: Statement) -> str:
    """A digest of what a statement claims, and of what: words, notes and proofs do not count.

    >>> from dataclasses import replace
    >>> from bounds import sngm
    >>> digest = statement_digest(sngm.lemma_2)
    >>> statement_digest(replace(sngm.lemma_2, note="other words")) == digest
    True
    """
    content = (
        statement.claim, statement.assumptions, statement.algorithm, statement.prescription,
        statement.conditions, statement.rate, statement.trivial,
    )  # fmt: skip
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


@cache
def _known_names() -> frozenset[str]:
    keys = {key for key, _ in registry.statements()}
    return frozenset(keys | set(registry.rules()) | set(registry.families()))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield str(key)
            yield from _strings(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _strings(entry)


@cache
def _digest(roots: frozenset[str], named: frozenset[str]) -> str:
    digest = hashlib.sha256()
    modules = set(roots)
    stated = [s for (key, _), s in registry.statements().items() if key in named]
    for statement in stated:
        said = f"{statement.key} {statement.form} {statement_digest(statement)}\n"
        digest.update(said.encode())
    rules = {s.algorithm.rule for s in stated if s.algorithm} | (named & set(registry.rules()))
    modules |= {registry.rules()[name].__module__ for name in rules if name in registry.rules()}
    families = named & set(registry.families()) or set(registry.families())
    modules |= {registry.families()[name].build.__module__ for name in families}
    modules |= _plugged()
    digest.update(code_behind(frozenset(modules)).encode())
    return digest.hexdigest()[:16]


@cache
def code_behind(modules: frozenset[str]) -> str:
    """A digest of modules, all that they import, and the versions of the numerical libraries.

    >>> code_behind(frozenset({"theorylab.problem.objective"})) == code_behind(frozenset())
    False
    """
    digest = hashlib.sha256()
    for name in sorted(modules_behind(modules)):
        digest.update(f"{name} {meaning(name)}\n".encode())
    for package in _NUMERICS:
        if (number := _version(package)) is not None:
            digest.update(f"{package} {number}\n".encode())
    return digest.hexdigest()[:16]


# Read once: a catalogue has thousands of cells, and each of these takes tens of milliseconds.
@cache
def _plugged() -> frozenset[str]:
    return frozenset(p.module for g in _GROUPS for p in entry_points(group=f"theorylab.{g}"))


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def modules_behind(roots: frozenset[str]) -> frozenset[str]:
    """The roots and all that they import, within this project and the packages of the roots.

    >>> found = modules_behind(frozenset({"theorylab.judge.check"}))
    >>> "theorylab.judge.comparison" in found, "deep.training" in found
    (True, False)
    """
    packages = frozenset({*_OWN, *(name.split(".")[0] for name in roots)})
    found: set[str] = set()
    waiting = [name for name in roots if _source(name) is not None]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            waiting += _imports_of(name, packages)
        except SyntaxError:  # a plug-in that does not load: nothing depends on it
            continue
        found.add(name)
    return frozenset(found)


@cache
def _imports_of(name: str, packages: frozenset[str]) -> tuple[str, ...]:
    """The modules of these packages that a module imports."""
    known = (x for x in dict.fromkeys(_imports(name)) if x.split(".")[0] in packages)
    return tuple(x for x in known if _source(x) is not None)


@cache
def _source(name: str) -> Path | None:
    try:
        spec = find_spec(name)
    # No module, or __main__ of a session, or a plug-in whose package does not load.
    except (Exception, SystemExit):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


@cache
def _imports(name: str) -> tuple[str, ...]:
    path = _source(name)
    assert path is not None
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: list[str] = []
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement, without a look into expressions: there are many, and none imports."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, name, ()) if not isinstance(node, ast.expr) else ():
            yield child
            yield from _statements(child)


@cache
def meaning(name: str) -> str:
    """A digest of a module's compiled code: comments, docstrings and layout do not count."""
    path = _source(name)
    assert path is not None
    digest = hashlib.sha256()
    _add(digest, compile(path.read_bytes(), name, "exec", dont_inherit=True, optimize=2))
    return digest.hexdigest()


def _add(digest: Any, code: CodeType) -> None:
    parts = (code.co_name, code.co_code, code.co_exceptiontable, code.co_names, code.co_varnames,
             code.co_freevars, code.co_cellvars, code.co_flags, code.co_argcount,
             code.co_kwonlyargcount, code.co_posonlyargcount)  # fmt: skip
    digest.update(repr(parts).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add(digest, constant)
        else:
            digest.update(repr(_ordered(constant)).encode())


def _ordered(constant: Any) -> Any:
    """A set's order differs from process to process."""
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
