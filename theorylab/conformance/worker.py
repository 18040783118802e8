"""The process in which ``theorylab conformance`` runs somebody else's code, and who starts it.

What ends the process ends a check alone: the rest is run by another process.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import IO, Any, TypeVar, final

from theorylab.conformance.check import Finding
from theorylab.conformance.limits import time_limit
from theorylab.conformance.registry import CHECKS, select
from theorylab.conformance.report import Conformance
from theorylab.conformance.run import LIMIT, findings_of, probe
from theorylab.conformance.study import assemble
from theorylab.conformance.target import Target, found_in, subject_at
from theorylab.errors import UsageError

__all__ = ["conform_targets", "optimizers_of"]

_WAITING = 32.0  # longer than the limit inside, which says more
_MESSAGE = dict[str, Any]
_Made = TypeVar("_Made")


@final
class Worker:
    """A process that is told one thing and answers in lines of JSON."""

    def __init__(self, order: _MESSAGE, limit: float) -> None:
        self._patience = _WAITING * limit
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from theorylab.conformance.worker import obey; obey()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self._process.stdin.write(json.dumps(order))
            self._process.stdin.close()
        except OSError:  # it has ended; its answers say so
            pass

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def answer(self) -> _MESSAGE | str:
        """The next message, or in words how the process ended without one."""
        try:
            line = self._lines.get(timeout=self._patience)
        except queue.Empty:
            return "it did not end"
        if line is None:
            return f"it ended the process (exit code {self._process.wait()})"
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


@final
class _Job:
    """What is left to do of one target, and what was found."""

    def __init__(self, target: Target, checks: Sequence[str]) -> None:
        self.target, self.left = target, list(checks)
        self.about: Conformance | None = None
        self.findings: list[Finding] = []

    def order(self) -> _MESSAGE:
        return {"target": asdict(self.target), "checks": self.left}

    def begins(self, told: _MESSAGE | str) -> None:
        if isinstance(told, str):
            raise UsageError(f"{self.target.path} cannot be imported: {told}")
        if "error" in told:
            raise UsageError(told["error"])
        self.about = Conformance(told["subject"], told["settings"], (), told["version"])

    def takes(self, came: _MESSAGE | str) -> Finding:
        check = CHECKS[self.left.pop(0)]
        if isinstance(came, str):
            found = Finding(check.name, check.concept, check.requires, "failed",
                            f"required that it returns; {came}")  # fmt: skip
        else:
            found = Finding(**came)
        self.findings.append(found)
        return found

    def report(self) -> Conformance:
        assert self.about is not None
        return replace(self.about, findings=tuple(self.findings))


def conform_targets(
    targets: Sequence[Target], only: Sequence[str] | None = None, limit: float = LIMIT
) -> Iterator[Finding | Conformance | UsageError]:
    """Each finding as it comes, and after a target's last one its report.

    One process runs them one after another; where one ends it, the next goes on.

    Parameters
    ----------
    targets : sequence of Target
    only : sequence of str, optional
        Checks or concepts.
    limit : float
        Seconds of computing that a check may take.

    Yields
    ------
    Finding, then Conformance
        Or in place of both a UsageError, if the target names no optimizer that can be built.

    Raises
    ------
    UsageError
        If there is no such check.
    """
    names = [check.name for check in select(only)]
    jobs = [_Job(target, names) for target in targets]
    while jobs:
        with Worker({"jobs": [job.order() for job in jobs], "limit": limit}, limit) as worker:
            ended = False
            while jobs and not ended:
                job = jobs[0]
                try:
                    told = worker.answer()
                    ended = isinstance(told, str)
                    job.begins(told)
                except UsageError as error:
                    yield error
                    jobs.pop(0)
                    continue
                while job.left and not ended:
                    came = worker.answer()
                    ended = isinstance(came, str)
                    yield job.takes(came)
                if not job.left:
                    yield job.report()
                    jobs.pop(0)


def optimizers_of(path: str, limit: float = LIMIT) -> list[str]:
    """``module:name`` itself, or every optimizer that ``module`` exports.

    Raises
    ------
    UsageError
        If the module cannot be imported or exports none.
    """
    if ":" in path:
        return [path]
    with Worker({"module": path, "limit": limit}, limit) as worker:
        told = worker.answer()
    if isinstance(told, str):
        raise UsageError(f"{path} cannot be imported: {told}")
    if "error" in told:
        raise UsageError(told["error"])
    return list(told["optimizers"])


def obey() -> None:
    """In the process: do what standard input says, answer on what was standard output."""
    order = json.load(sys.stdin)
    # What the code under test prints goes where nobody listens.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.path.insert(0, os.getcwd())
    limit = order["limit"]
    if "module" in order:
        path = order["module"]
        found = _careful(path, lambda: {"optimizers": found_in(path)}, limit)
        _say(answers, found if isinstance(found, dict) else {"error": found})
    for job in order.get("jobs", []):
        target = Target(**job["target"])
        subject = _careful(target.path, partial(subject_at, target), limit)
        if isinstance(subject, str):
            _say(answers, {"error": subject})
            continue
        about = assemble(subject, ())
        _say(answers, {"subject": about.subject, "settings": dict(about.settings),
                       "version": about.version})  # fmt: skip
        for finding in findings_of(
            probe(subject, limit), [CHECKS[n] for n in job["checks"]], limit
        ):
            _say(answers, asdict(finding))
    answers.flush()
    os._exit(0)  # whatever was left running


def _careful(path: str, made: Callable[[], _Made], limit: float) -> _Made | str:
    """What is made of somebody's module, or in one line why it is not."""
    try:
        with time_limit(limit):
            return made()
    except UsageError as error:
        return str(error)
    except BaseException as error:
        return f"{path} cannot be imported: {type(error).__name__}"


def _say(answers: IO[str], message: _MESSAGE) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()
