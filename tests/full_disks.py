"""A disk that runs full: what the one helper writes is counted, and refused from some point."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from theorylab.cli import main

_FDOPEN = os.fdopen


class Disk:
    """Room for so many more bytes (``None``: enough); ``error`` is what a write into none gives."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.error = errno.ENOSPC
        self.written = 0

    def take(self, count: int) -> None:
        if self.room is not None:
            if self.room < count:
                self.room = 0
                raise OSError(self.error, os.strerror(self.error))
            self.room -= count
        self.written += count

    def opened(self, handle: int, mode: str = "r", *rest: Any, **options: Any) -> Any:
        """In the place of ``os.fdopen``; only the helper's way of writing is counted."""
        disk = self
        if mode != "wb":
            return _FDOPEN(handle, mode, *rest, **options)

        class Counted(io.FileIO):
            def write(self, data: Any) -> int:
                disk.take(len(data))
                return super().write(data)

        return io.BufferedWriter(Counted(handle, "wb"))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk()
    monkeypatch.setattr(os, "fdopen", found.opened)
    return found


class Shell:
    """The command line, in this process: its exit code, and what it said on stderr."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str]:
        self.monkeypatch.setattr(sys, "argv", ["theorylab", *arguments])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return (code if isinstance(code, int) else int(bool(code))), self.capsys.readouterr().err


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


def written(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file, which writing of it, and its content."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip
