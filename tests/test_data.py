"""Data sets: what is read, and what each unusable file is told."""

from __future__ import annotations

import pickle
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synthetic
from theorylab.data.reader import bundled_dataset
from theorylab.data.record import BUNDLED, Dataset
from theorylab.errors import DataError, UnknownNameError
from theorylab.plugins.registry import family


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_data_are_standardised(name: str) -> None:
    data = bundled_dataset(name).standardised()
    assert np.abs(data.X.mean(0)).max() < 1e-12
    spread = data.X.std(0)
    assert np.all(np.isclose(spread, 1) | (spread == 0))
    assert data.y.std() == pytest.approx(1)
    objective = family(name).build()
    assert (objective.n, objective.dim) == data.X.shape
    assert {"ell", "delta", "G", "Bf", "sigma", "n", "Delta"} <= set(objective.constants())


def test_the_data_family_takes_names_and_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("a,b,target\n1,2,3\n4,5,7\n6,1,2\n")
    objective = family("data").build(source=str(path), loss="welsch")
    assert (objective.name, objective.n, objective.dim) == ("mine", 3, 2)
    assert family("data").build(source="diabetes").n == 442
    assert synthetic.from_file(path).n == 3


def test_margins_use_signs_of_the_target() -> None:
    objective = synthetic.dataset_objective("breast_cancer", loss="sigmoid")
    data = bundled_dataset("breast_cancer").standardised()
    signs = np.where(data.y > 0, 1.0, -1.0)
    assert np.allclose(objective.A.numpy(), data.X * signs[:, None])


def test_subsamples_know_their_population() -> None:
    whole = synthetic.dataset_objective("diabetes")
    part = synthetic.dataset_objective("diabetes", n=20, seed=1)
    w = whole.start.unsqueeze(0) + 0.1
    assert part.n == 20
    assert float(part.population_value(w)) == pytest.approx(float(whole.value(w)))


@pytest.mark.parametrize("header", ["", "a,b,t\n"])
def test_a_csv_is_read_with_or_without_header(tmp_path: Path, header: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text("\ufeff" + header + "1, 2.5,-3e1\n\n4,5,6\n", encoding="utf-8")
    data = synthetic.load(path)
    assert data.X.tolist() == [[1.0, 2.5], [4.0, 5.0]]
    assert data.y.tolist() == [-30.0, 6.0]


def test_an_npz_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, X=np.arange(6).reshape(3, 2), y=np.array([0, 1, 0]), other=np.zeros(2))
    data = synthetic.load(path)
    assert data.X.shape == (3, 2)
    assert data.y.tolist() == [-1.0, 1.0, -1.0]


CSV_FAULTS = {
    "text": ("a,b,c\n1,2,3\n4,red,6\n", r"row 2, column 2 \(b\): .* number, got the text 'red'"),
    "text without header": ("1,2\n3,x\n", r"row 2, target column 2, the last: expected a number"),
    "text in the first row": (
        "1,x,2\n3,4,5\n",
        r"first row \(1, x, 2\) may be a header or a sample; .*--set header=",
    ),
    "blank cell": ("1,2\n3,\n", r"row 2, target column 2, the last: no value; leave the row out"),
    "underscores": ("1,2\n1_000,3\n", r"row 2, column 1: expected a number, got the text '1_000'"),
    "nan": ("a,b\n1,2\n3,nan\n", r"row 2, target b, the last: no value"),
    "infinity": ("1,2\n-inf,4\n", r"row 2, column 1: expected a finite number, got -inf"),
    "overflow": ("1,2\n1e999,4\n", r"row 2, column 1: expected a finite number, got inf"),
    "huge": ("1e300,2\n-1e300,4\n", r"squares are finite"),
    "one column": (
        "a\n1\n2\n",
        r"expected at least two columns .* got one; .* , ; \| tab or space",
    ),
    "ragged": ("1,2\n1,2,3\n", r"row 2: expected 2 columns, got 3"),
    "empty": ("", r"expected rows of numbers, got an empty file"),
    "blank": ("\n\n", r"expected rows of numbers, got an empty file"),
    "header alone": ("a,b\n", r"expected rows of numbers, got a header line alone"),
    "one row": ("1,2\n", r"expected at least two rows, got 1"),
    "constant target": ("1,2\n3,2\n", r"expected a target that varies, got 2 in every row"),
    "constant features": ("1,2\n1,3\n", r"at least one feature column that varies"),
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_an_unusable_csv_says_what_is_wrong_and_where(tmp_path: Path, fault: str) -> None:
    text, message = CSV_FAULTS[fault]
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        synthetic.dataset_objective(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_csv_of_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"1,2\n\xff\xfe,3\n")
    with pytest.raises(DataError, match="expected UTF-8 text, got byte 0xff"):
        synthetic.load(path)


X, Y = np.ones((3, 2)) * np.arange(3)[:, None], np.arange(3.0)
NPZ_FAULTS = {
    "keys": ({"A": X, "b": Y}, r"expected the keys X and y, got A, b"),
    "one key": ({"X": X}, r"expected the keys X and y, got X"),
    "text": ({"X": np.full((3, 2), "red"), "y": Y}, r", X: expected numbers, got dtype <U3"),
    "rank": ({"X": Y, "y": Y}, r", X: expected 2 dimensions, got shape \(3,\)"),
    "target rank": ({"X": X, "y": X}, r", y: expected 1 dimension, got shape \(3, 2\)"),
    "rows": ({"X": X, "y": Y[:2]}, r"as many rows in X as in y, got 3 and 2"),
    "nan": ({"X": X, "y": np.array([0, np.nan, 1])}, r"row 2, target y: no value"),
    "no feature": ({"X": X[:, :0], "y": Y}, r"at least one feature column, got none"),
    "empty": ({"X": X[:0], "y": Y[:0]}, r"at least two rows, got 0"),
    "objects": ({"X": np.array([[{}], [1], [2]], dtype=object), "y": Y}, r"nothing pickled"),
}


@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_an_unusable_npz_says_what_is_wrong(tmp_path: Path, fault: str) -> None:
    arrays, message = NPZ_FAULTS[fault]
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        synthetic.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


class Bomb:
    """Leaves a mark when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "data.npz"
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(DataError, match="nothing pickled"):
        synthetic.load(path)
    np.savez(path, X=np.array([[Bomb(mark)]] * 3, dtype=object), y=Y)
    with pytest.raises(DataError, match="nothing pickled"):
        synthetic.load(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"not a zip", b"PK\x03\x04broken"])
def test_a_broken_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"expected an \.npz archive"):
        synthetic.load(path)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with path.open("wb") as stream:
        np.save(stream, X)
    with pytest.raises(DataError, match=r"expected an \.npz archive, got a single array"):
        synthetic.load(path)


def test_missing_files_directories_and_suffixes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        synthetic.load(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="no such file"):
        synthetic.from_file(tmp_path / "absent.npz")
    with pytest.raises(DataError, match="expected a file, got a directory"):
        synthetic.load(tmp_path)
    other = tmp_path / "data.parquet"
    other.write_text("1,2\n")
    with pytest.raises(
        DataError, match=r"data\.parquet: (expected a Parquet|Parquet needs pyarrow)"
    ):
        synthetic.load(other)
    with pytest.raises(UnknownNameError, match="unknown loss"):
        synthetic.dataset_objective("diabetes", loss="hinge")


def _member(path: Path, content: bytes) -> None:
    np.savez(path, y=Y)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("X.npy", content)


def _header(text: str) -> bytes:
    line = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line


SHAPE = "{'descr': '<f8', 'fortran_order': False, 'shape': %s}"


@pytest.mark.parametrize(
    "content",
    [
        b"plain text", _header("{'descr': '<f8"), _header(SHAPE % "(-3, 2)"),
        _header(SHAPE % f"({10**30}, 2)"), _header(SHAPE % f"({2**55}, 2)"), _header("((((("),
    ],
)  # fmt: skip
def test_a_member_that_is_no_array_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    _member(path, content)
    with pytest.raises(DataError, match=r"data\.npz") as caught:
        synthetic.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [zlib.error, NotImplementedError, tokenize.TokenError, OverflowError, MemoryError]
)
def test_whatever_a_damaged_archive_raises_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, X=X, y=Y)

    def fail(*arguments: Any, **options: Any) -> None:
        raise error("deep inside")

    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", fail)
    with pytest.raises(DataError, match=r"data\.npz"):
        synthetic.load(path)


def test_a_corrupted_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, X=np.random.default_rng(0).random((200, 2)), y=np.arange(200.0))
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.npz"):
        synthetic.load(path)


@pytest.mark.parametrize("scale", [1e-14, 1e-200, 1e-300, 1e100])
def test_units_of_a_column_do_not_matter(tmp_path: Path, scale: float) -> None:
    path = tmp_path / "data.csv"
    rows = np.random.default_rng(0).standard_normal((20, 3))
    table = rows * [scale, 1.0, scale]
    path.write_text("\n".join(",".join(map(repr, row)) for row in table.tolist()))
    plain = Dataset("plain", rows[:, :2], rows[:, 2]).standardised()
    data = synthetic.load(path).standardised()
    np.testing.assert_allclose(data.X, plain.X, rtol=1e-9)
    np.testing.assert_allclose(data.y, plain.y, rtol=1e-9)


def test_rounding_is_no_variation(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1e-9,1\n1.0000000000000002e-9,2\n")
    with pytest.raises(DataError, match="feature column that varies"):
        synthetic.load(path)
