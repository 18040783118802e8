"""``theorylab conformance``: whether an optimizer behaves as torch's do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from theorylab.console import console
from theorylab.errors import UsageError
from theorylab.progress import bar
from theorylab.studies.pages import fill, held, markdown_table

if TYPE_CHECKING:
    from theorylab.conformance.report import Conformance

__all__ = ["command"]

_COLOURS = {"failed": "bold red", "limited": "yellow", "refused": "yellow", "passed": "green",
            "not applicable": "dim"}  # fmt: skip


def _checks(incomplete: str) -> list[tuple[str, str]]:
    from theorylab.conformance.registry import CHECKS

    return [(c.name, c.requires) for c in CHECKS.values() if c.name.startswith(incomplete)]


def command(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODULE:NAME", help="An optimizer, or MODULE for all it exports."),
    ] = None,
    settings: Annotated[
        str, typer.Option("--set", metavar="NAME=VALUE,...", help="Arguments of every build.")
    ] = "",
    claims: Annotated[
        list[str] | None,
        typer.Option(
            "--claim",
            help="decay=coupled, decay=decoupled, scale, rotation, translation, "
            "reference=RULE, reference=MODULE:FUNCTION, limited=CHECK.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="A check, or a concept of checks.", autocompletion=_checks),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the checks.")] = False,
    limit: Annotated[
        float, typer.Option(min=0.1, max=3600.0, help="Seconds of computing a check may take.")
    ] = 20.0,
    save: Annotated[
        Path | None, typer.Option(help="Write the report: .json, .csv, .tex or .html.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="A page to write the table into, between its markers.")
    ] = None,
    section: Annotated[str, typer.Option(help="The markers' name.")] = "conformance",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Put an optimizer to the checks that torch's own pass; exit code 1 if one fails.

    Example: theorylab conformance mypackage:MyOptimizer --set lr=0.1 --claim decay=decoupled
    """
    from theorylab.conformance.report import Survey
    from theorylab.conformance.worker import optimizers_of

    if show:
        if page is not None:
            fill(page, "checks", _table_of_checks())
        _list(as_json)
        return
    if not targets:
        raise UsageError("name an optimizer, as in: theorylab conformance torch.optim:Adam "
                         "(--list shows the checks)")  # fmt: skip
    if page is not None:
        held(page, section)  # refused before an hour of checks
    paths = [path for target in targets for path in optimizers_of(target, limit)]
    reports, refused = _reports(paths, settings, tuple(claims or ()), only, limit)
    if refused and len(refused) == len(paths):
        raise UsageError("; ".join(refused))
    report = reports[0] if len(paths) == 1 else Survey(tuple(reports))
    if save is not None:
        report.save(save)
    if page is not None:
        fill(page, section, Survey(tuple(reports)).markdown())
    if as_json:
        print(json.dumps(report.to_json(), indent=1, allow_nan=False))
    else:
        for one in reports:
            _print(one, brief=len(reports) > 1)
    if refused:  # those that could be run are shown first
        raise UsageError("; ".join(refused))
    if not report.passed:
        raise typer.Exit(1)


def _reports(
    paths: Sequence[str], settings: str, claims: tuple[str, ...], only: Sequence[str] | None,
    limit: float,
) -> tuple[list[Conformance], list[str]]:  # fmt: skip
    """The reports, and in words which optimizers could not be run."""
    from theorylab.conformance.check import Finding
    from theorylab.conformance.registry import select
    from theorylab.conformance.report import Conformance
    from theorylab.conformance.target import Target
    from theorylab.conformance.worker import conform_targets

    reports: list[Conformance] = []
    refused: list[str] = []
    targets = [Target(path, settings, claims) for path in paths]
    with bar() as display:
        task = display.add_task("checking", total=len(select(only)) * len(paths))
        for found in conform_targets(targets, only, limit):
            if isinstance(found, Finding):
                display.advance(task)
            elif isinstance(found, Conformance):
                reports.append(found)
            else:
                refused.append(str(found))
    return reports, refused


def _print(report: Conformance, brief: bool) -> None:
    terminal = console()
    said = ", ".join(f"{k}={v}" for k, v in report.settings.items())
    title = " ".join(filter(None, [report.subject, report.version, f"({said})" if said else ""]))
    table = Table(title=escape(title), title_justify="left")
    table.add_column("check", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("what was required, and what came", overflow="fold")
    hidden = ("passed", "not applicable") if brief else ("passed",)
    for found in report:
        if found.outcome not in hidden:
            colour = _COLOURS[found.outcome]
            table.add_row(found.check, f"[{colour}]{found.outcome}[/]", escape(found.detail))
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items() if count)
    if table.row_count:
        terminal.print(table)
        terminal.print(f"{counts}\n", highlight=False)
    else:
        terminal.print(f"{escape(title)}: {counts}", highlight=False)


def _table_of_checks() -> str:
    from theorylab.conformance.registry import CHECKS

    rows = [(c.concept, f"`{c.name}`", c.requires) for c in CHECKS.values()]
    return markdown_table(("concept", "check", "requires"), rows)


def _list(as_json: bool) -> None:
    from theorylab.conformance.registry import CHECKS

    if as_json:
        print(json.dumps([{"check": c.name, "concept": c.concept, "requires": c.requires}
                          for c in CHECKS.values()], indent=1))  # fmt: skip
        return
    table = Table(title=f"{len(CHECKS)} checks", title_justify="left")
    for name in ("concept", "check", "requires"):
        table.add_column(name, no_wrap=name != "requires", overflow="fold")
    for check in CHECKS.values():
        table.add_row(check.concept, check.name, escape(check.requires))
    console().print(table)
