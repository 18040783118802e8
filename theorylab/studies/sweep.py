"""A statement along one axis: measured and bounds over T, eta, B, n, ... with the rest fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bounds.statement import DomainError, Statement
from theorylab.errors import UsageError
from theorylab.judge.check import check, constants_for
from theorylab.judge.domain import points
from theorylab.plugins import registry
from theorylab.plugins.provenance import provenance
from theorylab.plugins.specs import Spec, build_objective
from theorylab.plugins.store import Store, compute
from theorylab.problem.objective import FiniteSum

__all__ = ["sweep"]


def sweep(
    key: str,
    axis: str,
    spec: Spec,
    values: Sequence[float] | None = None,
    *,
    fixed: Mapping[str, float] | None = None,
    replicas: int = 256,
    effort: float = 3e5,
    seed: int = 0,
    jobs: int = 1,
    out: Path | str = "results/sweeps",
    progress: bool | None = None,
) -> dict[str, Any]:
    """Measured and bound of every form of ``key`` at each value of ``axis``.

    Other hyperparameters stay at ``fixed`` or at typical admissible values, the same for every
    form. ``axis`` is a hyperparameter's name, or ``"n"``, which resizes the data.

    Returns
    -------
    dict
        ``key``, ``axis``, ``fixed``, ``objective``, ``provenance`` and ``rows``: one for each
        form and value, with ``form``, ``x``, ``measured``, ``interval``, ``bound``.

    Raises
    ------
    UsageError
        If the statement has no such axis.
    """
    # An O(.) claim has no constant, so no curve.
    forms = [s for (k, _), s in registry.statements().items() if k == key and not s.claim.big_o]
    if not forms:
        registry.statement(key)
    lead = forms[-1]
    names = {s.name: s for s in lead.symbols}
    if axis not in names:
        raise UsageError(f"{key} does not depend on {axis!r}; it has {', '.join(sorted(names))}")
    objective = build_objective(spec)
    if axis == "n" and not isinstance(objective, FiniteSum):
        raise UsageError(f"{objective.name} is no finite sum: it cannot be swept over n")
    given = dict(fixed or {})
    certified = constants_for(lead, objective)
    base = points(lead, {**certified, **given}, seed, 1)[0]
    held = {s.name: float(base[s.name]) for s in lead.hyperparameters if s.name != axis}
    if values is None:
        values = _axis_values(lead, axis, base)
    cells = [
        {"kind": "sweep", "key": key, "form": s.form, "objective": spec, "axis": axis,
         "x": float(x), "fixed": {**held, **given}, "replicas": replicas, "effort": effort,
         "seed": seed, "family": len(values)}
        for s in forms for x in values
    ]  # fmt: skip
    rows = compute(sweep_cell, cells, Store(out), jobs=jobs, label=f"{key} over {axis}",
                   progress=progress)  # fmt: skip
    return {
        "key": key, "axis": axis, "fixed": {**held, **given}, "objective": objective.name,
        "provenance": provenance(seed=seed), "rows": [row for row in rows if row],
    }  # fmt: skip


def _axis_values(statement: Statement, axis: str, base: Mapping[str, Any]) -> list[float]:
    symbol = next(s for s in statement.symbols if s.name == axis)
    if axis == "n":
        return [float(64 * 2**k) for k in range(5)]
    here = float(base[axis])
    if symbol.domain.integer:
        low, high = min(symbol.typical or (1,)), max(symbol.typical or (here, 256))
        return sorted({float(round(v)) for v in np.geomspace(low, high, 8)})
    return [float(v) for v in here * np.geomspace(0.01, 1.0, 8)]


def sweep_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """One point of a sweep; outside the statement's domain the row is empty."""
    statement = registry.statements()[cell["key"], cell["form"]]
    objective = build_objective(cell["objective"])
    values = {k: v for k, v in cell["fixed"].items() if k in {s.name for s in statement.symbols}}
    if cell["axis"] == "n":
        assert isinstance(objective, FiniteSum)
        objective = objective.resize(int(cell["x"]), cell["seed"])
    else:
        values[cell["axis"]] = cell["x"]
    try:
        verdict = check(
            statement, objective, values=values, count=1, replicas=cell["replicas"],
            effort=cell["effort"], seed=cell["seed"], family=cell["family"],
        ).to_json()  # fmt: skip
    except (UsageError, DomainError):
        return {}
    kept = {name: verdict[name] for name in ("measured", "interval", "bound", "verdict")}
    return {"form": cell["form"], "x": cell["x"], **kept}
