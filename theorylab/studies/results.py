"""What a folder of results holds: cells, reports, checkpoints, and what was set aside."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, final

import pandas as pd

from theorylab.errors import UsageError
from theorylab.plugins.files import clear_leftovers, left_at_work, writing
from theorylab.plugins.provenance import provenance
from theorylab.plugins.sealed import Damaged, opened, read_bytes
from theorylab.plugins.store import Kept, read_cell, read_json, sealed_table
from theorylab.regular import regular_bytes
from theorylab.studies.compute import title
from theorylab.studies.report import Report

__all__ = ["Item", "ResultsReport", "export", "prune", "results", "show"]

_ASIDE = re.compile(r"\.(damaged|other)(-\d+)?$")
_LARGEST = 100_000_000  # bytes of a report that is looked into


@final
@dataclass(frozen=True)
class Item:
    """One file of a results folder.

    Attributes
    ----------
    path : str
        Relative to the folder.
    kind : str
        ``cell``, ``report``, ``checkpoint`` or ``set aside``.
    what : str
        The cell's name, or the command that made the report.
    code : str
        The digest of the code behind it, where that is known.
    bytes : int
    fault : str
        Why it cannot be trusted; empty if its checksum fits, or a report has none.
    """

    path: str
    kind: str
    what: str
    code: str
    bytes: int
    fault: str = ""


@final
@dataclass(frozen=True)
class ResultsReport(Report):
    """Every file of a results folder that theorylab wrote, its checksum verified.

    Attributes
    ----------
    folder : Path
    items : tuple of Item
    """

    folder: Path
    items: tuple[Item, ...]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def faulty(self) -> tuple[Item, ...]:
        """Those that cannot be trusted and were not set aside."""
        return tuple(item for item in self.items if item.fault)

    def to_pandas(self) -> pd.DataFrame:
        heads = [f.name for f in fields(Item)]
        return pd.DataFrame([asdict(item) for item in self.items], columns=heads)

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, "provenance": dict(provenance()),
                "results": [asdict(item) for item in self.items]}  # fmt: skip


def results(folder: Path | str) -> ResultsReport:
    """What lies in a folder of results and in folders inside it.

    Raises
    ------
    UsageError
        If there is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> from theorylab.plugins.store import Store
    >>> store = Store(tempfile.mkdtemp())
    >>> store.put({"kind": "check", "key": "sngm.lemma_2"}, {"y": 2})
    >>> [(item.kind, item.what, item.fault) for item in results(store.root)]
    [('cell', 'check sngm.lemma_2', '')]
    """
    folder = _folder(folder)
    found = (_item(folder, path) for path in sorted(folder.rglob("*")) if path.is_file())
    return ResultsReport(folder, tuple(item for item in found if item is not None))


def _folder(folder: Path | str) -> Path:
    if not Path(folder).is_dir():
        raise UsageError(f"no results at {folder}; run `theorylab verify` first")
    return Path(folder)


def _item(folder: Path, path: Path) -> Item | None:
    kind, what, code, fault = "", "", "", ""
    try:
        if _ASIDE.search(path.name):
            kind = "set aside"
        elif path.name == "checkpoint.pt":
            kind = "checkpoint"
            opened(read_bytes(path))
        elif path.suffix == ".json" and path.parent.name == "cells":
            kind = "cell"
            kept = read_cell(path)
            what, code = title(kept.cell), kept.code
        elif path.suffix == ".json" and (made := _made(path)) is not None:
            kind, what, code = "report", str(made.get("command", "")), str(made.get("code", ""))
    except Damaged as reason:
        kind, fault = kind or "report", str(reason)
    except OSError:  # another process took it away
        return None
    if not kind:
        return None
    return Item(path.relative_to(folder).as_posix(), kind, _plain(what), _plain(code),
                path.stat().st_size, fault)  # fmt: skip


def _made(path: Path) -> Mapping[str, Any] | None:
    """A report's provenance; ``None`` for a file of another kind.

    Raises
    ------
    Damaged
        If its checksum does not fit.
    """
    if path.stat().st_size > _LARGEST:
        return {"command": "larger than 100 MB, not looked into"}
    try:
        table, _ = sealed_table(regular_bytes(path))
    except (ValueError, RecursionError):
        return None
    made = table.get("provenance") if isinstance(table, Mapping) else None
    return made if isinstance(made, Mapping) else None


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def show(folder: Path | str, name: str) -> dict[str, Any]:
    """One cell or report, whole; ``name`` is its path or the beginning of its file's name.

    Raises
    ------
    UsageError
        If no file, or more than one, is called so; or it is damaged.
    """
    folder = _folder(folder)
    known = [item for item in results(folder) if item.kind in ("cell", "report")]
    found = [item for item in known if item.path == name] or [
        item for item in known if item.path.split("/")[-1].startswith(name)
    ]
    if len(found) != 1:
        raise UsageError(f"{len(found) or 'no'} results in {folder} are called {name!r}"
                         + "".join(f"; {item.path}" for item in found[:3]))  # fmt: skip
    path = folder / found[0].path
    if found[0].fault:
        raise UsageError(f"{path} is damaged: {found[0].fault}")
    if found[0].kind == "report":
        return dict(read_json(path, "theorylab verify"))
    return asdict(read_cell(path))


def export(folder: Path | str, target: Path | str) -> int:
    """Write every finished cell as a row of a table: ``.csv``, ``.parquet`` or ``.json``.

    What a cell and its result hold gets a column each, ``cell.key`` or ``result.verdict``; a list
    is JSON in its column. Damaged cells are left out.

    Returns
    -------
    int
        How many rows.

    Raises
    ------
    UsageError
        If there is no such folder, or the file cannot be written.
    """
    folder, target = _folder(folder), Path(target)
    writers = {".csv": _csv, ".json": _json, ".parquet": _parquet}
    if target.suffix not in writers:
        raise UsageError(f"results are exported as {', '.join(writers)}; got {target.name!r}")
    rows = [{"file": path.name, "code": kept.code} | _flat("cell", kept.cell)
            | _flat("result", kept.result) for path, kept in _cells(folder)]  # fmt: skip
    data = writers[target.suffix](rows)
    with writing(target) as stream:
        stream.write(data)
    return len(rows)


def _cells(folder: Path) -> Iterator[tuple[Path, Kept]]:
    for path in sorted(folder.rglob("cells/*.json")):
        try:
            yield path, read_cell(path)
        except (Damaged, OSError):
            continue


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {k: v for key in value for k, v in _flat(f"{name}.{key}", value[key]).items()}
    return {name: json.dumps(value) if isinstance(value, list) else value}


def _csv(rows: list[dict[str, Any]]) -> bytes:
    # A spreadsheet would run a text that begins so.
    guarded = [{k: f"'{v}" if isinstance(v, str) and v[:1] in tuple("=+-@\t\r") else v
                for k, v in row.items()} for row in rows]  # fmt: skip
    return str(pd.DataFrame(guarded).to_csv(index=False)).encode()


def _json(rows: list[dict[str, Any]]) -> bytes:
    return (json.dumps(rows, indent=1, allow_nan=False) + "\n").encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    frame = pd.DataFrame(rows)
    for name in (name for name, kind in frame.dtypes.items() if kind.kind == "O"):
        kinds = {type(v) for v in frame[name] if v is not None and v == v}
        if len(kinds) > 1:  # a column of a Parquet file has one type
            frame[name] = [None if v is None or v != v else str(v) for v in frame[name]]
    try:
        return frame.to_parquet(None, index=False)
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install pyarrow") from None


def prune(folder: Path | str, *, dry_run: bool = False) -> tuple[str, ...]:
    """Remove what no command reads again; the paths, relative to the folder.

    That is what was set aside, what killed writers left, and a cell's results by older code where
    there is one by newer code. Whole results of other settings or data stay.

    Parameters
    ----------
    dry_run : bool
        Say what would be removed, and remove nothing.

    Raises
    ------
    UsageError
        If there is no such folder, or a file cannot be removed.
    """
    folder = _folder(folder)
    doomed = [path for path in sorted(folder.rglob("*")) if path.is_file()
              and _ASIDE.search(path.name)]  # fmt: skip
    versions: dict[str, list[Path]] = defaultdict(list)
    for path, kept in _cells(folder):
        versions[str(path.parent) + json.dumps(kept.cell, sort_keys=True)].append(path)
    for paths in versions.values():
        newest = max(paths, key=lambda path: path.stat().st_mtime_ns)
        doomed += [path for path in paths if path != newest]
    folders = (folder, *(path for path in folder.rglob("*") if path.is_dir()))
    doomed += [mark for inner in folders for mark in left_at_work(inner).values()]
    if not dry_run:
        for inner in folders:
            clear_leftovers(inner)
        for path in doomed:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise UsageError(f"cannot remove {path}: {error.strerror or error}") from error
    return tuple(path.relative_to(folder).as_posix() for path in doomed)
