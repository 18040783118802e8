"""``theorylab results``: what lies in a folder is listed, verified, exported and pruned."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from deep import checkpoint
from theorylab.cli import build
from theorylab.errors import UsageError
from theorylab.plugins.store import Store, read_json, write_sealed
from theorylab.studies.results import export, prune, results, show

CELL = {"kind": "check", "key": "sngm.lemma_2", "seed": 1}


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(build(), ["results", *arguments])
    if isinstance(result.exception, UsageError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = Store(tmp_path / "verify")
    store.put(CELL, {"verdict": "holds", "interval": [0.1, None], "note": "=1+1"}, "old")
    store.put({**CELL, "seed": 2}, {"verdict": "violated", "ratio": 2.5}, "old")
    made = {"provenance": {"command": "theorylab verify", "code": "c0de"}, "results": []}
    (store.root / "results.json").write_text(json.dumps(made))
    checkpoint.save(tmp_path / "train" / "checkpoint.pt", {"w": torch.ones(2)})
    (tmp_path / "notes.txt").write_text("mine")
    return tmp_path


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_everything_is_listed_and_verified(folder: Path) -> None:
    kinds = [(item.kind, item.what) for item in results(folder)]
    assert sorted(kinds) == [("cell", "check sngm.lemma_2, seed 1"),
                             ("cell", "check sngm.lemma_2, seed 2"),
                             ("checkpoint", ""), ("report", "theorylab verify")]  # fmt: skip
    assert "check sngm.lemma_2, seed 2" in call("ls", str(folder))
    assert call("verify", str(folder)) == "2 cells, 1 report, 1 checkpoint; 0 damaged\n" or (
        "0 damaged" in call("verify", str(folder))
    )
    flip(folder / "train" / "checkpoint.pt", 50)
    flip(next((folder / "verify" / "cells").iterdir()), 50)
    text = call("verify", str(folder), code=1)
    assert text.count("its checksum does not fit") == 2
    table = json.loads(call("ls", str(folder), "--json"))
    assert sum(bool(row["fault"]) for row in table["results"]) == 2


def test_a_report_that_was_edited_is_noticed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "verify" / "results.json"
    table = json.loads(path.read_text()) | {"results": [{"verdict": "holds"}]}
    write_sealed(path, table)
    assert read_json(path, "theorylab verify") == table
    assert results(folder).faulty == ()
    assert capsys.readouterr().err == ""
    whole = path.read_text()
    for edited in (whole.replace("holds", "violated"), json.dumps(json.loads(whole)), whole + " "):
        path.write_text(edited)
        with pytest.raises(UsageError, match="was edited"):
            read_json(path, "theorylab verify")
        assert [item.kind for item in results(folder).faulty] == ["report"]
        with pytest.raises(UsageError, match="is damaged: its checksum does not fit"):
            show(folder, "verify/results.json")
    path.write_text(json.dumps(table))  # as an older version wrote it
    assert read_json(path, "theorylab verify") == table
    said = capsys.readouterr().err
    assert said == f"{path} carries no checksum: nothing tells whether it was edited\n"


def test_text_of_results_moves_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_sealed(path, {"a": "x\x1b[31m\ud800", "b": [{"\u202e": "\x9b"}], "c": "é\n", "d": 1})
    told = {"a": r"x\x1b[31m\ud800", "b": [{r"\u202e": r"\x9b"}], "c": "é\n", "d": 1}
    assert read_json(path, "theorylab verify") == told


def test_one_is_shown(folder: Path) -> None:
    path = Store(folder / "verify").path(CELL, "old")
    assert show(folder, path.name[:8])["result"]["verdict"] == "holds"
    shown = json.loads(call("show", str(folder), f"verify/cells/{path.name}"))
    assert shown["cell"] == CELL
    with pytest.raises(UsageError, match="are called 'zz'"):
        show(folder, "zz")
    with pytest.raises(UsageError, match="2 results in"):
        show(folder / "verify" / "cells", "")


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_cells_are_exported(folder: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    target = folder / f"cells.{ending}"
    assert call("export", str(folder), "--to", str(target)) == f"2 cells: {target}\n"
    read: Any = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[ending]
    frame = read(target).sort_values("cell.seed")
    assert frame["result.verdict"].tolist() == ["holds", "violated"]
    assert frame["result.ratio"].tolist()[1] == 2.5
    assert json.loads(frame["result.interval"].tolist()[0]) == [0.1, None]
    assert frame["result.note"].tolist()[0] == ("'=1+1" if ending == "csv" else "=1+1")


def test_what_nothing_reads_again_is_pruned(folder: Path) -> None:
    store = Store(folder / "verify")
    store.put(CELL, {"verdict": "holds"}, "new")
    old, new, other = (store.path(*c) for c in ((CELL, "old"), (CELL, "new"),
                                                ({**CELL, "seed": 2}, "old")))  # fmt: skip
    aside = folder / "train" / "checkpoint.pt.damaged-2"
    aside.write_text("")
    doomed = {path.relative_to(folder).as_posix() for path in (old, aside)}
    assert set(prune(folder, dry_run=True)) == doomed
    assert old.exists()
    assert "2 files removed" in call("prune", str(folder))
    assert not old.exists()
    assert not aside.exists()
    assert new.exists()
    assert other.exists()
    assert (folder / "notes.txt").exists()


def test_what_is_missing_is_one_line(folder: Path) -> None:
    cases = (
        (("ls", str(folder / "absent")), "no results at"),
        (("show", str(folder)), "needs a name"),
        (("export", str(folder)), "needs a file"),
        (("export", str(folder), "--to", "a.xls"), "results are exported as"),
    )
    for action, message in cases:
        with pytest.raises(UsageError, match=message):
            call(*action)
    with pytest.raises(UsageError, match="cannot write"):
        export(folder, folder / "notes.txt" / "cells.csv")
