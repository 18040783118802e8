"""Small plots as SVG elements inside the page, in the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import final

from paper_figures.report.collect import Counterexample, Finding, Solved, Sweep

__all__ = ["Series", "counterexample", "lines", "ratios", "sweep"]

_WIDE, _HIGH = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 34
_ROUNDING = 1e-9


@final
@dataclass(frozen=True)
class Series:
    """Points of one curve; ``kind`` is its class in the style sheet; ``bars`` are intervals."""

    name: str
    kind: str
    x: Sequence[float]
    y: Sequence[float]
    bars: Sequence[tuple[float, float]] = ()
    dots: bool = False


def lines(
    series: Sequence[Series], xlabel: str, ylabel: str, *, logx: bool = True, logy: bool = True
) -> str:
    """Curves on common axes, logarithmic where every value allows it."""
    values = [v for s in series for v in s.y] + [v for s in series for b in s.bars for v in b]
    logy = logy and all(v > 0 for v in values)
    logx = logx and all(v > 0 for s in series for v in s.x)
    points = [(s.x[i], s.y[i]) for s in series for i in range(len(s.x)) if math.isfinite(s.y[i])]
    if not points:
        return ""
    horizontal = _Axis([p[0] for p in points], logx, _LEFT, _WIDE - _RIGHT)
    vertical = _Axis([v for v in values if math.isfinite(v)], logy, _HIGH - _BOTTOM, _TOP)
    body = [_frame(horizontal, vertical, xlabel, ylabel)]
    for s in series:
        place = [
            (horizontal.at(x), vertical.at(y))
            for x, y in zip(s.x, s.y, strict=True) if math.isfinite(y)
        ]  # fmt: skip
        if s.dots:
            for (low, high), (x, _) in zip(s.bars, place, strict=False):
                body.append(f'<path class="{s.kind}" d="M{x:.1f} {vertical.at(low):.1f}'
                            f'V{vertical.at(high):.1f}"/>')  # fmt: skip
            body += [
                f'<circle class="{s.kind} dot" cx="{x:.1f}" cy="{y:.1f}" r="3">'
                f"<title>{escape(s.name)}: {value:.4g}</title></circle>"
                for (x, y), value in zip(place, s.y, strict=False)
            ]
        else:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in place)
            body.append(
                f'<path class="{s.kind}" d="M{path}"><title>{escape(s.name)}</title></path>'
            )
    return _svg(body, f"{ylabel} over {xlabel}", [(s.name, s.kind) for s in series])


def ratios(findings: Mapping[str, Finding], solved: Sequence[Solved] = ()) -> str:
    """Measured over bound at each objective's decisive instance; 1 is attained, above violated.

    Exact worst cases come last, by their certified upper end.
    """
    names = list(dict.fromkeys(o[0] for f in findings.values() for o in f.objectives if o[3]))
    values = [o[3] for f in findings.values() for o in f.objectives if o[3] and o[3] > 0]
    exact = [(s, s.dual / s.bound) for s in solved if s.bound > 0 and s.dual > 0]
    values += [ratio for _, ratio in exact]
    names += ["exact worst case"] if exact else []
    if not values:
        return ""
    left, step = 130, 15
    high = 26 + step * len(names)
    axis = _Axis([*values, 1.0], True, left, _WIDE - _RIGHT)
    body = []
    for tick in axis.ticks():
        x = axis.at(tick)
        body.append(f'<path class="grid" d="M{x:.1f} 4V{high - 18}"/>')
        body.append(f'<text x="{x:.1f}" y="{high - 6}" text-anchor="middle">{tick:g}</text>')
    one = axis.at(1.0)
    body.append(f'<path class="one" d="M{one:.1f} 4V{high - 18}"/>')
    for i, name in enumerate(names):
        y = 14 + step * i
        shown = name if len(name) < 22 else name[:20] + "…"
        body.append(f'<text x="{left - 8}" y="{y + 3}" text-anchor="end">{escape(shown)}'
                    f"<title>{escape(name)}</title></text>")  # fmt: skip
        for form, found in findings.items():
            for other, verdict, evidence, ratio, _ in found.objectives:
                if other == name and ratio and ratio > 0:
                    shift = -2 if form == "printed" else 2
                    body.append(
                        f'<circle class="{form} dot" cx="{axis.at(ratio):.1f}" cy="{y + shift}" '
                        f'r="3"><title>{form} on {escape(name)}: {ratio:.4g}, {escape(verdict)} '
                        f"({escape(evidence)})</title></circle>"
                    )
    for s, ratio in exact:
        y, kind = 14 + step * (len(names) - 1) + (-2 if s.form == "printed" else 2), s.form
        body.append(
            f'<circle class="{kind} dot" cx="{axis.at(ratio):.1f}" cy="{y}" r="3"><title>{kind}, '
            f"exact worst case: {ratio:.4g} at {escape(s.at)}</title></circle>"
        )
    return _svg(body, "measured / bound, by objective", [(f, f) for f in findings], high)


def sweep(found: Sweep) -> str:
    """Measured with its interval, and each form's bound."""
    series = []
    for form in ("printed", "repaired"):
        points = [(r.x, r.bound) for r in found.rows if r.form == form and r.bound is not None]
        if points:
            series.append(
                Series(f"{form} bound", form, [x for x, _ in points], [y for _, y in points])
            )
    form = series[0].kind if series else "printed"
    known = [(r.x, r.measured, _bar(r.measured, *r.interval)) for r in found.rows
             if r.form == form and r.measured is not None]  # fmt: skip
    series.append(Series("measured", "measured", [x for x, *_ in known], [y for _, y, _ in known],
                         [bar for *_, bar in known], dots=True))  # fmt: skip
    return lines(series, found.axis, "measured and bounds")


def _bar(middle: float, low: float | None, high: float | None) -> tuple[float, float]:
    low = middle if low is None else low
    high = middle if high is None else high
    return (low if low > 0 else middle, high)


def counterexample(found: Counterexample) -> str:
    """The stochastic gradients of a shrunk counterexample on the line, and their mean."""
    if not found.knots or not found.slopes:
        return ""
    knots = [*found.knots]
    mean = [sum(row[i] for row in found.slopes) / len(found.slopes) for i in range(len(knots))]
    series = [Series("a stochastic gradient", "printed", knots, row) for row in found.slopes]
    series = series if len(series) > 1 else []
    series.append(Series("F'", "measured", knots, mean))
    if found.start is not None:
        series.append(Series("start", "measured", [found.start], [0.0], dots=True))
    return lines(series, "w", "F'(w)", logx=False, logy=False)


@final
class _Axis:
    """Where values lie between two pixels."""

    def __init__(self, values: Sequence[float], log: bool, first: float, last: float) -> None:
        self.log, self.first, self.last = log, first, last
        low, high = min(values), max(values)
        if log:
            low, high = math.log10(low), math.log10(high)
        # What differs by rounding alone is one value: a span of it would show nothing but digits.
        if high - low <= _ROUNDING * max(1.0 if log else 0.0, abs(low), abs(high)):
            pad = 0.5 if log else 0.5 * abs(high) or 1.0
        else:
            pad = 0.05 * (high - low)
        self.low, self.high = low - pad, high + pad

    def at(self, value: float) -> float:
        level = math.log10(value) if self.log else value
        share = min(1.0, max(0.0, (level - self.low) / (self.high - self.low)))
        return self.first + share * (self.last - self.first)

    def ticks(self) -> list[float]:
        if not self.log:
            step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
            step *= 2 if (self.high - self.low) / step > 8 else 1
            first = math.ceil(self.low / step)
            return [
                float(f"{k * step:.6g}") for k in range(first, math.floor(self.high / step) + 1)
            ]
        span = range(math.ceil(self.low), math.floor(self.high) + 1)
        found = [10.0**k for k in span][:: max(1, len(span) // 5)]
        if len(found) < 2:
            every = [m * 10.0**k for k in range(math.floor(self.low), math.ceil(self.high) + 1)
                     for m in (1, 2, 5)]  # fmt: skip
            found = [v for v in every if self.low <= math.log10(v) <= self.high]
        return found


def _frame(horizontal: _Axis, vertical: _Axis, xlabel: str, ylabel: str) -> str:
    bottom = _HIGH - _BOTTOM
    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{_WIDE - _RIGHT}"/>']
    for tick in horizontal.ticks():
        x = horizontal.at(tick)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 13}" text-anchor="middle">{tick:g}</text>')
    for tick in vertical.ticks():
        y = vertical.at(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDE - _RIGHT}"/>')
        place = f'x="{_LEFT - 5}" y="{y + 3:.1f}"'
        parts.append(f'<text {place} text-anchor="end">{tick:.4g}</text>')
    middle = (_LEFT + _WIDE - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HIGH - 6}" text-anchor="middle">{escape(xlabel)}</text>')
    parts.append(f'<text transform="translate(10 {bottom / 2}) rotate(-90)" text-anchor="middle">'
                 f"{escape(ylabel)}</text>")  # fmt: skip
    return "".join(parts)


def _svg(
    body: Sequence[str], label: str, legend: Sequence[tuple[str, str]], high: int = _HIGH
) -> str:
    seen = dict(legend)
    keys = "".join(f'<span class="key {kind}">{escape(name)}</span>' for name, kind in seen.items())
    return (
        f'<figure class="plot"><svg viewBox="0 0 {_WIDE} {high}" role="img" '
        f'aria-label="{escape(label)}">{"".join(body)}</svg>'
        f"<figcaption>{escape(label)}: {keys}</figcaption></figure>"
    )
