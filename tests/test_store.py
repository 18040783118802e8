import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from theorylab.errors import UsageError
from theorylab.plugins.code import code_of, modules_behind
from theorylab.plugins.store import Store, read_json, writable, write_json
from theorylab.studies.compute import compute


def square(cell: Any) -> Any:
    log = cell.get("log")
    if log:
        with open(log, "a") as stream:
            stream.write(f"{cell['x']}\n")
    return {"y": cell["x"] ** 2}


CELLS = [{"x": k} for k in range(6)]


def test_results_come_in_cell_order_for_any_number_of_jobs(tmp_path: Path) -> None:
    one = compute(square, CELLS, Store(tmp_path / "a"), jobs=1)
    two = compute(square, CELLS, Store(tmp_path / "b"), jobs=2)
    assert list(one) == list(two) == [{"y": k**2} for k in range(6)]
    names = [sorted(p.name for p in (tmp_path / d / "cells").iterdir()) for d in "ab"]
    assert names[0] == names[1]


def test_a_second_run_does_only_what_is_missing(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    cells = [{"x": k, "log": log} for k in range(4)]
    compute(square, cells[:2], Store(tmp_path), jobs=1)
    compute(square, cells, Store(tmp_path), jobs=1)
    assert Path(log).read_text().split() == ["0", "1", "2", "3"]


def test_a_damaged_file_counts_as_missing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put({"x": 1}, {"y": 1})
    for damage in (b"{ not json", b"\xff\xfe\x00", b"[]", b"3"):
        store.path({"x": 1}).write_bytes(damage)
        assert store.get({"x": 1}) is None


def test_a_spent_budget_starts_nothing(tmp_path: Path) -> None:
    assert list(compute(square, CELLS, Store(tmp_path), budget=0.0)) == [None] * 6


def test_write_json_is_all_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(target, {"a": float("nan")})
    assert json.loads(target.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["out.json"]


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--jobs"):
        compute(square, CELLS, Store(tmp_path), jobs=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        Store(tmp_path / "file")


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "out.json", tmp_path):
        with pytest.raises(UsageError, match=f"cannot write {target}"):
            writable(target)
        with pytest.raises(UsageError, match=f"cannot write {target}"):
            write_json(target, {})
    assert writable(tmp_path / "new" / "out.json").parent.is_dir()
    assert os.listdir(tmp_path / "new") == []


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `theorylab verify` first"):
        read_json(tmp_path / "absent.json", "theorylab verify")
    with pytest.raises(UsageError, match="cannot be read"):
        read_json(tmp_path, "theorylab verify")


# --- what a stored result depends on --------------------------------------------------------------
PACKAGE = {
    "__init__.py": "",
    "work.py": '"""Doc."""\nfrom .help import twice\n\ndef cell(c):\n    return twice(c["x"])\n',
    "help.py": "def twice(x):\n    return 2 * x\n",
    "other.py": "LIMIT = 3\n",
}


def digest_in_a_new_process(folder: Path) -> str:
    code = ("from theorylab.plugins.code import code_of; from demo.work import cell; "
            "print(code_of(cell, {'x': 1, 'objective': {'family': 'quadratic'}}))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(folder)})  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("file", "old", "new", "voids"),
    [
        ("work.py", '"""Doc."""', '"""Another doc."""\n# and a comment', False),
        ("other.py", "3", "4", False),
        ("help.py", "2 * x", "3 * x", True),
        ("work.py", 'c["x"]', 'c["x"] + 1', True),
    ],
)
def test_only_the_code_behind_a_cell_voids_its_result(
    tmp_path: Path, file: str, old: str, new: str, voids: bool
) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    for name, text in PACKAGE.items():
        (folder / name).write_text(text)
    before = digest_in_a_new_process(tmp_path)
    (folder / file).write_text(PACKAGE[file].replace(old, new))
    assert (digest_in_a_new_process(tmp_path) != before) == voids


def test_a_cell_depends_on_the_statement_and_family_that_it_names() -> None:
    named = [
        {"key": key, "objective": {"family": family}}
        for key in ("sngm.theorem_1", "sngm.lemma_1")
        for family in ("quadratic", "relaxed_smooth")
    ]
    assert len({code_of(square, cell) for cell in named}) == 4
    assert "deep.training" not in modules_behind(frozenset({"theorylab.studies.verify"}))
