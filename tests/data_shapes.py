"""One table in every shape that people have it in, and shapes that must be refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

ROWS = 24
X = np.random.default_rng(0).standard_normal((ROWS, 3))
X[:, 2] = np.round(10 * X[:, 2])
Y = np.where(np.arange(ROWS) % 3 == 0, 1.0, -1.0)
TABLE = np.column_stack([X, Y])
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y)


@dataclass(frozen=True)
class Shape:
    """How the table is written, and how it is read.

    ``name`` is the file's; ``options`` what the user must say; ``said`` a part of the one line;
    ``needs`` a package without which another line must come; ``exact``, whether the file holds
    all digits (openpyxl writes 16).
    """

    write: Callable[[Path], Any]
    name: str = "mine.csv"
    options: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    needs: str = ""
    exact: bool = True


def text(content: str, encoding: str = "utf-8") -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content.encode(encoding))


def lines(delimiter: str = ",", header: str = "", table: Any = TABLE, end: str = "") -> str:
    rows = [delimiter.join(v if isinstance(v, str) else repr(float(v)) for v in r) for r in table]
    return "".join(f"{row}{end}\n" for row in ([header] if header else []) + rows)


def labelled(low: object, high: object, *, first: bool = False, header: str = "a,b,c,y") -> str:
    labels = [str(high if v > 0 else low) for v in Y]
    rows = [[label, *row] if first else [*row, label] for row, label in zip(X, labels, strict=True)]
    return lines(header=header, table=rows)


def svmlight(base: int) -> str:
    rows = (
        f"{y:g} " + " ".join(f"{j + base}:{v!r}" for j, v in enumerate(row) if v)
        for y, row in zip(Y, X.tolist(), strict=True)
    )
    return "\n".join(rows) + "\n"


def zipped(path: Path, *members: tuple[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)


COMMA = lines(";").replace(".", ",")
R = '"a" "b" "c" "y"\n' + "".join(
    f'"{i + 1}" {line}\n' for i, line in enumerate(lines(" ").splitlines())
)
ARFF = ("% made by hand\n@relation mine\n@attribute a numeric\n@attribute b real\n"
        "@attribute c numeric\n@attribute class {no, yes}\n@data\n"
        + labelled("no", "yes", header="").rstrip() + "\n")  # fmt: skip
PLAIN = lines(header="a,b,c,y").encode()

SHAPES: dict[str, Shape] = {
    "header": Shape(text(lines(header="a,b,c,y")), said="target y"),
    "no header": Shape(text(lines()), said="target column 4, the last"),
    "no name of a target": Shape(text(lines(header="a,b,c,d")), said="target d, the last"),
    "integer header": Shape(lambda p: pd.DataFrame(TABLE).to_csv(p, index=False),
                            said="target 3, the last"),
    "index": Shape(FRAME.to_csv, said="index column 1 (no name) set aside"),
    "index saved twice": Shape(lambda p: FRAME.rename_axis("Unnamed: 0").to_csv(p),
                               said="index Unnamed: 0 set aside"),
    "index, integer header": Shape(pd.DataFrame(TABLE).to_csv, said="set aside"),
    "index, no header": Shape(lambda p: FRAME.to_csv(p, header=False), said="counts the rows"),
    "named index": Shape(lambda p: FRAME.rename_axis("id").to_csv(p), said="index id set aside"),
    "index of names": Shape(
        lambda p: FRAME.set_axis([f"r{i}" for i in range(ROWS)]).rename_axis("who").to_csv(p),
        options={"index": "who"}, said="index who set aside"),
    "semicolon": Shape(text(lines(";", "a;b;c;y")), said="delimiter semicolon"),
    "decimal comma": Shape(text("a;b;c;y\n" + COMMA), said="decimal comma"),
    "decimal comma, no header": Shape(text(COMMA), said="decimal comma"),
    "decimal comma, tab": Shape(text(lines("\t").replace(".", ",")), "mine.txt",
                                said="decimal comma"),
    "comma and space": Shape(text(lines(", ", "a, b, c, y"))),
    "tab": Shape(text(lines("\t", "a\tb\tc\ty")), "mine.tsv", said="TSV"),
    "pipe": Shape(text(lines("|", "a|b|c|y")), said="delimiter pipe"),
    "space": Shape(text(lines("  ")), "mine.dat", said="delimiter space"),
    "R's write.table": Shape(text(R), "mine.txt", said="set aside"),
    "numpy's savetxt": Shape(text("# a b c y\n" + lines(" ")), "mine.txt", said="target y"),
    "delimiters at the end": Shape(text(lines(header="a,b,c,y", end=",")),
                                   said="empty last column set aside"),
    "delimiters at the end of rows": Shape(text("a,b,c,y\n" + lines(end=","))),
    "byte order mark, CRLF": Shape(
        text(lines(header="a,b,c,y").replace("\n", "\r\n"), "utf-8-sig")),
    "lines end by CR": Shape(text(lines(header="a,b,c,y").replace("\n", "\r"))),
    "UTF-16": Shape(text(lines("\t", "a\tb\tc\ty"), "utf-16"), "mine.txt"),
    "blank lines": Shape(text("\n\n" + lines(header="a,b,c,y").replace("\n", "\n\n"))),
    "quotes": Shape(text(lines(header='"a","b, or not","c","y"'))),
    "gz": Shape(lambda p: p.write_bytes(gzip.compress(PLAIN)), "mine.csv.gz"),
    "bz2": Shape(lambda p: p.write_bytes(bz2.compress(PLAIN)), "mine.csv.bz2"),
    "xz": Shape(lambda p: p.write_bytes(lzma.compress(PLAIN)), "mine.csv.xz"),
    "zip": Shape(lambda p: zipped(p, ("mine.csv", PLAIN)), "mine.csv.zip"),
    "zip of a Mac": Shape(
        lambda p: zipped(p, ("mine.csv", PLAIN), ("__MACOSX/._mine.csv", b"x")), "mine.zip"),
    "label first": Shape(text(labelled("-1", "1", first=True, header="label,a,b,c")),
                         said="target label"),
    "label first, named by --target": Shape(
        text(labelled("0", "1", first=True, header="kind,a,b,c")), options={"target": "first"},
        said="target kind (0 = -1, 1 = +1)"),
    "target in the middle": Shape(
        lambda p: FRAME[["a", "b", "y", "c"]].rename(columns={"y": "odd, or not"})
        .to_csv(p, index=False), options={"target": "odd, or not"}),
    "target by number": Shape(text(lines()), options={"target": "4"}),
    "text labels": Shape(text(labelled("benign", "malignant")),
                         said="(benign = -1, malignant = +1)"),
    "text labels, no header": Shape(text(labelled("g", "h", header="")), "mine.data",
                                    said="(g = -1, h = +1)"),
    "text labels the other way": Shape(text(labelled("yes", "no")), options={"positive": "no"},
                                       said="(yes = -1, no = +1)"),
    "labels 0, 1": Shape(text(labelled(0, 1)), said="(0 = -1, 1 = +1)"),
    "labels 1, 2": Shape(text(labelled(1, 2)), said="(1 = -1, 2 = +1)"),
    "labels True, False": Shape(text(labelled(False, True))),
    "one against the rest": Shape(
        text(lines(header="a,b,c,kind", table=[
            [*row, "up" if v > 0 else ("down", "level")[i % 2]]
            for i, (row, v) in enumerate(zip(X, Y, strict=True))
        ])), options={"positive": "up"}, said="(the rest = -1, up = +1)"),
    "svmlight from 0": Shape(text(svmlight(0)), "mine.svm", said="indices from 0"),
    "svmlight from 1": Shape(text(svmlight(1)), "mine.svmlight", said="indices from 1"),
    "svmlight called txt": Shape(text(svmlight(1)), "mine.txt", said="svmlight"),
    "svmlight, packed": Shape(lambda p: p.write_bytes(bz2.compress(svmlight(1).encode())),
                              "mine.libsvm.bz2"),
    "NPZ": Shape(lambda p: np.savez(p, X=X, y=Y), "mine.npz", said="NPZ"),
    "NPZ, compressed": Shape(lambda p: np.savez_compressed(p, X=X, y=Y[:, None]), "mine.npz"),
    "NPZ, text labels": Shape(
        lambda p: np.savez(p, X=X, y=np.where(Y > 0, "yes", "no")), "mine.npz",
        said="(no = -1, yes = +1)"),
    "sparse NPZ": Shape(lambda p: scipy.sparse.save_npz(p, scipy.sparse.csr_array(TABLE)),
                        "mine.npz", said="sparse NPZ"),
    "Parquet": Shape(lambda p: FRAME.to_parquet(p), "mine.parquet", needs="pyarrow"),
    "Excel": Shape(lambda p: FRAME.to_excel(p, index=False), "mine.xlsx", needs="openpyxl",
                   exact=False),
    "Excel with index": Shape(FRAME.to_excel, "mine.xlsx", said="set aside", needs="openpyxl",
                              exact=False),
    "Excel, integer header": Shape(
        lambda p: pd.DataFrame(TABLE).to_excel(p, index=False), "mine.xlsx",
        needs="openpyxl", exact=False),
    "ARFF": Shape(text(ARFF), "mine.arff", said="(no = -1, yes = +1)"),
}  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """A file that cannot be used, and what the one line says."""

    write: Callable[[Path], Any]
    line: str
    name: str = "mine.csv"
    options: Mapping[str, Any] = field(default_factory=dict)


def cell(row: int, column: int, value: str) -> str:
    table: list[list[Any]] = [list(map(repr, r)) for r in TABLE.tolist()]
    table[row][column] = value
    return lines(header="a,b,c,y", table=table)


def inflating(path: Path) -> None:
    """A few MB that say they are 4.5 GB."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f8", "fortran_order": False, "shape": (562_500_000, 1)}
    )
    zipped(path, ("X.npy", stream.getvalue()), ("y.npy", stream.getvalue()))


def zeros(path: Path) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("mine.csv", "w", force_zip64=True) as stream,
    ):
        stream.write(bytes(3 * 2**20))


def gzip_zeros(path: Path) -> None:
    with gzip.open(path, "wb") as stream:
        stream.write(bytes(3 * 2**20))


def outside(path: Path) -> None:
    """A sparse matrix whose indices point outside."""
    np.savez(path, format=b"csr", shape=np.array([3, 2]), data=np.ones(3),
             indices=np.array([0, 10**6, 1]), indptr=np.array([0, 1, 2, 3]))  # fmt: skip


KINDS = ("setosa", "versicolor", "virginica")
REFUSALS: dict[str, Refusal] = {
    "empty": Refusal(text(""), "got an empty file"),
    "blank": Refusal(text("\n \n"), "got an empty file"),
    "header alone": Refusal(text("a,b\n"), "got a header line alone"),
    "one row": Refusal(text("a,y\n1,2\n"), r"at least two rows below the header \(a, y\), got 1"),
    "one column": Refusal(text("a\n1\n2\n"), "at least two columns"),
    "too long a row": Refusal(text("a,b,y\n1,2,3\n4,5,6,7\n"), "row 2: expected 3 columns, got 4"),
    "too short a row": Refusal(text("a,b,y\n1,2,3\n4,5\n"), "row 2: expected 3 columns, got 2"),
    "directory": Refusal(Path.mkdir, "expected a file, got a directory"),
    "pipe": Refusal(os.mkfifo, "got a pipe; write it to a file first"),
    "absent": Refusal(lambda p: None, "no such file"),
    "missing value": Refusal(text(cell(4, 1, "")),
                             r"row 5, column 2 \(b\): no value; .*impute=mean"),
    "question mark": Refusal(text(cell(4, 1, "?")), r"row 5, column 2 \(b\): no value"),
    "missing target": Refusal(text(cell(6, 3, "")), "row 7, target y: no value; leave the row out",
                              options={"impute": "mean"}),
    "text in a cell": Refusal(text(cell(2, 0, "red")), r"row 3, column 1 \(a\): .*text 'red'"),
    "infinite": Refusal(text(cell(2, 0, "inf")), r"row 3, column 1 \(a\): .*finite number"),
    "text column": Refusal(
        text(lines(header="a,k,y", table=[[r[0], "ab"[i % 2], r[3]] for i, r in enumerate(TABLE)])),
        r"column 2 \(k\): expected numbers, got text such as 'a'; --set text=one_hot"),
    "thousands": Refusal(text("a;y\n1.234,5;1\n2.345,6;2\n1.111,1;3\n"),
                         r"column 1 \(a\): .* text such as '1\.234,5'"),
    "three classes": Refusal(
        text(lines(header="a,kind", table=[[r[0], KINDS[i % 3]] for i, r in enumerate(X)])),
        r"two classes, got 3 \(setosa, versicolor, virginica\); --set positive=LABEL"),
    "three numbered classes": Refusal(
        text(lines(header="a,y", table=[[r[0], i % 3] for i, r in enumerate(X)])),
        r"two classes, got 3 \(0, 1, 2\); --set positive=LABEL .* labels=numbers"),
    "label first, unnamed": Refusal(
        lambda p: FRAME[["y", "a", "b"]].rename(columns={"y": "k"}).to_csv(p, index=False),
        r"column 1 \(k\) looks like labels, column 3 \(b\) does not; .*--target first"),
    "two targets": Refusal(text(lines(header="label,b,c,y")),
                           "each of label, y may be the target"),
    "header or sample": Refusal(text("0,1\n1,0\n2,5\n3,1\n"),
                                "--set header=yes or --set header=no"),
    "no such column": Refusal(text(lines(header="aa,b,c,y")), "did you mean aa?",
                              options={"target": "aaa"}),
    "target with one value": Refusal(text("a,y\n1,2\n3,2\n"), "a target that varies, got 2"),
    "latin 1": Refusal(text("a,größe\n1,2\n3,4\n", "latin-1"), "expected UTF-8 text"),
    "binary": Refusal(lambda p: p.write_bytes(bytes(range(1, 128)) + b"\0"), "mine.csv"),
    "pickle": Refusal(lambda p: FRAME.to_pickle(p), "expected a file named .csv", "mine.pkl"),
    "json": Refusal(FRAME.to_json, "expected a file named .csv", "mine.json"),
    "no suffix": Refusal(text("1,2\n"), "got no suffix", "mine"),
    "zstandard": Refusal(lambda p: p.write_bytes(b"\x28\xb5\x2f\xfd..."), "unpack it first",
                         "mine.csv.zst"),
    "damaged gz": Refusal(lambda p: p.write_bytes(gzip.compress(PLAIN)[:40]), "damaged",
                          "mine.csv.gz"),
    "damaged zip": Refusal(lambda p: p.write_bytes(b"PK\x03\x04broken"), "damaged zip", "mine.zip"),
    "not gz": Refusal(text("1,2\n"), "expected a .gz file", "mine.csv.gz"),
    "zip of two": Refusal(lambda p: zipped(p, ("a.csv", PLAIN), ("b.csv", PLAIN)),
                          "archive of one file, got 2", "mine.zip"),
    "zip bomb": Refusal(zeros, "would take 3 MiB, more than the 2 MiB allowed", "mine.zip",
                        {"limit": 2**21}),
    "gz bomb": Refusal(gzip_zeros, "more than the 2 MiB allowed", "mine.csv.gz",
                       {"limit": 2**21}),
    "NPZ bomb": Refusal(inflating, "would take 8,583 MiB, more than the 512 MiB", "mine.npz"),
    "Excel bomb": Refusal(zeros, "would take 3 MiB", "mine.xlsx", {"limit": 2**21}),
    "NPZ of objects": Refusal(
        lambda p: np.savez(p, X=np.array([[{}], [1]], dtype=object), y=np.zeros(2)),
        "nothing pickled", "mine.npz"),
    "sparse indices outside": Refusal(outside, "nothing pickled.*indices", "mine.npz"),
    "svmlight of a huge index": Refusal(text("1 1:2\n-1 900000000:3\n"), "would take",
                                        "mine.svm"),
    "damaged svmlight": Refusal(text("1 1:2\n-1 x:3\n"), "an svmlight file", "mine.svm"),
    "damaged ARFF": Refusal(text("@relation x\n@data\n1,2\n"), "ARFF file", "mine.arff"),
    "control characters": Refusal(text("a\x1b[31m,\x1b]0;owned\x07,y\n1,red,2\n3,4,5\n"),
                                  r"\\x1b\]0;owned\\x07"),
    "wrong word": Refusal(text(lines()), "impute must be mean or median, got 'zero'",
                          options={"impute": "zero"}),
}  # fmt: skip
