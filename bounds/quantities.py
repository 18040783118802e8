"""The measured quantities statements speak about; ``theorylab.measures`` measures each by name.

Conventions: ``w_0`` is the start, ``t`` counts rounds of the algorithm (a round of SGD is one
step; of TRSGD, S inner steps), F is the objective, E the expectation over the algorithm's
randomness. A user's statement may use these as they are.
"""

from __future__ import annotations

from bounds.symbol import Measured
from bounds.units import Units

_VALUE, _SLOPE, _SLOPE2 = Units(F=1), Units(F=1, X=-1), Units(F=2, X=-2)
_LENGTH, _LENGTH2 = Units(X=1), Units(X=2)

# --- one point w, or two points u and w -----------------------------------------------------
value_difference = Measured("value_difference", "F(u) - F(w)", _VALUE, r"F(u)-F(w)")
linear_term = Measured(
    "linear_term", "<grad F(w), u - w>", _VALUE, r"\langle\nabla F(w),u-w\rangle"
)
distance = Measured("distance", "||u - w||", _LENGTH, r"\|u-w\|", True)
distance_squared = Measured("distance_squared", "||u - w||^2", _LENGTH2, r"\|u-w\|^2", True)
gradient_difference = Measured(
    "gradient_difference", "||grad F(u) - grad F(w)||", _SLOPE, r"\|\nabla F(u)-\nabla F(w)\|", True
)
gradient_norm_at_u = Measured(
    "gradient_norm_at_u", "||grad F(u)||", _SLOPE, r"\|\nabla F(u)\|", True
)
gradient_norm_at_w = Measured(
    "gradient_norm_at_w", "||grad F(w)||", _SLOPE, r"\|\nabla F(w)\|", True
)
absolute_value = Measured("absolute_value", "|F(w)|", _VALUE, r"|F(w)|", True)
hessian_norm = Measured(
    "hessian_norm", "||Hess F(w)||", Units(F=1, X=-2), r"\|\nabla^2 F(w)\|", True
)
least_curvature = Measured(
    "least_curvature",
    "smallest curvature of F found by search",
    Units(F=1, X=-2),
    r"\inf_w\lambda_{\min}(\nabla^2 F(w))",
)
gradient_variance = Measured(
    "gradient_variance",
    "E||g(w) - grad F(w)||^2, one sample",
    _SLOPE2,
    r"\mathbb{E}\|g(w)-\nabla F(w)\|^2",
    True,
)
gradient_deviation = Measured(
    "gradient_deviation",
    "max ||g(w) - grad F(w)||^2, one sample",
    _SLOPE2,
    r"\max\|g(w)-\nabla F(w)\|^2",
    True,
)
batch_variance = Measured(
    "batch_variance",
    "E||g_B(w) - grad F(w)||^2, mean of B samples",
    _SLOPE2,
    r"\mathbb{E}\|g_B(w)-\nabla F(w)\|^2",
    True,
)

# --- one round from w_t -----------------------------------------------------------------------
decrease = Measured(
    "decrease", "E[F(w_t) - F(w_{t+1}) | w_t]", _VALUE, r"\mathbb{E}[F(w_t)-F(w_{t+1})\mid w_t]"
)
gradient_norm_squared = Measured(
    "gradient_norm_squared", "||grad F(w_t)||^2", _SLOPE2, r"\|\nabla F(w_t)\|^2", True
)
next_gradient_norm_squared = Measured(
    "next_gradient_norm_squared",
    "E[||grad F(w_{t+1})||^2 | w_t]",
    _SLOPE2,
    r"\mathbb{E}\|\nabla F(w_{t+1})\|^2",
    True,
)
displacement_squared = Measured(
    "displacement_squared",
    "E[||w_{t+1} - w_t||^2 | w_t]",
    _LENGTH2,
    r"\mathbb{E}\|w_{t+1}-w_t\|^2",
    True,
)
inner_distance_squared = Measured(
    "inner_distance_squared",
    "E[||w_{t+1} - argmin G_t||^2 | w_t]",
    _LENGTH2,
    r"\mathbb{E}\|w_{t+1}-w^*_{t+1}\|^2",
    True,
)
start_distance_squared = Measured(
    "start_distance_squared", "||w_t - argmin G_t||^2", _LENGTH2, r"\|w_t-w^*_{t+1}\|^2", True
)
inner_gradient_norm_squared = Measured(
    "inner_gradient_norm_squared",
    "E[||grad G_t(w_{t+1})||^2 | w_t]",
    _SLOPE2,
    r"\mathbb{E}\|\nabla G_t(w_{t+1})\|^2",
    True,
)

inner_suboptimality = Measured(
    "inner_suboptimality",
    "E[G_t(w_{t+1}) - min G_t | w_t]",
    _VALUE,
    r"\mathbb{E}[G_t(w_{t+1})-\min G_t]",
    True,
)

# --- a whole run ------------------------------------------------------------------------------
mean_gradient_norm_squared = Measured(
    "mean_gradient_norm_squared",
    "E[(1/T) sum_{t=0}^{T-1} ||grad F(w_t)||^2]",
    _SLOPE2,
    r"\frac{1}{T}\sum_{t=0}^{T-1}\mathbb{E}\|\nabla F(w_t)\|^2",
    True,
)
mean_next_gradient_norm_squared = Measured(
    "mean_next_gradient_norm_squared",
    "E[(1/T) sum_{t=1}^{T} ||grad F(w_t)||^2]",
    _SLOPE2,
    r"\frac{1}{T}\sum_{t=1}^{T}\mathbb{E}\|\nabla F(w_t)\|^2",
    True,
)
mean_gradient_norm = Measured(
    "mean_gradient_norm",
    "E[(1/T) sum_{t=0}^{T-1} ||grad F(w_t)||]",
    _SLOPE,
    r"\frac{1}{T}\sum_{t=0}^{T-1}\mathbb{E}\|\nabla F(w_t)\|",
    True,
)
min_gradient_norm_squared = Measured(
    "min_gradient_norm_squared",
    "E[min_{t<=T} ||grad F(w_t)||^2]",
    _SLOPE2,
    r"\mathbb{E}\min_{t\leq T}\|\nabla F(w_t)\|^2",
    True,
)
first_gradient_norm_squared = Measured(
    "first_gradient_norm_squared", "||grad F(w_0)||^2", _SLOPE2, r"\|\nabla F(w_0)\|^2", True
)
final_gradient_norm_squared = Measured(
    "final_gradient_norm_squared",
    "E||grad F(w_T)||^2",
    _SLOPE2,
    r"\mathbb{E}\|\nabla F(w_T)\|^2",
    True,
)
final_suboptimality = Measured(
    "final_suboptimality", "E[F(w_T)] - F*", _VALUE, r"\mathbb{E}F(w_T)-F^*", True
)
total_decrease = Measured(
    "total_decrease", "F(w_0) - E[F(w_T)]", _VALUE, r"F(w_0)-\mathbb{E}F(w_T)"
)
final_displacement_squared = Measured(
    "final_displacement_squared", "E||w_T - w_0||^2", _LENGTH2, r"\mathbb{E}\|w_T-w_0\|^2", True
)
final_distance_to_minimizer_squared = Measured(
    "final_distance_to_minimizer_squared",
    "E||w_T - w*||^2",
    _LENGTH2,
    r"\mathbb{E}\|w_T-w^*\|^2",
    True,
)
first_distance_to_minimizer_squared = Measured(
    "first_distance_to_minimizer_squared", "||w_0 - w*||^2", _LENGTH2, r"\|w_0-w^*\|^2", True
)
buffer_norm = Measured(
    "buffer_norm",
    "max_{t<=T} ||u_t||, the momentum buffer",
    Units(),
    r"\max_{t\leq T}\|u_t\|",
    True,
)
evaluations_to_reach = Measured(
    "evaluations_to_reach",
    "gradient evaluations until the running mean of E||grad F(w_t)||^2 is at most eps",
    Units(),
    r"N(\varepsilon)",
    True,
)
largest_batch_size = Measured(
    "largest_batch_size",
    "largest B whose mean of E||grad F(w_t)||^2 over T = C/B steps is within twice that of B = 1",
    Units(),
    r"B_{\max}(C)",
    True,
)
mean_round_length = Measured(
    "mean_round_length", "E[M_t], inner steps in a round", Units(), r"\mathbb{E}[M_t]", True
)

# --- perturbed twins --------------------------------------------------------------------------
stability_gap = Measured(
    "stability_gap",
    "sup over x and twins of E|f(A(S1); x) - f(A(S2); x)|, from below",
    _VALUE,
    r"\sup_x\mathbb{E}_A|f(A(S_1);x)-f(A(S_2);x)|",
    True,
)
generalization_gap = Measured(
    "generalization_gap",
    "E[F(A(S)) - F_S(A(S))], population minus empirical risk",
    _VALUE,
    r"\mathbb{E}[F(A(S))-F_S(A(S))]",
)

# --- one round of two coupled runs (LRSGD's expansions), and the law of a round's length -------
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
round_length_probability = Measured(
    "round_length_probability", "P(M_t = K), K inner steps", Units(), r"\Pr(M_t=K)", True
)

# --- beside SGD ---------------------------------------------------------------------------------
matched_sgd_mean_gradient_norm_squared = Measured(
    "matched_sgd_mean_gradient_norm_squared",
    "E[(1/N) sum_{t=1}^{N} ||grad F(v_t)||^2] of SGD at batch B and eta = 1/(2 ell), from the "
    "same w_0, with the same number N = T S of gradient evaluations per sample",
    _SLOPE2,
    r"\frac{1}{TS}\sum_{t=1}^{TS}\mathbb{E}\|\nabla F(v_t)\|^2",
    True,
)
distance_to_sgd = Measured(
    "distance_to_sgd",
    "max_t ||w_t - v_t||: the rule, whatever has a probability happening, and SGD on its batches",
    _LENGTH,
    r"\max_t\|w_t-v_t\|",
    True,
)

# --- stochastic batch size --------------------------------------------------------------------
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
# With every update probability replaced by one constant p.
update_frequency = Measured("update_frequency", "E[chi_j]", Units(), r"\mathbb{E}[\chi_j]", True)
accumulated_batches = Measured(
    "accumulated_batches",
    "E[k_j] at an update of j, no epoch boundary",
    Units(),
    r"\mathbb{E}[k_j\mid\chi_j=1]",
    True,
)
relative_progress = Measured(
    "relative_progress",
    "E[w_j^0 - w_j^T]/(T eta g_j) of Algorithm 2 on <g, w>",
    Units(),
    r"\mathbb{E}[w_j^0-w_j^T]/(T\eta g_j)",
)
shuffled_batch_variance = Measured(
    "shuffled_batch_variance",
    "E||g_B(w) - grad F(w)||^2, mean of B distinct samples",
    _SLOPE2,
    r"\mathbb{E}\|g_B(w)-\nabla F(w)\|^2",
    True,
)
