"""Progress bars for anything that takes long: for people, and never on stdout."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any, Self, TypeVar, final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["bar", "track", "within"]

Item = TypeVar("Item")
_outer: ContextVar[Progress | None] = ContextVar("outer", default=None)
_PATIENCE, _EVERY = 2.0, 0.5  # seconds before a notebook's line comes, and between its changes


@final
class _Silent(Progress):
    """Shows nothing: thousands of short runs ask for none, and an idle display costs 0.1 ms."""

    def __init__(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    def add_task(self, *arguments: Any, **options: Any) -> TaskID:
        return TaskID(0)

    def update(self, *arguments: Any, **options: Any) -> None:
        pass

    def advance(self, *arguments: Any, **options: Any) -> None:
        pass


class _Outer(Progress):
    """A display to which those that begin inside it add their lines."""

    def __enter__(self) -> Self:
        self._before = _outer.set(self)
        return super().__enter__()

    def __exit__(self, *failure: Any) -> None:
        _outer.reset(self._before)
        super().__exit__(*failure)


@final
class _Within(Progress):
    """Lines in a display that is there already: a terminal has room for one."""

    def __init__(self, outer: Progress) -> None:
        self._display, self._lines = outer, list[TaskID]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        for line in self._lines:
            self._display.remove_task(line)

    def add_task(self, *arguments: Any, **options: Any) -> TaskID:
        self._lines.append(self._display.add_task(*arguments, **options))
        return self._lines[-1]

    def update(self, *arguments: Any, **options: Any) -> None:
        self._display.update(*arguments, **options)

    def advance(self, *arguments: Any, **options: Any) -> None:
        self._display.advance(*arguments, **options)


@final
class _Notebook(_Outer):
    """A line of text that a notebook keeps up to date, where it has no widgets to draw with."""

    def __init__(self) -> None:
        super().__init__(disable=True)  # it counts, and draws nothing itself
        self._line: Any = None
        self._begun = time.monotonic()
        self._next = self._begun + _PATIENCE

    def update(self, *arguments: Any, **options: Any) -> None:
        super().update(*arguments, **options)
        self._show()

    def advance(self, *arguments: Any, **options: Any) -> None:
        super().advance(*arguments, **options)
        self._show()

    def __exit__(self, *failure: Any) -> None:
        super().__exit__(*failure)
        if self._line is not None:
            self._line.update({"text/plain": ""}, raw=True)

    def _show(self) -> None:
        from IPython import display

        if (now := time.monotonic()) < self._next:
            return
        self._next = now + _EVERY
        told = ", ".join(
            f"{task.description} {task.completed:g}" + (f"/{task.total:g}" if task.total else "")
            for task in self.tasks
        )  # fmt: skip
        shown = {"text/plain": f"{told} ({now - self._begun:.0f} s)"}
        if self._line is None:
            self._line = display.display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._line.update(shown, raw=True)


def bar(enabled: bool | None = None) -> Progress:
    """A progress display; by default on a terminal or in a notebook.

    One that begins inside another adds its lines there. A notebook shows widgets if it has
    ``ipywidgets``, else a line of text from the third second on.
    """
    if enabled is False:
        return _Silent()
    if (outer := _outer.get()) is not None:
        return _Within(outer)
    console = Console(stderr=True)
    if console.is_jupyter:
        if find_spec("ipywidgets") is None:
            return _Notebook()
        show = True
    else:
        show = console.is_terminal if enabled is None else enabled
    if not show:
        return _Silent()
    return _Outer(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True,
    )  # fmt: skip


def within() -> bool | None:
    """What a cell hands on as ``progress``: lines in the display that is up, none in a worker.

    >>> within()
    False
    """
    return False if _outer.get() is None else None


def track(
    items: Sequence[Item] | Iterable[Item],
    label: str,
    enabled: bool | None = None,
    total: int | None = None,
) -> Iterator[Item]:
    """Iterate under a progress bar.

    >>> list(track([1, 2, 3], "counting", enabled=False))
    [1, 2, 3]
    """
    length = total if total is not None else len(items) if isinstance(items, Sequence) else None
    with bar(enabled) as progress:
        task = progress.add_task(label, total=length)
        for item in items:
            yield item
            progress.advance(task)
