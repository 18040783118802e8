"""Progress bars for anything that takes long: for people, and never on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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

__all__ = ["bar", "track"]

Item = TypeVar("Item")


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


def bar(enabled: bool | None = None) -> Progress:
    """A rich progress display; by default on a terminal, or in a notebook that has ipywidgets."""
    if enabled is False:
        return _Silent()
    console = Console(stderr=True)
    if console.is_jupyter:  # where rich draws with widgets, and warns if it has none
        show = find_spec("ipywidgets") is not None
    else:
        show = console.is_terminal if enabled is None else enabled
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True,
        disable=not show,
    )  # fmt: skip


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
