"""Quantities of a whole run: one entry each.

``path`` says what is recorded of the iterates and how it is put together, and every way of
measuring reads it: sampled runs, the exact law, moments, enumerated paths, worst cases by
semidefinite programs, the scripts of counterexamples.
"""

from __future__ import annotations

from bounds.path import PathOf
from bounds.symbol import Measured
from bounds.units import Units

_VALUE = Units(F=1)
_SLOPE = Units(F=1, X=-1)
_SLOPE2 = Units(F=2, X=-2)
_LENGTH, _LENGTH2 = Units(X=1), Units(X=2)

mean_gradient_norm_squared = Measured(
    "mean_gradient_norm_squared",
    "E[(1/T) sum_{t=0}^{T-1} ||grad F(w_t)||^2]",
    _SLOPE2,
    r"\frac{1}{T}\sum_{t=0}^{T-1}\mathbb{E}\|\nabla F(w_t)\|^2",
    True,
    path=PathOf("mean", "gradient_norm", "0..T-1", power=2),
)
mean_next_gradient_norm_squared = Measured(
    "mean_next_gradient_norm_squared",
    "E[(1/T) sum_{t=1}^{T} ||grad F(w_t)||^2]",
    _SLOPE2,
    r"\frac{1}{T}\sum_{t=1}^{T}\mathbb{E}\|\nabla F(w_t)\|^2",
    True,
    path=PathOf("mean", "gradient_norm_squared", "1..T"),
)
mean_gradient_norm = Measured(
    "mean_gradient_norm",
    "E[(1/T) sum_{t=0}^{T-1} ||grad F(w_t)||]",
    _SLOPE,
    r"\frac{1}{T}\sum_{t=0}^{T-1}\mathbb{E}\|\nabla F(w_t)\|",
    True,
    path=PathOf("mean", "gradient_norm", "0..T-1"),
)
min_gradient_norm_squared = Measured(
    "min_gradient_norm_squared",
    "E[min_{t<=T} ||grad F(w_t)||^2]",
    _SLOPE2,
    r"\mathbb{E}\min_{t\leq T}\|\nabla F(w_t)\|^2",
    True,
    path=PathOf("min", "gradient_norm_squared", "0..T"),
)
first_gradient_norm_squared = Measured(
    "first_gradient_norm_squared",
    "||grad F(w_0)||^2",
    _SLOPE2,
    r"\|\nabla F(w_0)\|^2",
    True,
    path=PathOf("at", "gradient_norm_squared", "0"),
)
final_gradient_norm_squared = Measured(
    "final_gradient_norm_squared",
    "E||grad F(w_T)||^2",
    _SLOPE2,
    r"\mathbb{E}\|\nabla F(w_T)\|^2",
    True,
    path=PathOf("at", "gradient_norm_squared", "T"),
)
final_suboptimality = Measured(
    "final_suboptimality",
    "E[F(w_T)] - F*",
    _VALUE,
    r"\mathbb{E}F(w_T)-F^*",
    True,
    path=PathOf("at", "suboptimality", "T"),
)
total_decrease = Measured(
    "total_decrease",
    "F(w_0) - E[F(w_T)]",
    _VALUE,
    r"F(w_0)-\mathbb{E}F(w_T)",
    path=PathOf("at", "value", "0") - PathOf("at", "value", "T"),
)
final_displacement_squared = Measured(
    "final_displacement_squared",
    "E||w_T - w_0||^2",
    _LENGTH2,
    r"\mathbb{E}\|w_T-w_0\|^2",
    True,
    path=PathOf("at", "distance", "T", power=2),
)
final_distance_to_minimizer_squared = Measured(
    "final_distance_to_minimizer_squared",
    "E||w_T - w*||^2",
    _LENGTH2,
    r"\mathbb{E}\|w_T-w^*\|^2",
    True,
    path=PathOf("at", "distance_to_minimizer_squared", "T"),
)
first_distance_to_minimizer_squared = Measured(
    "first_distance_to_minimizer_squared",
    "||w_0 - w*||^2",
    _LENGTH2,
    r"\|w_0-w^*\|^2",
    True,
    path=PathOf("at", "distance_to_minimizer_squared", "0"),
)
buffer_norm = Measured(
    "buffer_norm",
    "max_{t<=T} ||u_t||, the momentum buffer",
    Units(),
    r"\max_{t\leq T}\|u_t\|",
    True,
    path=PathOf("max", "state.u", "0..T"),
)
# --- other norms, the best iterate, and the point the method returns --------------------------
mean_gradient_l1_norm = Measured(
    "mean_gradient_l1_norm",
    "E[(1/T) sum_{t=0}^{T-1} ||grad F(w_t)||_1]",
    _SLOPE,
    r"\frac{1}{T}\sum_{t=0}^{T-1}\mathbb{E}\|\nabla F(w_t)\|_1",
    True,
    path=PathOf("mean", "gradient_l1_norm", "0..T-1"),
)
mean_gradient_linf_norm = Measured(
    "mean_gradient_linf_norm",
    "E[(1/T) sum_{t=0}^{T-1} max_j |grad_j F(w_t)|]",
    _SLOPE,
    r"\frac{1}{T}\sum_{t=0}^{T-1}\mathbb{E}\|\nabla F(w_t)\|_\infty",
    True,
    path=PathOf("mean", "gradient_linf_norm", "0..T-1"),
)
first_linf_norm = Measured(
    "first_linf_norm",
    "max_j |w_0j|",
    _LENGTH,
    r"\|w_0\|_\infty",
    True,
    path=PathOf("at", "linf_norm", "0"),
)
final_linf_norm = Measured(
    "final_linf_norm",
    "E max_j |w_Tj|",
    _LENGTH,
    r"\mathbb{E}\|w_T\|_\infty",
    True,
    path=PathOf("at", "linf_norm", "T"),
)
min_gradient_norm = Measured(
    "min_gradient_norm",
    "E[min_{t<=T} ||grad F(w_t)||]",
    _SLOPE,
    r"\mathbb{E}\min_{t\leq T}\|\nabla F(w_t)\|",
    True,
    path=PathOf("min", "gradient_norm", "0..T"),
)
first_suboptimality = Measured(
    "first_suboptimality",
    "F(w_0) - F*",
    _VALUE,
    r"F(w_0)-F^*",
    True,
    path=PathOf("at", "suboptimality", "0"),
)
min_suboptimality = Measured(
    "min_suboptimality",
    "E[min_{t<=T} F(w_t)] - F*, the best iterate",
    _VALUE,
    r"\mathbb{E}\min_{t\leq T}F(w_t)-F^*",
    True,
    path=PathOf("min", "suboptimality", "0..T"),
)
output_suboptimality = Measured(
    "output_suboptimality",
    "E[F(w_out)] - F*, of the point the method returns",
    _VALUE,
    r"\mathbb{E}F(w_{\mathrm{out}})-F^*",
    True,
    path=PathOf("at", "output.suboptimality", "T"),
)
output_gradient_norm_squared = Measured(
    "output_gradient_norm_squared",
    "E||grad F(w_out)||^2, of the point the method returns",
    _SLOPE2,
    r"\mathbb{E}\|\nabla F(w_{\mathrm{out}})\|^2",
    True,
    path=PathOf("at", "output.gradient_norm_squared", "T"),
)
output_distance_to_minimizer_squared = Measured(
    "output_distance_to_minimizer_squared",
    "E||w_out - w*||^2, of the point the method returns",
    _LENGTH2,
    r"\mathbb{E}\|w_{\mathrm{out}}-w^*\|^2",
    True,
    path=PathOf("at", "output.distance_to_minimizer_squared", "T"),
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
# --- simple parts, convex sets, and functions that are weakly convex --------------------------
final_gradient_mapping_norm_squared = Measured(
    "final_gradient_mapping_norm_squared",
    "E||(w_T - prox(w_T - step grad f(w_T)))/step||^2",
    _SLOPE2,
    r"\mathbb{E}\|\mathcal{G}_\eta(w_T)\|^2",
    True,
    path=PathOf("at", "gradient_mapping_norm", "T", power=2),
    parameters={"step": None},
)
min_gradient_mapping_norm_squared = Measured(
    "min_gradient_mapping_norm_squared",
    "E[min_{t<=T} ||(w_t - prox(w_t - step grad f(w_t)))/step||^2]",
    _SLOPE2,
    r"\mathbb{E}\min_{t\leq T}\|\mathcal{G}_\eta(w_t)\|^2",
    True,
    path=PathOf("min", "gradient_mapping_norm", "0..T", power=2),
    parameters={"step": None},
)
mean_moreau_gradient_norm_squared = Measured(
    "mean_moreau_gradient_norm_squared",
    "E[(1/T) sum_{t=0}^{T-1} ||grad M(w_t)||^2], M(w) = min_u F(u) + (lam/2)||u - w||^2",
    _SLOPE2,
    r"\frac{1}{T}\sum_{t=0}^{T-1}\mathbb{E}\|\nabla F_{1/\lambda}(w_t)\|^2",
    True,
    path=PathOf("mean", "moreau_gradient_norm", "0..T-1", power=2),
    parameters={"lam": None},
)
min_frank_wolfe_gap = Measured(
    "min_frank_wolfe_gap",
    "E[min_{t<=T} max_u <grad F(w_t), w_t - u>] over the set",
    _VALUE,
    r"\mathbb{E}\min_{t\leq T}\max_u\langle\nabla F(w_t),w_t-u\rangle",
    True,
    path=PathOf("min", "frank_wolfe_gap", "0..T"),
)
# --- online --------------------------------------------------------------------------------------
regret = Measured(
    "regret",
    "E[sum_{t=0}^{T-1} f_t(w_t) - min_u sum_t f_t(u)] for the losses f_t that were drawn",
    _VALUE,
    r"\mathbb{E}\Bigl[\sum_{t=0}^{T-1}f_t(w_t)-\min_u\sum_{t=0}^{T-1}f_t(u)\Bigr]",
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
mean_suboptimality = Measured(
    "mean_suboptimality",
    "E[(1/T) sum_{t=0}^{T-1} F(w_t)] - F*",
    _VALUE,
    r"\frac{1}{T}\sum_{t=0}^{T-1}\mathbb{E}F(w_t)-F^*",
    True,
    path=PathOf("mean", "suboptimality", "0..T-1"),
)
