"""``Database``: counterexamples that were found, for the next hunt to try first.

What is kept is where to look, never a verdict: a hunt measures each instance again and confirms
it in full, like any other. So an edit of the statement, another version of this program or a
file from elsewhere can cost a measurement, and nothing else. A file holds JSON and a checksum
(:class:`theorylab.plugins.store.Store`); nothing in it is run.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from bounds.statement import Statement
from theorylab.errors import printable
from theorylab.hunt.instance import Instance
from theorylab.hunt.search import Hunt
from theorylab.plugins.files import safe_name, set_aside
from theorylab.plugins.sealed import Damaged
from theorylab.plugins.specs import DATA_FAMILY, Spec, build_objective
from theorylab.plugins.store import Store, read_cell

__all__ = ["Database"]

_MOST = 8  # instances tried of one statement
_LARGEST = 100_000  # whole number among an objective's parameters


@final
@dataclass(frozen=True)
class Database:
    """Counterexamples in a folder, those of one statement together.

    Attributes
    ----------
    folder : Path

    Examples
    --------
    >>> import tempfile
    >>> from bounds import Claim, Statement
    >>> from bounds.notation import beta
    >>> from theorylab.hunt.search import hunt
    >>> false = Statement("demo.false", "Remark", "printed", Claim(1 / (1 - beta), "<=", 3))
    >>> kept = Database(Path(tempfile.mkdtemp()))
    >>> kept.keep(hunt(false, limit=20))
    >>> found = hunt(false, limit=20, start=kept.starts(false))
    >>> found.verdict, found.how, found.evaluations
    ('violated', 'kept', 1)
    """

    folder: Path

    def starts(
        self, statement: Statement, specs: Sequence[Spec] | None = None
    ) -> tuple[Instance, ...]:
        """What was found against the statement, or its other form: where it failed most first.

        The order depends on the files' content alone. Damaged files are set aside, with a line on
        stderr; what is no instance is passed over.

        Parameters
        ----------
        statement : Statement
        specs : sequence of mapping, optional
            The only objectives that are asked about.
        """
        found = []
        for path, cell, result in self._cells(statement.key):
            instance = _instance(cell.get("instance"))
            if instance is None or not _among(instance.spec, specs) or not _builds(instance.spec):
                continue
            ratio = result.get("ratio") if isinstance(result, Mapping) else None
            size = ratio if isinstance(ratio, int | float) and math.isfinite(ratio) else 0.0
            found.append((cell.get("form") != statement.form, -size, path.name, instance))
        found.sort(key=lambda entry: entry[:3])
        return tuple(entry[3] for entry in found[:_MOST])

    def keep(self, hunt: Hunt) -> None:
        """Keep the instance of a hunt that ended in ``violated``; any other adds nothing.

        Raises
        ------
        UsageError
            If it cannot be written.
        """
        if hunt.verdict != "violated" or hunt.instance is None or hunt.best is None:
            return
        cell = {"kind": "counterexample", "key": hunt.key, "form": hunt.form,
                "instance": hunt.instance.to_json()}  # fmt: skip
        best = hunt.best.to_json()
        seen = {name: best[name] for name in ("ratio", "measured", "bound", "objective")}
        store = Store(self.folder / safe_name(hunt.key))
        if not store.path(cell).exists():
            store.put(cell, {**seen, "how": hunt.how})

    def _cells(self, key: str) -> Iterator[tuple[Path, Mapping[str, Any], Any]]:
        for path in sorted((self.folder / safe_name(key) / "cells").glob("*.json")):
            try:
                kept = read_cell(path)
            except Damaged as reason:
                target = set_aside(path)
                print(f"a kept counterexample is set aside, as {printable(target, 500)}: {reason}",
                      file=sys.stderr)  # fmt: skip
                continue
            except FileNotFoundError:  # another process took it away
                continue
            if isinstance(kept.cell, Mapping) and kept.cell.get("key") == key:
                yield path, kept.cell, kept.result


def _instance(table: Any) -> Instance | None:
    """The instance that a table from anywhere describes; ``None`` if it describes none."""
    if not isinstance(table, Mapping):
        return None
    try:
        instance = Instance.from_json({"spec": None, **table})
    except (ValueError, KeyError, TypeError):
        return None
    return instance if _sound(instance) else None


def _sound(instance: Instance) -> bool:
    """Whether its numbers are finite, and its counts such as a function can be built of."""
    spec = instance.spec or {}
    parameters = spec.get("parameters", {})
    numbers = (*instance.values.values(), *instance.course.values(), instance.a, instance.b)
    return (
        all(abs(x) <= sys.float_info.max for x in numbers)
        and 0 <= instance.seed < 2**63 and min(instance.a, instance.b) > 0
        and isinstance(parameters, Mapping)
        and all(abs(x) <= _LARGEST for x in parameters.values() if isinstance(x, int))
    )  # fmt: skip


def _builds(spec: Spec | None) -> bool:
    if spec is None:
        return True
    try:
        return build_objective(spec) is not None
    except Exception:  # of a family that is gone, or parameters that never were its own
        return False


def _among(spec: Spec | None, specs: Sequence[Spec] | None) -> bool:
    """Whether an objective is one of those that are asked about: of a family, or of those data."""
    if spec is None or specs is None:
        return True
    return any(
        spec["family"] == other["family"]
        and (spec["family"] != DATA_FAMILY or all(
            spec.get("parameters", {}).get(name) == other.get("parameters", {}).get(name)
            for name in ("source", "digest", "target")))
        for other in specs
    )  # fmt: skip
