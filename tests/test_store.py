import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theorylab.errors import UsageError
from theorylab.plugins.code import code_of, modules_behind
from theorylab.plugins.files import safe_name, writing
from theorylab.plugins.store import (
    Cell,
    Damaged,
    Store,
    read_cell,
    read_json,
    writable,
    write_json,
)
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


def test_a_damaged_file_is_set_aside_and_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    whole = compute(square, CELLS, store)
    path = store.path(CELLS[1], code_of(square, CELLS[1]))
    for n, damage in enumerate((b"{ not json", b"\xff\xfe\x00", b"[]", b"3", b"")):
        path.write_bytes(damage)
        capsys.readouterr()
        assert compute(square, CELLS, store) == whole
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "1 damaged results" in said
        aside = path.with_name(path.name + ".damaged" + (f"-{n + 1}" if n else ""))
        assert aside.read_bytes() == damage


SMALL: Cell = {"x": 1, "in": {"9": 0.1, "10": None}}


@pytest.fixture
def small(tmp_path: Path) -> tuple[Store, Path, bytes]:
    store = Store(tmp_path)
    store.put(SMALL, {"y": [0.5, "a"]}, "c0de")
    path = store.path(SMALL, "c0de")
    return store, path, path.read_bytes()


def test_every_flipped_bit_is_seen(small: tuple[Store, Path, bytes]) -> None:
    store, path, whole = small
    assert json.loads(whole)["result"] == {"y": [0.5, "a"]}
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(Damaged):
            read_cell(path)
    path.write_bytes(whole)
    assert store.get(SMALL, "c0de") == {"y": [0.5, "a"]}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_cut_off_or_overwritten_is_seen(
    small: tuple[Store, Path, bytes], data: st.DataObject
) -> None:
    _, path, whole = small
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start + 1, len(whole)))
    put = data.draw(st.binary(max_size=20).filter(lambda b: b != whole[start:end]))
    path.write_bytes(whole[:start] + put + whole[end:])
    with pytest.raises(Damaged):
        read_cell(path)


def test_a_retyped_cell_is_seen(small: tuple[Store, Path, bytes]) -> None:
    _, path, whole = small
    table = json.loads(whole)
    path.write_text(json.dumps(table, indent=1) + "\n")  # the same content, in other bytes
    with pytest.raises(Damaged, match="checksum"):
        read_cell(path)


def test_a_cell_copied_over_another_is_not_its_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    whole = compute(square, CELLS, store)
    one, two = (store.path(c, code_of(square, c)) for c in CELLS[1:3])
    shutil.copyfile(one, two)
    with pytest.raises(Damaged, match="it holds another cell"):
        read_cell(two)
    assert compute(square, CELLS, store) == whole
    assert read_cell(two).cell == CELLS[2]


def test_keys_that_are_numbers_are_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = {"x": {9: 1, 10: 2}}
    store.put(cell, 3)
    assert store.get(cell) == 3


def test_temporary_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    script = ("import os, sys; from pathlib import Path\n"
              "from theorylab.plugins.files import writing\n"
              "with writing(Path(sys.argv[1])) as stream:\n"
              "    stream.write(b'half'); stream.flush(); os.kill(os.getpid(), 9)")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script, str(folder / "a.json")], check=False)
    assert done.returncode == -9
    with writing(folder / "b.json") as stream:  # another writer, at work
        stream.write(b"{}")
        assert len(list(folder.glob(".*.tmp"))) == 2
        Store(tmp_path)
        assert len(list(folder.glob(".*.tmp"))) == 1
    assert [p.name for p in folder.iterdir()] == ["b.json"]


@pytest.mark.parametrize("limit", [0, 1, 1000])
def test_a_full_disk_leaves_the_old_page(tmp_path: Path, limit: int) -> None:
    page = tmp_path / "page.md"
    page.write_text("old")
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from theorylab.plugins.files import write_text\n"
        "from theorylab.errors import UsageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try: write_text(Path(sys.argv[1]), 'new' * 1000)\n"
        "except UsageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(page)], check=True,
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout == f"cannot write {page}: File too large\n"
    assert page.read_text() == "old"
    assert os.listdir(tmp_path) == ["page.md"]


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/b", "a\nb", '"', "[bold]", "", ".", "é"])
def test_a_name_never_leaves_its_folder(name: str) -> None:
    made = safe_name(name)
    assert re.fullmatch(r"[\w\-=,+.]+", made, re.ASCII)
    assert not made.startswith(".")
    assert safe_name(name + " ") != made


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
