"""Figures of the stability laboratory, drawn from a stored report alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from paper_figures.exhibit import Refused
from paper_figures.style import PAGE, decade_ticks, figure, line, rc, save
from theorylab.console import console
from theorylab.errors import UsageError, foreign, printable
from theorylab.plugins.store import read_json

__all__ = [
    "command",
    "draw_every",
    "draw_exponents",
    "draw_map",
    "draw_over_time",
    "draw_trade_off",
]

Report = Mapping[str, Any]

_LINES = {"sgd": 0, "lrsgd_r": 1, "lrsgd_c": 2}
_NAMES = {"sgd": "SGD", "lrsgd_r": "LRSGD-R", "lrsgd_c": "LRSGD-C", "sngm": "SNGM"}
_LEVEL = "99%"
_SIGNS = {"ell": r"$\ell$", "delta": r"$\delta$", "sigma": r"$\sigma$", "alpha": r"$\alpha$"}
_NOT_SHOWN = ("n", "source", "digest", "seed")  # n is the figure's own


def command(
    report: Annotated[
        Path, typer.Argument(help="The stability.json that `theorylab stability` wrote.")
    ] = Path("results/stability/stability.json"),
    out: Annotated[Path | None, typer.Option(help="Where figures go; beside the report.")] = None,
) -> None:
    """Draw the stability figures (PDF and SVG) from a stored report; nothing is computed."""
    with foreign(report, "`theorylab stability`"):
        drawn = list(draw_every(report, out or report.parent))
    for made in drawn:
        said = f"{made.key}: {made.reason}" if isinstance(made, Refused) else str(made)
        console().print(printable(said, 5000), highlight=False, markup=False, soft_wrap=True)


def draw_every(report: Path, folder: Path) -> Iterator[Path | Refused]:
    """Draw the figures of a stored report into a folder; what it has no rows for is named.

    Raises
    ------
    UsageError
        If there is no such report, or it is something else.
    """
    table = read_json(report, "theorylab stability")
    for name, draw in (("over_time", draw_over_time), ("exponents", draw_exponents),
                       ("map", draw_map), ("trade_off", draw_trade_off)):  # fmt: skip
        try:
            yield from draw(table, folder / f"stability_{name}")
        except UsageError as error:
            yield Refused(name, str(error))
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{report} is not what `theorylab stability` writes "
                f"({type(error).__name__}: {error})"
            ) from error


def draw_over_time(report: Report, path: Path) -> list[Path]:
    """Gap (with its bound) and distance over t, with their intervals, the largest T of each rule.

    Raises
    ------
    UsageError
        If the report has no rows.
    """
    chosen: dict[str, Mapping[str, Any]] = {}
    for row in report["rows"]:
        best = chosen.get(row["rule"])
        if best is None or (row["T"], row["n"]) > (best["T"], best["n"]):
            chosen[row["rule"]] = row
    if not chosen:
        raise UsageError("the report has no rows")
    with rc():
        canvas = figure(PAGE, 2.5)
        left, right = canvas.subplots(1, 2)
        for rule, row in chosen.items():
            curve, colour = row["curve"], _colour(rule)
            # log(t) needs t > 0; at t = 0 both are exactly 0.
            kept = [k for k, t in enumerate(curve["t"]) if t > 0]
            t = [curve["t"][k] for k in kept]
            for axes, name in ((left, "gap"), (right, "distance")):
                axes.plot(t, [curve[name][k] for k in kept], "-", color=colour,
                          label=f"{_name(rule)}, {_settings(row)}")  # fmt: skip
                if bands := curve.get(f"{name}_interval"):  # reports of older versions have none
                    low, high = ([bands[k][end] for k in kept] for end in (0, 1))
                    axes.fill_between(t, np.maximum(0, np.array(low, float)),
                                      np.array(high, float), color=colour, alpha=0.2,
                                      linewidth=0)  # fmt: skip
            bound = [(curve["t"][k], curve["bound"][k]) for k in kept
                     if curve["bound"][k] is not None]  # fmt: skip
            if bound:
                left.plot(*zip(*bound, strict=True), "--", color=colour, linewidth=0.8)
        left.set_ylabel("loss gap of twins, from below")
        right.set_ylabel("distance of twins")
        for axes in (left, right):
            axes.set_xscale("log")
            decade_ticks(axes.xaxis)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("round $t$")
        left.plot([], [], "--", color="0.4", linewidth=0.8, label="bound")
        left.fill_between([], [], [], color="0.4", alpha=0.3, linewidth=0, label=f"{_LEVEL} band")
        canvas.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        repeated = max(row["seeds"] for row in chosen.values())
        canvas.suptitle(f"{_objective(report)}, means over {repeated:,} repetitions", fontsize=8)
        return save(canvas, path, report["provenance"])


def draw_exponents(report: Report, path: Path) -> list[Path]:
    """The gap along T and n in logarithms, with fitted and predicted exponents.

    Raises
    ------
    UsageError
        If nothing was fitted.
    """
    along = sorted({fit["along"] for fit in report["exponents"]})
    if not along:
        raise UsageError("no exponent was fitted: give at least three values of --n or --steps")
    with rc():
        canvas = figure(PAGE if len(along) > 1 else PAGE / 2, 2.3)
        panels = np.atleast_1d(canvas.subplots(1, len(along)))
        for axes, symbol in zip(panels, along, strict=True):
            drawn: set[str] = set()
            for fit in report["exponents"]:
                if fit["along"] != symbol or fit["rule"] in drawn:
                    continue
                drawn.add(fit["rule"])
                rows = sorted(_members(report["rows"], fit), key=lambda row: row[symbol])
                x, y = [row[symbol] for row in rows], [row["gap"] for row in rows]
                low = [max(0.0, row["gap"] - (row["interval"][0] or 0.0)) for row in rows]
                high = [max(0.0, (row["interval"][1] or row["gap"]) - row["gap"]) for row in rows]
                predicted = _show(fit["predicted"])
                axes.errorbar(
                    x, y, yerr=[np.minimum(low, np.multiply(0.95, y)), high], capsize=2,
                    fmt=_line(fit["rule"])["marker"], color=_colour(fit["rule"]),
                    label=f"{_name(fit['rule'])}: {fit['exponent']:.2f} "
                    f"[{fit['interval'][0]:.2f}, {fit['interval'][1]:.2f}], theory {predicted}",
                )  # fmt: skip
                middle = math.exp(np.mean(np.log(x)))
                level = math.exp(np.mean(np.log(y)))
                axes.plot(x, [level * (v / middle) ** fit["exponent"] for v in x], "-",
                          color=_colour(fit["rule"]), linewidth=0.8)  # fmt: skip
            axes.set_xscale("log")
            axes.set_yscale("log")
            ticks = sorted({row[symbol] for row in report["rows"]})
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
            decade_ticks(axes.yaxis)
            low_end, high_end = axes.get_ylim()
            axes.set_ylim(low_end, high_end * (high_end / low_end) ** 0.35)  # for the legend
            axes.set_xlabel(f"${symbol}$")
            axes.set_ylabel("stability gap, from below")
            held = next(fit for fit in report["exponents"] if fit["along"] == symbol)
            fixed = "n" if symbol == "T" else "T"
            axes.set_title(f"{_objective(report)}, ${fixed}$ = {held[fixed]}, $c$ = {held['c']:g}")
            axes.legend(title=f"fitted exponent [95%]; bars: {_LEVEL}", title_fontsize=7)
        return save(canvas, path, report["provenance"])


def draw_map(report: Report, path: Path) -> list[Path]:
    """Where Theorem 3.6 would beat Theorem 3.4 over (B, n): printed orders, and repaired bounds.

    Raises
    ------
    UsageError
        If the report carries no map.
    """
    table = report.get("map")
    if not table:
        raise UsageError("the report carries no map")
    with rc():
        canvas = figure(PAGE, 2.4)
        panels = canvas.subplots(1, 2, sharey=True)
        limit = 2.0
        for axes, form in zip(panels, ("printed", "repaired"), strict=True):
            height = np.clip(np.array(table[form], dtype=float), -limit, limit)
            mesh = axes.pcolormesh(table["n"], table["Bf"], height, cmap="RdBu_r", vmin=-limit,
                                   vmax=limit, rasterized=True)  # fmt: skip
            if (height < 0).any() and (height > 0).any():
                axes.contour(table["n"], table["Bf"], height, levels=[0.0], colors="black",
                             linewidths=0.8)  # fmt: skip
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("$n$  ($T = 10\\,n$)")
            axes.set_title(f"{form} bounds, $c\\kappa$ = {table['c'] * table['kappa']:.2g}")
        panels[0].set_ylabel("$B_f$")
        canvas.colorbar(mesh, ax=panels, label=r"$\log_{10}$ (Theorem 3.6 / Theorem 3.4)")
        return save(canvas, path, report["provenance"])


def draw_trade_off(report: Report, path: Path) -> list[Path]:
    """Stability against convergence over theta, with SGD at matched budgets.

    Raises
    ------
    UsageError
        If the report has fewer than two values of theta.
    """
    rows = [row for row in report["rows"] if row["theta"] is not None and _measured(row)]
    if len({row["theta"] for row in rows}) < 2:
        raise UsageError("a trade-off needs at least two values of --theta")
    n, T, c = max((row["n"], row["T"], row["c"]) for row in rows)
    rows = sorted((row for row in rows if (row["n"], row["T"], row["c"]) == (n, T, c)),
                  key=lambda row: row["theta"])  # fmt: skip
    with rc():
        canvas = figure(PAGE / 2, 2.6)
        axes = canvas.add_subplot()
        axes.plot([row["gradient_norm_squared"] for row in rows], [row["gap"] for row in rows],
                  "s-", color=_colour("lrsgd_r"), label=r"LRSGD-R over $\theta$")  # fmt: skip
        for row in rows:
            axes.annotate(f"{row['theta']:g}", (row["gradient_norm_squared"], row["gap"]),
                          xytext=(3, 3), textcoords="offset points", fontsize=6)  # fmt: skip
        for how, marker in (("outer step", "o"), ("effective step", "x"),
                            ("gradient evaluations", "+")):  # fmt: skip
            others = [row["sgd"] for row in report["comparisons"] if row["same"] == how
                      and (row["n"], row["T"], row["c"]) == (n, T, c)
                      and row["rule"] == "lrsgd_r" and _measured(row["sgd"])]  # fmt: skip
            if others:
                axes.plot([o["gradient_norm_squared"] for o in others], [o["gap"] for o in others],
                          marker, color=_colour("sgd"), label=f"SGD, same {how}")  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            decade_ticks(axis)
        axes.set_xlabel(r"$\mathbb{E}\,\Vert\nabla F(w_T)\Vert^2$")
        axes.set_title(f"{_objective(report)}, $n$ = {n}, $T$ = {T}, $c$ = {c:g}")
        axes.set_ylabel("stability gap, from below")
        axes.legend()
        return save(canvas, path, report["provenance"])


def _members(rows: Sequence[Mapping[str, Any]], fit: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    fixed = "n" if fit["along"] == "T" else "T"
    same = ("rule", "statement", "c", "theta", fixed)
    return [row for row in rows if (row["gap"] or 0.0) > 0 and all(row[k] == fit[k] for k in same)]


def _measured(row: Mapping[str, Any]) -> bool:
    return row["gap"] is not None and row["gradient_norm_squared"] is not None  # None: diverged


def _line(rule: str) -> dict[str, Any]:
    return line(_LINES.get(rule, 3))


def _colour(rule: str) -> str:
    return str(_line(rule)["color"])


def _name(rule: str) -> str:
    return _NAMES.get(rule, rule.replace("_", " "))


def _settings(row: Mapping[str, Any]) -> str:
    theta = "" if row["theta"] is None else f", $\\theta$ = {row['theta']:g}"
    return f"$n$ = {row['n']}, $c$ = {row['c']:g}{theta}"


def _objective(report: Report) -> str:
    """Its name, and what was set of it."""
    made = report["objective"]
    given = [f"{_SIGNS.get(k, k)} = {v:g}" if isinstance(v, int | float) else f"{k} = {v}"
             for k, v in made.get("parameters", {}).items() if k not in _NOT_SHOWN]  # fmt: skip
    return str(made["name"]).replace("_", " ") + (f" ({', '.join(given)})" if given else "")


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
