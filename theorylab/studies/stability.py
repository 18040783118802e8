"""Perturbed twins against every stability theorem of a rule: a grid of cells, and what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from bounds.evaluation import evaluate
from bounds.lrsgd import gain, geometric
from bounds.notation import gamma
from bounds.notation import theta as theta_symbol
from bounds.statement import Statement
from theorylab.data.record import Reading
from theorylab.errors import UsageError
from theorylab.judge.verdict import Verdict, json_ready
from theorylab.plugins import registry
from theorylab.plugins.provenance import provenance
from theorylab.plugins.shape import shaped
from theorylab.plugins.specs import Spec, build_objective, readings
from theorylab.plugins.store import Store
from theorylab.problem.objective import FiniteSum
from theorylab.stability.exponents import fit_exponent
from theorylab.studies import cells
from theorylab.studies.compute import Lost, compute
from theorylab.studies.planning import end_of_plan
from theorylab.studies.report import Report
from theorylab.studies.scale import Scale
from theorylab.studies.twin_cells import (
    expansion_cell,
    explicit_bound,
    rule_of,
    stability_cell,
)

__all__ = ["StabilityReport", "TwinRow", "stability"]

_EXPANSION_EFFORT = 3e5
_EXPANSIONS = frozenset({"expected_twin_distance", "expected_perturbed_twin_distance"})


class Curve(TypedDict):
    """Gap and distance over the rounds ``t``, with their intervals, beside the bound."""

    t: list[int]
    gap: list[float | None]
    gap_interval: list[tuple[float | None, float | None]]
    distance: list[float | None]
    distance_interval: list[tuple[float | None, float | None]]
    bound: list[float | None]


class TwinRow(TypedDict):
    """One cell: the gap measured on twins beside the bound of a statement."""

    rule: str
    n: int
    T: int
    c: float
    kappa: float | None
    theta: float | None
    gap: float | None
    interval: tuple[float | None, float | None]
    distance: float | None
    bound: float | None
    ratio: float | None
    verdict: str
    evidence: str
    statement: str | None
    form: str | None
    t0: float | None
    instance: str
    pairs: int
    seeds: int
    seed: int
    hit: float
    gap_after_burn_in: float | None
    evaluations: float
    gradient_norm_squared: float | None
    risk: float | None
    generalization: dict[str, Any] | None
    curve: Curve
    exponent: dict[str, float] | None


@dataclass(frozen=True)
class StabilityReport(Report):
    """What a stability study found.

    Attributes
    ----------
    objective : mapping
        Its name and specification.
    rows : tuple of TwinRow
        One a cell of the grid.
    exponents : tuple of mapping
        Fitted exponents of the gap along T and n, beside the theory's.
    comparisons : tuple of mapping
        LRSGD beside SGD at the same outer step, effective step, or number of evaluations.
    expansions : tuple of mapping
        Verdicts on one-round expansions.
    map : mapping, optional
        log10 of Theorem 3.6 over Theorem 3.4 on a grid.
    """

    objective: Mapping[str, Any]
    rows: tuple[TwinRow, ...]
    exponents: tuple[Mapping[str, Any], ...] = ()
    comparisons: tuple[Mapping[str, Any], ...] = ()
    expansions: tuple[Mapping[str, Any], ...] = ()
    map: Mapping[str, Any] | None = None
    seed: int = 0
    data: tuple[Reading, ...] = ()
    lost: tuple[Lost, ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        kept = ("rule", "n", "T", "c", "theta", "gap", "bound", "ratio", "verdict", "evidence",
                "statement", "form", "t0", "evaluations")  # fmt: skip
        rows: list[Mapping[str, Any]] = [dict(row) for row in self.rows]
        return pd.DataFrame([{name: row[name] for name in kept} for row in rows], columns=kept)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "provenance": provenance(seed=self.seed, data=[r.to_json() for r in self.data]),
            "failed": [vars(lost) for lost in self.lost],
            "objective": dict(self.objective),
            "rows": list(self.rows),
            "exponents": list(self.exponents),
            "comparisons": list(self.comparisons),
            "expansions": list(self.expansions),
            "map": self.map,
        }


def stability(
    rules: Sequence[str],
    spec: Spec,
    *,
    sizes: Sequence[int] = (),
    horizons: Sequence[int] = (100,),
    multipliers: Sequence[float] = (0.5,),
    thetas: Sequence[float] = (0.25,),
    inner: int = 4,
    pairs: int = 8,
    seeds: int = 512,
    seed: int = 0,
    statements: Sequence[Statement] | None = None,
    remove: bool = False,
    search: int = 0,
    jobs: int | Scale = 1,
    out: Path | str = "results/stability",
    progress: bool | None = None,
) -> StabilityReport:
    """Every cell of the grid, exponents fitted along T and n, comparisons and one-round checks.

    Parameters
    ----------
    rules : sequence of str
        Registered rules.
    spec : mapping
        The objective, a finite sum, by family and parameters.
    sizes, horizons, multipliers, thetas : sequence
        The grid: n (the objective's own by default), T, c of ``eta_t = c/(t ell)``, theta.
    inner, pairs, seeds, seed : int
        Inner steps of a round, twins of each data set, repetitions, randomness.
    statements : sequence of Statement, optional
        Explicit bounds on a rule's stability gap, registered or not, whose steps to take and
        whose bounds to compare with; by default the first registered one that applies.
    remove : bool
        Remove a sample instead of replacing it.
    search : int
        Generations of a search for twins with a large gap.
    jobs, out, progress
        Worker processes, where cells are kept, whether to show progress.

    Raises
    ------
    UsageError
        If a value is out of range, a name unknown, the objective is no finite sum, or a statement
        no explicit bound on the stability gap of a rule.

    Examples
    --------
    >>> import tempfile
    >>> twins = {"family": "stability_twins", "parameters": {"n": 10}}
    >>> found = stability(["sgd"], twins, horizons=[4], pairs=2, seeds=8, out=tempfile.mkdtemp(),
    ...                   progress=False)
    >>> [(row["n"], row["T"], row["verdict"]) for row in found.rows]
    [(10, 4, 'not refuted')]
    """
    base = build_objective(spec)
    if not isinstance(base, FiniteSum):
        raise UsageError(f"stability perturbs a sample; {base.name} is no finite sum")
    for name, values, least in (("n", sizes, 2), ("steps", horizons, 1)):
        if any(v < least for v in values):
            raise UsageError(f"--{name} must be at least {least}, got {min(values)}")
    if any(not 0 < v < math.inf for v in multipliers) or any(not 0 < v < 1 for v in thetas):
        raise UsageError("--c must be positive and --theta between 0 and 1")
    _require_spoken_of(rules, statements)
    common = {"kind": "stability", "objective": spec, "inner": inner, "pairs": pairs,
              "seeds": seeds, "seed": seed, "remove": remove, "search": search}  # fmt: skip
    grid: list[dict[str, Any]] = []
    work = partial(stability_cell, sent=cells.unregistered(statements or ()))
    for name in rules:
        uses_theta = "theta" in {f.name for f in fields(registry.rule(name))}
        chosen = [None] if statements is None else [
            cells.name(s) for s in statements if rule_of(explicit_bound(s)) == name
        ]  # fmt: skip
        grid += [
            {**common, "rule": name, "statement": who, "n": size, "T": T, "c": c, "theta": theta}
            for who in chosen for size in (sizes or [base.n]) for T in horizons
            for c in multipliers for theta in (thetas if uses_theta else [None])
        ]  # fmt: skip
    store = Store(out)
    found = compute(work, grid, store, jobs=jobs, label="twins", progress=progress, reads=_row)
    rows = [row for row in found if row]
    matched = [cell for row in rows for cell in _matches(row, common, rules, statements)]
    against = compute(work, [cell for _, _, cell in matched], store, jobs=jobs,
                      label="comparisons", progress=progress, reads=_row)  # fmt: skip
    checks = [
        {"kind": "expansion", "objective": spec, "key": key, "form": form, "seed": seed,
         "seeds": seeds, "effort": _EXPANSION_EFFORT}
        for (key, form), s in registry.statements().items()
        if s.claim.measured and {m.name for m in s.claim.measured} & _EXPANSIONS
        and s.algorithm is not None and s.algorithm.rule in rules
    ]  # fmt: skip
    expansions = compute(expansion_cell, checks, store, jobs=jobs, label="one round",
                         progress=progress, reads=_expansion)  # fmt: skip
    end_of_plan()
    compared = [
        _comparison(row, how, other)
        for (row, how, _), other in zip(matched, against, strict=True) if other
    ]  # fmt: skip
    ready = {
        "objective": {"name": base.name, **spec}, "rows": rows, "exponents": _exponents(rows),
        "comparisons": compared, "expansions": [table for table in expansions if table],
        "map": _map(rows),
    }  # fmt: skip
    clean = json_ready(ready)
    return StabilityReport(
        clean["objective"], tuple(clean["rows"]), tuple(clean["exponents"]),
        tuple(clean["comparisons"]), tuple(clean["expansions"]), clean["map"], seed,
        readings([spec]), found.lost + against.lost + expansions.lost,
    )  # fmt: skip


def _row(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """A cell's result, if it is one."""
    shaped(TwinRow)(table)
    if len({len(values) for values in table["curve"].values()}) != 1:
        raise ValueError("a curve has as many values as rounds")
    return table


def _expansion(table: Mapping[str, Any]) -> Verdict | None:
    return Verdict.from_json(table) if table else None


def _require_spoken_of(rules: Sequence[str], statements: Sequence[Statement] | None) -> None:
    """Refuse a rule that no statement bounds, and a statement of no rule: nothing is left out."""
    if statements is None:
        return
    of = {s.key: rule_of(explicit_bound(s)) for s in statements}
    for name in rules:
        if name not in of.values():
            registry.rule(name)
            raise UsageError(f"--rule {name}: {', '.join(of) or 'no statement'} "
                             f"{'speaks' if len(of) < 2 else 'speak'} of "
                             f"{', '.join(dict.fromkeys(of.values())) or 'it'} alone")  # fmt: skip
    for key, name in of.items():
        if name not in rules:
            raise UsageError(f"{key} speaks of {name}, which --rule leaves out")


def _exponents(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Exponents of the gap in T (n fixed) and in n (T fixed, or in proportion to n)."""
    fits = []
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        same = (row["rule"], row["statement"], row["c"], row["theta"])
        groups.setdefault(("T", row["n"], *same), []).append(row)
        groups.setdefault(("n", row["T"], *same), []).append(row)
    for (along, fixed, rule, key, c, theta), members in groups.items():
        gaps = [math.nan if row["gap"] is None else row["gap"] for row in members]
        ends = [_ends(row["interval"]) for row in members]
        fit = fit_exponent([row[along] for row in members], gaps, ends)
        if fit is None:
            continue
        predicted = members[-1]["exponent"] or {}
        # Before the leading term dominates, the bound itself grows at another rate.
        bounds = [(row[along], row["bound"]) for row in members if row["bound"]]
        slope = None
        if len({x for x, _ in bounds}) > 1:
            x, y = np.log(np.array(bounds)).T
            slope = float(np.polyfit(x, y, 1)[0])
        fits.append({
            "rule": rule, "statement": key, "along": along, "n" if along == "T" else "T": fixed,
            "c": c, "theta": theta, **fit, "bound": slope, "predicted": predicted.get(along),
            "older": predicted.get("older_" + along),
        })  # fmt: skip
    return fits


def _ends(interval: Sequence[float | None]) -> tuple[float, float]:
    low, high = (math.inf if end is None else end for end in interval)
    return low, high


def _matches(
    row: Mapping[str, Any],
    common: Mapping[str, Any],
    rules: Sequence[str],
    statements: Sequence[Statement] | None,
) -> list[tuple[Mapping[str, Any], str, dict[str, Any]]]:
    """SGD at the same outer step, the same effective step, and as many gradient evaluations."""
    if "sgd" not in rules or row["rule"] not in ("lrsgd_r", "lrsgd_c"):
        return []
    multiplier = 1.0
    if row["theta"] is not None:
        law = geometric.subs(theta_symbol, row["theta"])
        multiplier = float(gain(0).subs(gamma, law).subs(theta_symbol, row["theta"]))
    # With statements named, SGD takes its steps from the one named for it.
    named = [cells.name(s) for s in statements or () if rule_of(explicit_bound(s)) == "sgd"]
    if statements is not None and not named:
        return []
    plain = {**common, "rule": "sgd", "statement": named[0] if named else None, "n": row["n"],
             "theta": None}  # fmt: skip
    return [
        (row, "outer step", {**plain, "T": row["T"], "c": row["c"]}),
        (row, "effective step", {**plain, "T": row["T"], "c": multiplier * row["c"]}),
        (row, "gradient evaluations",
         {**plain, "T": max(1, round(row["evaluations"])), "c": row["c"]}),
    ]  # fmt: skip


def _comparison(row: Mapping[str, Any], how: str, other: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("rule", "statement", "n", "T", "c", "theta", "gap", "interval", "evaluations",
            "gradient_norm_squared")  # fmt: skip
    sgd = {name: other[name] for name in ("T", "c", "gap", "interval", "evaluations",
                                          "gradient_norm_squared")}  # fmt: skip
    ratio = row["gap"] / other["gap"] if row["gap"] is not None and other["gap"] else None
    return {**{name: row[name] for name in kept}, "same": how, "sgd": sgd, "gap_ratio": ratio}


def _map(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """log10 of Theorem 3.6 over Theorem 3.4 on a grid of (Bf, n), printed and repaired."""
    table = registry.statements()
    keys = {"printed": ("lrsgd.theorem_3_6", "lrsgd.theorem_3_4"),
            "repaired": ("lrsgd.theorem_3_6", "lrsgd.theorem_3_4.best_burn_in")}  # fmt: skip
    if not rows or any((key, form) not in table for form, pair in keys.items() for key in pair):
        return None
    c, kappa = rows[0]["c"], rows[0]["kappa"] or 1.0
    ns, heights = np.geomspace(10, 1e5, 33), np.geomspace(0.1, 1e3, 33)
    found: dict[str, Any] = {"n": ns.tolist(), "Bf": heights.tolist(), "c": c, "kappa": kappa,
                             "T": "10 n", "G": 1.0, "delta": 1.0}  # fmt: skip
    for form, (first, second) in keys.items():
        values = {"n": ns[None, :], "T": 10 * ns[None, :], "Bf": heights[:, None], "c": c,
                  "ell": 1 / kappa, "delta": 1.0, "G": 1.0}  # fmt: skip
        ratio = [
            evaluate(s.claim.rhs, s.resolve(values))
            for s in (table[first, form], table[second, form])  # type: ignore[index]
        ]
        with np.errstate(all="ignore"):
            found[form] = np.log10(np.broadcast_to(ratio[0] / ratio[1], (33, 33))).tolist()
    return found
