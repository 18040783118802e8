"""Which registered statements a choice of keys, paper and form names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from theorylab.errors import UsageError
from theorylab.plugins import registry

if TYPE_CHECKING:
    from bounds.statement import Form, Statement

__all__ = ["select", "select_from"]

_S = TypeVar("_S")


def select(keys: Sequence[str], paper: str | None, form: str) -> list[Statement]:
    """The statements that ``keys`` (or prefixes of keys) and a paper name, in both forms or one.

    Where a statement needed no repair, its printed form stands for the repaired one too.

    Parameters
    ----------
    keys : sequence of str
        All statements, if empty.
    paper : str, optional
    form : "printed", "repaired" or "both"

    Raises
    ------
    UnknownNameError
        If there is no such key or paper.
    UsageError
        If a key is of another paper.

    Examples
    --------
    >>> [(s.key, s.form) for s in select(["sngm.theorem_1"], None, "both")]
    [('sngm.theorem_1', 'printed'), ('sngm.theorem_1', 'repaired')]
    """
    return select_from(registry.statements(), keys, paper, form)


def select_from(
    table: Mapping[tuple[str, Form], _S], keys: Sequence[str], paper: str | None, form: str
) -> list[_S]:
    """Likewise of any table by key and form: of a list of statements, say.

    >>> select_from({("a.x", "printed"): 1, ("a.x", "repaired"): 2, ("a.y", "printed"): 3},
    ...             [], None, "repaired")
    [2, 3]
    """
    every = list(dict.fromkeys(key for key, _ in table))
    papers = list(dict.fromkeys(key.split(".", 1)[0] for key in every))
    if paper is not None and paper not in papers:
        raise registry.unknown("paper", paper, papers)
    chosen = [key for key in every if paper is None or key.split(".", 1)[0] == paper]
    if keys:
        wanted: list[str] = []
        for key in keys:
            hits = [k for k in chosen if k == key or k.startswith((f"{key}_", f"{key}."))]
            exact = [k for k in chosen if k == key]
            if not hits:
                if any(k == key or k.startswith((f"{key}_", f"{key}.")) for k in every):
                    raise UsageError(f"{key} is not in the paper {paper}: leave --paper out")
                registry.statement(key)  # raises, with the nearest names
            wanted += exact or hits
        chosen = list(dict.fromkeys(wanted))
    found: list[_S] = []
    for key in chosen:
        printed, repaired = (table.get((key, f)) for f in ("printed", "repaired"))
        wanted_forms = {"printed": [printed], "repaired": [repaired or printed]}.get(
            form, [printed, repaired]
        )
        found += [statement for statement in wanted_forms if statement is not None]
    return found
