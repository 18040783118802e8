"""One cell of a stability study: twins of one rule at one (n, T, c, theta), and its bound."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.notation import t
from bounds.statement import Statement
from bounds.symbol import Symbol
from theorylab.errors import AssumptionError, UsageError
from theorylab.judge.check import check, constants_for
from theorylab.judge.domain import natural_scale
from theorylab.judge.gaps import judge
from theorylab.judge.verdict import json_ready
from theorylab.method.rule import UpdateRule
from theorylab.method.schedules import Harmonic, Schedule
from theorylab.plugins import registry
from theorylab.plugins.specs import build_objective
from theorylab.problem.objective import FiniteSum
from theorylab.quantities.protocol import build_rule, symbol_of
from theorylab.stability.generalization import generalization_gap
from theorylab.stability.supremum import Estimate, estimate, largest_gap, search_replacements
from theorylab.stability.twins import Twins, run_twins
from theorylab.studies import cells

__all__ = ["expansion_cell", "explicit_bound", "rule_of", "stability_cell"]

_TIMES = 24
_MOST_BURN_IN = 400
_POPULATION_NUMBERS, _POPULATION_SEEDS = 3e7, 4096


def stability_cell(cell: Mapping[str, Any], sent: Sequence[Statement] = ()) -> Mapping[str, Any]:
    """Twins of one rule at one (n, T, c, theta): the row of the issue's table, and its curve."""
    base = _sized(json.dumps(cell["objective"], sort_keys=True), int(cell["n"]), int(cell["seed"]))
    run_seed = _run_seed(cell)
    twins = base.replacement(int(cell["seed"]), int(cell["pairs"]))
    certified = _constants(base, twins[1])
    named = None if cell["statement"] is None else cells.find(cell["statement"], sent)
    statement, values = _prescribed(cell, named, base, certified)
    rule = _rule(cell, statement, values, certified)
    T, seeds = int(cell["T"]), int(cell["seeds"])
    if cell["search"]:
        twins = search_replacements(base, rule, T, pairs=int(cell["pairs"]),
                                    seeds=min(seeds, 128), generations=int(cell["search"]),
                                    seed=int(cell["seed"]))  # fmt: skip
    times = sorted({0, *(round(x) for x in np.geomspace(1, T, _TIMES))})
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
    burn_in = None
    if statement is not None and statement.burn_in is not None:
        burn_in = values[statement.burn_in.name]
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
            "gap_interval": [estimate(g).interval for g in curve],
            "distance": [float(row.mean()) for row in distance],
            "distance_interval": [estimate(row).interval for row in distance],
            "bound": [_bound_at(statement, values, time) for time in times],
        },
        "exponent": _predicted(statement, values),
    })  # fmt: skip


def expansion_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """One round's expansion factor against its formula; empty where it does not apply."""
    try:
        verdict = check(
            registry.statements()[cell["key"], cell["form"]], build_objective(cell["objective"]),
            replicas=cell["seeds"], effort=cell["effort"], seed=cell["seed"],
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


def rule_of(statement: Statement) -> str:
    """The rule a stability statement is about."""
    assert statement.algorithm is not None
    return statement.algorithm.rule


def explicit_bound(statement: Statement) -> Statement:
    """The statement itself, if it is an explicit bound on a rule's stability gap.

    Raises
    ------
    UsageError
        If it is of another kind.
    """
    names = {symbol.name for symbol in statement.claim.measured}
    if names != {"stability_gap"} or statement.claim.big_o or statement.algorithm is None:
        raise UsageError(f"{statement.key} is no explicit bound on the stability gap of a rule")
    return statement


def _statements(rule: str) -> list[Statement]:
    """Explicit stability statements of a rule, those with a free burn-in first."""
    found = []
    for key in dict.fromkeys(key for key, _ in registry.statements()):
        try:
            statement = explicit_bound(registry.statement(key, "repaired"))
        except UsageError:
            continue
        if rule_of(statement) == rule:
            found.append(statement)

    return sorted(found, key=lambda s: (_free_burn_in(s) is None, _multiplier(s) is None))


def _free_burn_in(statement: Statement) -> Symbol | None:
    """The burn-in, where the bound holds for each."""
    free = statement.burn_in is not None and statement.burn_in not in statement.prescription
    return statement.burn_in if free else None


def _horizon(statement: Statement) -> Symbol | None:
    """The symbol that is the number of rounds."""
    assert statement.algorithm is not None
    horizon = statement.algorithm.horizon
    return horizon if isinstance(horizon, Symbol) else None


def _multiplier(statement: Statement) -> Symbol | None:
    """The one symbol left to choose in a step that follows a schedule: the c of ``c/(t ell)``."""
    assert statement.algorithm is not None
    left: set[Any] = set()
    for setting in statement.algorithm.settings.values():
        free = set() if isinstance(setting, str) else setting.free_symbols
        left |= free if t in free else set()
    left &= set(statement.hyperparameters)
    left -= {_horizon(statement), statement.burn_in}
    return left.pop() if len(left) == 1 else None


def _chosen(
    statement: Statement, cell: Mapping[str, Any], certified: Mapping[str, float]
) -> dict[str, float]:
    """What the cell says of the statement's symbols, by what its algorithm binds them to."""
    numbers = (
        (_horizon(statement), float(cell["T"])), (_multiplier(statement), cell["c"]),
        (symbol_of(statement, "theta"), cell["theta"]),
        (symbol_of(statement, "S"), float(cell["inner"])),
        (symbol_of(statement, "eta"), cell["c"] / certified["ell"]),
    )  # fmt: skip
    free = set(statement.hyperparameters)
    return {symbol.name: number for symbol, number in numbers if symbol in free}


def _prescribed(
    cell: Mapping[str, Any],
    named: Statement | None,
    base: FiniteSum,
    certified: Mapping[str, float],
) -> tuple[Statement | None, dict[str, Any]]:
    """The statement named, or the first that applies, at its best burn-in, with all its values."""
    for statement in _statements(cell["rule"]) if named is None else [explicit_bound(named)]:
        try:
            constants_for(statement, base)
        except AssumptionError:
            if named is not None:
                raise
            continue
        known = {**certified, **_chosen(statement, cell, certified)}
        burn_ins: list[Any] = [{}]
        if (free := _free_burn_in(statement)) is not None:
            most = min(int(cell["T"]), _MOST_BURN_IN)
            burn_ins = [{free.name: float(rounds)} for rounds in range(most + 1)]
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
        if named is not None:
            raise UsageError(reason or f"{named.key} does not apply here")
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


def _bound_at(statement: Statement | None, values: Mapping[str, Any], rounds: int) -> float | None:
    horizon = None if statement is None else _horizon(statement)
    if statement is None or horizon is None or horizon.name not in values:
        return None
    try:
        given = {s.name: values[s.name] for s in statement.symbols if s.name in values}
        bound = float(statement.bound({**given, horizon.name: float(rounds)}))
    except (DomainError, KeyError):
        return None
    return bound if math.isfinite(bound) else None


def _predicted(statement: Statement | None, values: Mapping[str, Any]) -> dict[str, float] | None:
    """The leading exponents the theory gives, and those of the older expansion 1 + gamma ell."""
    if statement is None:
        return None
    # Its corollaries speak in the same symbols, where it is a registered one.
    related = registry.statements() if not cells.unregistered([statement]) else {
        (statement.key, statement.form): statement
    }  # fmt: skip
    rated = [
        s for (key, form), s in related.items()
        if key.startswith(statement.key) and form == statement.form and s.rate is not None
    ]  # fmt: skip
    if not rated:
        return None
    found = {}
    for s in rated:
        assert s.rate is not None
        prescribed = {symbol.name for symbol in (*statement.prescription, *s.prescription)}
        for prefix in ("", "older_"):
            known = {k: v for k, v in values.items() if k not in prescribed}
            if prefix:
                known |= {"delta": known.get("ell", 1.0)}
            table = s.resolve(known)
            for symbol, power in s.rate.exponents.items():
                name = "T" if symbol == _horizon(s) else symbol.name
                found[prefix + name] = float(evaluate(power, table))
    return found


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b
