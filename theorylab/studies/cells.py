"""How a study names a statement in the cells of its store, registered or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bounds.statement import Statement
from theorylab.plugins import registry
from theorylab.plugins.code import statement_digest

__all__ = ["find", "name", "unregistered"]


def name(statement: Statement) -> dict[str, str]:
    """The part of a cell that says which statement: its key and form.

    The store covers a registered statement by its content; any other adds a digest of its own, so
    that the store never answers for another statement of the same name.

    Examples
    --------
    >>> from bounds import sngm
    >>> name(sngm.lemma_2)
    {'key': 'sngm.lemma_2', 'form': 'printed'}
    """
    table = {"key": statement.key, "form": statement.form}
    if _registered(statement):
        return table
    return table | {"digest": statement_digest(statement)}


def unregistered(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Those that a worker cannot find by name, and must be sent."""
    return tuple(s for s in statements if not _registered(s))


def find(cell: Mapping[str, Any], sent: Sequence[Statement] = ()) -> Statement:
    """The statement that a cell names: one of those sent, else the registered one."""
    for statement in sent if "digest" in cell else ():
        if name(statement) == {k: cell[k] for k in ("key", "form", "digest")}:
            return statement
    return registry.statements()[cell["key"], cell["form"]]


def _registered(statement: Statement) -> bool:
    return registry.statements().get((statement.key, statement.form)) is statement
