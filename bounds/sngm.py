"""SNGM: stochastic normalized gradient descent with momentum, and MSGD beside it.

Every numbered statement of "Stochastic Normalized Gradient Descent with Momentum for Large Batch
Training" (submitted to ICLR 2021), as printed and, where it can be sharpened or must be mended,
repaired.

Conventions. ``L`` is the constant of Definition 1, which bounds the curvature from above only;
every repaired form below needs no more than that. ``T = ceil(C/B)`` and ``B = sqrt(C)`` ask for an
integer B: the batch size is what the experimenter chooses and C follows from it (``C = B^2``), so
that every admissible point is one the paper's prescription gives. A normalised method moves by
lengths, so its step size has units of length, unlike MSGD's. At ``g_t = 0`` the normalised
gradient is 0.

>>> print(theorem_1_repaired.claim.sense, theorem_1_repaired.units)
<= consistent
>>> values = {"L": 1.0, "Delta": 1.0, "sigma": 0.0, "eta": 0.1, "beta": 0.0, "T": 100, "B": 1}
>>> round(float(theorem_1.bound(values)), 12), round(float(theorem_1_repaired.bound(values)), 12)
(0.3, 0.15)
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import (
    BOUNDED_BELOW,
    BOUNDED_VARIANCE,
    ONE_SIDED_SMOOTH,
    RELAXED_SMOOTH,
    STRONGLY_CONVEX,
)
from bounds.claim import Claim, Condition
from bounds.notation import L0, L1, B, C, Delta, L, T, beta, kappa, mu, sigma
from bounds.notation import eta as step
from bounds.notation import eta_length as eta
from bounds.proof import Identity, Minimal, Nonnegative, Telescopes
from bounds.quantities import (
    buffer_norm,
    distance,
    distance_squared,
    first_gradient_norm_squared,
    gradient_norm_at_u,
    gradient_norm_at_w,
    gradient_variance,
    hessian_norm,
    largest_batch_size,
    linear_term,
    mean_gradient_norm,
    mean_gradient_norm_squared,
    value_difference,
)
from bounds.statement import Algorithm, Rate, Statement
from bounds.symbol import POSITIVE, Symbol
from bounds.units import Units

__all__ = ["STATEMENTS"]

# What differs from the shared table: lengths as step sizes, and a real-valued budget.
# fmt: off
eta0 = Symbol("eta0", "scale of a normalised step size: the length that the paper sets to 1",
              POSITIVE, Units(X=1), latex=r"\eta_0", typical=(1.0, 0.1))
step0 = Symbol("eta0", "scale of MSGD's step size, which the paper sets to 1", POSITIVE,
               Units(F=-1, X=2), latex=r"\eta_0", typical=(1.0, 0.1))
budget = Symbol("C", "total gradient evaluations, any C > 0", POSITIVE, role="derived", latex="C")

accuracy = Symbol("eps", "accuracy: the target for the mean of E||grad F||", POSITIVE,
                  Units(F=1, X=-1), latex=r"\varepsilon", typical=(4.0, 2.0, 1.0))
# fmt: on

_RATE_EPS = Rate(accuracy, {accuracy: sp.Integer(1)}, grows=False)
_SNGM = Algorithm("sngm", {"eta": eta, "beta": beta})
_MSGD = Algorithm("msgd", {"eta": step, "beta": beta})
_SMOOTH = (ONE_SIDED_SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE)
_RELAXED = (RELAXED_SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE)
_KAPPA = (1 + beta) / (1 - beta) ** 2
_QUARTER = sp.Rational(1, 4)
_NOISY = Condition(sigma, ">", 0)


def _root(base: sp.Expr, order: int) -> sp.Expr:
    """The root as printed: sympy would pull numbers out of it."""
    return sp.Pow(base, sp.Rational(1, order), evaluate=False)


# Free variables of proof steps. beta = z/(1+z) runs over [0, 1) as z runs over [0, inf).
_z, _y = sp.symbols("z y", nonnegative=True)
_x, _s, _r = sp.Symbol("x", positive=True), sp.Symbol("s", positive=True), sp.Symbol("r", real=True)
_MOMENTUM = _z / (1 + _z)
_f, _i = sp.IndexedBase("f"), sp.Symbol("i", integer=True)

# --- assumptions and definitions --------------------------------------------------------------
assumption_1 = Statement(
    "sngm.assumption_1", "Assumption 1", "printed",
    Claim(gradient_variance, "<=", sigma**2),
    (BOUNDED_VARIANCE,),
    conditions=(_NOISY,),
    text="One sample's gradient has variance at most sigma^2 at every w.",
    note="A definition: it holds of every objective that certifies sigma, and the check attacks "
    "that certificate.",
)  # fmt: skip
definition_1 = Statement(
    "sngm.definition_1", "Definition 1", "printed",
    Claim(value_difference, "<=", linear_term + L / 2 * distance_squared),
    (ONE_SIDED_SMOOTH,),
    text="L-smoothness as the paper defines it: curvature bounded from above, not from below.",
    note="A definition. It says nothing about negative curvature, so it does not bound "
    "||grad F(u) - grad F(w)||; the paper's proof of Theorem 1 uses that bound all the same.",
)  # fmt: skip
definition_2 = Statement(
    "sngm.definition_2", "Definition 2", "printed",
    Claim(hessian_norm, "<=", L0 + L1 * gradient_norm_at_w),
    (RELAXED_SMOOTH,),
    text="(L, lambda)-smoothness: the curvature may grow with the gradient.",
    note="A definition: it holds of every objective that certifies L and lambda.",
)  # fmt: skip

# --- lemmas -----------------------------------------------------------------------------------
lemma_1 = Statement(
    "sngm.lemma_1", "Lemma 1", "printed",
    Claim(gradient_norm_at_u, "<=",
          (L0 * distance + gradient_norm_at_w) * sp.exp(L1 * distance)),
    (RELAXED_SMOOTH,),
    text="If ||u - w|| <= alpha then ||grad F(u)|| <= (L alpha + ||grad F(w)||) exp(lambda alpha). "
    "The bound increases with alpha, so alpha = ||u - w|| is the whole claim.",
    note="True as printed: (e^x - 1)/x <= e^x takes the repaired, exact form to this one.",
    proof=(
        Nonnegative("derivative of x e^x - (e^x - 1), which is 0 at 0",
                    sp.diff(_y * sp.exp(_y) - sp.exp(_y) + 1, _y), _y * sp.exp(_y)),
    ),
)  # fmt: skip
_growth = gradient_norm_at_w * sp.exp(L1 * distance) + L0 / L1 * (sp.exp(L1 * distance) - 1)
lemma_1_repaired = Statement(
    "sngm.lemma_1", "Lemma 1", "repaired",
    Claim(gradient_norm_at_u, "<=", _growth),
    (RELAXED_SMOOTH,),
    conditions=(Condition(L1, ">", 0),),
    text="The sharp form of Lemma 1 at alpha = ||u - w||.",
    note="Along the segment p(x) = ||grad F|| has p' <= L + lambda p; the right side solves the "
    "equation with p(0) = ||grad F(w)|| (Gronwall). Attained by F(x) = (L/lambda^2) "
    "(e^(lambda x) - lambda x) for 0 <= w <= u.",
    proof=(
        Identity("the right side solves p' = L + lambda p", sp.diff(_growth, distance),
                 L0 + L1 * _growth),
        Identity("and starts at ||grad F(w)||", _growth, gradient_norm_at_w, {distance: 0}),
    ),
)  # fmt: skip
lemma_2 = Statement(
    "sngm.lemma_2", "Lemma 2", "printed",
    Claim(buffer_norm, "<=", 1 / (1 - beta)),
    algorithm=_SNGM,
    text="SNGM's buffer is bounded whatever the gradients are.",
    note="True as printed; the repaired form is what the buffer attains after T steps.",
)  # fmt: skip
lemma_2_repaired = Statement(
    "sngm.lemma_2", "Lemma 2", "repaired",
    Claim(buffer_norm, "<=", (1 - beta**T) / (1 - beta)),
    algorithm=_SNGM,
    text="The sharp form of Lemma 2 over T steps.",
    note="||u_{t+1}|| <= beta ||u_t|| + 1 from u_0 = 0. Attained when all stochastic gradients "
    "point the same way.",
    proof=(
        Identity("b_t = (1 - x)/(1 - beta), x = beta^t, solves b_{t+1} = beta b_t + 1",
                 beta * (1 - _x) / (1 - beta) + 1, (1 - beta * _x) / (1 - beta)),
    ),
)  # fmt: skip

# --- MSGD -------------------------------------------------------------------------------------
_STEP_LIMIT = Condition(step, "<=", (1 - beta) ** 2 / ((1 + beta) * L))
eq_4 = Statement(
    "sngm.eq_4", "Eq. (4)", "printed",
    Claim(mean_gradient_norm_squared, "<=",
          2 * Delta * (1 - beta) / (step * T) + L * step * sigma**2 / ((1 - beta) ** 2 * B)
          + 4 * L**2 * step**2 * sigma**2 / (1 - beta) ** 2),
    _SMOOTH, _MSGD,
    conditions=(_STEP_LIMIT,),
    text="MSGD on an L-smooth objective.",
    note="True as printed, but its third term is unnecessary and the second is larger than needed "
    "by 1/(1-beta): each of the repaired form's coefficients is at most the printed one.",
)  # fmt: skip
_left = 2 * (1 + beta) - L * step
_msgd = (
    Delta * (2 * (1 - beta) ** 2 * (1 + beta) + 4 * beta * L * step)
    / ((1 - beta) * _left * step * T)
    + L * step * (1 + beta) * sigma**2 / ((1 - beta) * _left * B)
)  # fmt: skip
_h = _y * (1 + beta) / (2 * (1 - beta**2 - _y))
_value = (2 * (1 - beta) ** 2 * (1 + beta) + 4 * beta * _y) / ((1 - beta) * (2 * (1 + beta) - _y))
_noise = _y * (1 + beta) / ((1 - beta) * (2 * (1 + beta) - _y))
# y = L eta <= (1-beta)^2/(1+beta) for every beta at once.
_limit = ((1 - beta) ** 2 / ((1 + beta) * (1 + _y))).subs(beta, _MOMENTUM)


def _at_limit(expression: sp.Expr) -> sp.Expr:
    return expression.subs(beta, _MOMENTUM).subs(_y, _limit)


eq_4_repaired = Statement(
    "sngm.eq_4", "Eq. (4)", "repaired",
    Claim(mean_gradient_norm_squared, "<=", _msgd),
    _SMOOTH, _MSGD,
    conditions=(_STEP_LIMIT,),
    text="MSGD on an L-smooth objective, without the third term; at beta = 0 it is SGD's bound.",
    note="Let a_t = <grad F(w_t), v_{t+1}>, P the sum of E||grad F(w_t)||^2, U that of E||v_t||^2. "
    "After T let the run coast (v_{t+1} = beta v_t). One-sided smoothness at both ends of a step "
    "gives <grad F(w_t), v_t> >= a_{t-1} - L eta ||v_t||^2, so summing a_t and descending, "
    "(i) P <= (1-beta) Delta/eta + L eta (1+beta) U/2. Squaring v_{t+1} = beta v_t + g_t and "
    "summing to T, (1-beta^2) U = 2 sum_t beta E<grad F(w_t), v_t> + P + T sigma^2/B, and "
    "descent to T bounds that sum: (ii) (1 - beta^2 - L eta) U <= 2 Delta/eta - P + T sigma^2/B. "
    "Eliminate U. It holds for L eta < 1 - beta^2, a wider range than printed. It is at most "
    "2(1-beta) Delta/(eta T) + L eta sigma^2/((1-beta) B).",
    proof=(
        Telescopes("function values telescope", _f[_i] - _f[_i + 1], _f[0] - _f[T], _i, T),
        Identity("weight of U in (i)", (1 - beta) * (sp.Rational(1, 2) + beta / (1 - beta)),
                 (1 + beta) / 2),
        Identity("eliminating U, y = L eta: the coefficient of Delta",
                 ((1 - beta) + 2 * _h) / (1 + _h), _value),
        Identity("eliminating U: the coefficient of sigma^2", _h / (1 + _h), _noise),
        Identity("these are the claim's coefficients", _msgd,
                 _value.subs(_y, L * step) * Delta / (step * T)
                 + _noise.subs(_y, L * step) * sigma**2 / B),
        Nonnegative("the coefficient of Delta is at most 2(1-beta)",
                    _at_limit(2 * (1 - beta) - _value)),
        Nonnegative("that of sigma^2 at most L eta/(1-beta)",
                    _at_limit(_y / (1 - beta) - _noise)),
        Nonnegative("and so at most the printed L eta/(1-beta)^2",
                    _at_limit(_y / (1 - beta) ** 2 - _noise)),
    ),
)  # fmt: skip

_BATCHED = {C: T * B, step: B / sp.sqrt(C)}
_SCALED = {C: T * B, step: step0 * B / sp.sqrt(C)}
_BATCH_LIMIT = Condition(B, "<=", (1 - beta) ** 2 * sp.sqrt(C) / ((1 + beta) * L * step0))
_flat = (2 * Delta * (1 - beta) / step0 + L * step0 * sigma**2 / (1 - beta)) / sp.sqrt(C)
# In an experiment: the largest batch that Eq. (6) and Table 1 allow, and the steps it leaves.
_ALLOWED = sp.Max(1, sp.floor(sp.Min(sp.sqrt(C) / L, C**_QUARTER)))
_ALLOWED_BATCH = {B: _ALLOWED, T: sp.ceiling(C / _ALLOWED)}
eq_5 = Statement(
    "sngm.eq_5", "Eq. (5)", "printed",
    Claim(mean_gradient_norm_squared, "<=", 1 / sp.sqrt(C) + B**2 / C, big_o=True),
    _SMOOTH, _MSGD,
    _BATCHED, (_STEP_LIMIT,),
    rate=Rate(C, {C: -sp.Rational(1, 2)}, _ALLOWED_BATCH),
    text="MSGD with eta = B/sqrt(C) and C = TB gradient evaluations.",
    note="True as an upper bound (Eq. (4) with the step put in), but B^2/C comes from the third "
    "term of Eq. (4), which is unnecessary. eta = B/sqrt(C) has no units of a step size.",
)  # fmt: skip
eq_5_repaired = Statement(
    "sngm.eq_5", "Eq. (5)", "repaired",
    Claim(mean_gradient_norm_squared, "<=",
          _msgd.subs(T, C / B).subs(step, step0 * B / sp.sqrt(C))),
    _SMOOTH, _MSGD,
    _SCALED, (_STEP_LIMIT,),
    rate=Rate(C, {C: -sp.Rational(1, 2)}, _ALLOWED_BATCH),
    text="Eq. (4), repaired, at eta = eta0 B/sqrt(C), T = C/B.",
    note="By substitution; eta0 carries the units the paper sets to 1.",
    proof=(
        Identity("substitution", _msgd,
                 _msgd.subs({T: C / B, step: step0 * B / sp.sqrt(C)}, simultaneous=True),
                 {T: C / B, step: step0 * B / sp.sqrt(C)}),
    ),
)  # fmt: skip
eq_6 = Statement(
    "sngm.eq_6", "Eq. (6)", "printed",
    Claim(largest_batch_size, "<=", sp.Min(sp.sqrt(C) / L, C**_QUARTER), big_o=True),
    _SMOOTH, Algorithm("msgd", {"eta": B / sp.sqrt(C), "beta": beta}),
    rate=Rate(C, {C: _QUARTER}),
    text="With eta = B/sqrt(C), MSGD has to keep B <= O(min{sqrt(C)/L, C^(1/4)}) lest it need more "
    "gradient evaluations.",
    note="C^(1/4) is where B^2/C reaches 1/sqrt(C) in Eq. (5); without that term only "
    "sqrt(C)/L is left.",
)  # fmt: skip
eq_6_repaired = Statement(
    "sngm.eq_6", "Eq. (6)", "repaired",
    Claim(mean_gradient_norm_squared, "<=", _flat),
    _SMOOTH, _MSGD,
    _SCALED, (_BATCH_LIMIT,),
    rate=Rate(C, {C: -sp.Rational(1, 2)}, _ALLOWED_BATCH),
    text="MSGD's guarantee does not depend on the batch size up to "
    "B = (1-beta)^2 sqrt(C)/((1+beta) L eta0), a constant times sqrt(C).",
    note="Eq. (4), repaired, with its coefficients relaxed to 2(1-beta) and L eta/(1-beta), at "
    "eta = eta0 B/sqrt(C): B cancels. The condition is Eq. (4)'s step limit, solved for B.",
    proof=(
        *eq_4_repaired.proof[-3:-1],
        Identity("B cancels",
                 (2 * Delta * (1 - beta) / (step * T) + L * step * sigma**2 / ((1 - beta) * B))
                 .subs({T: C / B, step: step0 * B / sp.sqrt(C)}, simultaneous=True), _flat),
        Identity("at the largest B the step is at its limit", step0 * B / sp.sqrt(C),
                 _STEP_LIMIT.rhs, {B: _BATCH_LIMIT.rhs}),
    ),
)  # fmt: skip

# --- SNGM on smooth objectives ----------------------------------------------------------------
_SMOOTH_BOUND = 2 * Delta * (1 - beta) / (eta * T) + L * kappa * eta + 2 * sigma / sp.sqrt(B)
_HALVED = Delta * (1 - beta) / (eta * T) + L * kappa * eta / 2 + sigma / sp.sqrt(B)
theorem_1 = Statement(
    "sngm.theorem_1", "Theorem 1", "printed",
    Claim(mean_gradient_norm, "<=", _SMOOTH_BOUND),
    _SMOOTH, _SNGM,
    {kappa: _KAPPA},
    text="SNGM converges for any step size and any batch size.",
    note="True as printed, and even with every constant halved: see the repaired form. The printed "
    "proof uses ||grad F(u) - grad F(w)|| <= L ||u - w||, which Definition 1 does not give.",
    proof=(Identity("it is twice the repaired bound", _SMOOTH_BOUND, 2 * _HALVED),),
)  # fmt: skip
# U(T) = sum_s ||u_s||^2 (1-beta)^2 at the extreme ||u_s|| = (1-beta^s)/(1-beta), x = beta^T.
_total = T - 2 * beta * (1 - _x) / (1 - beta**2)
_tail = (1 - _x) ** 2 * beta**2 / (1 - beta**2)
_before = _total - _tail
_outcome = sp.Symbol("c", real=True)  # the cosine between g and grad F
_certificate = _s / 2 + (_r**2 - 2 * _r * _outcome + 1) / (2 * _s) - (_r * _outcome - 1) - (
    1 - _outcome
)  # fmt: skip
_NOISE_LEMMA = (
    Identity("noise: the gap is linear in the cosine, so its ends decide",
             sp.diff(_certificate, _outcome, 2), sp.Integer(0)),
    Nonnegative("noise: cosine 1, ||g|| = r, ||grad F|| = 1", _certificate.subs(_outcome, 1),
                (_r - 1 - _s) ** 2 / (2 * _s)),
    Nonnegative("noise: cosine -1, ||g|| = y", _certificate.subs({_outcome: -1, _r: _y}),
                ((_s - 1) ** 2 + _y**2 + 2 * _y * (1 + _s)) / (2 * _s)),
    Identity("noise: in expectation, E||g - grad F||^2 = s^2, the gap's constant is s",
             _s / 2 + _s**2 / (2 * _s), _s),
)  # fmt: skip
_NOISE_TEXT = (
    "Noise lemma: E<grad F, g/||g||> >= ||grad F|| - s for unbiased g with "
    "E||g - grad F||^2 <= s^2, because with ||grad F|| = 1 and e = g - grad F, "
    "1 - cos(g, grad F) <= s/2 + ||e||^2/(2s) - <e, grad F>. "
)
theorem_1_repaired = Statement(
    "sngm.theorem_1", "Theorem 1", "repaired",
    Claim(mean_gradient_norm, "<=", _HALVED),
    _SMOOTH, _SNGM,
    {kappa: _KAPPA},
    text="Theorem 1 with every constant halved, under one-sided smoothness alone.",
    note=_NOISE_TEXT + "Let a_t = <grad F(w_t), u_{t+1}> and let the run coast after T "
    "(u_{t+1} = beta u_t). One-sided smoothness at both ends of a step gives "
    "<grad F(w_t), u_t> >= a_{t-1} - L eta ||u_t||^2, so (1-beta) sum a_t >= sum_{t<T} "
    "<grad F(w_t), g_t/||g_t||> - beta L eta U with U = sum_{t>=1} ||u_t||^2, the coast included; "
    "descent gives F* <= F(w_0) - eta sum a_t + L eta^2 U/2. By Lemma 2 (exact) "
    "(1-beta)^2 U <= T - 2 beta (1 - beta^T)/(1 - beta^2) <= T: coasting costs less than the start "
    "saves, so two-sided smoothness is not needed and no extra term appears.",
    proof=(
        *_NOISE_LEMMA,
        Telescopes("function values telescope", _f[_i] - _f[_i + 1], _f[0] - _f[T], _i, T),
        Identity("weight of L eta U", (1 - beta) * (sp.Rational(1, 2) + beta / (1 - beta)),
                 (1 + beta) / 2),
        Identity("U grows by (1 - beta^{T+1})^2, x = beta^T",
                 _before.subs({_x: beta * _x, T: T + 1}, simultaneous=True) - _before,
                 (1 - beta * _x) ** 2),
        Identity("and is 0 at T = 0", _before.subs({_x: 1, T: 0}, simultaneous=True),
                 sp.Integer(0)),
        Nonnegative("the coast costs less than the start saves",
                    (T - _total).subs({beta: _MOMENTUM, _x: 1 / (1 + _y)}, simultaneous=True)),
        Identity("so the coefficient is kappa/2", (1 + beta) / 2 / (1 - beta) ** 2, _KAPPA / 2),
    ),
)  # fmt: skip

_STEP_1 = _root(2 * Delta * (1 - beta) ** 3 * B / (L * (1 + beta) * budget), 2)
_BATCH_1 = _root(Delta**-1 * budget * (1 - beta) * sigma**2 / (2 * L * (1 + beta)), 2)
_BEST = {
    budget: 2 * L * (1 + beta) * Delta * B**2 / ((1 - beta) * sigma**2),
    eta: _STEP_1,
    T: sp.ceiling(budget / B),
}


def _root_1(evaluations: Symbol) -> sp.Expr:
    return _root(8 * L * (1 + beta) * Delta * sigma**2 / ((1 - beta) * evaluations), 4)


_ROOT_1 = _root_1(budget)
_BOUND_1 = sp.Mul(2, sp.sqrt(2), _ROOT_1, evaluate=False)
_BOUND_1_HALVED = sp.Mul(sp.sqrt(2), _ROOT_1, evaluate=False)
_RATE_1 = Rate(B, {budget: -_QUARTER})  # C follows B by the prescription
_CONDITIONS_1 = (_NOISY, Condition(Delta, ">", 0))
# The prescription, with the momentum and the root of B as free positive numbers.
_b = sp.Symbol("b", positive=True)
_BEST_BUDGET = (_BEST[budget].subs(B, _b**2)).subs(beta, _MOMENTUM)
_BEST_STEP = ((1 - beta) ** 2 * sigma / ((1 + beta) * L * _b)).subs(beta, _MOMENTUM)


def _at_best(expression: sp.Expr) -> sp.Expr:
    """At the prescribed point, with T = C/B."""
    point = {T: budget / B, kappa: _KAPPA}
    expression = expression.subs(point, simultaneous=True).subs(beta, _MOMENTUM)
    return expression.subs({B: _b**2, eta: _BEST_STEP}).subs(budget, _BEST_BUDGET)


_AT_BEST = (
    Identity("C solves the printed B for C", (_BATCH_1**2).subs(budget, _BEST[budget]), B**2),
    Identity("the printed step there, squared",
             (_STEP_1**2).subs(beta, _MOMENTUM).subs(B, _b**2).subs(budget, _BEST_BUDGET),
             _BEST_STEP**2),
)  # fmt: skip
corollary_1 = Statement(
    "sngm.corollary_1", "Corollary 1", "printed",
    Claim(mean_gradient_norm, "<=", _BOUND_1),
    _SMOOTH, _SNGM,
    _BEST, _CONDITIONS_1, _RATE_1,
    text="Theorem 1 with T = ceil(C/B), B = sqrt(C (1-beta) sigma^2/(2 L (1+beta) Delta)) and "
    "eta = sqrt(2 (1-beta)^3 Delta B/((1+beta) L C)); hence O(1/eps^4) gradient evaluations. "
    "The relation between B and C is solved for C, so that B is an integer.",
    note="True as printed, given an integer B >= 1, which the paper does not ask for: Theorem 1's "
    "right side falls with T, and T >= C/B. Half of it is proved: see the repaired form.",
    proof=(
        *_AT_BEST,
        Identity("Theorem 1's right side at the prescribed point, to the fourth power",
                 _at_best(_SMOOTH_BOUND) ** 4,
                 (64 * _ROOT_1**4).subs(beta, _MOMENTUM).subs(budget, _BEST_BUDGET)),
    ),
)  # fmt: skip
corollary_1_repaired = Statement(
    "sngm.corollary_1", "Corollary 1", "repaired",
    Claim(mean_gradient_norm, "<=", _BOUND_1_HALVED),
    _SMOOTH, _SNGM,
    _BEST, _CONDITIONS_1, _RATE_1,
    text="Corollary 1 with half the bound, at the same eta and B.",
    note="Theorem 1, repaired, at the prescribed values: halving all three terms halves the "
    "minimum and leaves the minimiser where it was.",
    proof=(
        *_AT_BEST,
        Identity("Theorem 1's repaired right side at the prescribed point, to the fourth power",
                 _at_best(_HALVED) ** 4,
                 (4 * _ROOT_1**4).subs(beta, _MOMENTUM).subs(budget, _BEST_BUDGET)),
    ),
)  # fmt: skip
_p, _q = sp.symbols("p q", positive=True)
corollary_1_optimal = Statement(
    "sngm.corollary_1_optimal", "Corollary 1, optimality", "printed",
    Claim(sp.Mul(2, sp.sqrt(2), _root_1(C), evaluate=False), "<=",
          2 * Delta * (1 - beta) * B / (eta * C) + L * kappa * eta + 2 * sigma / sp.sqrt(B)),
    (ONE_SIDED_SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE),
    prescription={kappa: _KAPPA},
    conditions=_CONDITIONS_1,
    text="Corollary 1's eta and B minimise Theorem 1's right side at a budget C = TB: no other eta "
    "and B give less.",
    note="True with T = C/B, as the paper's proof has it: twice the inequality of the means, with "
    "equality at the printed eta and B. With T = ceil(C/B) in place of C/B the least value may lie "
    "at another B.",
    proof=(
        Nonnegative("the means of the first two terms, p^2 and q^2", _p**2 + _q**2 - 2 * _p * _q,
                    (_p - _q) ** 2),
        Minimal("eta and B are stationary and minimal, beta = z/(1+z), B = b^2, sigma = s > 0",
                _SMOOTH_BOUND.subs({T: budget / B, kappa: _KAPPA}, simultaneous=True)
                .subs(beta, _MOMENTUM).subs(budget, _BEST_BUDGET).subs(sigma, _s),
                {eta: _BEST_STEP.subs(sigma, _s), B: _b**2}),
    ),
)  # fmt: skip

# Corollary 1's bound is 2 sigma/sqrt(B) times 2 (printed) or 1 (repaired) at its own B and C.
_BATCH_FOR_1 = sp.ceiling(4 * sigma**2 / accuracy**2)
corollary_1_complexity = Statement(
    "sngm.corollary_1_complexity", "Corollary 1, complexity", "printed",
    Claim(mean_gradient_norm, "<=", accuracy, big_o=True),
    _SMOOTH, _SNGM,
    {B: _BATCH_FOR_1, **_BEST}, _CONDITIONS_1,
    _RATE_EPS,
    text="The computation complexity for an eps-stationary point is O(1/eps^4). Read as: with "
    "C = O(1/eps^4) evaluations, B = O(1/eps^2), the mean of norms is O(eps).",
    note="True as an order: solve Corollary 1's bound for C. Its constants are in the repaired "
    "form.",
)  # fmt: skip
corollary_1_complexity_repaired = Statement(
    "sngm.corollary_1_complexity", "Corollary 1, complexity", "repaired",
    Claim(mean_gradient_norm, "<=", accuracy),
    _SMOOTH, _SNGM,
    {B: _BATCH_FOR_1, **_BEST}, _CONDITIONS_1,
    _RATE_EPS,
    text="C = 32 L (1+beta) Delta sigma^2/((1-beta) eps^4) evaluations, but for rounding, reach a "
    "mean of norms of at most eps, with B = ceil(4 sigma^2/eps^2).",
    note="Corollary 1, repaired, at that B; its bound is 2 sigma/sqrt(B) there. The printed "
    "bound would ask for 16 times as many.",
    proof=(
        Identity("Corollary 1's repaired bound at C(B), to the fourth power",
                 (4 * _ROOT_1**4).subs(budget, _BEST[budget]), 16 * sigma**4 / B**2),
        Identity("which is eps^4 at B = 4 sigma^2/eps^2", 16 * sigma**4 / B**2, accuracy**4,
                 {B: 4 * sigma**2 / accuracy**2}),
        Identity("the budget there", _BEST[budget],
                 32 * L * (1 + beta) * Delta * sigma**2 / ((1 - beta) * accuracy**4),
                 {B: 4 * sigma**2 / accuracy**2}),
    ),
)  # fmt: skip

_ROOT_BATCH = {C: B**2, T: sp.ceiling(C / B)}
_RATE_2 = Rate(C, {C: -_QUARTER}, {B: sp.sqrt(C)})
_FOURTH = C**_QUARTER


def _with_root_batch(bound: sp.Expr, scale: sp.Expr) -> sp.Expr:
    """A theorem's right side at B = sqrt(C), T = C/B, eta = scale sqrt(B/C), term by term."""
    point = {T: C / B, kappa: _KAPPA, eta: scale * sp.sqrt(B / C)}
    return bound.subs(point, simultaneous=True).subs(B, sp.sqrt(C))


_BOUND_2 = (
    2 * Delta * (1 - beta) / _FOURTH
    + L * (1 + beta) / ((1 - beta) ** 2 * _FOURTH)
    + 2 * sigma / _FOURTH
)
_BOUND_2_HALVED = (
    Delta * (1 - beta) / (eta0 * _FOURTH)
    + L * (1 + beta) * eta0 / (2 * (1 - beta) ** 2 * _FOURTH)
    + sigma / _FOURTH
)
corollary_2 = Statement(
    "sngm.corollary_2", "Corollary 2", "printed",
    Claim(mean_gradient_norm, "<=", _BOUND_2),
    _SMOOTH, _SNGM,
    {**_ROOT_BATCH, eta: sp.sqrt(B / C)},
    rate=_RATE_2,
    text="Theorem 1 with T = ceil(C/B), B = sqrt(C), eta = sqrt(B/C); O(1/eps^4) gradient "
    "evaluations. C is written as the square of B.",
    note="True of the numbers for perfect squares C, but the units disagree: eta is a length that "
    "the paper sets to a pure number.",
    proof=(
        Identity("Theorem 1's right side at the prescribed values",
                 _with_root_batch(_SMOOTH_BOUND, sp.Integer(1)), _BOUND_2),
    ),
)  # fmt: skip
_PROOF_2 = (
    Identity("Theorem 1's repaired right side at the prescribed values",
             _with_root_batch(_HALVED, eta0), _BOUND_2_HALVED),
)  # fmt: skip
corollary_2_repaired = Statement(
    "sngm.corollary_2", "Corollary 2", "repaired",
    Claim(mean_gradient_norm, "<=", _BOUND_2_HALVED),
    _SMOOTH, _SNGM,
    {**_ROOT_BATCH, eta: eta0 * sp.sqrt(B / C)},
    rate=_RATE_2,
    text="Theorem 1, repaired, at B = sqrt(C), T = C/B, eta = eta0 sqrt(B/C).",
    note="By substitution; eta0 carries the length the paper sets to 1.",
    proof=_PROOF_2,
)  # fmt: skip


def _reached(constant: sp.Expr) -> dict[Symbol, sp.Expr]:
    """B = sqrt(C) = ceil((constant/eps)^2), with which constant/C^(1/4) is at most eps."""
    return {B: sp.ceiling((constant / accuracy) ** 2), **_ROOT_BATCH}


_CONSTANT_2 = Delta * (1 - beta) / eta0 + L * (1 + beta) * eta0 / (2 * (1 - beta) ** 2) + sigma
_REACHED = Identity(
    "constant/C^(1/4) at C = B^2 and B = (constant/eps)^2", _x / sp.sqrt(B), accuracy,
    {B: (_x / accuracy) ** 2},
)  # fmt: skip
corollary_2_complexity = Statement(
    "sngm.corollary_2_complexity", "Corollary 2, complexity", "printed",
    Claim(mean_gradient_norm, "<=", accuracy, big_o=True),
    _SMOOTH, _SNGM,
    {B: sp.ceiling(1 / accuracy**2), **_ROOT_BATCH, eta: sp.sqrt(B / C)},
    rate=_RATE_EPS,
    text="The computation complexity for an eps-stationary point is O(1/eps^4). Read as: with "
    "C = 1/eps^4 evaluations, B = sqrt(C) and eta = sqrt(B/C), the mean of norms is O(eps).",
    note="True as an order. Its step is a length that the paper sets to a pure number, and so is "
    "the constant in front of 1/eps^4.",
)  # fmt: skip
corollary_2_complexity_repaired = Statement(
    "sngm.corollary_2_complexity", "Corollary 2, complexity", "repaired",
    Claim(mean_gradient_norm, "<=", accuracy),
    _SMOOTH, _SNGM,
    {**_reached(_CONSTANT_2), eta: eta0 * sp.sqrt(B / C)},
    rate=_RATE_EPS,
    text="(K/eps)^4 evaluations, but for rounding, reach a mean of norms of at most eps, "
    "K = (1-beta) Delta/eta0 + L (1+beta) eta0/(2 (1-beta)^2) + sigma.",
    note="Corollary 2, repaired, whose bound is K/C^(1/4), solved for C.",
    proof=(
        Identity("Corollary 2's repaired bound is K/C^(1/4)", _BOUND_2_HALVED,
                 _CONSTANT_2 / _FOURTH),
        _REACHED,
    ),
)  # fmt: skip

# --- SNGM on (L, lambda)-smooth objectives ----------------------------------------------------
_RELAXED_LIMIT = Condition(eta, "<=", 1 / (8 * kappa * L1))
_FIRST, _SECOND = sp.Rational(107, 100), sp.Rational(14, 25)
_RELAXED_BOUND = 2 * Delta * (1 - beta) / (eta * T) + 8 * L0 * kappa * eta + 4 * sigma / sp.sqrt(B)
_RELAXED_SHARP = (
    _FIRST * Delta * (1 - beta) / (eta * T)
    + _SECOND * L0 * kappa * eta
    + _FIRST * sigma / sp.sqrt(B)
)
_excess = 8 * (sp.exp(sp.Rational(1, 8)) - 1) - 1  # (e^x - 1)/x - 1 at x = lambda kappa eta = 1/8
theorem_2 = Statement(
    "sngm.theorem_2", "Theorem 2", "printed",
    Claim(mean_gradient_norm, "<=", _RELAXED_BOUND),
    _RELAXED, _SNGM,
    {kappa: _KAPPA},
    (Condition(L1, ">", 0), _RELAXED_LIMIT),
    text="SNGM on an (L, lambda)-smooth objective.",
    note="True as printed, with large constants: (2, 8, 4) where (1.07, 0.56, 1.07) is proved.",
)  # fmt: skip
theorem_2_repaired = Statement(
    "sngm.theorem_2", "Theorem 2", "repaired",
    Claim(mean_gradient_norm, "<=", _RELAXED_SHARP),
    _RELAXED, _SNGM,
    {kappa: _KAPPA},
    (Condition(L1, ">", 0), _RELAXED_LIMIT),
    text="Theorem 2 with constants (1.07, 0.56, 1.07) in place of (2, 8, 4).",
    note=_NOISE_TEXT
    + "With z_t = w_t + beta/(1-beta) (w_t - w_{t-1}), z moves by h = eta/(1-beta) along "
    "-g/||g|| and ||z_t - w_t|| <= r = beta eta/(1-beta)^2. ||Hess F(v)|| <= (L + lambda "
    "||grad F(w_t)||) exp(lambda ||v - w_t||) (Lemma 1, exact), integrated along [w_t, z_t] "
    "and [z_t, z_{t+1}], gives <grad F(w_t), g/||g||> <= (F(z_t) - F(z_{t+1}))/h + (L + "
    "lambda ||grad F(w_t)||) E with lambda E = e^(x/2) sinh(y/2)/(y/2) - 1, x = lambda kappa "
    "eta, y = lambda h <= x. It is largest at y = x (beta = 0), where lambda E = (e^x - 1)/x "
    "- 1, convex in x and 0 at 0, so at most 8 x lambda E(1/8) for x <= 1/8. Sum over t. For "
    "eta <= 1/(2 kappa lambda) the same proof gives (1.43, 0.85, 1.43).",
    proof=(
        *_NOISE_LEMMA,
        Telescopes("the values at z_t over h telescope", (_f[_i] - _f[_i + 1]) * (1 - beta) / eta,
                   (_f[0] - _f[T]) * (1 - beta) / eta, _i, T),
        Identity("curvature along the segment solves q' = lambda q",
                 sp.diff((L0 + L1 * _s) * sp.exp(L1 * _y), _y),
                 L1 * (L0 + L1 * _s) * sp.exp(L1 * _y)),
        Identity("lambda r + lambda h/2 = x/2",
                 beta / (1 - beta) ** 2 + 1 / (2 * (1 - beta)), _KAPPA / 2),
        Identity("integral along [z_t, z_{t+1}], lambda h = x",
                 sp.integrate((1 - _s) * sp.exp(_s * _x), (_s, 0, 1)) * _x**2,
                 sp.exp(_x) - 1 - _x),
        Identity("the two integrals together, r = lambda r", sp.exp(_r) - 1
                 + sp.exp(_r) * (sp.exp(_x) - 1 - _x) / _x, sp.exp(_r) * (sp.exp(_x) - 1) / _x - 1),
        Nonnegative("1/(1 - lambda E) <= 1.07 at x = 1/8", _FIRST - 1 / (1 - _excess)),
        Nonnegative("(lambda E/x)/(1 - lambda E) <= 0.56 at x = 1/8",
                    _SECOND - 8 * _excess / (1 - _excess)),
    ),
)  # fmt: skip

_BOUND_3 = (
    2 * Delta * (1 - beta) / _FOURTH
    + 8 * L0 * (1 + beta) / ((1 - beta) ** 2 * _FOURTH)
    + 4 * sigma / _FOURTH
)
_BOUND_3_SHARP = (
    _FIRST * Delta * (1 - beta) / (eta0 * _FOURTH)
    + _SECOND * L0 * (1 + beta) * eta0 / ((1 - beta) ** 2 * _FOURTH)
    + _FIRST * sigma / _FOURTH
)
corollary_3 = Statement(
    "sngm.corollary_3", "Corollary 3", "printed",
    Claim(mean_gradient_norm, "<=", _BOUND_3),
    _RELAXED, _SNGM,
    {**_ROOT_BATCH, kappa: _KAPPA, eta: 1 / _FOURTH},
    (_RELAXED_LIMIT, Condition(B, ">=", (8 * kappa * L1) ** 2)),
    _RATE_2,
    text="Theorem 2 with T = ceil(C/B), B = sqrt(C) and eta = C^(-1/4) <= 1/(8 kappa lambda), "
    "which is B >= (8 kappa lambda)^2; O(1/eps^4) gradient evaluations.",
    note="True of the numbers for perfect squares C, but the units disagree: eta is a length that "
    "the paper sets to a pure number.",
    proof=(
        Identity("Theorem 2's right side at the prescribed values",
                 _with_root_batch(_RELAXED_BOUND, sp.Integer(1)), _BOUND_3),
    ),
)  # fmt: skip
corollary_3_repaired = Statement(
    "sngm.corollary_3", "Corollary 3", "repaired",
    Claim(mean_gradient_norm, "<=", _BOUND_3_SHARP),
    _RELAXED, _SNGM,
    {**_ROOT_BATCH, kappa: _KAPPA, eta: eta0 / _FOURTH},
    (Condition(eta0, "<=", sp.sqrt(B) / (8 * kappa * L1)),),
    _RATE_2,
    text="Theorem 2, repaired, at B = sqrt(C), T = C/B, eta = eta0 C^(-1/4).",
    note="By substitution; eta0 carries the length the paper sets to 1. The condition is Theorem "
    "2's, eta <= 1/(8 kappa lambda), solved for eta0.",
    proof=(
        Identity("Theorem 2's repaired right side at the prescribed values",
                 _with_root_batch(_RELAXED_SHARP, eta0), _BOUND_3_SHARP),
        Identity("the condition is Theorem 2's", (eta0 / _FOURTH).subs(C, B**2),
                 _RELAXED_LIMIT.rhs, {eta0: sp.sqrt(B) / (8 * kappa * L1)}),
    ),
)  # fmt: skip

_CONSTANT_3 = (
    _FIRST * Delta * (1 - beta) / eta0
    + _SECOND * L0 * (1 + beta) * eta0 / (1 - beta) ** 2
    + _FIRST * sigma
)


def _least_batch(scale: sp.Expr) -> sp.Expr:
    """The batch from which on scale/C^(1/4) is within Theorem 2's step limit."""
    return sp.ceiling((8 * kappa * L1 * scale) ** 2)


corollary_3_complexity = Statement(
    "sngm.corollary_3_complexity", "Corollary 3, complexity", "printed",
    Claim(mean_gradient_norm, "<=", accuracy, big_o=True),
    _RELAXED, _SNGM,
    {kappa: _KAPPA, B: sp.Max(sp.ceiling(1 / accuracy**2), _least_batch(sp.Integer(1))),
     **_ROOT_BATCH, eta: 1 / _FOURTH},
    rate=_RATE_EPS,
    text="An (L, lambda)-smooth objective's eps-stationary point takes O(1/eps^4) evaluations. "
    "Read "
    "as: with C = 1/eps^4, B = sqrt(C) and eta = C^(-1/4), the mean of norms is O(eps).",
    note="True as an order; see corollary_2_complexity.",
)  # fmt: skip
corollary_3_complexity_repaired = Statement(
    "sngm.corollary_3_complexity", "Corollary 3, complexity", "repaired",
    Claim(mean_gradient_norm, "<=", accuracy),
    _RELAXED, _SNGM,
    {kappa: _KAPPA,
     B: sp.Max(sp.ceiling((_CONSTANT_3 / accuracy) ** 2), _least_batch(eta0)),
     **_ROOT_BATCH, eta: eta0 / _FOURTH},
    rate=_RATE_EPS,
    text="(K/eps)^4 evaluations, but for rounding, reach a mean of norms of at most eps, "
    "K = 1.07 (1-beta) Delta/eta0 + 0.56 L (1+beta) eta0/(1-beta)^2 + 1.07 sigma.",
    note="Corollary 3, repaired, whose bound is K/C^(1/4), solved for C. B is at least "
    "(8 kappa lambda eta0)^2, which makes eta <= 1/(8 kappa lambda).",
    proof=(
        Identity("Corollary 3's repaired bound is K/C^(1/4)", _BOUND_3_SHARP,
                 _CONSTANT_3 / _FOURTH),
        _REACHED,
        Identity("eta = eta0/sqrt(B) at the least batch", eta0 / sp.sqrt(B), _RELAXED_LIMIT.rhs,
                 {B: (8 * kappa * L1 * eta0) ** 2}),
    ),
)  # fmt: skip

# --- The three necessary conditions ---------------------------------------------------------------
necessary_a_repaired = Statement(
    "sngm.necessary_a", "Necessary condition (a), L-smoothness", "repaired",
    corollary_3_complexity_repaired.claim,
    _RELAXED, Algorithm("sngm", {"eta": eta, "beta": sp.Integer(0)}),
    {beta: sp.Integer(0), **corollary_3_complexity_repaired.prescription},
    rate=corollary_3_complexity_repaired.rate,
    text="O(1/eps^4) does not need (a), an L-smooth objective: normalised SGD without momentum "
    "has it on (L, lambda)-smooth ones.",
    note="The paper says of existing analyses that O(1/eps^4) needs L-smoothness, which no "
    "measurement can refute; its own Corollary 3 at beta = 0 does without, and so does clipped SGD "
    "(Zhang et al. 2020).",
    proof=corollary_3_complexity_repaired.proof,
)  # fmt: skip
necessary_b = Statement(
    "sngm.necessary_b", "Necessary condition (b), eta < O(1/L)", "printed",
    Claim(mean_gradient_norm_squared, ">=", first_gradient_norm_squared),
    (ONE_SIDED_SMOOTH, STRONGLY_CONVEX, BOUNDED_VARIANCE), _MSGD,
    conditions=(Condition(step, ">=", 2 * (1 + beta) / L), Condition(mu, ">=", L)),
    text="A step below O(1/L) is necessary for MSGD's O(1/eps^4). Read as: from eta = 2(1+beta)/L "
    "on, MSGD makes no progress at all on the quadratic (L/2)||w||^2.",
    note="True: E w_t = (-1)^t y_t with y_{t+1} = (L eta - 1 - beta) y_t - beta y_{t-1}, "
    "y_1 = (L eta - 1) y_0 >= y_0, and L eta - 1 - beta >= 1 + beta keeps y growing; noise only "
    "adds to E||w_t||^2 >= ||E w_t||^2.",
    proof=(
        Identity("y_{t+1} - y_t at L eta = 2 (1+beta) + x",
                 (2 * (1 + beta) + _y - 1 - beta) * _r - beta * _z - _r,
                 beta * (_r - _z) + _y * _r),
    ),
)  # fmt: skip
_ratio_best = (1 - beta) * sp.sqrt(2 * Delta / (L * C)) / sigma
necessary_c = Statement(
    "sngm.necessary_c", "Necessary condition (c), B proportional to eta", "printed",
    Claim(2 * sp.sqrt(2) * sigma * sp.sqrt(L * Delta / C), "<=",
          2 * Delta * (1 - beta) * B / (step * C) + L * step * sigma**2 / ((1 - beta) * B)),
    (ONE_SIDED_SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE),
    conditions=(_NOISY, Condition(Delta, ">", 0), _STEP_LIMIT),
    text="The batch size has to be proportional to the learning rate. Read as: MSGD's guarantee at "
    "a budget C depends on eta and B by their ratio alone, so that only one ratio is best.",
    note="True of Eq. (4), repaired, with its coefficients relaxed to 2(1-beta) and L "
    "eta/(1-beta): "
    "the means, with equality at eta/B = (1-beta) sqrt(2 Delta/(L C))/sigma. Without noise no "
    "batch is needed and nothing is proportional. Its corollary in the paper, B <= O(1/L), leaves "
    "out sqrt(C): see eq_6.",
    proof=(
        Nonnegative("the means", _p**2 + _q**2 - 2 * _p * _q, (_p - _q) ** 2),
        Identity("the product of the two terms", 2 * Delta * (1 - beta) * B / (step * C)
                 * L * step * sigma**2 / ((1 - beta) * B),
                 2 * L * Delta * sigma**2 / C),
        Identity("equal at the best ratio, up to the same factor",
                 2 * Delta * (1 - beta) / (_ratio_best * C),
                 L * _ratio_best * sigma**2 / (1 - beta)),
    ),
)  # fmt: skip

# --- Table 1 ----------------------------------------------------------------------------------
table_1_msgd = Statement(
    "sngm.table_1_msgd", "Table 1, MSGD", "printed",
    Claim(mean_gradient_norm, "<=", _root(1 / sp.sqrt(C) + B**2 / C, 2), big_o=True),
    _SMOOTH, _MSGD,
    _BATCHED, (Condition(B, "<=", sp.Min(sp.sqrt(C) / L, C**_QUARTER)),),
    rate=Rate(C, {C: -_QUARTER}, _ALLOWED_BATCH),
    text="MSGD with eta = B/sqrt(C) and B <= min{sqrt(C)/L, C^(1/4)}.",
    note="True as an upper bound where the step limit of Eq. (4) holds too; but the limit C^(1/4) "
    "on B is not needed, so the comparison with SNGM's batch of sqrt(C) does not stand.",
)  # fmt: skip
table_1_msgd_repaired = Statement(
    "sngm.table_1_msgd", "Table 1, MSGD", "repaired",
    Claim(mean_gradient_norm, "<=",
          sp.sqrt(2 * Delta * (1 - beta) / step0 + L * step0 * sigma**2 / (1 - beta)) / _FOURTH),
    _SMOOTH, _MSGD,
    _SCALED, (_BATCH_LIMIT,),
    rate=Rate(C, {C: -_QUARTER}, _ALLOWED_BATCH),
    text="MSGD has SNGM's rate, C^(-1/4), and SNGM's order of batch size, sqrt(C): what is left of "
    "the advantage is that SNGM's step and batch size need not know L.",
    note="Jensen's inequality on Eq. (6), repaired: a mean of norms is at most the root of the "
    "mean of their squares.",
    proof=(
        *eq_6_repaired.proof,
        Identity("the root of Eq. (6)'s bound, squared",
                 (2 * Delta * (1 - beta) / step0 + L * step0 * sigma**2 / (1 - beta))
                 / _FOURTH**2, _flat),
    ),
)  # fmt: skip
table_1_sngm = Statement(
    "sngm.table_1_sngm", "Table 1, SNGM", "printed",
    Claim(mean_gradient_norm, "<=", 1 / _FOURTH, big_o=True),
    _SMOOTH, _SNGM,
    {**_ROOT_BATCH, eta: sp.sqrt(B) / sp.sqrt(C)},
    rate=_RATE_2,
    text="SNGM with eta = sqrt(B)/sqrt(C) and B = sqrt(C).",
    note="True: it is Corollary 2 without its constants, and its step has the same missing length.",
)  # fmt: skip
table_1_sngm_repaired = Statement(
    "sngm.table_1_sngm", "Table 1, SNGM", "repaired",
    corollary_2_repaired.claim,
    _SMOOTH, _SNGM,
    {**_ROOT_BATCH, eta: eta0 * sp.sqrt(B) / sp.sqrt(C)},
    rate=_RATE_2,
    text="Table 1's row with its constants: Corollary 2, repaired.",
    note="Corollary 2, repaired: the same step, sqrt(B)/sqrt(C) = sqrt(B/C).",
    proof=_PROOF_2,
)  # fmt: skip

STATEMENTS = (
    assumption_1, definition_1, definition_2,
    lemma_1, lemma_1_repaired, lemma_2, lemma_2_repaired,
    eq_4, eq_4_repaired, eq_5, eq_5_repaired, eq_6, eq_6_repaired,
    theorem_1, theorem_1_repaired,
    corollary_1, corollary_1_repaired, corollary_1_optimal,
    corollary_1_complexity, corollary_1_complexity_repaired,
    corollary_2, corollary_2_repaired,
    corollary_2_complexity, corollary_2_complexity_repaired,
    theorem_2, theorem_2_repaired, corollary_3, corollary_3_repaired,
    corollary_3_complexity, corollary_3_complexity_repaired,
    necessary_a_repaired, necessary_b, necessary_c,
    table_1_msgd, table_1_msgd_repaired, table_1_sngm, table_1_sngm_repaired,
)  # fmt: skip
