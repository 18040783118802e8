"""Quantities of perturbed twins and of coupled runs."""

from __future__ import annotations

from bounds.notation import eta
from bounds.symbol import Measured
from bounds.units import Units

_VALUE = Units(F=1)
_SLOPE2 = Units(F=2, X=-2)
_LENGTH = Units(X=1)

# --- perturbed twins --------------------------------------------------------------------------
stability_gap = Measured(
    "stability_gap",
    "sup over x and twins of E|f(A(S1); x) - f(A(S2); x)|, from below",
    _VALUE,
    r"\sup_x\mathbb{E}_A|f(A(S_1);x)-f(A(S_2);x)|",
    True,
    of_run=True,
)
generalization_gap = Measured(
    "generalization_gap",
    "E[F(A(S)) - F_S(A(S))], population minus empirical risk",
    _VALUE,
    r"\mathbb{E}[F(A(S))-F_S(A(S))]",
    of_run=True,
)

# --- one round of two coupled runs (LRSGD's expansions) ---------------------------------
twin_distance = Measured(
    "twin_distance", "d_t = ||v_t - w_t||, two starting points", _LENGTH, r"d_t", True
)
expected_twin_distance = Measured(
    "expected_twin_distance",
    "E[d_{t+1} | v_t, w_t]: one round of both runs on the same samples and restarts",
    _LENGTH,
    r"\mathbb{E}[d_{t+1}\mid v_t,w_t]",
    True,
)
expected_perturbed_twin_distance = Measured(
    "expected_perturbed_twin_distance",
    "E[d_{t+1} | v_t, w_t]: one round of both runs, same draws, one of the n samples replaced",
    _LENGTH,
    r"\mathbb{E}[d_{t+1}\mid v_t,w_t;S_1,S_2]",
    True,
)

# --- beside SGD ---------------------------------------------------------------------------------
matched_sgd_mean_gradient_norm_squared = Measured(
    "matched_sgd_mean_gradient_norm_squared",
    "E[(1/N) sum_{t=1}^{N} ||grad F(v_t)||^2] of SGD at batch B and eta = 1/(2 ell), from the "
    "same w_0, with the same number N = T S of gradient evaluations per sample",
    _SLOPE2,
    r"\frac{1}{TS}\sum_{t=1}^{TS}\mathbb{E}\|\nabla F(v_t)\|^2",
    True,
    of_run=True,
)
distance_to_sgd = Measured(
    "distance_to_sgd",
    "max_t ||w_t - v_t||: the rule, whatever has a probability happening, and SGD on its batches",
    _LENGTH,
    r"\max_t\|w_t-v_t\|",
    True,
    parameters={"step": eta},
)
