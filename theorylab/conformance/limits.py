"""A limit on the time that somebody else's code may take, in this process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, final

__all__ = ["OutOfTime", "time_limit"]

_WAITING = 30.0  # seconds on the clock for each one of computing: a machine may be shared
_AGAIN = 1.0


@final
class OutOfTime(BaseException):
    """Not an :class:`Exception`, lest the code under test catches it."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise :class:`OutOfTime` in what takes more than ``seconds`` of computing.

    Waiting (a sleep, a lock) may take thirty times as long. Without a limit where there is none to
    set: outside of the main thread, and where the system has no interval timers.

    Examples
    --------
    >>> with time_limit(0.05):
    ...     while True:
    ...         pass
    Traceback (most recent call last):
    theorylab.conformance.limits.OutOfTime
    """
    main = threading.current_thread() is threading.main_thread()
    if seconds is None or not main or not hasattr(signal, "setitimer"):
        yield
        return

    def out(number: int, frame: FrameType | None) -> NoReturn:
        raise OutOfTime

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, seconds),
              (signal.ITIMER_REAL, signal.SIGALRM, _WAITING * seconds))  # fmt: skip
    before = [(signal.signal(number, out), signal.setitimer(which, limit, _AGAIN))
              for which, number, limit in timers]  # fmt: skip
    try:
        yield
    finally:
        for (which, number, _), (handler, timer) in zip(timers, before, strict=True):
            signal.setitimer(which, 0.0)
            signal.signal(number, handler)
            signal.setitimer(which, *timer)
