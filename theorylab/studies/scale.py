"""``Scale``: how many workers run the cells of a study, and where."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Literal, final, get_args

import joblib

from theorylab.engine import memory
from theorylab.errors import UsageError, require_integer

__all__ = ["Backend", "Scale"]

Backend = Literal["local", "dask", "slurm"]


@final
@dataclass(frozen=True)
class Scale:
    """Where cells are run. Results are the same bits wherever that is.

    Attributes
    ----------
    jobs : int
        Workers at once: processes on this machine, or Slurm jobs. On a Dask cluster its own
        workers count, and this is the number of cells that are handed out at once.
    backend : "local", "dask" or "slurm"
    scheduler : str, optional
        For Dask its scheduler's address, ``tcp://HOST:PORT``. For Slurm parameters of
        ``submitit.AutoExecutor``, ``NAME=VALUE`` with commas between:
        ``slurm_partition=cpu,timeout_min=240,mem_gb=4``.
    memory : int, optional
        The bytes that measured runs may hold: shared by the processes on this machine, each
        worker's own elsewhere. By default half of what the machine has.

    Raises
    ------
    UsageError
        If a value is none of these, or they do not fit each other.

    Examples
    --------
    >>> Scale(2), Scale.of(3).jobs
    (Scale(jobs=2, backend='local', scheduler=None, memory=None), 3)
    >>> Scale(2, "dask")
    Traceback (most recent call last):
    theorylab.errors.UsageError: --backend dask needs --scheduler tcp://HOST:PORT
    """

    jobs: int = 1
    backend: Backend = "local"
    scheduler: str | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        require_integer("scale", "--jobs", self.jobs, 1)
        if self.backend not in get_args(Backend):
            raise UsageError(f"--backend is one of {', '.join(get_args(Backend))}, "
                             f"got {self.backend!r}")  # fmt: skip
        if self.backend == "dask" and not self.scheduler:
            raise UsageError("--backend dask needs --scheduler tcp://HOST:PORT")
        if self.backend == "local" and self.scheduler:
            raise UsageError("--scheduler goes with --backend dask or slurm")
        if self.backend == "local" and self.memory is not None and self._each() < memory.LEAST:
            raise UsageError(
                f"--memory {memory.shown(self.memory)} is too little for --jobs {self.jobs}: each "
                f"worker, and the command itself, needs {memory.shown(memory.LEAST)}"
            )

    @classmethod
    def of(cls, jobs: int | Scale) -> Scale:
        """A number of worker processes on this machine, or the scale itself."""
        return jobs if isinstance(jobs, Scale) else cls(jobs)

    @classmethod
    def asked(
        cls, jobs: int, backend: Backend, scheduler: str | None, size: str | None = None
    ) -> Scale:
        """As a command's options say; ``size`` is what it may hold.

        >>> Scale.asked(1, "local", None, "2G")
        Scale(jobs=1, backend='local', scheduler=None, memory=2147483648)
        """
        held = None if size is None else memory.parse(size)
        return replace(cls(jobs, backend, scheduler).capped(), memory=held)

    def share(self) -> int | None:
        """The bytes one worker may hold; ``None`` where its own machine decides."""
        if self.backend != "local":
            return self.memory
        return max(memory.LEAST, self._each())

    def _each(self) -> int:
        whole = memory.limit() if self.memory is None else self.memory
        # With workers, the process that hands out the cells holds its libraries and little else.
        return whole if self.jobs == 1 else (whole - memory.LEAST) // self.jobs

    def capped(self) -> Scale:
        """With no more local workers than cores, said in a line: each takes a core and its memory.

        >>> Scale(1).capped() == Scale(1)
        True
        """
        most = max(2, joblib.cpu_count())
        if self.backend != "local" or self.jobs <= most:
            return self
        print(f"--jobs {self.jobs}: this machine has {joblib.cpu_count()} cores; {most} workers",
              file=sys.stderr)  # fmt: skip
        return replace(self, jobs=most)
