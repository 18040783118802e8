"""``theorylab falsify``: search for counterexamples, confirm them, and write them down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from bounds.statement import Statement
from theorylab.cli.options import MAX_SEED
from theorylab.cli.statements import Keys, Paper, select
from theorylab.console import console
from theorylab.errors import require_finite
from theorylab.hunt.search import CONFIDENCE, Hunt, hunt
from theorylab.plugins import registry
from theorylab.plugins.provenance import provenance
from theorylab.plugins.store import Store, compute, writable, write_json

__all__ = ["command", "falsify", "hunt_cell"]

_COLOURS = {"violated": "bold red", "not refuted": "green", "not applicable": "dim"}


def command(
    keys: Keys = None,
    paper: Paper = None,
    form: Annotated[
        Literal["printed", "repaired", "both"], typer.Option(help="Which form of a statement.")
    ] = "both",
    budget: Annotated[
        float, typer.Option(min=0.1, help="Seconds of search, shared by the statements.")
    ] = 600.0,
    limit: Annotated[
        int | None,
        typer.Option(
            "--instances",
            min=1,
            help="Instances a statement, instead of seconds: the same bits on any machine.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED)] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/falsify"),
    write: Annotated[bool, typer.Option(help="Shrink and write counterexamples.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Search for an instance on which each statement fails, and write it as a counterexample."""
    require_finite("falsify", {"budget": budget})
    chosen = select(keys or [], paper, form)
    target = writable(out / "results.json")
    hunts = falsify(chosen, budget=budget, limit=limit, seed=seed, jobs=jobs, out=out)
    rows = [h.to_json() for h in hunts]
    if write:
        from theorylab.hunt.counterexample import write_counterexample

        for statement, found, row in zip(chosen, hunts, rows, strict=True):
            if found.verdict == "violated":
                row["counterexample"] = write_counterexample(statement, found, out)
    report = {
        "schema": 1,
        "provenance": provenance(seed=seed),
        "confidence": CONFIDENCE,
        "results": rows,
    }
    write_json(target, report)
    if as_json:
        print(json.dumps(report, indent=1, allow_nan=False))
    else:
        _print(hunts, out)


def falsify(
    statements: Sequence[Statement],
    *,
    budget: float = 600.0,
    limit: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    out: Path | str = "results/falsify",
    progress: bool | None = None,
) -> list[Hunt]:
    """Hunt every statement; the budget is shared equally, confidence is that of all together.

    ``limit`` counts the instances tried for each statement instead.
    """
    each = budget * jobs / max(1, len(statements))
    cells = [
        {"kind": "hunt", "key": s.key, "form": s.form, "seed": seed, "family": len(statements),
         **({"budget": each} if limit is None else {"limit": limit})}
        for s in statements
    ]  # fmt: skip
    results = compute(hunt_cell, cells, Store(out), jobs=jobs, label="hunting", progress=progress)
    return [Hunt.from_json(result) for result in results if result is not None]


def hunt_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """Hunt one statement."""
    statement = registry.statements()[cell["key"], cell["form"]]
    allowed = {name: cell[name] for name in ("budget", "limit") if name in cell}
    found = hunt(statement, **allowed, seed=cell["seed"], family=cell["family"])
    return found.to_json()


def _print(hunts: Sequence[Hunt], out: Path) -> None:
    terminal = console()
    table = Table(title="The hunt", title_justify="left")
    for name in ("statement", "form", "verdict", "how"):
        table.add_column(name, no_wrap=True)
    for name in ("measured", "bound", "ratio", "tries"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("instance", overflow="fold")
    for h in hunts:
        best = h.best
        shown = ["-"] * 3 if best is None else [
            f"{v:.4g}" for v in (best.measured, best.bound, h.ratio)
        ]  # fmt: skip
        where = h.reason
        if h.instance is not None:
            values = ", ".join(f"{k}={v:.4g}" for k, v in h.instance.values.items())
            family = "" if h.instance.spec is None else h.instance.spec["family"]
            where = f"{family} {values}".strip()
        told = best.told if best is not None and h.verdict == "violated" else h.verdict
        table.add_row(h.key, h.form, f"[{_COLOURS[h.verdict]}]{told}[/]", h.how, *shown,
                      str(h.evaluations), where)  # fmt: skip
    terminal.print(table)
    for form in ("printed", "repaired"):
        tally = Counter(h.verdict for h in hunts if h.form == form)
        if tally:
            terminal.print(f"{form}: " + ", ".join(f"{k} {n}" for k, n in sorted(tally.items())))
    terminal.print(f"results: {out / 'results.json'}")
