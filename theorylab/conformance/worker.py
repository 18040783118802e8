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
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import IO, Any, final

from theorylab.conformance.check import Finding
from theorylab.conformance.limits import time_limit
from theorylab.conformance.registry import CHECKS, select
from theorylab.conformance.report import Conformance
from theorylab.conformance.run import LIMIT, findings_of, probe
from theorylab.conformance.study import assemble
from theorylab.conformance.target import Target, found_in, subject_at
from theorylab.errors import UsageError

__all__ = ["conform_target", "optimizers_of"]

_WAITING = 32.0  # longer than the limit inside, which says more
_MESSAGE = dict[str, Any]


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
        threading.Thread(target=self._listen, daemon=True).start()
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

    def answer(self) -> _MESSAGE | str:
        """The next message, or in words how the process ended without one."""
        try:
            line = self._lines.get(timeout=self._patience)
        except queue.Empty:
            return "it did not end"
        if line is None:
            code = self._process.wait()
            return f"it ended the process (exit code {code})"
        found = json.loads(line)
        if "error" in found:
            raise UsageError(found["error"])
        assert isinstance(found, dict)
        return found


def conform_target(
    target: Target, only: Sequence[str] | None = None, limit: float = LIMIT
) -> Iterator[Finding | Conformance]:
    """Each finding as it comes, and the report at the end.

    Parameters
    ----------
    target : Target
    only : sequence of str, optional
        Checks or concepts.
    limit : float
        Seconds of computing that a check may take.

    Raises
    ------
    UsageError
        If the target names no optimizer, or there is no such check.
    """
    left = [check.name for check in select(only)]
    findings: list[Finding] = []
    report: Conformance | None = None
    while left:
        order = {"target": asdict(target), "checks": left, "limit": limit}
        with Worker(order, limit) as worker:
            told = worker.answer()
            if isinstance(told, str):
                raise UsageError(f"{target.path} cannot be imported: {told}")
            report = Conformance(told["subject"], told["settings"], (), told["version"])
            while left:
                came = worker.answer()
                check = CHECKS[left.pop(0)]
                if isinstance(came, str):
                    found = Finding(check.name, check.concept, check.requires, "failed",
                                    f"required that it returns; {came}")  # fmt: skip
                else:
                    found = Finding(**came)
                findings.append(found)
                yield found
                if isinstance(came, str):
                    break
    assert report is not None
    yield Conformance(report.subject, report.settings, tuple(findings), report.version)


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
    return list(told["optimizers"])


def obey() -> None:
    """In the process: do what standard input says, answer on what was standard output."""
    order = json.load(sys.stdin)
    # What the code under test prints goes where nobody listens.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.path.insert(0, os.getcwd())
    try:
        with time_limit(order["limit"]):
            found = found_in(order["module"]) if "module" in order else None
            subject = None if found else subject_at(Target(**order["target"]))
    except UsageError as error:
        _say(answers, {"error": str(error)})
        return
    except BaseException as error:
        _say(answers, {"error": f"{order.get('module') or order['target']['path']} cannot be "
                                f"imported: {type(error).__name__}"})  # fmt: skip
        return
    if subject is None:
        _say(answers, {"optimizers": found})
        return
    about = assemble(subject, ())
    _say(answers, {"subject": about.subject, "settings": dict(about.settings),
                   "version": about.version})  # fmt: skip
    checks = [CHECKS[name] for name in order["checks"]]
    for finding in findings_of(probe(subject, order["limit"]), checks, order["limit"]):
        _say(answers, asdict(finding))
    answers.flush()
    os._exit(0)  # whatever was left running


def _say(answers: IO[str], message: _MESSAGE) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()
