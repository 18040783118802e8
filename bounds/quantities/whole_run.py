"""Quantities of a whole run: one entry each.

``path`` says what is recorded of the iterates and how it is put together, and every way of
measuring reads it: sampled runs, the exact law, moments, enumerated paths, worst cases by
semidefinite programs, the scripts of counterexamples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from bounds.path import PathOf, Reduction, Times
from bounds.symbol import Measured
from bounds.units import Units

_VALUE = Units(F=1)
_SLOPE = Units(F=1, X=-1)
_SLOPE2 = Units(F=2, X=-2)
_LENGTH, _LENGTH2 = Units(X=1), Units(X=2)


@final
@dataclass(frozen=True)
class _Record:
    """What is recorded of a point, which is ``@`` in its texts, and never below 0."""

    record: str
    text: str
    latex: str
    units: Units
    power: int = 1
    parameters: tuple[str, ...] = ()
    note: str = ""


@final
@dataclass(frozen=True)
class _Over:
    """The rounds that records are taken over; ``#`` in its texts is the record at ``point``."""

    reduce: Reduction
    times: Times
    text: str
    latex: str
    point: str
    latex_point: str = ""
    where: str = ""

    def __call__(self, name: str, of: _Record) -> Measured:
        text = of.text.replace("@", self.point)
        latex = of.latex.replace("@", self.latex_point or self.point)
        return Measured(
            name, self.text.replace("#", text) + of.note, of.units,
            self.latex.replace("#", latex), True,
            path=PathOf(self.reduce, self.where + of.record, self.times, power=of.power),
            parameters=dict.fromkeys(of.parameters),
        )  # fmt: skip


_mean = _Over("mean", "0..T-1", "E[(1/T) sum_{t=0}^{T-1} #]",
              r"\frac{1}{T}\sum_{t=0}^{T-1}\mathbb{E}#", "w_t")  # fmt: skip
_next_mean = _Over("mean", "1..T", "E[(1/T) sum_{t=1}^{T} #]",
                   r"\frac{1}{T}\sum_{t=1}^{T}\mathbb{E}#", "w_t")  # fmt: skip
_least = _Over("min", "0..T", "E[min_{t<=T} #]", r"\mathbb{E}\min_{t\leq T}#", "w_t")
_first = _Over("at", "0", "#", "#", "w_0")
_last = _Over("at", "T", "E#", r"\mathbb{E}#", "w_T")
_returned = _Over("at", "T", "E#, of the point the method returns", r"\mathbb{E}#", "w_out",
                  r"w_{\mathrm{out}}", "output.")  # fmt: skip

_GRADIENT = _Record("gradient_norm", "||grad F(@)||", r"\|\nabla F(@)\|", _SLOPE)
_GRADIENT2 = _Record("gradient_norm_squared", "||grad F(@)||^2", r"\|\nabla F(@)\|^2", _SLOPE2)
_GRADIENT_2 = replace(_GRADIENT2, record="gradient_norm", power=2)
_GRADIENT_L1 = _Record("gradient_l1_norm", "||grad F(@)||_1", r"\|\nabla F(@)\|_1", _SLOPE)
_GRADIENT_LINF = _Record("gradient_linf_norm", "max_j |grad_j F(@)|", r"\|\nabla F(@)\|_\infty",
                         _SLOPE)  # fmt: skip
_EXCESS = _Record("suboptimality", "[F(@) - F*]", r"[F(@)-F^*]", _VALUE)
_LINF = _Record("linf_norm", "||@||_inf", r"\|@\|_\infty", _LENGTH)
_MOVED2 = _Record("distance", "||@ - w_0||^2", r"\|@-w_0\|^2", _LENGTH2, 2)
_AWAY2 = _Record("distance_to_minimizer_squared", "||@ - w*||^2", r"\|@-w^*\|^2", _LENGTH2)
# What a definition leaves open is a parameter.
_MAPPING2 = _Record("gradient_mapping_norm", "||(@ - prox(@ - step grad f(@)))/step||^2",
                    r"\|\mathcal{G}_\eta(@)\|^2", _SLOPE2, 2, ("step",))  # fmt: skip
_MOREAU2 = _Record("moreau_gradient_norm", "||grad M(@)||^2", r"\|\nabla F_{1/\lambda}(@)\|^2",
                   _SLOPE2, 2, ("lam",), ", M(w) = min_u F(u) + (lam/2)||u - w||^2")  # fmt: skip

mean_gradient_norm = _mean("mean_gradient_norm", _GRADIENT)
mean_gradient_norm_squared = _mean("mean_gradient_norm_squared", _GRADIENT_2)
mean_next_gradient_norm_squared = _next_mean("mean_next_gradient_norm_squared", _GRADIENT2)
mean_gradient_l1_norm = _mean("mean_gradient_l1_norm", _GRADIENT_L1)
mean_gradient_linf_norm = _mean("mean_gradient_linf_norm", _GRADIENT_LINF)
min_gradient_norm = _least("min_gradient_norm", _GRADIENT)
min_gradient_norm_squared = _least("min_gradient_norm_squared", _GRADIENT2)
first_gradient_norm_squared = _first("first_gradient_norm_squared", _GRADIENT2)
final_gradient_norm_squared = _last("final_gradient_norm_squared", _GRADIENT2)
output_gradient_norm_squared = _returned("output_gradient_norm_squared", _GRADIENT2)

mean_suboptimality = _mean("mean_suboptimality", _EXCESS)
min_suboptimality = _least("min_suboptimality", _EXCESS)
first_suboptimality = _first("first_suboptimality", _EXCESS)
final_suboptimality = _last("final_suboptimality", _EXCESS)
output_suboptimality = _returned("output_suboptimality", _EXCESS)

first_distance_to_minimizer_squared = _first("first_distance_to_minimizer_squared", _AWAY2)
final_distance_to_minimizer_squared = _last("final_distance_to_minimizer_squared", _AWAY2)
output_distance_to_minimizer_squared = _returned("output_distance_to_minimizer_squared", _AWAY2)
final_displacement_squared = _last("final_displacement_squared", _MOVED2)
first_linf_norm = _first("first_linf_norm", _LINF)
final_linf_norm = _last("final_linf_norm", _LINF)

final_gradient_mapping_norm_squared = _last("final_gradient_mapping_norm_squared", _MAPPING2)
min_gradient_mapping_norm_squared = _least("min_gradient_mapping_norm_squared", _MAPPING2)
mean_moreau_gradient_norm_squared = _mean("mean_moreau_gradient_norm_squared", _MOREAU2)

# --- what the method keeps, and others of their own kind ----------------------------------------
total_decrease = Measured(
    "total_decrease",
    "F(w_0) - E[F(w_T)]",
    _VALUE,
    r"F(w_0)-\mathbb{E}F(w_T)",
    path=PathOf("at", "value", "0") - PathOf("at", "value", "T"),
)
buffer_norm = Measured(
    "buffer_norm",
    "max_{t<=T} ||u_t||, the momentum buffer",
    Units(),
    r"\max_{t\leq T}\|u_t\|",
    True,
    path=PathOf("max", "state.u", "0..T"),
)
consensus_distance_squared = Measured(
    "consensus_distance_squared",
    "E[(1/M) sum_m ||w_m - w_T||^2] of the workers' points, w_T their mean",
    _LENGTH2,
    r"\frac{1}{M}\sum_m\mathbb{E}\|w_T^m-\bar w_T\|^2",
    True,
    path=PathOf("at", "consensus_distance_squared", "T"),
)
held_back_norm_squared = Measured(
    "held_back_norm_squared",
    "E||e_T||^2 of what compression held back, summed over workers where there are several",
    _LENGTH2,
    r"\mathbb{E}\|e_T\|^2",
    True,
    path=PathOf("at", "state.e", "T", power=2),
)
min_frank_wolfe_gap = Measured(
    "min_frank_wolfe_gap",
    "E[min_{t<=T} max_u <grad F(w_t), w_t - u>] over the set",
    _VALUE,
    r"\mathbb{E}\min_{t\leq T}\max_u\langle\nabla F(w_t),w_t-u\rangle",
    True,
    path=PathOf("min", "frank_wolfe_gap", "0..T"),
)
regret = Measured(
    "regret",
    "E[sum_{t=0}^{T-1} f_t(w_t) - min_u sum_t f_t(u)] for the losses f_t that were drawn",
    _VALUE,
    r"\mathbb{E}\Bigl[\sum_{t=0}^{T-1}f_t(w_t)-\min_u\sum_{t=0}^{T-1}f_t(u)\Bigr]",
    of_run=True,
)
# Of methods that keep an estimate d of the gradient: d_T is made at w_{T-1}, by step T.
estimate_error_squared = Measured(
    "estimate_error_squared",
    "E||d_T - grad F(w_{T-1})||^2, of the estimate that step T makes",
    _SLOPE2,
    r"\mathbb{E}\|d_T-\nabla F(w_{T-1})\|^2",
    True,
    path=PathOf("at", "estimate_error", "T", power=2),
)
earlier_estimate_error_squared = Measured(
    "earlier_estimate_error_squared",
    "E||d_{T-1} - grad F(w_{T-2})||^2, one step earlier",
    _SLOPE2,
    r"\mathbb{E}\|d_{T-1}-\nabla F(w_{T-2})\|^2",
    True,
    path=PathOf("at", "estimate_error", "T-1", power=2),
)
earlier_move_squared = Measured(
    "earlier_move_squared",
    "E||w_{T-1} - w_{T-2}||^2, the move before the last step",
    _LENGTH2,
    r"\mathbb{E}\|w_{T-1}-w_{T-2}\|^2",
    True,
    path=PathOf("at", "last_move", "T-1", power=2),
)
