"""SIGINT and SIGTERM: a prompt stop; what is finished stays, and one line says how to go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn, final

__all__ = ["Interrupts"]

_GO_ON = "interrupted; finished work is kept, run the same command to go on"
_GRACE = 1.5  # seconds for the work at hand to end by itself
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class Interrupts:
    """Turns a signal into ``KeyboardInterrupt``, and makes sure that the process ends.

    Before :meth:`begin` there is nothing to end, and the process leaves at once. After it, code
    that does not come back within a second and a half (a solver, say) is left where it is: every
    file is written whole or not at all, and workers end with their parent.

    Attributes
    ----------
    code : int, optional
        128 and the signal's number, once one has come.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self._begun = False
        self._last = threading.Lock()

    def install(self) -> None:
        """Listen; a signal that the parent had ignored (``nohup``) stays ignored."""
        heard = [s for s in _SIGNALS if signal.getsignal(s) is not signal.SIG_IGN]
        for number in heard:
            signal.signal(number, self._raise)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # The interpreter writes there at once, whatever the main thread is doing.
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader, frozenset(heard)), daemon=True).start()

    def begin(self) -> None:
        """From now on there is work that can end by itself."""
        self._begun = True

    def _raise(self, number: int, frame: FrameType | None) -> None:
        again = self.code is not None
        self.code = 128 + number
        if again or not self._begun:
            self.leave()
        raise KeyboardInterrupt

    def _watch(self, reader: int, heard: frozenset[int]) -> None:
        while (number := os.read(reader, 1)[0]) not in heard:
            pass
        if self._begun:
            time.sleep(_GRACE)
        self.code = 128 + number
        self.leave()

    def leave(self) -> NoReturn:
        """End without a look back, having said how to go on."""
        self._last.acquire()  # one of the two threads speaks; the process ends under the other
        cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar had hidden it
        os.write(2, f"{cursor}{_GO_ON}\n".encode())
        os._exit(self.code or 1)
