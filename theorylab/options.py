"""Command-line options that commands of several packages share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, TypeVar

import typer

__all__ = [
    "MAX_COUNT", "BackendName", "Jobs", "Memory", "Scheduler", "counted", "takes_rest", "typed",
]  # fmt: skip

Function = TypeVar("Function", bound=Callable[..., Any])

MAX_COUNT = 1_000_000
"""Of whatever an option counts: beyond it a slip of the keyboard would run for years."""


def counted(least: int, text: str, *names: str, most: int = MAX_COUNT) -> Any:
    """An option that counts something: from ``least`` to ``most``.

    >>> counted(1, "Twins.").max
    1000000
    """
    return typer.Option(*names, min=least, max=most, help=text)


def takes_rest(command: Function) -> Function:
    """Mark a command whose arguments after the first are another command's, options and all."""
    command.__dict__["takes_rest"] = True
    return command


def typed(context: typer.Context, among: Collection[str]) -> list[str]:
    """Those options of the command that the user gave, as ``--name``, of the parameters named.

    So that one which nothing reads is refused, and never dropped in silence.
    """
    return [
        max(option.opts, key=len)
        for option in context.command.params
        if option.name in among
        and getattr(context.get_parameter_source(option.name), "name", "") == "COMMANDLINE"
    ]


Jobs = Annotated[int, typer.Option(min=1, help="Workers; results are the same bits.")]
BackendName = Annotated[
    Literal["local", "dask", "slurm"],
    typer.Option("--backend", help="Where cells run: this machine, a Dask cluster, or Slurm."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Dask: tcp://HOST:PORT. Slurm: what submitit takes, as "
        "slurm_partition=cpu,timeout_min=240.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What measured runs may hold, as 2G: local workers share it, others have it each. "
        "Half of the machine's by default; results are the same bits.",
    ),
]
