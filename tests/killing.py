"""Shared by the tests that kill: processes with all imports done, killed at a random moment."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from theorylab.plugins.store import read_cell

_LOOK = 0.001
_LOKY = b"popen_loky_posix"

_CONTEXT = multiprocessing.get_context("forkserver")


def begin() -> None:
    """Start the server that processes are forked from; they find it with all work done once."""
    _CONTEXT.set_forkserver_preload(["warmed"])
    given = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), given)))
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if given is not None:
            os.environ["PYTHONPATH"] = given


def stored(folder: Path) -> Mapping[str, tuple[int, int]]:
    """Each finished cell's file, and which writing of it: a second one is another file."""
    found = {}
    for path in (folder / "cells").glob("*.json"):
        about = path.stat()
        found[path.name] = (about.st_ino, about.st_mtime_ns)
    return found


def saved(folder: Path) -> Mapping[str, tuple[int, int]]:
    """The same of a training run, whose one file is written again and again."""
    found = {}
    for path in folder.rglob("checkpoint.pt"):
        with contextlib.suppress(FileNotFoundError):
            about = path.stat()
            found[f"{about.st_ino}-{about.st_mtime_ns}"] = (about.st_ino, about.st_mtime_ns)
    return found


def results(folder: Path) -> dict[str, Any]:
    """Each finished cell's result by its file, but for when and how long."""
    return {p.name: timeless(read_cell(p).result) for p in (folder / "cells").glob("*.json")}


def timeless(table: Any) -> Any:
    """All of a result but when and how long."""
    if isinstance(table, dict):
        return {k: timeless(v) for k, v in table.items() if k not in ("seconds", "provenance")}
    return [timeless(v) for v in table] if isinstance(table, list) else table


@dataclass
class Tally:
    """What happened, for the test to print."""

    what: str
    kills: int = 0
    workers: int = 0
    starts: int = 0
    finished: int = 0
    written: int = 0
    rewritten: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (f"{self.what}: {self.kills} kills ({self.workers} of them of workers), "
                f"{self.starts} starts, {self.finished} runs to the end, {self.written} cells "
                f"stored, {len(self.rewritten)} stored twice")  # fmt: skip


def work_under_kills(
    work: Callable[..., None], arguments: Callable[[Path], tuple[Any, ...]], folders: Path,
    compare: Callable[[Path], None], tally: Tally, kills: int, *, most: int = 3,
    pause: float = 0.1, look: Callable[[Path], Mapping[str, Any]] = stored, once: bool = True,
    children: bool = False, seed: int = 0,
) -> None:  # fmt: skip
    """Start ``work`` again and again, with so many SIGKILLs in all.

    Each falls a random while after a random number (0 to ``most``) of new files. A run that comes
    to its end is compared, and another begun in another folder; the last one is left to its end.
    With ``once`` no file may be written twice; with ``children`` some kills are a worker's.
    """
    begin()
    rng = random.Random(seed)
    folder = folders / "0"
    while True:
        last = tally.kills >= kills
        victims: list[int] = []
        before = dict(look(folder))
        process = _CONTEXT.Process(target=work, args=arguments(folder))
        process.start()
        tally.starts += 1
        wanted, new = rng.randint(0, most), dict(before)
        while not last and process.is_alive():
            new.update(look(folder))  # a checkpoint takes the place of the one before
            if len(new.keys() - before.keys()) >= wanted:
                break
            time.sleep(_LOOK)
        if not last:
            time.sleep(rng.uniform(0, pause))
            victims = _workers(process.pid) if children and rng.random() < 0.5 else []
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(victims), signal.SIGKILL)
                tally.kills += 1
                tally.workers += 1
                if rng.random() < 0.5:  # else the sweep goes on without it, to its end
                    time.sleep(rng.uniform(0, pause))
                    process.kill()
            else:
                process.kill()
        process.join()
        after = dict(look(folder))
        if once:
            tally.rewritten += [name for name in before if after.get(name) != before[name]]
        tally.written += len(after.keys() - before.keys())
        assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
        if process.exitcode == 0:
            tally.finished += 1
            compare(folder)
            if last:
                return
            folder = folders / str(tally.finished)
        else:
            assert not last
            tally.kills += not victims


def _workers(parent: int | None) -> list[int]:
    """A process's loky workers."""
    try:
        found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(n) for n in found if _LOKY in Path(f"/proc/{n}/cmdline").read_bytes()]
    except OSError:  # gone, or not Linux
        return []
