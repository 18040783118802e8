r"""Stochastic batch size (2020): its equations and claims.

The paper has no theorems; it has equations that say what the method is, and claims about them.
Equations are relations between what a rule does (a probability, a move) and the quantities the
equation names, so checking one checks an implementation against the paper. Coordinates are indexed
by j, layers by l; ``s(x; a, c) = 1/(1 + exp(-a x - c))``.

Conventions. Means and standard deviations are the population's, means over layers weighted by the
layers' sizes (all of one parameter type). Where all norms are equal, 0/0 is 0: then p = 1/2
whatever alpha. Algorithm 1 adds the current universal batch before it updates; read literally,
(12) empties the batch that (11) divides by.

>>> float(eq_18_mean_repaired.bound({"alpha": 0.3, "eta": 1.0}))
0.003
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_VARIANCE, FINITE_SUM, PER_SAMPLE, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import B, ell, eta, n, sigma
from bounds.proof import Identity, Nonnegative, NonnegativeOn
from bounds.quantities import (
    accumulated_batches,
    accumulated_gradient,
    accumulated_gradient_error,
    batch_count,
    batch_variance,
    block_gradient,
    block_move,
    block_turn,
    coordinate_move,
    coordinate_norm,
    current_gradient,
    distance_to_sgd,
    full_block_gradient,
    gradient_variance,
    layer_mean_std,
    layer_norm_mean,
    layer_norm_std,
    mean_drift,
    mean_of_gradients,
    mean_update_probability,
    moving_average,
    network_mean_update_probability,
    relative_progress,
    shuffled_batch_variance,
    standardised_layer_norm,
    standardised_layer_norm_mean,
    standardised_layer_norm_std,
    standardised_norm,
    standardised_norm_mean,
    standardised_norm_std,
    symmetric_mean_update_probability,
    update_frequency,
    update_indicator,
    update_probability,
)
from bounds.statement import Algorithm, Statement
from bounds.symbol import REAL, Domain, Symbol

__all__ = ["STATEMENTS", "sigmoid"]

# fmt: off
alpha = Symbol("alpha", "slope of the update probability within a layer", REAL, latex=r"\alpha",
               typical=(0.1, 0.0, -0.1, 1.0))
lambda_ = Symbol("lambda_", "slope of the update probability across layers", REAL,
                 latex=r"\lambda", typical=(-4.0, 0.0, -2.0, -8.0))
gamma = Symbol("gamma", "shift of the sigmoid", REAL, latex=r"\gamma", typical=(0.0, 1.0, -4.0))
x = Symbol("x", "argument of the sigmoid", REAL, typical=(0.0, 1.0, -3.0))
p = Symbol("p", "a constant update probability", Domain(0, 1, lower_open=True),
           typical=(0.5, 1.0, 0.1))
# fmt: on

_count, _before, _new = sp.symbols("s z g", positive=True)
_HALF = sp.Rational(1, 2)
_CONSTANT = {"alpha": sp.Integer(0), "lambda_": sp.Integer(0)}


def sigmoid(at: sp.Expr, slope: sp.Expr | int, shift: sp.Expr | int) -> sp.Expr:
    """(16): ``s(x; alpha, gamma) = 1/(1 + exp(-alpha x - gamma))``.

    >>> sigmoid(x, 1, 0)
    1/(1 + exp(-x))
    """
    return 1 / (1 + sp.exp(-slope * at - shift))


def _rule(number: int, **settings: sp.Expr | int) -> Algorithm:
    """Algorithm 1 or 2; a field left out is what the claim leaves free."""
    given = {"alpha": alpha, "lambda_": lambda_} | settings
    fields = {name: sp.sympify(value) for name, value in given.items()}
    return Algorithm(f"stochastic_batch_size_{number}", {"eta": eta, **fields})


_LOCAL, _GLOBAL, _COMBINED = _rule(2, lambda_=0), _rule(2, alpha=0), _rule(2)

# --- (5)-(8), alternating minimization ---------------------------------------------------------
_ALTERNATING = Algorithm("alternating", {"eta": eta})
eq_5 = Statement(
    "stochastic_batch_size.eq_5", "Eqs. (5)-(6)", "printed",
    Claim(block_move, "==", -block_turn * eta * full_block_gradient),
    (BOUNDED_VARIANCE,), _ALTERNATING,
    conditions=(Condition(sigma, "<=", 0),),
    text="Alternating minimization: u moves by -eta grad_u F(u, v), then v by -eta grad_v F(u+, v),"
    " each where the other left the point; the other block stands still.",
    note="The definition of the method, with exact gradients.",
)  # fmt: skip
eq_7 = Statement(
    "stochastic_batch_size.eq_7", "Eqs. (7)-(8)", "printed",
    Claim(block_move, "==", -block_turn * eta * block_gradient),
    algorithm=_ALTERNATING,
    text="Stochastic alternating minimization: the same on mini-batches, one for u and the next "
    "one for v.",
    note="The definition of the method.",
)  # fmt: skip

# --- (9)-(12), Algorithm 1 --------------------------------------------------------------------
eq_9 = Statement(
    "stochastic_batch_size.eq_9", "Eq. (9)", "printed",
    Claim(update_frequency.bind(p=p), "==", p),
    algorithm=_rule(1, **_CONSTANT),
    text="A parameter moves with probability p_j; here p_j = p for all j and t.",
    note="The definition of the Bernoulli variable chi_j.",
)  # fmt: skip
eq_10 = Statement(
    "stochastic_batch_size.eq_10", "Eqs. (10)-(11)", "printed",
    Claim(coordinate_move, "==", -update_indicator * eta * accumulated_gradient),
    algorithm=_rule(1),
    text="w_j moves by -eta g_j where chi_j = 1 and stays otherwise; g_j is the gradient at the "
    "current w on j's own batch.",
    note="The definition of Algorithm 1.",
)  # fmt: skip
eq_12 = Statement(
    "stochastic_batch_size.eq_12", "Eq. (12)", "printed",
    Claim(accumulated_batches.bind(p=p), "==", 1 / p),
    algorithm=_rule(1, **_CONSTANT),
    text="j's batch accumulates the universal batches until it is used. Read, at p_j = p, as: the "
    "batch of an update holds 1/p universal batches on average.",
    note="The number of batches is geometric. An epoch's end discards what is left and shortens "
    "it; read literally, (12) empties the batch before (11) uses it.",
    proof=(
        Identity("sum of k p (1-p)^(k-1), with z = 1-p: p d/dz (1/(1-z))",
                 p * sp.diff(1 / (1 - _before), _before), 1 / p, {_before: 1 - p}),
    ),
)  # fmt: skip
claim_p_1_algorithm_1 = Statement(
    "stochastic_batch_size.claim_p_1_algorithm_1", "p = 1 is SGD, Algorithm 1", "printed",
    Claim(distance_to_sgd, "==", 0),
    algorithm=_rule(1, **_CONSTANT),
    text="With p_j = 1 for all j and t, Algorithm 1 is SGD.",
    note="True: every batch is the current universal batch alone.",
)  # fmt: skip
claim_p_1_algorithm_2 = Statement(
    "stochastic_batch_size.claim_p_1_algorithm_2", "p = 1 is SGD, Algorithm 2", "printed",
    Claim(distance_to_sgd, "==", 0),
    algorithm=_rule(2, **_CONSTANT),
    text="With p_j = 1 for all j and t, Algorithm 2 is SGD.",
    note="True: k_j stays 1, so the moving average is the current gradient.",
)  # fmt: skip

claim_dropout = Statement(
    "stochastic_batch_size.claim_dropout", "p = 1/2 is like Dropout", "printed",
    Claim(coordinate_move, "==", -update_indicator * eta * current_gradient),
    algorithm=_rule(1, **_CONSTANT),
    text="p = 1/2 results in an algorithm similar to Dropout except its forward-propagation. Read "
    "as: a step of SGD on the current batch in which each parameter is left out with probability "
    "1/2.",
    note="A parameter that was left out moves next by the gradient on all batches it waited for, "
    "not on the current one.",
)  # fmt: skip
claim_dropout_repaired = Statement(
    "stochastic_batch_size.claim_dropout", "p = 1/2 is like Dropout", "repaired",
    Claim(relative_progress, "==", _HALF),
    algorithm=_rule(1, **_CONSTANT),
    text="At p = 1/2 each parameter moves half as far as under SGD, as it does where Dropout's "
    "mask leaves half of the gradients out; in expectation, on a linear objective.",
    note="What is alike is the mean: chi_j has mean 1/2 and is independent of the gradients.",
)  # fmt: skip

# --- (13)-(15), Algorithm 2 -------------------------------------------------------------------
eq_13 = Statement(
    "stochastic_batch_size.eq_13", "Eq. (13)", "printed",
    Claim(relative_progress, "==", 1),
    algorithm=_rule(2, **_CONSTANT),
    text="eta~ = k eta: the step grows with the batch, so that a universal batch moves a "
    "parameter as far as in SGD. Read as a claim about Algorithm 2, on a linear objective.",
    note="Algorithm 2 uses eta, not k eta.",
)  # fmt: skip
eq_13_repaired = Statement(
    "stochastic_batch_size.eq_13", "Eq. (13)", "repaired",
    Claim(relative_progress.bind(p=p), "==", p),
    algorithm=_rule(2, **_CONSTANT),
    text="Algorithm 2 moves a parameter p = 1/E[k] times as far as SGD on the same batches.",
    note="An update moves it by eta g, k batches' worth of waiting or not, and comes p times a "
    "step. With k eta the factor would be p E[k] = 1.",
    proof=(Identity("with k eta", p * eq_12.claim.rhs, sp.Integer(1)),),
)  # fmt: skip
eq_14 = Statement(
    "stochastic_batch_size.eq_14", "Eq. (14)", "printed",
    Claim(moving_average, "==", mean_of_gradients),
    algorithm=_rule(2),
    text="The cumulative moving average g~ <- g~ + (g - g~)/s is the plain mean of the gradients "
    "since the last update, each at its own iterate.",
    note="True: by induction, s g~_s = (s-1) g~_{s-1} + g_s.",
    proof=(
        Identity("s times the recursion",
                 _count * (_before + (_new - _before) / _count), (_count - 1) * _before + _new),
    ),
)  # fmt: skip
claim_14_estimates_13 = Statement(
    "stochastic_batch_size.claim_14_estimates_13", "(14) estimates (13)", "printed",
    Claim(accumulated_gradient_error, "==", 0),
    (PER_SAMPLE, SMOOTH), _rule(2),
    text="The moving average is considered as the gradient on the accumulated batch.",
    note="The gradients averaged were taken at different iterates.",
)  # fmt: skip
claim_14_estimates_13_repaired = Statement(
    "stochastic_batch_size.claim_14_estimates_13", "(14) estimates (13)", "repaired",
    Claim(accumulated_gradient_error, "<=", ell * mean_drift),
    (PER_SAMPLE, SMOOTH), _rule(2),
    text="The moving average misses the accumulated batch's gradient by at most ell times how far "
    "the iterates moved meanwhile; they agree while the other coordinates stand still.",
    note="Universal batches of one size: the error is the mean over them of "
    "grad_j f_s(w^s) - grad_j f_s(w^t), each at most ell ||w^s - w^t||, as every sample's loss is "
    "ell-smooth.",
)  # fmt: skip
eq_15 = Statement(
    "stochastic_batch_size.eq_15", "Eq. (15)", "printed",
    Claim(coordinate_move, "==", -update_indicator * batch_count * eta * moving_average),
    algorithm=_rule(2),
    text="The update by the moving average, with eta~ = k eta as (13) sets it. Read as a claim "
    "about Algorithm 2.",
    note="Algorithm 2 uses eta.",
)  # fmt: skip
eq_15_repaired = Statement(
    "stochastic_batch_size.eq_15", "Eq. (15)", "repaired",
    Claim(coordinate_move, "==", -update_indicator * eta * moving_average),
    algorithm=_rule(2),
    text="The update as Algorithm 2 has it.",
    note="The definition of Algorithm 2.",
)  # fmt: skip

# --- (16)-(21), update probabilities ----------------------------------------------------------
eq_16_upper = Statement(
    "stochastic_batch_size.eq_16_upper", "Eq. (16), upper", "printed",
    Claim(sigmoid(x, alpha, gamma), "<=", 1),
    text="The sigmoid is a probability: at most 1 ((9) asks for 0 < p < 1).",
    note="True: exp is positive.",
)  # fmt: skip
eq_16_lower = Statement(
    "stochastic_batch_size.eq_16_lower", "Eq. (16), lower", "printed",
    Claim(sigmoid(x, alpha, gamma), ">=", 0),
    text="The sigmoid is a probability: at least 0.",
    note="True: exp is positive.",
)  # fmt: skip
eq_17_mean = Statement(
    "stochastic_batch_size.eq_17_mean", "Eq. (17), mean", "printed",
    Claim(standardised_norm_mean, "==", 0),
    algorithm=_COMBINED,
    text="The standardised norms of a layer have mean 0.",
    note="True.",
)  # fmt: skip
eq_17_std = Statement(
    "stochastic_batch_size.eq_17_std", "Eq. (17), standard deviation", "printed",
    Claim(standardised_norm_std, "==", 1),
    algorithm=_COMBINED,
    text="The standardised norms of a layer have standard deviation 1.",
    note="Not where all norms of a layer are equal, as in a layer of one parameter: (17) is 0/0.",
)  # fmt: skip
eq_17_std_repaired = Statement(
    "stochastic_batch_size.eq_17_std", "Eq. (17), standard deviation", "repaired",
    Claim(standardised_norm_std * layer_norm_std, "==", layer_norm_std),
    algorithm=_COMBINED,
    text="The standardised norms have standard deviation 1 unless sigma_l = 0.",
    note="By definition, with 0 for 0/0.",
)  # fmt: skip
eq_18 = Statement(
    "stochastic_batch_size.eq_18", "Eq. (18)", "printed",
    Claim(update_probability, "==", sigmoid(standardised_norm, alpha, 0)),
    algorithm=_LOCAL,
    text="Local adaptive probability.",
    note="A definition; it checks the rule.",
)  # fmt: skip
claim_random_update = Statement(
    "stochastic_batch_size.claim_random_update", "alpha = gamma = 0", "printed",
    Claim(update_probability, "==", _HALF),
    algorithm=_rule(2, **_CONSTANT),
    text="alpha = gamma = 0 updates every parameter with probability 1/2.",
    note="True.",
    proof=(Identity("s(x; 0, 0)", sigmoid(x, 0, 0), _HALF),),
)  # fmt: skip
eq_18_mean = Statement(
    "stochastic_batch_size.eq_18_mean", "Eq. (18), expectation", "printed",
    Claim(mean_update_probability, "==", _HALF),
    algorithm=_LOCAL,
    text="gamma = 0 gives E[p_j | layer] = 1/2.",
    note="Only for norms that lie symmetrically about their mean (eq_18_mean_symmetric); gradient "
    "norms are skewed.",
)  # fmt: skip
_y = sp.Symbol("y", positive=True)
_z = sp.Symbol("z", nonnegative=True)
_tanh = 1 - 2 / (sp.exp(2 * _y) + 1)
_FOUR_15 = sp.Rational(4, 15)
_DEVIATION = (
    Identity("s(x) = 1/2 + tanh(x/2)/2, at x = 2y", sigmoid(2 * _y, 1, 0),
             _HALF + _tanh / 2),
    Nonnegative("tanh y >= y - y^3/3, so y - tanh y <= (4/15) y^2 for y <= 4/5",
                (_FOUR_15 * _y**2 - _y**3 / 3).subs(_y, sp.Rational(4, 5) / (1 + _z))),
    NonnegativeOn("the same for 4/5 <= y <= 15/4", _FOUR_15 * _y**2 - _y + _tanh, _y,
                  sp.Rational(4, 5), sp.Rational(15, 4)),
    Nonnegative("and beyond, where tanh y >= 0 is enough",
                (_FOUR_15 * _y**2 - _y).subs(_y, sp.Rational(15, 4) + _z)),
    Identity("hence |s(x) - 1/2 - x/4| <= x^2/30", (_FOUR_15 * _y**2 / 2).subs(_y, x / 2),
             x**2 / 30),
)  # fmt: skip
eq_18_mean_repaired = Statement(
    "stochastic_batch_size.eq_18_mean", "Eq. (18), expectation", "repaired",
    Claim(sp.Abs(mean_update_probability - _HALF), "<=", alpha**2 / 30),
    algorithm=_LOCAL,
    trivial=_HALF,
    text="gamma = 0 gives E[p_j | layer] = 1/2 up to alpha^2/30, whatever the norms.",
    note="|s(x; 1, 0) - 1/2 - x/4| <= x^2/30 at x = alpha v_j; v_j has mean 0 and mean square at "
    "most 1. The best constant is 0.0331, approached by one outlier in a large layer as alpha "
    "falls. For the paper's alpha = 0.1 the printed 1/2 is off by at most 0.00034.",
    proof=_DEVIATION,
)  # fmt: skip
claim_proportional = Statement(
    "stochastic_batch_size.claim_proportional", "Probability proportional to the norm", "printed",
    Claim(update_probability * layer_norm_mean, "==", mean_update_probability * coordinate_norm),
    algorithm=_LOCAL,
    text="The update probability is designed to be proportional to the norm of the gradient. Read "
    "as: within a layer p_j/|g_j| is one number, that of the means (the local scheme).",
    note="A sigmoid of the standardised norm is neither proportional to it nor, where alpha < 0, "
    "increasing; with the paper's lambda = -4 layers of larger norms are updated less.",
)  # fmt: skip
_near_half = alpha**2 * standardised_norm**2 / 30
claim_proportional_repaired = Statement(
    "stochastic_batch_size.claim_proportional", "Probability proportional to the norm", "repaired",
    Claim(sp.Abs(update_probability - _HALF - alpha * standardised_norm / 4), "<=", _near_half),
    algorithm=_LOCAL,
    text="Within a layer p_j is affine in the norm, 1/2 + (alpha/4) v_j, up to alpha^2 v_j^2/30.",
    note="|s(x; 1, 0) - 1/2 - x/4| <= x^2/30 at x = alpha v_j.",
    proof=_DEVIATION,
)  # fmt: skip
eq_18_mean_symmetric = Statement(
    "stochastic_batch_size.eq_18_mean_symmetric", "Eq. (18), symmetric norms", "repaired",
    Claim(symmetric_mean_update_probability, "==", _HALF),
    algorithm=_LOCAL,
    text="gamma = 0 gives E[p_j | layer] = 1/2 where the norms lie symmetrically about their mean.",
    note="s(x; alpha, 0) - 1/2 is odd in x.",
    proof=(
        Identity("odd", sigmoid(x, alpha, 0) + sigmoid(-x, alpha, 0), sp.Integer(1)),
    ),
)  # fmt: skip
eq_19_mean = Statement(
    "stochastic_batch_size.eq_19_mean", "Eq. (19), mean", "printed",
    Claim(standardised_layer_norm_mean, "==", 0),
    algorithm=_COMBINED,
    text="The standardised layer means have mean 0, weighted by the layers' sizes.",
    note="True.",
)  # fmt: skip
eq_19_std = Statement(
    "stochastic_batch_size.eq_19_std", "Eq. (19), standard deviation", "printed",
    Claim(standardised_layer_norm_std, "==", 1),
    algorithm=_COMBINED,
    text="The standardised layer means have standard deviation 1.",
    note="Not where all layer means are equal, as in a network of one layer: (19) is 0/0.",
)  # fmt: skip
eq_19_std_repaired = Statement(
    "stochastic_batch_size.eq_19_std", "Eq. (19), standard deviation", "repaired",
    Claim(standardised_layer_norm_std * layer_mean_std, "==", layer_mean_std),
    algorithm=_COMBINED,
    text="The standardised layer means have standard deviation 1 unless sigma = 0.",
    note="By definition, with 0 for 0/0.",
)  # fmt: skip
eq_20 = Statement(
    "stochastic_batch_size.eq_20", "Eq. (20)", "printed",
    Claim(update_probability, "==",
          sigmoid(standardised_norm, 0, lambda_ * standardised_layer_norm)),
    algorithm=_GLOBAL,
    text="Global adaptive probability: one probability for a whole layer.",
    note="A definition; it checks the rule.",
)  # fmt: skip
eq_20_mean = Statement(
    "stochastic_batch_size.eq_20_mean", "Eq. (20), expectation", "printed",
    Claim(mean_update_probability, "==", _HALF),
    algorithm=_GLOBAL,
    text="alpha = 0 gives E[p_j | layer] = 1/2.",
    note="Within a layer p_j is constant, and 1/2 only where the layer's mean is the average.",
)  # fmt: skip
eq_20_mean_repaired = Statement(
    "stochastic_batch_size.eq_20_mean", "Eq. (20), expectation", "repaired",
    Claim(mean_update_probability, "==", sigmoid(0, 0, lambda_ * standardised_layer_norm)),
    algorithm=_GLOBAL,
    text="alpha = 0 gives E[p_j | layer l] = s(0; 0, lambda mu~_l).",
    note="(20) does not depend on j within a layer.",
    proof=(
        Identity("no dependence on v_j", eq_20.claim.rhs,
                 sigmoid(0, 0, lambda_ * standardised_layer_norm)),
    ),
)  # fmt: skip
eq_20_network_mean = Statement(
    "stochastic_batch_size.eq_20_network_mean", "Eq. (20), expectation over layers", "repaired",
    Claim(sp.Abs(network_mean_update_probability - _HALF), "<=", lambda_**2 / 30),
    algorithm=_GLOBAL,
    trivial=_HALF,
    text="Over all parameters of the network, (20) gives E[p_j] = 1/2 up to lambda^2/30.",
    note="As for eq_18_mean: weighted by the layers' sizes, mu~_l has mean 0 and mean square at "
    "most 1. At the paper's lambda = -4 the bound says nothing.",
    proof=_DEVIATION,
)  # fmt: skip
eq_21 = Statement(
    "stochastic_batch_size.eq_21", "Eq. (21)", "printed",
    Claim(update_probability, "==",
          sigmoid(standardised_norm, alpha, lambda_ * standardised_layer_norm)),
    algorithm=_COMBINED,
    text="Combined adaptive probability; the paper uses alpha = 0.1, lambda = -4.",
    note="A definition; it checks the rule.",
)  # fmt: skip

# --- gradient noise ---------------------------------------------------------------------------
claim_noise_variance = Statement(
    "stochastic_batch_size.claim_noise_variance", "Noise of a batch", "printed",
    Claim(batch_variance, "==", gradient_variance / B),
    (BOUNDED_VARIANCE,),
    text="The variance of the gradient noise is inversely proportional to the batch size, for "
    "independent samples.",
    note="True: variances of independent errors add.",
    proof=(Identity("B errors of variance v, divided by B", B * x / B**2, x / B),),
)  # fmt: skip
claim_noise_variance_shuffled = Statement(
    "stochastic_batch_size.claim_noise_variance_shuffled", "Noise of a shuffled batch", "printed",
    Claim(shuffled_batch_variance, "==", gradient_variance / B),
    (FINITE_SUM, BOUNDED_VARIANCE),
    conditions=(Condition(B, "<=", n),),
    text="The same for a subset of the data, as the paper's shuffled universal batches are.",
    note="Distinct samples' errors are negatively correlated: at B = n there is no noise.",
)  # fmt: skip
_shuffled = gradient_variance * (n - B) / (B * (n - 1))
claim_noise_variance_shuffled_repaired = Statement(
    "stochastic_batch_size.claim_noise_variance_shuffled", "Noise of a shuffled batch", "repaired",
    Claim(shuffled_batch_variance, "==", _shuffled),
    (FINITE_SUM, BOUNDED_VARIANCE),
    conditions=(Condition(B, "<=", n), Condition(n, ">", 1)),
    text="A batch of B distinct samples out of n has 1/B times (n - B)/(n - 1) of one sample's "
    "variance.",
    note="The n errors sum to 0, so two distinct ones have covariance -variance/(n - 1).",
    proof=(
        Identity("B variances and B(B-1) covariances",
                 (B * gradient_variance - B * (B - 1) * gradient_variance / (n - 1)) / B**2,
                 _shuffled),
    ),
)  # fmt: skip

STATEMENTS: tuple[Statement, ...] = (
    eq_5, eq_7, eq_9, eq_10, eq_12, claim_dropout, claim_dropout_repaired,
    claim_p_1_algorithm_1, claim_p_1_algorithm_2,
    eq_13, eq_13_repaired, eq_14, claim_14_estimates_13, claim_14_estimates_13_repaired,
    eq_15, eq_15_repaired, eq_16_upper, eq_16_lower,
    eq_17_mean, eq_17_std, eq_17_std_repaired,
    eq_18, claim_random_update, eq_18_mean, eq_18_mean_repaired, eq_18_mean_symmetric,
    claim_proportional, claim_proportional_repaired, eq_19_mean, eq_19_std,
    eq_19_std_repaired,
    eq_20, eq_20_mean, eq_20_mean_repaired, eq_20_network_mean, eq_21,
    claim_noise_variance, claim_noise_variance_shuffled, claim_noise_variance_shuffled_repaired,
)  # fmt: skip
