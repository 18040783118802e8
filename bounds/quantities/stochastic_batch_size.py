"""Quantities of the stochastic batch size paper."""

from __future__ import annotations

import sympy as sp

from bounds.symbol import Measured
from bounds.units import Units

_HALF = sp.Rational(1, 2)
_SLOPE = Units(F=1, X=-1)
_SLOPE2 = Units(F=2, X=-2)
_LENGTH = Units(X=1)

# Update probabilities of one gradient (a layout of layers, one entry a coordinate). Norms are the
# |g_j|; means and standard deviations are the population's; 0/0 is 0 where all norms are equal.
standardised_norm = Measured(
    "standardised_norm", "v_j = (|g_j| - mu_l)/sigma_l, layer l of j", Units(), r"v_j"
)
standardised_norm_mean = Measured(
    "standardised_norm_mean", "mean of v_j over a layer", Units(), r"\mathbb{E}[v_j\mid l]"
)
standardised_norm_std = Measured(
    "standardised_norm_std",
    "standard deviation of v_j in a layer",
    Units(),
    r"\mathrm{std}[v_j\mid l]",
    True,
)
layer_norm_std = Measured(
    "layer_norm_std", "sigma_l: standard deviation of |g_j| in a layer", _SLOPE, r"\sigma_l", True
)
standardised_layer_norm = Measured(
    "standardised_layer_norm",
    "mu~_l = (mu_l - mu)/sigma over layers, weighted by their sizes",
    Units(),
    r"\tilde\mu_l",
)
standardised_layer_norm_mean = Measured(
    "standardised_layer_norm_mean",
    "mean of mu~_l over layers, weighted by their sizes",
    Units(),
    r"\mathbb{E}_l[\tilde\mu_l]",
)
standardised_layer_norm_std = Measured(
    "standardised_layer_norm_std",
    "standard deviation of mu~_l, weighted by the layers' sizes",
    Units(),
    r"\mathrm{std}_l[\tilde\mu_l]",
    True,
)
layer_mean_std = Measured(
    "layer_mean_std",
    "sigma: standard deviation of mu_l over layers, weighted by their sizes",
    _SLOPE,
    r"\sigma",
    True,
)
update_probability = Measured(
    "update_probability", "p_j, as the rule gives it", Units(), r"p_j", True
)
mean_update_probability = Measured(
    "mean_update_probability", "mean of p_j over one layer", Units(), r"\mathbb{E}[p_j\mid l]", True
)
symmetric_mean_update_probability = Measured(
    "symmetric_mean_update_probability",
    "mean of p_j over a layer whose |g_j| lie symmetrically about their mean",
    Units(),
    r"\mathbb{E}[p_j\mid l,\text{symmetric}]",
    True,
)
network_mean_update_probability = Measured(
    "network_mean_update_probability",
    "mean of p_j over all parameters",
    Units(),
    r"\mathbb{E}[p_j]",
    True,
)
coordinate_norm = Measured("coordinate_norm", "|g_j|", _SLOPE, r"|g_j|", True)
layer_norm_mean = Measured(
    "layer_norm_mean", "mu_l: mean of |g_j| in a layer", _SLOPE, r"\mu_l", True
)
# A coordinate's life under the rule.
update_indicator = Measured(
    "update_indicator", "chi_j: 1 if coordinate j moves at this step", Units(), r"\chi_j", True
)
coordinate_move = Measured("coordinate_move", "w_j^{t+1} - w_j^t", _LENGTH, r"w_j^{t+1}-w_j^t")
batch_count = Measured(
    "batch_count", "k_j: universal batches since j last moved, this one too", Units(), r"k_j", True
)
accumulated_gradient = Measured(
    "accumulated_gradient",
    "mean of grad_j f_i(w^t) over the samples of the last k_j universal batches",
    _SLOPE,
    r"\frac{1}{|\beta_j|}\sum_{i\in\beta_j}\nabla_jf_i(w^t)",
)
moving_average = Measured(
    "moving_average", "g~_j, Algorithm 2's average, this batch included", _SLOPE, r"\tilde g_j"
)
current_gradient = Measured(
    "current_gradient", "gradient of this step's universal batch alone", _SLOPE, r"g_j(\beta^t)"
)
mean_of_gradients = Measured(
    "mean_of_gradients",
    "plain mean of the last k_j batches' gradients, each at its own iterate",
    _SLOPE,
    r"\frac{1}{k_j}\sum_sg_j^s",
)
accumulated_gradient_error = Measured(
    "accumulated_gradient_error",
    "|g~_j - accumulated_gradient_j| under Algorithm 2",
    _SLOPE,
    r"|\tilde g_j-g_j|",
    True,
)
mean_drift = Measured(
    "mean_drift",
    "mean of ||w^s - w^t|| over the last k_j iterates s <= t",
    _LENGTH,
    r"\frac{1}{k_j}\sum_s\|w^s-w^t\|",
    True,
)
# Alternating minimization over two blocks, u and v.
block_move = Measured("block_move", "w_j^{s+1} - w_j^s at step s", _LENGTH, r"w_j^{s+1}-w_j^s")
block_turn = Measured(
    "block_turn", "1 if step s is block(j)'s turn: u's at odd s", Units(), r"1_{j,s}", True
)
block_gradient = Measured(
    "block_gradient",
    "grad_j of step s's mini-batch, at the point that step s-1 left",
    _SLOPE,
    r"\frac{1}{|\beta^s|}\sum_{i\in\beta^s}\nabla_jf_i(w^s)",
)
full_block_gradient = Measured(
    "full_block_gradient", "grad_j F at the point that step s-1 left", _SLOPE, r"\nabla_jF(w^s)"
)
# With every update probability replaced by one constant p: the rule's own at alpha = lambda = 0,
# unless a statement binds another.
update_frequency = Measured(
    "update_frequency",
    "E[chi_j]",
    Units(),
    r"\mathbb{E}[\chi_j]",
    True,
    parameters={"p": _HALF},
)
accumulated_batches = Measured(
    "accumulated_batches",
    "E[k_j] at an update of j, no epoch boundary",
    Units(),
    r"\mathbb{E}[k_j\mid\chi_j=1]",
    True,
    parameters={"p": _HALF},
)
relative_progress = Measured(
    "relative_progress",
    "E[w_j^0 - w_j^T]/(T eta g_j) of Algorithm 2 on <g, w>",
    Units(),
    r"\mathbb{E}[w_j^0-w_j^T]/(T\eta g_j)",
    parameters={"p": _HALF},
)
shuffled_batch_variance = Measured(
    "shuffled_batch_variance",
    "E||g_B(w) - grad F(w)||^2, mean of B distinct samples",
    _SLOPE2,
    r"\mathbb{E}\|g_B(w)-\nabla F(w)\|^2",
    True,
)
