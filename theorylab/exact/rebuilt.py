"""From a semidefinite program's solution back to a function: a worst case that can be run.

The solution gives points, slopes and values. The function of the class through them is the
registered family ``interpolated``, whose constants hold by construction, so that what is
measured on it needs no trust in the solver.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from theorylab.exact.program import Program
from theorylab.plugins.specs import Spec

__all__ = ["specs"]

_FAMILY = "interpolated"
_SMALL = (
    1e-12  # of the largest eigenvalue of the Gram matrix: what lies below is the solver's error
)


def specs(program: Program) -> list[Spec]:
    """Instances of a solved program, of few dimensions first; none where its class was relaxed.

    The solver spreads its error over many dimensions, of which one or two often do. A fractional
    program has a scale of its own. Where the claim does not feel it, it may be anything, so the
    least that the constraints leave is tried as well.
    """
    family = program.family
    ends = (family.lower, family.upper)
    if not family.exact or not all(map(math.isfinite, ends)) or program.start is None:
        return []
    if program.simple is not None:
        return []  # no family holds the simple part's points
    data = [*program.visited]
    if program.minimizer is not None:
        data.insert(0, (program.minimizer, 0 * program.minimizer, program.minimum))
    x, g = (np.stack([entry[k].eval() for entry in data]) for k in (0, 1))
    f = np.array([float(entry[2].eval()) for entry in data])
    start = program.start.eval()
    noise = np.zeros_like(x)
    for where, vector in program.noises:
        apart = ((x - where.eval()) ** 2).sum(1)
        noise[int(apart.argmin())] = vector.eval()
    if program.translates:
        x, start = x - start, np.zeros_like(start)
    return [
        spec
        for most in (1, 2, len(x[0]))
        for unit in _units(program, noise)
        if (spec := _spec(program, x, g, f - f[0], start, noise, unit, most)) is not None
    ]


def _units(program: Program, noise: np.ndarray) -> list[float]:
    """Scales at which the solution is an instance of the class."""
    values, unit = program.values, float(program.unit.eval())
    if program.unit is program.one:
        return [1.0]
    needed = [0.0]
    if program.minimum is not None and values.get("Delta", 0.0) > 0:
        fall = float(program.at(program.start)[1].eval() - program.minimum.eval())
        needed.append(fall / values["Delta"])
    if program.variance > 0:
        needed.append(float((noise**2).sum(1).max()) / program.variance)
    least = max(needed)
    return [u for u in dict.fromkeys((unit, least or 1.0)) if u > 0]


def _spec(
    program: Program, x: np.ndarray, g: np.ndarray, f: np.ndarray, start: np.ndarray,
    noise: np.ndarray, unit: float, most: int,
) -> Spec | None:  # fmt: skip
    length = math.sqrt(unit)
    rows = np.vstack([x, g, noise, start[None]]) / length
    # Coordinates along the directions that are used.
    _, sizes, basis = np.linalg.svd(rows, full_matrices=False)
    kept = max(1, int((sizes**2 > _SMALL * max(sizes[0] ** 2, 1e-300)).sum()))
    if most < len(sizes) and kept <= most - 1:
        return None  # fewer dimensions were enough
    kept = min(kept, most)
    rows = rows @ basis[:kept].T
    m = len(x)
    x, g, noise, start = rows[:m], rows[m : 2 * m], rows[2 * m : 3 * m], rows[-1]
    f = f / unit
    if program.minimum is not None and program.family.lower == 0:
        # The first point is a minimizer; the solver's error must not put another below it.
        upper = program.family.upper
        f[0] = min(f[0], float((f[1:] - (g[1:] ** 2).sum(1) / (2 * upper)).min(initial=f[0])))
    parameters: dict[str, Any] = {
        "points": _flat(x), "gradients": _flat(g), "values": _flat(f),
        "lower": float(program.family.lower), "upper": float(program.family.upper),
        "start": _flat(start), "noise": _flat(noise) if program.noises else [],
    }  # fmt: skip
    for name in ("Delta", "sigma"):
        if program.values.get(name, 0.0) > 0:
            parameters[name] = float(program.values[name])
    return {"family": _FAMILY, "parameters": parameters}


def _flat(rows: np.ndarray) -> list[float]:
    return [float(v) for v in rows.ravel()]
