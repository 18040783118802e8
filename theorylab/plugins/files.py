"""Files that are whole or absent: written beside their place, flushed to disk, and renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from theorylab.errors import UsageError
from theorylab.regular import regular_bytes

__all__ = [
    "at_work", "clear_leftovers", "keep_beside", "kept_beside", "left_at_work", "safe_name",
    "set_aside", "writable", "write_text", "writing",
]  # fmt: skip

_LEFTOVER = re.compile(r"\.(?P<host>[\w-]+)\.(?P<process>\d+)\.\w+\.tmp")
_AT_WORK = re.compile(r"\.(?P<host>[\w-]+)\.(?P<process>\d+)\.(?P<name>.+)\.work")
_DAY = 86_400.0
_LONGEST = 150  # characters of a name; file systems take 255 bytes, and endings follow


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A binary stream into a temporary file beside ``path``, which becomes ``path`` at the end.

    Whenever the process dies, ``path`` holds what it held before or all of the new. A temporary
    file that a killed process left is removed by :func:`clear_leftovers`.

    Raises
    ------
    UsageError
        If the file cannot be written: the disk is full, say.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "page.md"
    >>> with writing(target) as stream:
    ...     _ = stream.write(b"text")
    >>> target.read_text()
    'text'
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(), suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8, all of it or nothing.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    with writing(path) as stream:
        stream.write(text.encode())


def _prefix() -> str:
    host = re.sub(r"\W", "-", socket.gethostname())[:40] or "host"
    return f".{host}.{os.getpid()}."


@contextmanager
def at_work(path: Path) -> Iterator[None]:
    """While the block runs, an empty file beside ``path`` says that ``path`` is being made.

    A process that is killed (out of memory, say) cannot tell what it was at; its file does, by
    :func:`left_at_work`. Where no file can be made, none is: whoever writes ``path`` will say so.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> with at_work(folder / "a.json"):
    ...     [p.suffix for p in folder.iterdir()], left_at_work(folder)
    (['.work'], {})
    >>> list(folder.iterdir())
    []
    """
    mark = path.with_name(f"{_prefix()}{path.name}.work")
    with suppress(OSError):
        mark.touch()
    try:
        yield
    finally:
        with suppress(OSError):
            mark.unlink()


def left_at_work(folder: Path) -> dict[str, Path]:
    """By the name of what was being made when its process was killed, the file that says so.

    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / f".{_prefix().split('.')[1]}.99999999.a.json.work").touch()  # no such process
    >>> list(left_at_work(folder))
    ['a.json']
    """
    mine, left = _prefix().split(".")[1], {}
    with suppress(OSError):
        for path in sorted(folder.glob(".*.work")):
            found = _AT_WORK.fullmatch(path.name)
            # Of another machine's processes nothing is known.
            if found and found["host"] == mine and not _lives(int(found["process"])):
                left[found["name"]] = path
    return left


def clear_leftovers(folder: Path) -> int:
    """Remove temporary files that killed writers left in a folder; how many there were.

    Those of living processes stay. Of another machine nothing is known: its files stay for a day.

    >>> clear_leftovers(Path(tempfile.mkdtemp()))
    0
    """
    mine, count = _prefix().split(".")[1], 0
    try:
        names = [entry for entry in folder.iterdir() if _LEFTOVER.fullmatch(entry.name)]
    except OSError:
        return 0
    for path in names:
        found = _LEFTOVER.fullmatch(path.name)
        assert found is not None
        try:
            if found["host"] == mine and os.name == "posix":
                dead = not _lives(int(found["process"]))
            else:
                dead = _now(folder) - path.stat().st_mtime > _DAY
            if dead:
                path.unlink()
                count += 1
        except OSError:  # gone already, or not ours to remove
            continue
    return count


def _now(folder: Path) -> float:
    """By the clock that dates the folder's files: ours may have jumped, or be another machine's."""
    with tempfile.TemporaryFile(dir=folder) as stream:
        return os.fstat(stream.fileno()).st_mtime


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it lives, and is another user's
        return True
    return True


def set_aside(path: Path, why: str = "damaged") -> Path:
    """Rename a file that cannot be used, so that nothing reads it and nothing is lost.

    >>> path = Path(tempfile.mkdtemp()) / "a.json"
    >>> path.touch()
    >>> set_aside(path).name
    'a.json.damaged'

    Raises
    ------
    UsageError
        If it cannot be renamed.
    """
    for number in range(1, 10_000):
        target = path.with_name(f"{path.name}.{why}" + (f"-{number}" if number > 1 else ""))
        if target.exists():
            continue
        try:
            path.rename(target)
        except FileNotFoundError:  # another process did it
            return target
        except OSError as error:
            raise UsageError(f"cannot set {path} aside: {error.strerror or error}") from error
        return target
    raise UsageError(f"{path.parent} is full of files set aside; `theorylab results prune` helps")


def keep_beside(path: Path, *others: Path) -> Path | None:
    """Rename a finished file after its content, so that another can take its place.

    ``others``, files or folders that go with it, get the same ending.

    >>> path = Path(tempfile.mkdtemp()) / "results.json"
    >>> _ = path.write_text("{}")
    >>> keep_beside(path).name
    'results-44136fa3.json'

    Raises
    ------
    UsageError
        If it cannot be renamed.
    """
    try:
        digest = hashlib.sha256(regular_bytes(path)).hexdigest()[:8]
        named = [p.with_name(f"{p.stem}-{digest}{p.suffix}") for p in (*others, path)]
        for other, beside in zip(others, named, strict=False):
            with suppress(FileNotFoundError):
                os.replace(other, beside)
        os.replace(path, named[-1])  # last: where it lies, the others may
    except FileNotFoundError:  # another process did it
        return None
    except OSError as error:
        raise UsageError(f"cannot keep {path} beside: {error.strerror or error}") from error
    return named[-1]


def kept_beside(path: Path) -> bool:
    """Whether :func:`keep_beside` gave a file its name.

    >>> kept_beside(Path("results-44136fa3.json")), kept_beside(Path("results.json"))
    (True, False)
    """
    return re.search(r"-[0-9a-f]{8}$", path.stem) is not None


def writable(path: Path) -> Path:
    """``path``, if a file can be written there: asked before hours of work, not after.

    What killed writers left in its folder is removed.

    Raises
    ------
    UsageError
        If it cannot, or the name is empty.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    clear_leftovers(path.parent)
    return path


def safe_name(name: Any) -> str:
    """``name`` as a part of a file's name: it never climbs, and holds no separator or blank.

    Letters, digits, ``-``, ``=``, ``,`` and ``+`` stay, a dot inside too; anything else becomes
    ``_``. What had to be changed beyond that gets a digest, so that two names give two files.

    >>> safe_name("sngm.theorem_1"), safe_name("lambda=0")
    ('sngm.theorem_1', 'lambda=0')
    >>> safe_name("../../x").startswith("x-"), safe_name("a/b") == safe_name("a_b")
    (True, False)
    """
    text = str(name)
    clean = re.sub(r"[^\w\-=,+.]", "_", text, flags=re.ASCII).strip("._-")[:_LONGEST]
    if clean and clean == text:
        return text
    return f"{clean or 'name'}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"
