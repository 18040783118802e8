"""``theorylab stability``: perturbed twins against every stability theorem of a rule."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.table import Table

from bounds.lrsgd import gain, geometric
from bounds.notation import gamma
from bounds.notation import theta as theta_symbol
from bounds.statement import DomainError, Statement, evaluate
from theorylab.console import console
from theorylab.errors import AssumptionError, UsageError
from theorylab.judge.check import check, constants_for
from theorylab.judge.domain import natural_scale
from theorylab.judge.gaps import judge
from theorylab.judge.verdict import json_ready
from theorylab.method.rule import UpdateRule
from theorylab.method.schedules import Harmonic, Schedule
from theorylab.plugins import registry
from theorylab.plugins.provenance import provenance
from theorylab.plugins.specs import Spec, build_objective, objective_specs
from theorylab.plugins.store import Store, compute, writable, write_json
from theorylab.problem.objective import FiniteSum
from theorylab.quantities import build_rule
from theorylab.stability.twins import (
    Estimate,
    Twins,
    estimate,
    fit_exponent,
    generalization_gap,
    largest_gap,
    run_twins,
    search_replacements,
)

__all__ = ["command", "stability", "stability_cell"]

_RULES = "sgd,lrsgd_r,lrsgd_c"
_OBJECTIVE = "stability_twins"
_TIMES = 24
_MOST_BURN_IN = 400
_POPULATION_NUMBERS, _POPULATION_SEEDS = 3e7, 4096
_EXPANSION_EFFORT = 3e5
_EXPANSIONS = frozenset({"expected_twin_distance", "expected_perturbed_twin_distance"})


def _numbers(text: str | None, kind: type, option: str) -> list[Any]:
    if text is None:
        return []
    try:
        found = [kind(part) for part in text.split(",") if part.strip()]
        if not found:
            raise ValueError
        return found
    except ValueError:
        raise UsageError(
            f"{option} takes {'integers' if kind is int else 'numbers'} separated by commas, "
            f"got {text!r}"
        ) from None


def command(
    rule: Annotated[str, typer.Option(help="Rules, separated by commas.")] = _RULES,
    data: Annotated[
        str | None, typer.Option(help="breast_cancer, digits, diabetes, or a CSV or NPZ file.")
    ] = None,
    objective: Annotated[str | None, typer.Option(help="An objective family.")] = None,
    parameters: Annotated[
        str | None, typer.Option("--set", help="The family's parameters, as ell=2,delta=0.5.")
    ] = None,
    n: Annotated[str | None, typer.Option(help="Sizes of the data, separated by commas.")] = None,
    steps: Annotated[str, typer.Option(help="Rounds T, separated by commas.")] = "100",
    c: Annotated[str, typer.Option(help="Step multipliers: eta_t = c/(t ell).")] = "0.5",
    theta: Annotated[str, typer.Option(help="LRSGD-R's theta, separated by commas.")] = "0.25",
    inner: Annotated[int, typer.Option(min=1, help="Inner steps S of LRSGD-C, TRSGD.")] = 4,
    pairs: Annotated[int, typer.Option(min=1, help="Twins of each data set.")] = 8,
    seeds: Annotated[int, typer.Option(min=8, help="Repetitions.")] = 512,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    statement: Annotated[
        str | None, typer.Option(help="Statements (keys) whose steps and bounds to use.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove-one", help="Remove, not replace.")] = False,
    search: Annotated[int, typer.Option(min=0, help="Generations of a search for twins.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/stability"),
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Measure uniform stability on perturbed twins, beside each theorem's bound."""
    if objective is None and data is None:
        objective = _OBJECTIVE
    spec = _with_parameters(objective_specs(objective, data), parameters)
    target = writable(out / "stability.json")
    report = stability(
        [name.strip() for name in rule.split(",")], spec, sizes=_numbers(n, int, "--n"),
        horizons=_numbers(steps, int, "--steps"), multipliers=_numbers(c, float, "--c"),
        thetas=_numbers(theta, float, "--theta"), inner=inner, pairs=pairs, seeds=seeds, seed=seed,
        keys=[key.strip() for key in statement.split(",")] if statement else None, remove=remove,
        search=search, jobs=jobs, out=out,
    )  # fmt: skip
    write_json(target, report)
    if as_json:
        print(json.dumps(report, indent=1, allow_nan=False))
    else:
        _print(report, out)


def _with_parameters(specs: Sequence[Spec], text: str | None) -> Spec:
    if not specs:
        raise UsageError("that family has no default instance; name its data with --data")
    changed = dict(specs[0].get("parameters", {}))
    for part in (text or "").split(","):
        name, _, value = part.partition("=")
        if not part.strip():
            continue
        try:
            number = float(value)
        except ValueError:
            changed[name.strip()] = value.strip()
        else:
            changed[name.strip()] = int(number) if number.is_integer() else number
    spec = {**specs[0], "parameters": changed}
    try:
        build_objective(spec)
    except TypeError as error:
        raise UsageError(f"--set: {error}") from None
    return spec


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
    keys: Sequence[str] | None = None,
    remove: bool = False,
    search: int = 0,
    jobs: int = 1,
    out: Path | str = "results/stability",
    progress: bool | None = None,
) -> dict[str, Any]:
    """Every cell of the grid, exponents fitted along T and n, comparisons and one-round checks.

    Returns
    -------
    dict
        ``rows``, ``exponents``, ``comparisons``, ``expansions``, ``map`` and ``provenance``.

    Raises
    ------
    UsageError
        If a value is out of range, a name unknown, or the objective is no finite sum.
    """
    base = build_objective(spec)
    if not isinstance(base, FiniteSum):
        raise UsageError(f"stability perturbs a sample; {base.name} is no finite sum")
    for name, values, least in (("n", sizes, 2), ("steps", horizons, 1)):
        if any(v < least for v in values):
            raise UsageError(f"--{name} must be at least {least}, got {min(values)}")
    if any(not 0 < v < math.inf for v in multipliers) or any(not 0 < v < 1 for v in thetas):
        raise UsageError("--c must be positive and --theta between 0 and 1")
    common = {"kind": "stability", "objective": spec, "inner": inner, "pairs": pairs,
              "seeds": seeds, "seed": seed, "remove": remove, "search": search}  # fmt: skip
    cells: list[dict[str, Any]] = []
    for name in rules:
        uses_theta = "theta" in {f.name for f in fields(registry.rule(name))}
        chosen = [None] if keys is None else [k for k in keys if _rule_of(_explicit(k)) == name]
        cells += [
            {**common, "rule": name, "statement": key, "n": size, "T": T, "c": c, "theta": theta}
            for key in chosen for size in (sizes or [base.n]) for T in horizons
            for c in multipliers for theta in (thetas if uses_theta else [None])
        ]  # fmt: skip
    store = Store(out)
    found = compute(stability_cell, cells, store, jobs=jobs, label="twins", progress=progress)
    rows = [row for row in found if row]
    matched = [cell for row in rows for cell in _matches(row, common, rules, keys)]
    against = compute(stability_cell, [cell for _, _, cell in matched], store, jobs=jobs,
                      label="comparisons", progress=progress)  # fmt: skip
    checks = [
        {"kind": "expansion", "objective": spec, "key": key, "form": form, "seed": seed,
         "seeds": seeds, "effort": _EXPANSION_EFFORT}
        for (key, form), s in registry.statements().items()
        if s.claim.measured and {m.name for m in s.claim.measured} & _EXPANSIONS
        and s.algorithm is not None and s.algorithm.rule in rules
    ]  # fmt: skip
    expansions = compute(expansion_cell, checks, store, jobs=jobs, label="one round",
                         progress=progress)  # fmt: skip
    return json_ready({
        "schema": 1,
        "provenance": provenance(seed=seed, data=spec.get("digest")),
        "objective": {"name": base.name, **spec},
        "rows": rows,
        "exponents": _exponents(rows),
        "comparisons": [
            _comparison(row, how, other)
            for (row, how, _), other in zip(matched, against, strict=True) if other
        ],
        "expansions": [table for table in expansions if table],
        "map": _map(rows),
    })  # fmt: skip


# --- one cell -----------------------------------------------------------------------------------
def stability_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """Twins of one rule at one (n, T, c, theta): the row of the issue's table, and its curve."""
    base = _sized(json.dumps(cell["objective"], sort_keys=True), int(cell["n"]), int(cell["seed"]))
    run_seed = _run_seed(cell)
    twins = base.replacement(int(cell["seed"]), int(cell["pairs"]))
    certified = _constants(base, twins[1])
    statement, values = _prescribed(cell, base, certified)
    rule = _rule(cell, statement, values, certified)
    T, seeds = int(cell["T"]), int(cell["seeds"])
    if cell["search"]:
        twins = search_replacements(base, rule, T, pairs=int(cell["pairs"]),
                                    seeds=min(seeds, 128), generations=int(cell["search"]),
                                    seed=int(cell["seed"]))  # fmt: skip
    times = sorted({0, *(round(t) for t in np.geomspace(1, T, _TIMES))})
    bound = None if statement is None else float(statement.bound(values))
    trivial = None
    if statement is not None and statement.trivial is not None:
        trivial = float(evaluate(statement.trivial, values))

    def measure(repeat: int, more: int) -> tuple[Twins, Estimate]:
        found = run_twins(base, rule, rounds=T, seeds=seeds * more, seed=run_seed + repeat,
                          at=times, twins=twins, remove=bool(cell["remove"]),
                          progress=False)  # fmt: skip
        return found, largest_gap(found, seed=int(cell["seed"]))

    runs, best = measure(0, 1)
    ratio, verdict = judge(best, bound, trivial)
    if verdict == "violated":  # a violation must repeat on fresh randomness
        runs, best = measure(1, 2)
        ratio, again = judge(best, bound, trivial)
        verdict = "violated" if again == "violated" else "not refuted"
    distance = runs.distance[:, best.pair, 1::2]
    burn_in = None if statement is None else values.get("t0")
    own = np.full((runs.pairs, 1), best.index)
    curve = [runs.loss_gap(own, record)[best.pair, 0, 1::2] for record in range(len(times))]
    final = torch.from_numpy(np.ascontiguousarray(runs.w[-1, :, 0]))
    missed = runs.missed(0 if burn_in is None else math.ceil(burn_in))[best.pair, 1::2]
    with torch.no_grad():
        slope = base.gradient(final).square().sum(-1).mean().item()
        risk = base.value(final).mean().item()
    return json_ready({
        "rule": cell["rule"],
        "n": base.n,
        "T": T,
        "c": cell["c"],
        "kappa": _ratio(certified.get("delta"), certified.get("ell")),
        "theta": cell["theta"],
        "gap": best.value,
        "interval": best.interval,
        "distance": float(distance[-1].mean()),
        "bound": bound,
        "ratio": ratio,
        "verdict": verdict,
        "evidence": {"violated": "valid interval", "not refuted": "samples"}.get(verdict, ""),
        "statement": None if statement is None else statement.key,
        "form": None if statement is None else statement.form,
        "t0": None if burn_in is None else float(burn_in),
        "instance": f"twin {best.pair}, {best.point}",
        "pairs": runs.pairs,
        "seeds": runs.seeds,
        "seed": run_seed,
        "hit": float((runs.first_drawn <= T).mean()),
        "gap_after_burn_in": float(curve[-1][missed].mean()) if missed.any() else None,
        "evaluations": float(runs.evaluations[-1].mean()),
        "gradient_norm_squared": slope,
        "risk": risk,
        "generalization": _generalization(base, rule, T, seeds, run_seed),
        "curve": {
            "t": times,
            "gap": [float(g.mean()) for g in curve],
            "distance": [float(row.mean()) for row in distance],
            "bound": [_bound_at(statement, values, t) for t in times],
        },
        "exponent": _predicted(statement, values),
    })  # fmt: skip


def expansion_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """One round's expansion factor against its formula; empty where it does not apply."""
    try:
        verdict = check(
            registry.statements()[cell["key"], cell["form"]], build_objective(cell["objective"]),
            count=6, replicas=cell["seeds"], effort=cell["effort"], seed=cell["seed"],
        )  # fmt: skip
    except UsageError:
        return {}
    return verdict.to_json()


@lru_cache(maxsize=8)
def _sized(spec: str, n: int, seed: int) -> FiniteSum:
    base = build_objective(json.loads(spec))
    assert isinstance(base, FiniteSum)
    return base if base.n == n else base.resize(n, seed)


def _run_seed(cell: Mapping[str, Any]) -> int:
    # Cells are independent of one another, so that a fit may treat them so.
    text = json.dumps(cell, sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _constants(base: FiniteSum, whole: FiniteSum) -> dict[str, float]:
    """Constants that hold for every sample of S and of all its twins."""
    table = {**base.constants(), **whole.constants(), **whole.sample_constants()}
    return {name: float(value) for name, value in table.items()} | {"n": float(base.n)}


def _rule_of(statement: Statement) -> str:
    assert statement.algorithm is not None
    return statement.algorithm.rule


def _explicit(key: str) -> Statement:
    statement = registry.statement(key, "repaired")
    names = {symbol.name for symbol in statement.claim.measured}
    if names != {"stability_gap"} or statement.claim.big_o or statement.algorithm is None:
        raise UsageError(f"{key} is no explicit bound on the stability gap of a rule")
    return statement


def _statements(rule: str) -> list[Statement]:
    """Explicit stability statements of a rule, those with a free burn-in first."""
    found = []
    for key in dict.fromkeys(key for key, _ in registry.statements()):
        try:
            statement = _explicit(key)
        except UsageError:
            continue
        if _rule_of(statement) == rule:
            found.append(statement)

    def order(s: Statement) -> tuple[bool, bool]:
        names = {h.name for h in s.hyperparameters}
        return "t0" not in names, "c" not in names

    return sorted(found, key=order)


def _prescribed(
    cell: Mapping[str, Any], base: FiniteSum, certified: Mapping[str, float]
) -> tuple[Statement | None, dict[str, Any]]:
    """The first statement that applies, at its best burn-in, with all of its values."""
    named = cell["statement"]
    for statement in [_explicit(named)] if named else _statements(cell["rule"]):
        try:
            constants_for(statement, base)
        except AssumptionError:
            if named:
                raise
            continue
        wanted = {"T": float(cell["T"]), "c": cell["c"], "theta": cell["theta"],
                  "S": float(cell["inner"]), "eta": cell["c"] / certified["ell"]}  # fmt: skip
        names = {h.name for h in statement.hyperparameters}
        known = {**certified, **{k: v for k, v in wanted.items() if k in names}}
        burn_ins: list[Any] = [{}]
        if "t0" in names:
            burn_ins = [{"t0": float(t)} for t in range(min(int(cell["T"]), _MOST_BURN_IN) + 1)]
        best: tuple[float, dict[str, Any]] | None = None
        reason = ""
        for extra in burn_ins:
            try:
                values = statement.validate({**known, **extra})
                bound = float(evaluate(statement.claim.rhs, values))
            except (DomainError, KeyError) as error:
                reason = str(error)
                continue
            if math.isfinite(bound) and (best is None or bound < best[0]):
                best = bound, values
        if best is not None:
            return statement, best[1]
        if named:
            raise UsageError(reason or f"{named} does not apply here")
    return None, dict(certified)


def _rule(
    cell: Mapping[str, Any],
    statement: Statement | None,
    values: Mapping[str, Any],
    certified: Mapping[str, float],
) -> UpdateRule:
    """The statement's algorithm, or the rule itself at natural values of its fields."""
    if statement is not None:
        return build_rule(statement, values)
    kind = registry.rule(cell["rule"])
    symbols = {s.name: s for (_, _), other in registry.statements().items()
               if other.algorithm is not None and other.algorithm.rule == cell["rule"]
               for s in other.symbols}  # fmt: skip
    arguments: dict[str, Any] = {}
    for field in fields(kind):
        symbol = symbols.get(field.name)
        if field.name in ("eta", "lr"):
            unit = natural_scale(symbol, certified) if symbol is not None else 1 / certified["ell"]
            arguments[field.name] = Harmonic(cell["c"] * unit)
        elif field.name == "lam" and "delta" in certified:
            arguments["lam"] = _Growing(certified["ell"] / cell["c"])
        elif field.name == "theta":
            arguments["theta"] = cell["theta"]
        elif field.name == "delta":
            arguments["delta"] = 0.0
        elif field.name == "S":
            arguments["S"] = int(cell["inner"])
        elif field.name == "beta" and symbol is not None:
            arguments["beta"] = sorted(symbol.typical)[len(symbol.typical) // 2]
    try:
        return kind(**arguments)
    except TypeError as error:
        raise UsageError(f"stability cannot choose all values of {cell['rule']}: {error}") from None


class _Growing(Schedule):
    """``scale t``."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, t: Any) -> Any:
        return self.scale * t


def _generalization(
    base: FiniteSum, rule: UpdateRule, T: int, seeds: int, seed: int
) -> dict[str, Any] | None:
    seeds = min(seeds, _POPULATION_SEEDS, int(_POPULATION_NUMBERS / (base.n * base.dim)))
    if seeds < 8:
        return None
    found = estimate(generalization_gap(base, rule, rounds=T, seeds=seeds, seed=seed + 7,
                                        progress=False))  # fmt: skip
    return {"gap": found.value, "interval": found.interval, "seeds": seeds}


def _bound_at(statement: Statement | None, values: Mapping[str, Any], t: int) -> float | None:
    if statement is None or "T" not in values:
        return None
    try:
        given = {s.name: values[s.name] for s in statement.symbols if s.name in values}
        bound = float(statement.bound({**given, "T": float(t)}))
    except (DomainError, KeyError):
        return None
    return bound if math.isfinite(bound) else None


def _predicted(statement: Statement | None, values: Mapping[str, Any]) -> dict[str, float] | None:
    """The leading exponents the theory gives, and those of the older expansion 1 + gamma ell."""
    if statement is None:
        return None
    rated = [
        s for (key, form), s in registry.statements().items()
        if key.startswith(statement.key) and form == statement.form and s.rate is not None
    ]  # fmt: skip
    if not rated:
        return None
    found = {}
    for s in rated:
        assert s.rate is not None
        for kappa, prefix in ((None, ""), (1.0, "older_")):
            known = {k: v for k, v in values.items() if k not in ("kappa", "q", "t0")}
            if kappa is not None:
                known |= {"kappa": kappa, "delta": known.get("ell", 1.0)}
            table = s.resolve(known)
            for symbol, power in s.rate.exponents.items():
                found[prefix + symbol.name] = float(evaluate(power, table))
    return found


# --- the whole table ----------------------------------------------------------------------------
def _exponents(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Exponents of the gap in T (n fixed) and in n (T fixed, or in proportion to n)."""
    fits = []
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        same = (row["rule"], row["statement"], row["c"], row["theta"])
        groups.setdefault(("T", row["n"], *same), []).append(row)
        groups.setdefault(("n", row["T"], *same), []).append(row)
    for (along, fixed, rule, key, c, theta), members in groups.items():
        kept = [row for row in members if None not in (row["gap"], *row["interval"])]
        fit = fit_exponent([row[along] for row in kept], [row["gap"] for row in kept],
                           [tuple(row["interval"]) for row in kept])  # fmt: skip
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


def _matches(
    row: Mapping[str, Any],
    common: Mapping[str, Any],
    rules: Sequence[str],
    keys: Sequence[str] | None,
) -> list[tuple[Mapping[str, Any], str, dict[str, Any]]]:
    """SGD at the same outer step, the same effective step, and as many gradient evaluations."""
    if "sgd" not in rules or row["rule"] not in ("lrsgd_r", "lrsgd_c"):
        return []
    multiplier = 1.0
    if row["theta"] is not None:
        law = geometric.subs(theta_symbol, row["theta"])
        multiplier = float(gain(0).subs(gamma, law).subs(theta_symbol, row["theta"]))
    # With statements named, SGD takes its steps from the one named for it.
    named = None if keys is None else next((k for k in keys if _rule_of(_explicit(k)) == "sgd"), "")
    if named == "":
        return []
    plain = {**common, "rule": "sgd", "statement": named, "n": row["n"], "theta": None}
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


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _print(report: Mapping[str, Any], out: Path) -> None:
    terminal = console()
    table = Table(title=f"Perturbed twins on {report['objective']['name']}", title_justify="left")
    for name in ("rule", "n", "T", "c", "theta", "gap", "bound", "ratio"):
        table.add_column(name, justify="left" if name == "rule" else "right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    colours = {"violated": "bold red", "not refuted": "green"}
    for row in report["rows"]:
        gap = "diverged"
        if row["gap"] is not None:
            end = row["interval"][1]
            gap = f"{_number(row['gap'])} ± {math.inf if end is None else end - row['gap']:.2g}"
        colour = colours.get(row["verdict"], "dim")
        told = f"{row['verdict']} ({row['evidence']})" if row["evidence"] else row["verdict"]
        table.add_row(row["rule"], str(row["n"]), str(row["T"]), _number(row["c"]),
                      _number(row["theta"]), gap,
                      _number(row["bound"]), _number(row["ratio"]),
                      f"[{colour}]{told}[/]")  # fmt: skip
    terminal.print(table)
    for fit in report["exponents"]:
        low, high = fit["interval"]
        terminal.print(
            f"{fit['rule']}: gap ~ {fit['along']}^{fit['exponent']:.3f} "
            f"({low:.3f} to {high:.3f}); the bound's {_number(fit['bound'])}, "
            f"its leading term's {_number(fit['predicted'])}, "
            f"older expansion {_number(fit['older'])}", highlight=False,
        )  # fmt: skip
    terminal.print(f"results: {out / 'stability.json'}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
