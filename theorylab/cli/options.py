"""What several commands' options share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from theorylab.plugins.specs import Spec

__all__ = [
    "MAX_SEED", "Data", "Family", "Parameters", "Seed", "Target", "chosen_objectives", "families",
    "say_data",
]  # fmt: skip


def families(incomplete: str) -> list[str]:
    """The families of objectives that complete a word."""
    from theorylab.plugins import registry

    return [name for name in registry.families() if name.startswith(incomplete)]


Data = Annotated[
    str | None,
    typer.Option(
        help="breast_cancer, digits, diabetes, or a file of yours: CSV, TSV, svmlight, NPZ, "
        "Parquet, Excel or ARFF, packed or not."
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target", metavar="COLUMN", help="The target of --data: a column's name, first or last."
    ),
]
Family = Annotated[str | None, typer.Option(help="An objective family.", autocompletion=families)]
Parameters = Annotated[
    str | None,
    typer.Option(
        "--set",
        help="Parameters of the data or the family, as loss=welsch,scale=2; how to read the data "
        "too, as header=no,impute=mean,positive=LABEL.",
    ),
]

MAX_SEED = 2**32 - 1  # CMA-ES takes no larger one
Seed = Annotated[int, typer.Option(min=0, max=MAX_SEED)]


def chosen_objectives(
    objective: str | None, data: str | None, parameters: str | None, column: str | None
) -> list[Spec]:
    """What ``--objective``, ``--data``, ``--set``, ``--target`` name; how data were read is said.

    Raises
    ------
    UsageError
        As :func:`theorylab.plugins.specs.objective_specs`.
    """
    from theorylab.plugins.specs import objective_specs, parse_parameters

    specs = objective_specs(objective, data, parse_parameters(parameters), column)
    if data is not None:
        say_data(specs[:1])
    return specs


def say_data(specs: Sequence[Spec]) -> None:
    """One line on stderr for each data set: what was read, and how."""
    from theorylab.plugins.specs import readings

    for reading in readings(specs):
        print(f"data: {reading}", file=sys.stderr)
