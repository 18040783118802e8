"""Write a counterexample down: a script for numpy alone, a LaTeX paragraph, a plot.

What no such script can show (perturbed twins, O(.) claims, rules that draw random numbers, many
dimensions) gets a script that measures the instance once more with theorylab.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from pprint import pformat
from textwrap import indent
from typing import Any

import numpy as np
import sympy as sp
from sympy.printing.numpy import NumPyPrinter

from bounds.evaluation import elementary
from bounds.statement import Statement
from bounds.symbol import Measured
from bounds.units import Units
from theorylab.errors import UsageError
from theorylab.exact.tabular import Tabular, integral, moves_of, rational
from theorylab.hunt.search import Hunt, Instance
from theorylab.hunt.shrink import shrink, shrink_instance
from theorylab.plugins.files import write_text, writing

__all__ = ["replay", "script", "write_counterexample"]

_LINES = 40
_SECONDS = 600.0  # that a script may take to show what it claims
_VALUE = Units(F=1)

# Numpy text over W of shape (paths, rounds + 1): quantities of one round, and what is recorded.
_SOURCES: Mapping[str, str] = {
    "decrease": "np.mean(f(W[:, 0]) - f(W[:, -1]))",
    "gradient_norm_squared": "g(W[0, 0])**2",
    "next_gradient_norm_squared": "np.mean(g(W[:, -1])**2)",
    "displacement_squared": "np.mean((W[:, -1] - W[:, 0])**2)",
    "inner_gradient_norm_squared": "np.mean((g(W[:, -1]) + ({lam})*(W[:, -1] - W[:, 0]))**2)",
    "inner_distance_squared": "np.mean((W[:, -1] - prox({lam}))**2)",
    "start_distance_squared": "(w0 - prox({lam}))**2",
}
_RECORDS: Mapping[str, str] = {
    "value": "f({w})", "gradient_norm": "np.abs(g({w}))", "gradient_l1_norm": "np.abs(g({w}))",
    "gradient_linf_norm": "np.abs(g({w}))", "gradient_norm_squared": "g({w})**2",
    "distance": "np.abs({w} - w0)", "distance_squared": "({w} - w0)**2",
}  # fmt: skip
_ROUNDS: Mapping[str, str] = {
    "0": "W[:, 0]", "T-1": "W[:, -2]", "T": "W[:, -1]", "0..T-1": "W[:, :-1]",
    "1..T": "W[:, 1:]", "0..T": "W",
}  # fmt: skip

_REPLAY = """\
# {key} ({form}): {claim}
# It has no form for numpy alone: this needs theorylab. Run it with `python -P`.
from theorylab.plugins import registry
from theorylab.hunt.search import Instance

instance = Instance.from_json(
{instance}
)
statement = registry.statement("{key}", "{form}")
v = instance.check(statement, replicas=4096, effort=4e6, confidence=0.999, repeat=1)
print(f"measured = {{v.measured:.9g}}, between {{v.interval[0]:.9g}} and {{v.interval[1]:.9g}}")
print(f"bound = {{v.bound:.9g}}; {{v.reason or v.objective}}")
if v.verdict != "violated":
    raise SystemExit(f"not confirmed: {{v.verdict}}")
"""


def script(table: Tabular) -> str:
    """A Python program (numpy alone, under 40 lines) that prints both sides.

    Its assertions check what the statement asks for; its output ends with the violated claim.
    Where the sides differ by no more than their rounding it exits with ``not confirmed``.
    """
    statement = table.statement
    claim = statement.claim
    if odd := sorted(name for name in _needed(statement) if not name.isidentifier()):
        raise UsageError(f"{statement.key}: no script can be made of a symbol called {odd[0]!r}")
    lines = [
        f'"""Counterexample to {statement.key} ({statement.form}): {_ascii(claim)}."""',
        "import numpy as np",
    ]
    known = table.known
    needed = _needed(statement)
    if table.knots:
        lines += _function_lines(table, needed)
    literal = {k: v for k, v in table.values.items() if k in needed}
    lines += [f"{name} = {_literal(v)}" for name, v in literal.items()]
    lines += [
        f"{symbol.name} = {_source(rule)}"
        for symbol, rule in statement.prescription.items()
        if symbol.name in needed and symbol.name not in literal and symbol.name in known
    ]
    for condition in statement.conditions:
        source = f"{_source(condition.lhs)} {condition.op} {_source(condition.rhs)}"
        slack = " + 1e-12" if condition.op == "<=" else ""
        lines.append(f"assert {source}{slack}")
    if any("convex" in (a.name, *a.implied_by) for a in statement.assumptions):
        lines.append("assert np.all(np.diff(mean) >= 0)  # F is convex")
    if table.knots:
        lines += _path_lines(table)
        lines += [f"{s.name} = {_quantity(s)}" for s in sorted(claim.measured, key=str)]
    lines += [
        f"lhs = {_source(claim.lhs)}",
        f"rhs = {_source(claim.rhs)}",
        f'print(f"claimed: lhs {claim.sense} rhs;  lhs = {{lhs:.9g}},  rhs = {{rhs:.9g}}")',
        f"lost = {_rounding(table)}  # what rounding may have taken",
        f"if not {_gap(claim.sense)} > lost: raise SystemExit('not confirmed')",
    ]
    text = "\n".join(lines) + "\n"
    if text.count("\n") >= _LINES:
        raise UsageError(f"{statement.key}: the counterexample takes {text.count(chr(10))} lines")
    return text


def _quantity(quantity: Measured) -> str:
    """A quantity's mean over all paths, as source."""
    if quantity.path is None:
        bound = {k: _source(e) for k, e in quantity.parameters.items()}
        return _SOURCES[quantity.name].format(**bound)
    parts = []
    for part in quantity.path.parts:
        numbers = _RECORDS[part.atom].format(w=_ROUNDS[part.times])
        whole = part.reduce == "at" or (part.reduce == "mean" and quantity.path.minus is None)
        parts.append(numbers if whole else f"np.{part.reduce}({numbers}, axis=1)")
    return f"np.mean({' - '.join(parts)})"


def _needed(statement: Statement) -> set[str]:
    expressions = [statement.claim.lhs, statement.claim.rhs]
    expressions += [side for c in statement.conditions for side in (c.lhs, c.rhs)]
    names = {s.name for e in expressions for s in sp.sympify(e).free_symbols}
    for quantity in statement.claim.measured:
        names |= {s.name for e in quantity.parameters.values() if e for s in e.free_symbols}
    for symbol, rule in reversed(list(statement.prescription.items())):
        if symbol.name in names:
            names |= {s.name for s in sp.sympify(rule).free_symbols}
    return names


def _function_lines(table: Tabular, needed: set[str]) -> list[str]:
    lines = [
        f"knots = np.array({_literal(table.knots)})  # F' is linear between them, flat beyond",
        f"rows = np.array({_literal(table.slopes)})  # equally likely stochastic gradients there",
        f"mean, w0 = rows.mean(0), {_literal(table.start)}",
        "def g(w): return np.interp(w, knots, mean)  # F'",
        "def f(w):  # F, by integrating F' from the first knot",
        "    at = np.unique(np.r_[knots, w])",
        "    area = np.r_[0, np.cumsum(np.diff(at) * (g(at[1:]) + g(at[:-1])) / 2)]",
        "    return np.interp(w, at, area) - np.interp(knots[0], at, area)",
    ]
    zeros = "[x - m / b for x, m, b, y in zip(knots, mean, bends, knots[1:])"
    sources = {
        "ell": "np.abs(bends).max()", "L": "bends.max()", "delta": "max(-bends.min(), 0.0)",
        "G": "np.abs(mean).max()", "sigma": "np.sqrt(((rows - mean)**2).mean(0).max())",
        "n": "len(rows)", "d": "1",
    }  # fmt: skip
    used = [k for k in (*sources, "Delta", "R", "Bf") if k in needed and k not in table.values]
    if used:
        lines.append("bends = np.diff(mean) / np.diff(knots)")
    if {"Delta", "R", "Bf"} & set(used):
        lines.append(f"flat = {zeros} if b and x < x - m / b < y]")
        lines.append("at = np.r_[knots, flat]; vals = f(at)")
        sources |= {"Delta": "f(w0) - vals.min()", "R": "abs(w0 - at[vals.argmin()])",
                    "Bf": "(vals.max() - vals.min()) / 2"}  # fmt: skip
        ends = "mean[0] == 0 == mean[-1]" if "Bf" in used else "mean[0] <= 0 <= mean[-1]"
        lines.append(f"assert {ends}  # so that the extremes lie between the knots")
    lines += [f"{name} = {sources[name]}" for name in used]
    return lines


def _path_lines(table: Tabular) -> list[str]:
    moves = moves_of(table.statement, tuple(sorted(table.known_floats.items())))
    steps, batch = len(moves.weights), table.statement.batch_size(table.known)
    felt = "np.sign(v)" if moves.normalised else "v"
    flat = {c for row in moves.weights for c in row}
    step = f"w0 - np.dot({_literal(moves.weights)}[k], moved)"
    if len(flat) == 1:
        step = f"w0 - {_literal(next(iter(flat)))} * sum(moved)"
    lines = [
        "from itertools import product",
        "paths = []",
        f"for path in product(range(len(rows)), repeat={batch * steps}):  # every path",
        "    w, moved, kept = w0, [], []",
        f"    for k in range({steps}):",
        f"        if k in {set(moves.rounds)!r}: kept.append(w)",
        f"        batch = path[k*{batch}:(k+1)*{batch}]",
        "        v = np.mean([np.interp(w, knots, rows[i]) for i in batch])",
        f"        moved.append({felt}); w = {step}",
        "    paths.append(kept + [w])",
        "W = np.array(paths)",
    ]
    if any(q.path is None and "prox" in _SOURCES[q.name] for q in table.statement.claim.measured):
        lines += [
            "def prox(lam, lo=-1e6, hi=1e6):  # argmin F + (lam/2)(w - w0)^2",
            "    for _ in range(200):",
            "        m = (lo + hi) / 2",
            "        lo, hi = (m, hi) if g(m) + lam * (m - w0) < 0 else (lo, m)",
            "    return (lo + hi) / 2",
        ]
    return lines


def _gap(sense: str) -> str:
    """By how much the claim fails, as source."""
    return {"==": "abs(lhs - rhs)", "<=": "lhs - rhs", ">=": "rhs - lhs"}[sense]


def _rounding(table: Tabular) -> str:
    """A bound on the rounding of the two sides, as source: relative to what they are made of."""
    claim = table.statement.claim
    terms = [f"1e-9 * ({' + '.join(_sizes(claim.lhs) + _sizes(claim.rhs))})"]
    for symbol in sorted(claim.measured, key=str):
        if symbol.units == _VALUE:  # a difference of values
            slope = _source(sp.Abs(sp.diff(claim.lhs - claim.rhs, symbol)))
            terms.append(f"1e-12 * np.abs(f(W.ravel())).max() * {slope}")
    return " + ".join(terms)


def _sizes(side: Any) -> list[str]:
    return [f"abs({_source(term)})" for term in sp.Add.make_args(sp.sympify(side))]


def _source(expression: Any) -> str:
    if not elementary(sp.sympify(expression)):
        raise UsageError(f"numpy alone does not compute {expression}")
    printer = NumPyPrinter({"fully_qualified_modules": True})
    return str(printer.doprint(sp.sympify(expression))).replace("numpy.", "np.")


def _literal(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _ascii(claim: Any) -> str:
    """The claim on one line that cannot end a string or a comment."""
    text = " ".join(str(claim).split()).encode("ascii", "replace").decode()
    return "".join(c for c in text if c.isprintable()).replace('"', "'").replace("\\", "/")


def _latex(table: Tabular, exact: tuple[sp.Expr, sp.Expr] | None) -> str:
    """A paragraph that states the counterexample."""
    statement = table.statement
    small, large = table.sides()
    where = ", ".join(
        f"${sp.latex(sp.Symbol(name))} = {sp.latex(rational(v))}$"
        for name, v in table.values.items()
    )
    text = [r"\paragraph{Counterexample to " + statement.label + "}"]
    if table.knots:
        rows = "; ".join(
            "$(" + ", ".join(sp.latex(rational(v)) for v in row) + ")$" for row in table.slopes
        )
        knots = ", ".join(sp.latex(rational(v)) for v in table.knots)
        noun = "one gradient" if len(table.slopes) == 1 else (
            f"{len(table.slopes)} equally likely stochastic gradients"
        )  # fmt: skip
        text.append(
            f"On the line, let $F'$ be the mean of {noun}, linear between the knots "
            f"$({knots})$ and constant beyond, with values {rows} there; start at "
            f"$w_0 = {sp.latex(rational(table.start))}$."
        )
    text.append(f"With {where}," if where else "Then")
    sides = f"{small:.6g} > {large:.6g}"
    if exact is not None:
        sides = f"{sp.latex(exact[0])} > {sp.latex(exact[1])}"
    if statement.claim.sense == "==":
        sides = sides.replace(">", r"\neq")
    text.append(f"the side claimed to be the smaller exceeds the other: ${sides}$.")
    return "\n".join(text) + "\n"


def _plot(table: Tabular, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.3, 2.4), layout="constrained")
    axes = figure.subplots()
    small, large = table.sides()
    if table.knots:
        mean = [float(v) for v in np.mean(table.slopes, axis=0)]
        x = np.linspace(table.knots[0], table.knots[-1], 300)
        axes.plot(x, [integral(w, list(table.knots), mean) for w in x], color="0.3")
        for walked in table.paths():
            axes.plot(walked, [integral(w, list(table.knots), mean) for w in walked], "o-",
                      markersize=3, linewidth=0.7, alpha=0.6)  # fmt: skip
        axes.set_xlabel("$w$")
        axes.set_ylabel("$F(w)$")
    else:
        axes.bar(["claimed smaller", "claimed larger"], [small, large], color=["C3", "C0"])
    axes.set_title(f"{table.statement.key}: {small:.4g} > {large:.4g}", fontsize=8)
    with writing(path) as stream:
        figure.savefig(stream, format="svg")


def replay(statement: Statement, instance: Instance) -> str:
    """Python source that checks the instance on fresh randomness and prints both sides.

    It exits with ``not confirmed`` where the statement is not violated there.

    Examples
    --------
    >>> from bounds import sngm
    >>> text = replay(sngm.lemma_2, Instance({"family": "quadratic"}, {"beta": 0.5}))
    >>> text.splitlines()[0]
    '# sngm.lemma_2 (printed): buffer_norm <= 1/(1 - beta)'
    """
    text = indent(pformat(instance.to_json(), width=92, sort_dicts=False), "    ")
    return _REPLAY.format(key=statement.key, form=statement.form, claim=_ascii(statement.claim),
                          instance=text)  # fmt: skip


def _shows_it(path: Path, *flags: str) -> bool:
    """Whether the script, run by itself, confirms that the claim fails.

    What else lies in its folder is not imported (``-P``, ``-I``).
    """
    try:
        done = subprocess.run([sys.executable, *flags, str(path.absolute())], capture_output=True,
                              check=False, timeout=_SECONDS)  # fmt: skip
        shown = done.returncode == 0
    except subprocess.TimeoutExpired:
        shown = False
    if not shown:
        path.unlink()
    return shown


def write_counterexample(
    statement: Statement, found: Hunt, out: Path | str, budget: float = 60.0
) -> dict[str, Any]:
    """Write script, paragraph and plot under ``out/counterexamples``; returns a summary.

    Where the counterexample has no canonical form, or its script's own arithmetic does not show
    the violation, ``reason`` says so and ``replay`` names a script that needs theorylab
    (``None`` if the violation does not show there either). Shrinking takes ``budget`` seconds at
    most; running the script, to see that it shows it, comes on top.
    """
    ends = time.monotonic() + budget
    folder = Path(out) / "counterexamples"
    stem = f"{statement.key.replace('.', '_')}_{statement.form}"
    path = folder / f"{stem}.py"
    table = shrink(statement, found, budget)
    if table is not None and not table.exceeds_exactly():
        return _write_replay(statement, found, path, "exact arithmetic does not confirm it", ends)
    if table is None:
        reason = "no form on the line with few enough paths"
        return _write_replay(statement, found, path, reason, ends)
    try:
        write_text(path, script(table))
    except UsageError as error:
        return _write_replay(statement, found, path, str(error), ends)
    if not _shows_it(path, "-I"):
        reason = "the script's own arithmetic does not show it"
        return _write_replay(statement, found, path, reason, ends)
    exact = table.confirm_exactly()
    small, large = table.sides()
    write_text(folder / f"{stem}.tex", _latex(table, exact))
    _plot(table, folder / f"{stem}.svg")
    return {
        "script": f"counterexamples/{stem}.py", "reason": "",
        "smaller": small, "larger": large, "knots": list(table.knots),
        "slopes": [list(row) for row in table.slopes], "start": table.start,
        "values": dict(table.values),
        "exact": None if exact is None else [str(side) for side in exact],
    }  # fmt: skip


def _write_replay(
    statement: Statement, found: Hunt, path: Path, reason: str, ends: float
) -> dict[str, Any]:
    path = path.with_stem(path.stem + "_replay")
    if found.instance is None:  # known by a semidefinite program, whose function was not rebuilt
        return {"script": None, "reason": reason, "replay": None}
    instances = [found.instance]
    if not statement.claim.big_o and (left := ends - time.monotonic()) > 0:
        instances.insert(0, shrink_instance(statement, found.instance, min(10.0, left)))
    for instance in instances:
        write_text(path, replay(statement, instance))
        if _shows_it(path, "-P"):
            return {"script": None, "reason": reason, "replay": f"counterexamples/{path.name}"}
    return {"script": None, "reason": reason, "replay": None}
