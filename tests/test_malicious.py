"""A malicious file of each kind: it executes nothing, takes no memory, and is refused in a line."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import Ended, run, without_computing

from deep import checkpoint
from theorylab.plugins.store import write_sealed

TRAIN = [
    "train", "--model", "two_conv", "--steps", "1", "--batch-size", "8", "--evaluations", "1",
    "--train-samples", "32", "--device", "cpu", "--out", "out",
]  # fmt: skip
GAN = [
    "gan", "--segmenter", "deep.segmentation:SmallSegmenter", "--weights", "weights.pt",
    "--samples", "1", "--image-size", "32", "--width", "1", "--device", "cpu",
]  # fmt: skip
VERIFY = ["verify", "sngm.lemma_2", "--instances", "0", "--data"]
ROOM = 2**31
"""Bytes more than there are that a command may ask for."""


class Command:
    """Unpickled by the standard reader, this makes the folder ``pwned``."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, ("pwned",)


def weights() -> list[str]:
    torch.save(Command(), "weights.pt")
    return GAN


def a_checkpoint() -> list[str]:
    """With a checksum that fits, where the run looks for its own."""
    run(TRAIN)
    (path,) = Path("out").rglob("checkpoint.pt")
    checkpoint.save(path, {"made": Command()})
    return TRAIN


def object_array() -> list[str]:
    np.savez("a.npz", X=np.array([[Command()]], object), y=np.array([1]))
    return [*VERIFY, "a.npz"]


def large_array() -> list[str]:
    """Zeros: 2 MB that take 1.9 GB."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (240_000_000, 1)}
    )
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        with packed.open("X.npy", "w") as stream:
            stream.write(head.getvalue())
            for _ in range(16):  # it says more than it holds, too
                stream.write(bytes(2**22))
        packed.writestr("y.npy", head.getvalue())
    return [*VERIFY, "a.npz"]


def unpacked_array() -> list[str]:
    """Zeros that were packed: the archive says truly how much they are."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (2**27, 1)}
    )
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        with packed.open("X.npy", "w", force_zip64=True) as stream:
            stream.write(head.getvalue())
            for _ in range(2**8):
                stream.write(bytes(2**22))
        packed.writestr("y.npy", head.getvalue())
    return [*VERIFY, "a.npz"]


def batch(content: bytes) -> list[str]:
    folder = Path("data/cifar-10-batches-py")
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (folder / name).write_bytes(content)
    return [*TRAIN, "--data", "cifar10", "--data-dir", "data"]


def reduced_batch() -> list[str]:
    return batch(pickle.dumps({b"data": Command()}))


def nested_lists() -> list[str]:
    """Each list holds the one before twice: some hundred bytes that are 2^60 values."""
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    return batch(pickle.dumps({b"data": value}))


def deep_lists() -> list[str]:
    return batch(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")


def climbing_tar() -> list[str]:
    with tarfile.open("a.tar", "w") as packed:
        for name in ("../../pwned", str(Path("pwned").absolute()), "pwned"):
            member = tarfile.TarInfo(name)
            member.size = 4
            packed.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("train/cat/0.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
    return [*TRAIN, "--data", "folder", "--data-dir", "a.tar"]


def image(content: bytes | None) -> list[str]:
    for part in ("train", "test"):
        Path("data", part, "cat").mkdir(parents=True)
        path = Path("data", part, "cat", "0.png")
        if content is None:
            os.mkfifo(path)
        else:
            path.write_bytes(content)
    return [*TRAIN, "--data", "folder", "--data-dir", "data"]


def png(side: int) -> bytes:
    """A picture of ``side`` times ``side`` pixels in some hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9)))


def large_picture() -> list[str]:
    return image(png(60_000))


def wide_picture() -> list[str]:
    """Below the size that the library refuses."""
    return image(png(10_000))


def pipe() -> list[str]:
    return image(None)


def quoted_key() -> list[str]:
    return ["verify", 'sngm.lemma_2"""\nimport os; os.mkdir("pwned")\n"""']


def results_of_others() -> list[str]:
    Path("results.json").write_text(
        '{"results": [{"key": "a\\"\\"\\"\\nimport os", "form": 3, "verdict": 1, "measured": []}]}'
    )
    return ["report", "."]


def long_line() -> list[str]:
    Path("a.csv").write_bytes(b"a,b\n" + b"1" * 10_000_000 + b",2\n")
    return [*VERIFY, "a.csv"]


def unpacking_workbook() -> list[str]:
    """A megabyte of rows that are one row, packed in some kilobytes."""
    pytest.importorskip("openpyxl")
    with zipfile.ZipFile("a.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"<row><c><v>1</v></c></row>" * 700_000)
    return [*VERIFY, "a.xlsx"]


def wide_table() -> list[str]:
    Path("a.csv").write_bytes(b"1" + b",1" * 200_000 + b"\n")
    return [*VERIFY, "a.csv"]


def far_index() -> list[str]:
    Path("a.svm").write_text("1 1:1 1000000000:2\n-1 1:2\n")
    return [*VERIFY, "a.svm"]


def lying_footer() -> list[str]:
    """A Parquet file whose last bytes claim a footer of 2 GiB."""
    pytest.importorskip("pyarrow")
    Path("a.parquet").write_bytes(b"PAR1" + bytes(64) + struct.pack("<I", 2**31 - 1) + b"PAR1")
    return [*VERIFY, "a.parquet"]


def header_that_computes() -> list[str]:
    text = b"{'descr': __import__('os').mkdir('pwned') or '<f8', 'shape': (1,), }\n"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    with zipfile.ZipFile("a.npz", "w") as packed:
        packed.writestr("X.npy", head)
        packed.writestr("y.npy", head)
    return [*VERIFY, "a.npz"]


def names_that_move_a_terminal() -> list[str]:
    Path("a.csv").write_text("a\x1b[31m,b\x07\n" + "1,x\x1b[2J\n2,y\x9b\n3,z\n" * 5)
    return [*VERIFY, "a.csv"]


def large_member() -> list[str]:
    """A tar that says it holds an image of an exabyte."""
    member = tarfile.TarInfo("train/cat/0.png")
    member.size = 2**60
    Path("a.tar").write_bytes(member.tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    return [*TRAIN, "--data", "folder", "--data-dir", "a.tar"]


def results_pipe() -> list[str]:
    os.mkfifo("results.json")
    return ["report", "."]


def edited_results() -> list[str]:
    write_sealed(Path("results.json"), {"results": [{"verdict": "violated"}]})
    Path("results.json").write_text(Path("results.json").read_text().replace("violated", "holds"))
    return ["report", "."]


def resealed_results() -> list[str]:
    """With a checksum that fits, and text that moves a terminal."""
    row = {"key": "a.\x1b[31m", "form": "printed", "verdict": "holds", "measured": "\x1b[31m"}
    write_sealed(Path("results.json"), {"results": [row]})
    return ["report", "."]


def recorded_nothing() -> list[str]:
    Path("gpu.jsonl").write_text('{"part": "cells", "name": "a", "ok": true, "result": null}\n')
    return ["figure", "sngm.table_2", "--recorded", "gpu.jsonl"]


MALICIOUS: dict[Callable[[], list[str]], str] = {
    weights: "is not a checkpoint of this program",
    a_checkpoint: "is set aside",
    object_array: "expected an .npz archive of plain numbers",
    large_array: "more than the 512 MiB allowed",
    unpacked_array: "more than the 512 MiB allowed",
    reduced_batch: "Refused, and nothing in it was run",
    nested_lists: "is not a readable pickle of plain data",
    deep_lists: "is not a readable pickle of plain data",
    climbing_tar: "required in a.tar, got 0 and 0 images",
    large_picture: "is not a readable image",
    wide_picture: "is not a readable image",
    pipe: "expected a file, got a pipe",
    quoted_key: "sngm.lemma_2",
    results_of_others: "is not what theorylab writes",
    long_line: "a.csv",
    unpacking_workbook: "unpacks over 200-fold",
    wide_table: "expected at most 100,000 columns, got 200,001",
    far_index: "more than the 512 MiB allowed",
    lying_footer: "expected a Parquet file",
    header_that_computes: "expected an .npz archive of plain numbers",
    names_that_move_a_terminal: "expected two classes",
    large_member: "with 1152921504606846976 bytes",
    results_pipe: "expected a file, got a pipe",
    edited_results: "was edited",
    recorded_nothing: "holds no finished cells",
    resealed_results: "is not what theorylab writes",
}


@contextmanager
def little_room() -> Iterator[None]:
    """Little more memory than is taken: who wants more fails."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is Linux's")
@pytest.mark.parametrize("make", MALICIOUS, ids=lambda make: make.__name__)
def test_it_is_refused_in_a_line_and_executes_nothing(
    make: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    monkeypatch.setenv("THEORYLAB_CACHE", str(tmp_path / "cache"))
    without_computing(monkeypatch)
    line = make()
    with little_room():
        ended = run(line)
    assert MALICIOUS[make] in ended.err, ended
    assert "not enough memory" not in ended.err
    refused_in_a_line(ended, 0 if make is a_checkpoint else 2)
    assert list(tmp_path.rglob("pwned")) == []


def refused_in_a_line(ended: Ended, code: int) -> None:
    assert ended.code == code, ended
    assert ended.err.count("\n") == 1, ended.err


def test_the_attacks_are_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Command()))
    assert Path("pwned").is_dir()
