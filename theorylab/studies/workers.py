"""What runs in a worker, and how workers are given cells: here, on Dask, or under Slurm."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

import torch
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from theorylab.engine.memory import limited
from theorylab.errors import UsageError
from theorylab.plugins.code import code_of
from theorylab.plugins.store import Cell, Store
from theorylab.studies.scale import Scale

__all__ = ["Failure", "Task", "spread"]

_LOOK = 0.25  # seconds between looks whether the parent lives
_POLL = 0.1
_TRIES = 2  # jobs that may end at a cell
# Objects made between two looks for unused cycles: a tenth of a check's time went to looking
# through formulas and modules that stay.
_RARELY = (100_000, 20, 100)
_turn = threading.Lock()


@final
@dataclass(frozen=True)
class Failure:
    """Why a cell has no result.

    Attributes
    ----------
    reason : str
        One line: the error, and where in the code.
    usage : bool
        Whether it is a mistake in what was asked for.
    """

    reason: str
    usage: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """From what was raised.

        >>> Failure.of(ValueError("no\\nsuch thing"))
        Failure(reason='ValueError: no such thing', usage=False)
        """
        if isinstance(error, UsageError):
            return cls(" ".join(str(error).split()), usage=True)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if "site-packages" not in f.filename]
        if len(own) > 1:
            text += f" ({'/'.join(Path(own[-1].filename).parts[-2:])}:{own[-1].lineno})"
        return cls(text)


@final
@dataclass(frozen=True)
class Task:
    """A function and the cells it is for, each with the digest of the code behind it.

    ``memory`` is what a worker may hold, in bytes; ``None`` leaves it to the machine.
    """

    function: Callable[[Any], Any]
    cells: Sequence[Cell]
    codes: Sequence[str]
    memory: int | None = None

    def run(
        self, index: int, *, threads: int = 1, elsewhere: bool = False,
        ends: tuple[type[BaseException], ...] = (),
    ) -> Any | Failure:  # fmt: skip
        """The result of one cell, or why there is none.

        One thread by default: several processes beat several threads, and a sum's order (so its
        bits) must not depend on how many workers there are. ``ends`` are raised by what ends the
        worker, not by the cell.
        """
        with _turn:  # a Dask worker may have several threads, and torch's number is the process's
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                if elsewhere and code_of(self.function, self.cells[index]) != self.codes[index]:
                    return Failure("the worker runs another version of the code or its libraries")
                with limited(self.memory), _collecting_rarely():
                    return self.function(self.cells[index])
            except ends:
                raise
            except (Exception, SystemExit) as error:  # whatever it is, the other cells go on
                return Failure.of(error)
            finally:
                torch.set_num_threads(before)

    def of(self, index: int) -> Task:
        """What is sent to a worker: one cell of it."""
        return Task(self.function, [self.cells[index]], [self.codes[index]], self.memory)


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)


Found = Iterator[tuple[int, Any]]


def spread(
    task: Task, wanted: Iterator[int], scale: Scale, store: Store, threads: int = 1
) -> Found:
    """Results (or a :class:`Failure`) of the cells that ``wanted`` names, as they are finished.

    Raises
    ------
    UsageError
        If the backend is not installed, or cannot be reached.
    """
    if scale.backend == "dask":
        return _on_dask(task, wanted, scale, threads)
    if scale.backend == "slurm":
        return _under_slurm(task, wanted, scale, store, threads)
    if scale.jobs == 1:
        return _alone(task, wanted, store, threads)
    return _here(task, wanted, scale.jobs, threads)


def _alone(task: Task, wanted: Iterator[int], store: Store, threads: int) -> Found:
    """In this process. Should it be killed, out of memory say, the store knows at which cell."""
    for i in wanted:
        with store.at_work(task.cells[i], task.codes[i]):
            result = task.run(i, threads=threads)
        yield i, result


# --- worker processes on this machine ------------------------------------------------------------
def _serve(parent: int) -> None:
    """A worker's beginning: it leaves Ctrl-C to its parent, and ends when that does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _one(task: Task, index: int, threads: int) -> tuple[int, Any]:
    result = task.run(0, threads=threads)
    _keep()
    return index, result


@cache
def _keep() -> None:
    """Look no more for unused cycles in what the first cell imported.

    Where psutil is missing joblib looks through everything between two cells, every second.
    """
    gc.collect()
    gc.freeze()


def _pool(task: Task, indices: Iterable[int], jobs: int, threads: int) -> Found:
    # loky's tracker frees the semaphores of a process that was stopped, and need not say so.
    quiet = "ignore:resource_tracker:UserWarning"
    if quiet not in os.environ.get("PYTHONWARNINGS", ""):
        given = os.environ.get("PYTHONWARNINGS")
        os.environ["PYTHONWARNINGS"] = f"{given},{quiet}" if given else quiet
    # A worker that has grown by 300 MB is replaced between two cells, which changes no result.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    parallel = Parallel(
        n_jobs=jobs, backend="loky", return_as="generator_unordered", pre_dispatch="2*n_jobs",
        batch_size=1, initializer=_serve, initargs=(os.getpid(),),
    )  # fmt: skip
    yield from parallel(delayed(_one)(task.of(i), i, threads) for i in indices)


def _here(task: Task, wanted: Iterator[int], jobs: int, threads: int) -> Found:
    """Worker processes. One that dies takes its cells with it: each is tried once more, alone."""
    while True:
        begun: set[int] = set()

        def marked(begun: set[int] = begun) -> Iterator[int]:
            for i in wanted:
                begun.add(i)
                yield i

        try:
            for i, result in _pool(task, marked(), jobs, threads):
                begun.discard(i)
                yield i, result
            return
        except BrokenProcessPool:
            lost = sorted(begun)
        for i in lost:
            try:
                yield from _pool(task, [i], 2, threads)  # one job would be this process itself
            except BrokenProcessPool:
                yield i, Failure("its worker died twice (killed, or out of memory)")


# --- a Dask cluster ------------------------------------------------------------------------------
def _on_dask(task: Task, wanted: Iterator[int], scale: Scale, threads: int) -> Found:
    try:
        import distributed
    except ImportError:
        raise UsageError("--backend dask needs the extra: pip install 'theorylab[dask]'") from None
    try:
        client = distributed.Client(scale.scheduler, set_as_default=False, timeout=10)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"no Dask scheduler at {scale.scheduler}: {reason}") from None
    with client:

        def submit(i: int) -> Any:
            return client.submit(Task.run, task.of(i), 0, threads=threads, elsewhere=True,
                                 pure=False)  # fmt: skip

        workers = sum(client.nthreads().values())
        yield from _as_done(submit, wanted, max(scale.jobs, 2 * workers))


def _as_done(submit: Callable[[int], Any], wanted: Iterator[int], most: int) -> Found:
    """At most so many at once, each handed out when another is done."""
    running: dict[int, Any] = {}
    more = True
    while running or more:
        while more and len(running) < most:
            i = next(wanted, None)
            more = i is not None
            if i is not None:
                running[i] = submit(i)
        done = [i for i, future in running.items() if future.done()]
        for i in done:
            try:
                result = running.pop(i).result()
            except Exception as error:  # its worker died, again and again
                result = Failure.of(error)
            yield i, result
        if not done:
            time.sleep(_POLL)


# --- Slurm, through submitit ---------------------------------------------------------------------
def _under_slurm(
    task: Task, wanted: Iterator[int], scale: Scale, store: Store, threads: int
) -> Found:
    """So many jobs, each with a share of the cells, which it puts into the store itself."""
    try:
        import submitit
    except ImportError:
        raise UsageError(
            "--backend slurm needs the extra: pip install 'theorylab[slurm]'"
        ) from None
    given = _parameters(scale.scheduler)
    try:
        executor = submitit.AutoExecutor(
            store.root / "slurm", cluster=given.pop("cluster", "slurm")
        )
        executor.update_parameters(name="theorylab", **given)
    except (RuntimeError, NameError, ValueError, TypeError) as error:
        raise UsageError(f"--backend slurm: {' '.join(str(error).split())}") from None
    left, deaths = list(wanted), Counter[int]()
    while left:
        shares = [left[k :: scale.jobs] for k in range(min(scale.jobs, len(left)))]
        jobs = [
            executor.submit(
                _share, Task(task.function, [task.cells[i] for i in share],
                             [task.codes[i] for i in share], task.memory),
                str(store.root.resolve()), threads,
            ) for share in shares
        ]  # fmt: skip
        left = []
        try:
            for share, job in zip(shares, jobs, strict=True):
                while not job.done():
                    time.sleep(_POLL)
                failed, died = _outcome(job)
                found = [store.get(task.cells[i], task.codes[i]) for i in share]
                lost = []
                for k, (i, result) in enumerate(zip(share, found, strict=True)):
                    if result is not None:
                        yield i, result
                    elif k in failed:
                        yield i, failed[k]
                    else:
                        lost.append(i)
                if died is not None and not died.killed:  # it could not even begin
                    yield from ((i, died.why) for i in lost)
                    continue
                # The cell at which two jobs ended is given up; the others go on in new jobs.
                if died is not None and lost:
                    deaths[lost[0]] += 1
                    if deaths[lost[0]] == _TRIES:
                        yield lost.pop(0), died.why
                left += lost
        finally:
            for job in jobs:
                if not job.done():
                    job.cancel()


@final
@dataclass(frozen=True)
class _Death:
    """Why a job gave no answer, and whether it was killed while it ran."""

    why: Failure
    killed: bool


def _outcome(job: Any) -> tuple[Mapping[int, Failure], _Death | None]:
    from submitit.core.utils import UncompletedJobError

    why = Failure(f"two jobs died at it (killed, out of memory or time), see {job.paths.stderr}")
    try:
        told = job.result()
        return told.failed, _Death(why, True) if told.cut else None
    except UncompletedJobError:
        return {}, _Death(why, True)
    except Exception as error:
        last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        return {}, _Death(Failure(f"its job failed: {last[0]}, see {job.paths.stderr}"), False)


@final
@dataclass(frozen=True)
class _Told:
    """What a job says at its end: the cells that failed, and whether its time was up."""

    failed: Mapping[int, Failure]
    cut: bool = False


def _share(task: Task, root: str, threads: int) -> _Told:
    """What one job does: its cells one by one into the store; the failures are told."""
    from submitit.core.utils import UncompletedJobError  # raised wherever it is, at its last signal

    store, failed = Store(root), dict[int, Failure]()
    for k, (cell, code) in enumerate(zip(task.cells, task.codes, strict=True)):
        if store.get(cell, code) is not None:
            continue
        try:
            result = task.run(k, threads=threads, elsewhere=True, ends=(UncompletedJobError,))
        except UncompletedJobError:
            return _Told(failed, cut=True)
        if isinstance(result, Failure):
            failed[k] = result
        else:
            store.put(cell, result, code)
    return _Told(failed)


def _parameters(text: str | None) -> dict[str, Any]:
    """``NAME=VALUE,...`` as submitit takes them.

    >>> _parameters("timeout_min=240,slurm_partition=cpu,mem_gb=1.5")
    {'timeout_min': 240, 'slurm_partition': 'cpu', 'mem_gb': 1.5}
    """
    found: dict[str, Any] = {}
    for item in filter(None, (text or "").split(",")):
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--scheduler takes NAME=VALUE,... for Slurm, got {item!r}")
        number = value.replace(".", "", 1).isdecimal()
        found[name] = value if not number else float(value) if "." in value else int(value)
    return found
