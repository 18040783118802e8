"""Own data in every shape that people have it in: the same numbers, or refused in a line."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_shapes import FRAME, REFUSALS, SHAPES, TABLE, X, Y, lines, text, zipped

import deep.data
import paper_figures.cli
import theorylab.studies.falsify
import theorylab.studies.stability
import theorylab.studies.verify
from synthetic.data_backed import dataset_objective
from synthetic.margin_sum import MarginSum
from theorylab.cli import main
from theorylab.data import content, formats
from theorylab.data.reader import bundled_dataset, load
from theorylab.data.record import Choices
from theorylab.errors import DataError, UnknownNameError, UsageError
from theorylab.plugins.specs import build_objective, objective_specs, readings


def written(shape: Any, folder: Path) -> Path:
    if shape.needs and importlib.util.find_spec(shape.needs) is None:
        path = folder / shape.name
        path.write_bytes(b"PAR1" if shape.needs == "pyarrow" else b"PK")
        with pytest.raises(DataError, match=r"pip install 'theorylab\[(parquet|excel)\]'"):
            load(path)
        pytest.skip(f"{shape.needs} is not installed: the line that says so was checked")
    shape.write(folder / shape.name)
    return folder / shape.name


def test_there_are_at_least_23_shapes() -> None:
    assert len(SHAPES) >= 23


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_read_to_the_same_numbers(tmp_path: Path, name: str) -> None:
    shape = SHAPES[name]
    path = written(shape, tmp_path)
    data = load(path, **shape.options)
    np.testing.assert_allclose(data.X, X, rtol=0 if shape.exact else 1e-15)
    np.testing.assert_array_equal(data.y, Y)
    reading = data.reading
    assert reading is not None
    assert shape.said in str(reading)
    assert "\n" not in str(reading)
    assert (reading.rows, reading.features) == X.shape
    assert reading.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert json.loads(json.dumps(reading.to_json()))["sha256"] == reading.sha256


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    refusal = REFUSALS[name]
    path = tmp_path / refusal.name
    refusal.write(path)
    with pytest.raises(UsageError, match=refusal.line) as caught:
        load(path, **refusal.options)
    message = str(caught.value)
    assert message.isprintable()
    assert refusal.name in message or name == "wrong word"


COMMANDS = {
    "verify": (theorylab.studies.verify, "verify", ("verify", "sngm.theorem_1")),
    "falsify": (theorylab.studies.falsify, "falsify", ("falsify", "sngm.theorem_1")),
    "stability": (theorylab.studies.stability, "stability", ("stability",)),
    "figure": (paper_figures.cli.theory, "each", ("figure", "sngm.theorem_1")),
}


class Stop(UsageError):
    """In place of a study."""


def through(
    command: str, monkeypatch: pytest.MonkeyPatch, path: Path, options: Any
) -> tuple[list[Any], int]:
    """The objectives that a command runs on, and its exit code."""
    module, study, words = COMMANDS[command]
    met: list[Any] = []

    def stop(*positional: Any, **named: Any) -> None:
        given = named.get("specs") or positional[1]
        met.extend([given] if isinstance(given, dict) else given)
        raise Stop("stopped by the test")

    monkeypatch.setattr(module, study, stop)
    said = dict(options)
    column = ("--target", said.pop("target")) if "target" in said else ()
    sets = ("--set", ",".join(f"{k}={v}" for k, v in said.items())) if said else ()
    out = ("--out", str(path.parent / "out"))
    monkeypatch.setattr("sys.argv", ["x", *words, "--data", str(path), *column, *sets, *out])
    with pytest.raises(SystemExit) as exit_:
        main()
    return met, int(str(exit_.value.code))


@pytest.mark.parametrize("name", SHAPES)
def test_every_command_reads_every_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    shape = SHAPES[name]
    path = written(shape, tmp_path)
    expected = None
    for command in COMMANDS:
        met, code = through(command, monkeypatch, path, shape.options)
        objective = build_objective(met[0])
        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        assert err.splitlines() == [f"data: {objective.data}", "error: stopped by the test"]
        assert shape.said in err
        expected = expected or objective
        assert objective is expected  # one reading of one file
        assert isinstance(objective, MarginSum)
        gap = 0.0 if shape.exact else 1e-14
        np.testing.assert_allclose(objective.A, dataset_objective(FRAME).A, rtol=gap, atol=gap)


SMALL = [name for name, refusal in REFUSALS.items() if "limit" not in refusal.options]


@pytest.mark.parametrize("command", [*COMMANDS, "train", "compare"])
def test_every_command_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:  # fmt: skip
    for name in SMALL:
        refusal = REFUSALS[name]
        path = tmp_path / name / refusal.name
        path.parent.mkdir()
        refusal.write(path)
        if command in COMMANDS:
            met, code = through(command, monkeypatch, path, refusal.options)
            assert met == []
        else:
            monkeypatch.setattr("sys.argv", ["x", command, "--data", str(path)])
            with pytest.raises(SystemExit) as exit_:
                main()
            code = int(str(exit_.value.code))
        out, err = capsys.readouterr()
        assert (code, out) == (2, ""), name
        assert err.count("\n") == 1, name
        assert err.strip().isprintable(), name


def test_networks_take_no_table() -> None:
    with pytest.raises(UnknownNameError, match="a table of your own is for verify, falsify"):
        deep.data.dataset("mine.csv")


def test_pandas_and_polars_frames() -> None:
    data = load(FRAME)
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.y, Y)
    named = FRAME.set_axis([f"r{i}" for i in range(len(FRAME))]).rename_axis("who")
    reading = load(named).reading
    assert reading is not None
    assert reading.index == "who"
    objective = dataset_objective(FRAME, "logistic")
    assert objective.data is not None
    assert len(objective.data.sha256) == 64
    with pytest.raises(DataError, match="expected a path or a pandas or polars frame, got list"):
        load([1, 2])
    polars = pytest.importorskip("polars")
    other = polars.DataFrame({name: FRAME[name].tolist() for name in FRAME})
    np.testing.assert_array_equal(load(other).X, X)
    np.testing.assert_array_equal(load(other, target="y").y, Y)
    with pytest.raises(DataError, match=r"call \.collect\(\) first"):
        load(other.lazy())


@pytest.mark.parametrize(("package", "name"), [("pyarrow", "x.parquet"), ("openpyxl", "x.xlsx")])
def test_a_missing_engine_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda wanted: None)
    (tmp_path / name).write_bytes(b"PAR1" if "parquet" in name else b"PK")
    with pytest.raises(DataError, match=f"needs {package}: pip install 'theorylab"):
        load(tmp_path / name)


def gaps() -> str:
    table: list[list[Any]] = [list(map(repr, r)) for r in TABLE.tolist()]
    table[4][1] = table[7][1] = table[9][2] = ""
    return lines(header="a,b,c,y", table=table)


@pytest.mark.parametrize("how", ["mean", "median"])
def test_missing_values_are_filled_on_request(tmp_path: Path, how: str) -> None:
    path = tmp_path / "mine.csv"
    text(gaps())(path)
    data = load(path, impute=how)
    assert "3 missing values filled by the column's " + how in str(data.reading)
    kept = np.delete(X[:, 1], [4, 7])
    assert data.X[4, 1] == pytest.approx(getattr(np, how)(kept), rel=1e-14)
    np.testing.assert_array_equal(data.X[:, 0], X[:, 0])


def test_text_columns_are_one_hot_on_request(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    kinds = ["red", "green", "blue"] * 8
    FRAME.assign(c=kinds).to_csv(path, index=False)
    data = load(path, text="one_hot")
    expected = np.array([[k == v for v in ("blue", "green", "red")] for k in kinds], float)
    np.testing.assert_array_equal(data.X, np.column_stack([X[:, :2], expected]))
    assert "c one-hot (3 columns)" in str(data.reading)


def test_constants_and_duplicates_are_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    frame = FRAME.assign(still=3.0, twin=FRAME["a"])[["a", "still", "twin", "y"]]
    pd.concat([frame, frame.iloc[:2]]).to_csv(path, index=False)
    said = str(load(path).reading)
    assert "constant: still" in said
    assert "equal columns: twin = a" in said
    assert "2 duplicate rows" in said


def test_a_named_column_that_counts_is_kept_and_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    FRAME.assign(t=range(len(FRAME)))[["t", "a", "y"]].to_csv(path, index=False)
    data = load(path)
    assert data.X.shape == (len(FRAME), 2)
    assert "t counts the rows (--set index=t sets it aside)" in str(data.reading)
    assert load(path, index="t").X.shape == (len(FRAME), 1)


def test_names_of_rows_without_a_header_are_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    ids = np.random.default_rng(1).permutation(10_000)[: len(FRAME)]
    FRAME.assign(id=ids)[["id", "y", "a", "b"]].to_csv(path, index=False, header=False)
    data = load(path, target="2")
    assert data.X.shape == (len(FRAME), 3)
    assert "(--set index=1 sets it aside)" in str(data.reading)
    other = load(path, target="2", index="1")  # numbers are those of the file's columns
    np.testing.assert_array_equal(other.X, X[:, :2])
    np.testing.assert_array_equal(other.y, Y)


def test_a_target_of_numbers_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    y = np.arange(24) % 4 + 3
    FRAME.assign(y=y).to_csv(path, index=False)
    np.testing.assert_array_equal(load(path, labels="numbers").y, y)
    with pytest.raises(DataError, match="takes two classes, the target has 4"):
        dataset_objective(path, "logistic", labels="numbers")
    np.testing.assert_array_equal(load(path, positive=5).y, np.where(y == 5, 1, -1))
    FRAME.assign(y=X[:, 0] * 2).to_csv(path, index=False)
    objective = dataset_objective(path, "logistic")
    assert "target above its mean = +1" in str(objective.data)
    with pytest.raises(DataError, match="takes two classes, the target has 10"):
        dataset_objective("digits", "logistic")
    assert dataset_objective("digits", "logistic", positive="8").n == 1797


def test_a_file_that_was_replaced_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    text(lines(header="a,b,c,y"))(path)
    (spec,) = objective_specs(data=str(path))[:1]
    assert spec["parameters"]["digest"] == hashlib.sha256(path.read_bytes()).hexdigest()
    text(lines(header="a,b,c,y", table=-TABLE))(path)
    with pytest.raises(DataError, match="the file changed while the command ran"):
        dataset_objective(**spec["parameters"])


def test_the_bytes_that_are_hashed_are_those_that_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.csv"
    text(lines(header="a,b,c,y"))(path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    read = content.read_file

    def then_replaced(*arguments: Any) -> Any:
        found = read(*arguments)
        text(lines(header="a,b,c,y", table=-TABLE))(path)
        return found

    monkeypatch.setattr(content, "read_file", then_replaced)
    data = load(path)
    assert data.reading is not None
    assert data.reading.sha256 == before
    np.testing.assert_array_equal(data.X, X)


def test_bundled_data_have_a_hash() -> None:
    (spec,) = objective_specs(data="breast_cancer")[:1]
    (reading,) = readings([spec])
    assert len(reading.sha256) == 64
    assert reading.sha256 == bundled_dataset("breast_cancer").reading.sha256  # type: ignore[union-attr]
    assert reading.sha256 != bundled_dataset("diabetes").reading.sha256  # type: ignore[union-attr]


def test_a_target_needs_data() -> None:
    with pytest.raises(UsageError, match="--target names a column of --data, which is not given"):
        objective_specs(target="y")


def test_nothing_large_is_made_of_little(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    text(lines(header="a,b,c,y"))(path)
    with pytest.raises(DataError, match="more than the 0 MiB allowed"):
        load(path, limit=500)
    zipped(tmp_path / "mine.zip", ("mine.csv", path.read_bytes()))
    with pytest.raises(DataError, match="what is packed in it would take"):
        load(tmp_path / "mine.zip", limit=path.stat().st_size - 1)


def test_choices_are_words() -> None:
    assert Choices.of(target="y", header=True, index=None) == Choices("y", "yes")
    with pytest.raises(UsageError, match="delimiter must be comma or semicolon or tab"):
        Choices(delimiter=",")


def test_the_page_on_own_data_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent / "docs" / "data.md").read_text()
    for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(code, "docs/data.md", "exec"), {})
    out = capsys.readouterr().out
    assert "frame: pandas frame, 4 rows, 2 features" in out
    assert "(worse = -1, better = +1)" in out
    for name in (f.name for f in fields(Choices) if f.name != "target"):
        assert f"`{name}=" in page
