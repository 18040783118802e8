"""Function classes as pairwise conditions of a semidefinite program (the extra ``[pep]``).

A function may have a simple part beside it, any convex function or the indicator of any convex
set, whose conditions are pairwise as well.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bounds.statement import Statement
from theorylab.errors import UsageError

__all__ = ["FunctionClass", "MissingExtra", "SimplePart", "interpolation", "pepit", "simple_part"]

SimplePart = Literal["none", "convex function", "convex set"]

# Assumptions that the class, the law of the noise or the constraints of a program stand for.
_MODELLED = frozenset(
    {
        "bounded", "bounded_below", "bounded_set", "bounded_variance", "composite", "constrained",
        "convex", "expanding", "finite_sum", "known_distance", "lipschitz", "lipschitz_on_region",
        "monotone", "one_sided_smooth", "per_sample", "smooth", "strongly_convex",
        "strongly_monotone", "weakly_convex",
    }
)  # fmt: skip


class MissingExtra(UsageError):
    """The semidefinite-programming packages are not installed."""


@dataclass(frozen=True)
class FunctionClass:
    """Differentiable functions whose curvature lies in ``[lower, upper]``, in any dimension.

    ``gradient`` and ``value`` bound ``||grad f||`` and ``|f|``. Imposed at the visited points,
    they only relax the class, so the worst case is then an upper bound (``exact`` is False); but
    for convex functions of no bounded curvature, of which a bound on subgradients at the points is
    all there is to ask. ``simple`` is added to f, a set of at most the ``diameter``. ``relaxed``
    says that more is assumed of f than stands here.

    With ``field``, no function but a field g with ``<g(u) - g(w), u - w> >= lower ||u - w||^2``
    and ``expansion <= ||g(u) - g(w)||/||u - w|| <= upper``, of which pairs of points are asked
    alone: that relaxes the class too.

    >>> FunctionClass(lower=-1.0, upper=2.0).exact, FunctionClass(-1.0, 2.0, gradient=3.0).exact
    (True, False)
    """

    lower: float
    upper: float
    gradient: float | None = None
    value: float | None = None
    simple: SimplePart = "none"
    diameter: float | None = None
    relaxed: bool = False
    field: bool = False
    expansion: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether the interpolation conditions are necessary and sufficient."""
        if self.relaxed or self.field or self.value is not None:
            return False
        if self.simple != "none" and self.lower < 0:
            return False
        return self.gradient is None or (self.lower == 0 and self.upper == math.inf)

    @classmethod
    def of(cls, statement: Statement, values: Mapping[str, Any]) -> FunctionClass:
        """The class that the statement's assumptions describe at ``values``.

        Raises
        ------
        UsageError
            If no constant bounds the curvature from above.
        """
        names = {s.name for s in statement.constants}
        assumed = {a.name for a in statement.assumptions}
        convex = "convex" in assumed
        table = {name: float(values[name]) for name in names if name in values}
        if "ell" in table:
            upper, lower = table["ell"], -table["ell"]
        elif "L" in table:
            upper, lower = table["L"], -math.inf
        elif convex and "G" in table:
            upper, lower = math.inf, 0.0
        else:
            raise UsageError(
                f"{statement.key}: a worst case needs a bound on the curvature (ell or L); "
                f"the statement assumes {', '.join(sorted(names)) or 'nothing'}"
            )
        if "delta" in table:
            lower = max(lower, -table["delta"])
        field = "monotone" in assumed or ("strongly_monotone" in assumed and not convex)
        if convex or field or "mu" in table:
            lower = table.get("mu", 0.0)
        simple: SimplePart = "convex function" if "composite" in assumed else "none"
        if "constrained" in assumed:
            simple = "convex set"
        diameter = table.get("D") if "bounded_set" in assumed else None
        relaxed = not assumed <= _MODELLED
        return cls(lower, upper, table.get("G"), table.get("Bf"), simple, diameter, relaxed, field,
                   table.get("s_min", 0.0))  # fmt: skip


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
            if upper == math.inf:
                return fi - fj >= gj * step + lower / 2 * step**2
            bent = turn - lower * step
            return fi - fj >= gj * step + lower / 2 * step**2 + bent**2 / (2 * (upper - lower))

        def _turns_with(self, xi: Any, gi: Any, fi: Any, xj: Any, gj: Any, fj: Any) -> Any:
            return (gi - gj) * (xi - xj) >= lower * (xi - xj) ** 2

        def _at_most(self, xi: Any, gi: Any, fi: Any, xj: Any, gj: Any, fj: Any) -> Any:
            return (gi - gj) ** 2 <= upper**2 * (xi - xj) ** 2

        def _at_least(self, xi: Any, gi: Any, fi: Any, xj: Any, gj: Any, fj: Any) -> Any:
            return (gi - gj) ** 2 >= family.expansion**2 * (xi - xj) ** 2

        def add_class_constraints(self) -> None:
            conditions = {"curvature": self._condition}
            if family.field:
                conditions = {"monotone": self._turns_with, "Lipschitz": self._at_most,
                              "expanding": self._at_least}  # fmt: skip
            for name, condition in conditions.items():
                self.add_constraints_from_two_lists_of_points(
                    list_of_points_1=self.list_of_points, list_of_points_2=self.list_of_points,
                    constraint_name=name, set_class_constraint_i_j=condition,
                    symmetry=family.field,
                )  # fmt: skip

    return CurvatureBetween


def simple_part(family: FunctionClass, unit: Callable[[], Any]) -> Any:
    """A PEPit function whose pairwise conditions are those of the class's simple part.

    Of a convex function, ``h(x) >= h(y) + <s, x - y>`` at every pair of points with a subgradient
    s at y; of a set's indicator the same with ``h = 0``, and no two points farther apart than the
    diameter, whose square is in ``unit()``.
    """
    function_class = pepit().Function
    is_set = family.simple == "convex set"
    diameter = math.inf if family.diameter is None else family.diameter

    class Simple(function_class):  # type: ignore[misc, valid-type]
        def __init__(self, is_leaf: bool = True, decomposition_dict: Any = None,
                     reuse_gradient: bool = True, name: str | None = None) -> None:  # fmt: skip
            super().__init__(is_leaf=is_leaf, decomposition_dict=decomposition_dict,
                             reuse_gradient=True, name=name)  # fmt: skip

        def _condition(self, xi: Any, gi: Any, fi: Any, xj: Any, gj: Any, fj: Any) -> Any:
            return (0 if is_set else fi - fj) >= gj * (xi - xj)

        def _apart(self, xi: Any, gi: Any, fi: Any, xj: Any, gj: Any, fj: Any) -> Any:
            return (xi - xj) ** 2 <= diameter**2 * unit()

        def add_class_constraints(self) -> None:
            points = self.list_of_points
            self.add_constraints_from_two_lists_of_points(
                list_of_points_1=points, list_of_points_2=points, constraint_name="convexity",
                set_class_constraint_i_j=self._condition,
            )  # fmt: skip
            if is_set:
                self.add_constraints_from_one_list_of_points(
                    list_of_points=points, constraint_name="inside",
                    set_class_constraint_i=lambda x, g, f: f == 0,
                )  # fmt: skip
            if diameter < math.inf:
                self.add_constraints_from_two_lists_of_points(
                    list_of_points_1=points, list_of_points_2=points, constraint_name="diameter",
                    set_class_constraint_i_j=self._apart, symmetry=True,
                )  # fmt: skip

    return Simple


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
