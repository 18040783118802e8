"""Function classes as pairwise conditions of a semidefinite program (the extra ``[pep]``)."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bounds.statement import Statement
from theorylab.errors import UsageError

__all__ = ["FunctionClass", "MissingExtra", "interpolation", "pepit"]


class MissingExtra(UsageError):
    """The semidefinite-programming packages are not installed."""


@dataclass(frozen=True)
class FunctionClass:
    """Differentiable functions whose curvature lies in ``[lower, upper]``, in any dimension.

    ``gradient`` and ``value`` bound ``||grad f||`` and ``|f|``. Imposed at the visited points,
    they only relax the class, so the worst case is then an upper bound (``exact`` is False).

    >>> FunctionClass(lower=-1.0, upper=2.0).exact, FunctionClass(-1.0, 2.0, gradient=3.0).exact
    (True, False)
    """

    lower: float
    upper: float
    gradient: float | None = None
    value: float | None = None

    @property
    def exact(self) -> bool:
        """Whether the interpolation conditions are necessary and sufficient."""
        return self.gradient is None and self.value is None

    @classmethod
    def of(cls, statement: Statement, values: Mapping[str, Any]) -> FunctionClass:
        """The class that the statement's assumptions describe at ``values``.

        Raises
        ------
        UsageError
            If no constant bounds the curvature from above.
        """
        names = {s.name for s in statement.constants}
        convex = any(a.name == "convex" for a in statement.assumptions)
        table = {name: float(values[name]) for name in names if name in values}
        if "ell" in table:
            upper, lower = table["ell"], -table["ell"]
        elif "L" in table:
            upper, lower = table["L"], -math.inf
        else:
            raise UsageError(
                f"{statement.key}: a worst case needs a bound on the curvature (ell or L); "
                f"the statement assumes {', '.join(sorted(names)) or 'nothing'}"
            )
        if "delta" in table:
            lower = max(lower, -table["delta"])
        if convex or "mu" in table:
            lower = table.get("mu", 0.0)
        return cls(lower, upper, table.get("G"), table.get("Bf"))


def interpolation(family: FunctionClass) -> Any:
    """A PEPit function whose pairwise conditions are those of ``family``.

    With ``h = f - (lower/2)||x||^2`` convex and (upper - lower)-smooth, the pairwise condition
    on h is necessary and sufficient for an interpolating f to exist. With ``lower = -inf``,
    ``(upper/2)||x||^2 - f`` is convex.
    """
    function_class = pepit().Function
    lower, upper = family.lower, family.upper
    if not lower < upper:
        raise UsageError(f"worst case: curvatures [{lower:g}, {upper:g}] leave one function")

    class CurvatureBetween(function_class):  # type: ignore[misc, valid-type]
        def __init__(self, is_leaf: bool = True, decomposition_dict: Any = None,
                     reuse_gradient: bool = True, name: str | None = None) -> None:  # fmt: skip
            super().__init__(is_leaf=is_leaf, decomposition_dict=decomposition_dict,
                             reuse_gradient=True, name=name)  # fmt: skip

        def _condition(self, xi: Any, gi: Any, fi: Any, xj: Any, gj: Any, fj: Any) -> Any:
            step, turn = xi - xj, gi - gj
            if lower == -math.inf:
                return fi - fj <= gj * step + upper / 2 * step**2
            bent = turn - lower * step
            return fi - fj >= gj * step + lower / 2 * step**2 + bent**2 / (2 * (upper - lower))

        def add_class_constraints(self) -> None:
            self.add_constraints_from_two_lists_of_points(
                list_of_points_1=self.list_of_points, list_of_points_2=self.list_of_points,
                constraint_name="curvature", set_class_constraint_i_j=self._condition,
            )  # fmt: skip

    return CurvatureBetween


def pepit() -> Any:
    """PEPit, once it and its solver are found.

    Raises
    ------
    UsageError
        Naming what is missing, and how to install it.
    """
    missing = [n for n in ("PEPit", "cvxpy", "clarabel") if importlib.util.find_spec(n) is None]
    if missing:
        raise MissingExtra(
            f"worst-case needs {', '.join(missing)}: install the extra with "
            f"pip install 'theorylab[pep]'"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import PEPit
    return PEPit
