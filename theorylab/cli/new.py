"""``theorylab new``: the skeleton of a package of one's own."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from theorylab.studies.skeleton import skeleton

__all__ = ["command"]


def command(
    name: Annotated[str, typer.Argument(help="The package, a Python identifier in lower case.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Write a package into ./NAME: a statement, a method, an objective, a quantity, their tests.

    Example: theorylab new mytheory && pip install -e mytheory && theorylab verify mytheory
    """
    made = skeleton(name)
    files = sorted(path.as_posix() for path in made.rglob("*") if path.is_file())
    if as_json:
        print(json.dumps({"schema": 1, "folder": made.as_posix(), "files": files}, indent=1))
        return
    for path in files:
        print(path)
    print(f"pip install -e '{made}[test]', then theorylab verify {name}")
