r"""TRAlgo: trajectory-regularised SGD (IJCAI-19), every numbered statement.

Printed forms are the paper's, mistakes included; repaired forms are re-derived here. The paper's
M is ``B``, its N is ``C``, its g is ``G``, its bound on \|f\| is ``Bf``. ``t`` counts rounds and
``w_0`` is the start, so a sum over t = 1..T starts at the first iterate.

What carries every proof about TRSGD. The inner problem ``G_t = f + (lam/2)||w - w_t||^2`` is
mu-strongly convex and (lam + ell)-smooth, mu = lam - delta; the pull is deterministic, so the
noise is f's. With ``chi = (lam + ell)/mu`` the k-th inner step, 1/(mu k) long, contracts distances
to the minimiser by ``max(1 - 1/k, chi/k - 1)``, and ``k^2 E||w_k - w*||^2`` telescopes.

>>> print(lemma_2.units, lemma_2_repaired.units)
inconsistent consistent
>>> values = {"ell": 1.0, "Bf": 1.0, "sigma": 0.0, "T": 8, "B": 1, "G": 1.0}
>>> float(theorem_1.bound(values)), round(float(theorem_1_repaired.bound(values)), 12)
(0.5, 0.666666666667)
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import (
    BOUNDED,
    BOUNDED_BELOW,
    BOUNDED_VARIANCE,
    LIPSCHITZ,
    SMOOTH,
    WEAKLY_CONVEX,
)
from bounds.claim import Claim, Condition
from bounds.notation import B, Bf, C, Delta, G, S, T, delta, ell, eps, eta, lam, sigma
from bounds.proof import Identity, Minimal, Nonnegative, Telescopes
from bounds.quantities import (
    absolute_value,
    decrease,
    displacement_squared,
    distance,
    distance_squared,
    gradient_difference,
    gradient_norm_squared,
    gradient_variance,
    inner_distance_squared,
    inner_gradient_norm_squared,
    least_curvature,
    linear_term,
    matched_sgd_mean_gradient_norm_squared,
    mean_gradient_norm_squared,
    mean_next_gradient_norm_squared,
    next_gradient_norm_squared,
    start_distance_squared,
    value_difference,
)
from bounds.statement import Algorithm, Rate, Statement
from bounds.symbol import COUNT, Symbol

__all__ = ["STATEMENTS"]

M = Symbol("M", "batch size of the SGD run that TRSGD is compared with", COUNT, typical=(1, 4, 16))

_HALF = sp.Rational(1, 2)
_SGD = Algorithm("sgd", {"eta": eta})
_TRSGD = Algorithm("trsgd", {"lam": lam, "delta": delta, "S": S})
_ASSUMPTION_1 = (SMOOTH, LIPSCHITZ, BOUNDED)
_SGD_PRINTED = (*_ASSUMPTION_1, BOUNDED_VARIANCE)
_TRSGD_PRINTED = (*_ASSUMPTION_1, WEAKLY_CONVEX, BOUNDED_VARIANCE)
_INNER = (SMOOTH, LIPSCHITZ, WEAKLY_CONVEX, BOUNDED_VARIANCE)
_SINGLE = {B: sp.Integer(1)}
_HALF_STEP = {eta: 1 / (2 * ell)}
_TWICE = {lam: 2 * ell, **_SINGLE}
_NOISY = Condition(sigma, ">", 0)
_DELTA_BELOW_ELL = Condition(delta, "<=", ell)
_CONVEX_ENOUGH = Condition(lam, ">=", 2 * delta)
_STRONG = Condition(lam, ">", delta)
_LARGEST_GRADIENT = 2 * ell * Bf
"""What ||grad f||^2 can never exceed where |f| <= Bf and f is ell-smooth on all of R^d."""


def _count(value: sp.Expr) -> sp.Expr:
    """The nearest positive integer, where the paper ignores that a count is one."""
    return sp.Max(1, sp.floor(value + _HALF))


_mu = lam - delta
_chi = (lam + ell) / _mu
_chi_2 = 3 * ell / (2 * ell - delta)
"""chi at lam = 2 ell."""

# Free variables of proof steps.
_x, _y = sp.symbols("x y", nonnegative=True)
_sum = sp.Symbol("A", real=True)
_k, _r, _h = sp.symbols("k r h", positive=True)
_a, _b, _p = sp.symbols("a b p", real=True)
_f, _i = sp.IndexedBase("f"), sp.Symbol("i", integer=True)
_FALL, _FALLEN = _f[_i] - _f[_i + 1], _f[0] - _f[T]

# --- assumptions ------------------------------------------------------------------------------
_DEFINITION = (
    "A definition: it holds of every objective that certifies the constant, and the check attacks "
    "that certificate."
)
assumption_1_smooth = Statement(
    "tralgo.assumption_1_smooth", "Assumption 1, smooth", "printed",
    Claim(gradient_difference, "<=", ell * distance),
    (SMOOTH,),
    text="The gradient is ell-Lipschitz.",
    note=_DEFINITION,
)  # fmt: skip
assumption_1_lipschitz = Statement(
    "tralgo.assumption_1_lipschitz", "Assumption 1, Lipschitz", "printed",
    Claim(sp.Abs(value_difference), "<=", G * distance),
    (LIPSCHITZ,),
    text="f is G-Lipschitz (the paper's g).",
    note=_DEFINITION,
)  # fmt: skip
assumption_1_bounded = Statement(
    "tralgo.assumption_1_bounded", "Assumption 1, bounded", "printed",
    Claim(absolute_value, "<=", Bf),
    (BOUNDED,),
    text="|f| is at most Bf.",
    note=_DEFINITION,
)  # fmt: skip
assumption_2 = Statement(
    "tralgo.assumption_2", "Assumption 2", "printed",
    Claim(value_difference, ">=", linear_term - delta / 2 * distance_squared),
    (WEAKLY_CONVEX,),
    text="f is delta-non-convex: f(x) >= f(y) + <grad f(y), x - y> - (delta/2)||x - y||^2.",
    note=_DEFINITION,
)  # fmt: skip
assumption_2_remark_bound = Statement(
    "tralgo.assumption_2_remark_bound", "Assumption 2, remark: delta <= ell", "printed",
    Claim(-least_curvature, "<=", ell),
    (SMOOTH,),
    text="delta never exceeds ell. Read as: the least curvature of an ell-smooth f is at least "
    "-ell.",
    note="True: |<grad f(x) - grad f(y), x - y>| <= ell ||x - y||^2 by Cauchy-Schwarz.",
)  # fmt: skip
assumption_2_remark_convex = Statement(
    "tralgo.assumption_2_remark_convex", "Assumption 2, remark: delta as a lambda", "printed",
    Claim(least_curvature + lam, ">=", 0),
    (WEAKLY_CONVEX,),
    conditions=(Condition(lam, ">=", delta),),
    text="delta is the least lam for which f + (lam/2)||w||^2 is convex. Read as: every "
    "lam >= delta makes it convex; that delta is the least such number is how it is chosen, and "
    "an objective says so by an attained certificate.",
    note="True: adding (lam/2)||w||^2 adds lam to every curvature.",
)  # fmt: skip
assumption_3 = Statement(
    "tralgo.assumption_3", "Assumption 3", "printed",
    Claim(gradient_variance, "<=", sigma**2),
    (BOUNDED_VARIANCE,),
    text="One sample's gradient has variance at most sigma^2 at every w.",
    note=_DEFINITION,
)  # fmt: skip

# --- SGD --------------------------------------------------------------------------------------
_descent = eta * (1 - ell * eta / 2) * gradient_norm_squared - ell * eta**2 * sigma**2 / (2 * B)
_within = 1 / (2 * (ell + _x))
"""Every step size up to 1/(2 ell), as x runs over [0, inf)."""
lemma_1 = Statement(
    "tralgo.lemma_1", "Lemma 1", "printed",
    Claim(decrease, ">=", eta * gradient_norm_squared / 2 - eta * sigma**2 / (4 * B)),
    _SGD_PRINTED, _SGD,
    conditions=(Condition(eta, "<=", 1 / (2 * ell)),),
    text="One step of SGD with batch M and eta <= 1/(2 ell).",
    note="True as printed: both coefficients of the descent lemma (tralgo.descent) are relaxed.",
    proof=(
        Nonnegative("eta (1 - ell eta/2) >= eta/2",
                    (eta * (1 - ell * eta / 2) - eta / 2).subs(eta, _within)),
        Nonnegative("ell eta^2/2 <= eta/4", (eta / 4 - ell * eta**2 / 2).subs(eta, _within)),
    ),
)  # fmt: skip
descent = Statement(
    "tralgo.descent", "Descent lemma behind Lemma 1", "repaired",
    Claim(decrease, ">=", _descent),
    (SMOOTH, BOUNDED_VARIANCE), _SGD,
    text="One step of SGD, any step size.",
    note="f(w - eta g) <= f - eta <grad f, g> + (ell/2) eta^2 ||g||^2, and "
    "E||g||^2 <= ||grad f||^2 + sigma^2/B. Attained wherever the curvature along the step is ell.",
    proof=(
        Identity("expectation of the upper model, ||grad f||^2 = a, noise sigma^2/B",
                 eta * _a - ell * eta**2 / 2 * (_a + sigma**2 / B),
                 _descent.subs(gradient_norm_squared, _a)),
    ),
)  # fmt: skip
_sgd_floor = sigma**2 / (3 * B)
theorem_1 = Statement(
    "tralgo.theorem_1", "Theorem 1", "printed",
    Claim(mean_next_gradient_norm_squared, "<=", 4 * ell * Bf / T + sigma**2 / (4 * B)),
    _SGD_PRINTED, _SGD, _HALF_STEP,
    rate=Rate(T, {T: -1}, {B: T}),
    trivial=G**2,
    text="SGD with eta = 1/(2 ell) and batch M, averaged over t = 1..T.",
    note="Telescoping Lemma 1 gives twice both terms. The noise term is below the stationary "
    "value sigma^2/(3B) that a quadratic attains.",
)  # fmt: skip
_summed = _FALLEN + T * ell * eta**2 * sigma**2 / (2 * B)
theorem_1_repaired = Statement(
    "tralgo.theorem_1", "Theorem 1", "repaired",
    Claim(mean_next_gradient_norm_squared, "<=", 16 * ell * Bf / (3 * T) + _sgd_floor),
    (SMOOTH, BOUNDED, BOUNDED_VARIANCE), _SGD, _HALF_STEP,
    rate=Rate(T, {T: -1}, {B: T}),
    trivial=_LARGEST_GRADIENT,
    text="Theorem 1 with the constants that follow from the descent lemma.",
    note="Sum the descent lemma over T steps (from w_1, or from w_0: both averages obey), use "
    "f(x) - f(y) <= 2 Bf, divide by eta (1 - ell eta/2). The noise term is exact for a quadratic.",
    proof=(
        Telescopes("the descent lemma's decreases and noise, summed",
                   _FALL - _descent.subs(gradient_norm_squared, 0), _summed, _i, T),
        Identity("at f(w_0) - f(w_T) = 2 Bf, over T and the gradient's coefficient",
                 _summed.subs(_f[0], _f[T] + 2 * Bf) / (T * eta * (1 - ell * eta / 2)),
                 16 * ell * Bf / (3 * T) + _sgd_floor, _HALF_STEP),
        Identity("telescoping the printed Lemma 1 does not give the printed constants, but twice",
                 (2 * Bf / T + eta * sigma**2 / (4 * B)) / (eta / 2),
                 2 * theorem_1.claim.rhs, _HALF_STEP),
        Identity("on (ell/2)||w||^2 the stationary E||grad f||^2 = v solves "
                 "v = (1 - ell eta)^2 v + (ell eta)^2 sigma^2/B",
                 (1 - ell * eta) ** 2 * _sgd_floor + (ell * eta) ** 2 * sigma**2 / B, _sgd_floor,
                 _HALF_STEP),
        Identity("trivial bound: a step 1/delta up the gradient, 1/ell down it, lengths that "
                 "change f by at most 2 Bf, and delta <= ell",
                 (_a / (2 * delta) + _a / (2 * ell)), 2 * Bf,
                 {_a: 4 * Bf * ell * delta / (ell + delta)}),
        Nonnegative("which is at most 2 ell Bf, for delta <= ell",
                    (_LARGEST_GRADIENT - 4 * Bf * ell * delta / (ell + delta))
                    .subs(delta, ell * _h / (_h + _x))),
    ),
)  # fmt: skip
theorem_1_delta = Statement(
    "tralgo.theorem_1_delta", "Theorem 1, from the initial suboptimality", "repaired",
    Claim(mean_gradient_norm_squared, "<=", 8 * ell * Delta / (3 * T) + _sgd_floor),
    (SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE), _SGD, _HALF_STEP,
    rate=Rate(T, {T: -1}, {B: T}),
    text="Theorem 1 without the bound on f: averaged over t = 0..T-1, with Delta for 2 Bf.",
    note="The same sum, with f(w_0) - E f(w_T) <= Delta.",
    proof=(
        Identity("Theorem 1, repaired, with Delta for 2 Bf", theorem_1_repaired.claim.rhs,
                 8 * ell * Delta / (3 * T) + _sgd_floor, {Bf: Delta / 2}),
    ),
)  # fmt: skip
# Smooth non-convex interpolation between w_t (gradient norm squared a) and w_{t+1} (b), at
# eta = 1/(2 ell); p = <grad f(w_t), grad f(w_{t+1})>, r = <noise, grad f(w_{t+1})>, s = noise^2.
_cross, _noise = sp.symbols("r s", real=True)
_interpolated = (_p + _cross) / (2 * ell) + (
    (_a - 2 * _p + _b) / ell - (_a + _noise) / (4 * ell) + (_a - _p - _cross) / ell
) / 4  # fmt: skip
_interpolated_step = (5 * _a + 2 * _b - 3 * _noise) / (16 * ell)
# With a_0, a_T at the ends: the values' fall, and the sum of the interpolated decreases.
_range_left = 2 * Bf - (_a + _b) / (2 * ell)
theorem_1_interpolated = Statement(
    "tralgo.theorem_1_interpolated", "Theorem 1, by interpolation", "repaired",
    Claim(mean_next_gradient_norm_squared, "<=",
          32 * ell * Bf / (7 * T) + 3 * sigma**2 / (7 * B)),
    (SMOOTH, BOUNDED, BOUNDED_VARIANCE), _SGD, _HALF_STEP,
    rate=Rate(T, {T: -1}, {B: T}),
    trivial=_LARGEST_GRADIENT,
    text="Theorem 1 with a smaller first term, by smooth interpolation: 32/7 for 16/3, for a noise "
    "term of 3/7 instead of 1/3.",
    note="f(x) - f(y) >= <grad f(y), x - y> + ((1/ell)||grad f(x) - grad f(y)||^2 - "
    "ell ||x - y||^2 + 2 <grad f(x) - grad f(y), x - y>)/4 at x = w_t, y = w_{t+1} gives an "
    "expected decrease of at least (5 a_t + 2 a_{t+1} - 3 sigma^2/B)/(16 ell), "
    "a_t = ||grad f(w_t)||^2; sum it. What is left of a_0 and a_T at the ends is paid by the range "
    "of f: a step up the gradient from w_0 and one down from w_T leave f(w_0) - f(w_T) <= "
    "2 Bf - (a_0 + a_T)/(2 ell). Without noise a chain of dips comes as near as one likes: "
    "16/7 times ell Delta/T is the worst min over t of the gradient method at this step "
    "(Abbaszadehpeivasti, de Klerk & Zamani 2022), up to a term in 1/T^2.",
    proof=(
        Identity("the interpolation inequality, less ||grad f(y) - grad f(x) + noise||^2/(8 ell), "
                 "is the claimed decrease, up to <grad f(x), noise>, which is 0 on average",
                 _interpolated - (_b + _a + _noise - 2 * _p + 2 * _cross) / (8 * ell),
                 _interpolated_step),
        Identity("T decreases are 7/16 of a_1 + .. + a_T, and 5/16 (a_0 - a_T)",
                 5 * (_sum + _a - _b) + 2 * _sum, 7 * _sum + 5 * (_a - _b)),
        Nonnegative("so 7/16 of the sum is at most 2 Bf ell less (13 a_0 + 3 a_T)/16, and noise",
                    (2 * ell * Bf - (ell * _range_left - sp.Rational(5, 16) * (_a - _b)))
                    .subs({_a: _x, _b: _y}, simultaneous=True),
                    (13 * _x + 3 * _y) / 16),
        Identity("over 7/16 T", (2 * ell * Bf + T * 3 * sigma**2 / (16 * B)) / (T * 7)
                 * 16, 32 * ell * Bf / (7 * T) + 3 * sigma**2 / (7 * B)),
    ),
)  # fmt: skip

# With N = T M evaluations.
_T_SGD = 4 * sp.sqrt(ell * Bf * C) / sigma
theorem_1_balance = Statement(
    "tralgo.theorem_1_balance", "Theorem 1, the optimal T", "printed",
    Claim(theorem_1.claim.rhs.subs(B, C / T).subs(T, _T_SGD), "<=",
          theorem_1.claim.rhs.subs(B, C / T)),
    conditions=(_NOISY,),
    text="T = 4 sqrt(ell Bf N)/sigma is the optimal choice at M = N/T. Read as: the printed bound "
    "there is at most the printed bound at any other T.",
    note="True as printed; the repaired bound has the same minimiser.",
    proof=(
        *(
            Minimal(text, bound.subs(B, C / T).subs(sigma, _h), {T: _T_SGD.subs(sigma, _h)})
            for text, bound in (
                ("the printed bound at sigma = h > 0", theorem_1.claim.rhs),
                ("the repaired bound at sigma = h > 0", theorem_1_repaired.claim.rhs),
            )
        ),
    ),
)  # fmt: skip
theorem_1_complexity = Statement(
    "tralgo.theorem_1_complexity", "Theorem 1, complexity", "printed",
    Claim(mean_next_gradient_norm_squared, "<=", theorem_1_balance.claim.lhs, big_o=True),
    _SGD_PRINTED, _SGD,
    {**_HALF_STEP, T: _count(_T_SGD), B: _count(C / T)},
    (_NOISY,),
    rate=Rate(C, {C: -_HALF}),
    trivial=G**2,
    text="With T = 4 sqrt(ell Bf N)/sigma and M = N/T, N = O(1/eps^2) evaluations reach "
    "E||grad f||^2 <= eps. Read as: the mean over N evaluations is O(N^(-1/2)).",
    note="True as an order; its constants are Theorem 1's.",
    proof=(
        Identity("Theorem 1 at the printed T", theorem_1_balance.claim.lhs,
                 2 * sigma * sp.sqrt(ell * Bf / C)),
    ),
)  # fmt: skip
theorem_1_complexity_repaired = Statement(
    "tralgo.theorem_1_complexity", "Theorem 1, complexity", "repaired",
    theorem_1_repaired.claim,
    theorem_1_repaired.assumptions, _SGD,
    theorem_1_complexity.prescription,
    (_NOISY,),
    rate=Rate(C, {C: -_HALF}),
    trivial=_LARGEST_GRADIENT,
    text="With the same T and M the mean over N evaluations is, rounding aside, at most "
    "(8/3) sigma sqrt(ell Bf/N): N = (64/9) ell Bf sigma^2/eps^2 evaluations suffice for eps.",
    note="Theorem 1, repaired, by substitution; the printed T is its best one too.",
    proof=(
        Identity("at the printed T and M = N/T", theorem_1_repaired.claim.rhs.subs(B, C / T),
                 sp.Rational(8, 3) * sigma * sp.sqrt(ell * Bf / C), {T: _T_SGD}),
        Identity("N for accuracy eps",
                 theorem_1_repaired.claim.rhs.subs(B, C / T).subs(T, _T_SGD), eps,
                 {C: sp.Rational(64, 9) * ell * Bf * sigma**2 / eps**2}),
    ),
)  # fmt: skip

# --- the inner problem of TRSGD ---------------------------------------------------------------
lemma_2 = Statement(
    "tralgo.lemma_2", "Lemma 2", "printed",
    Claim(inner_distance_squared, "<=", 4 * (lam + ell) ** 2 * (G + sigma**2) / (_mu**2 * S)),
    _TRSGD_PRINTED, _TRSGD, _SINGLE, (_STRONG,),
    rate=Rate(S, {S: -1}),
    text="The distance of a round's end from the minimiser of G_t, batch 1; read in expectation.",
    note="g + sigma^2 adds a slope to a squared slope, and (lam + ell)^2/mu^2 leaves the bound "
    "without the unit of a length: rescaling f and w breaks it.",
)  # fmt: skip
_late = (_chi - 1) / 2
_far = sp.Min(S, sp.ceiling(_late))
_recursion = (
    Identity(
        "mean part of an inner step, w = w* + e, u = grad f(w) - grad f(w*), "
        "<u, e> >= -delta ||e||^2, ||u|| <= 2 G; lam = r mu, delta = (r - 1) mu: the "
        "coefficient of ||e||^2 is at most (1 - 1/k)^2",
        (1 - _r / _k) ** 2 + 2 * (_r - 1) / _k * (1 - _r / _k),
        (1 - 1 / _k) ** 2 - (_r - 1) ** 2 / _k**2,
    ),
    Nonnegative(
        "it needs lam/(mu k) <= 1: for k >= 2 that is lam >= 2 delta",
        2 - (lam / _mu).subs(lam, 2 * delta + _x + _h),
    ),
    Nonnegative(
        "first step, e_2 = grad f(w*)/lam - grad f(w_t)/mu - noise: its mean is at most 2 G/mu",
        (2 / _mu - 1 / lam - 1 / _mu).subs(lam, delta + _h),
    ),
    Identity("k^2 E||e_k||^2 telescopes", _k**2 * (1 - 1 / _k) ** 2, (_k - 1) ** 2),
)
_contraction = (
    Nonnegative(
        "from k >= (chi + 1)/2 on, chi/k - 1 <= 1 - 1/k",
        ((1 - 1 / _k) - (_r / _k - 1)).subs(_k, (_r + 1) / 2 + _x),
    ),
)
lemma_2_repaired = Statement(
    "tralgo.lemma_2", "Lemma 2", "repaired",
    Claim(inner_distance_squared, "<=", (sigma**2 + 4 * G**2 * _far / S) / (_mu**2 * S)),
    _INNER, _TRSGD, _SINGLE, (_STRONG, _CONVEX_ENOUGH),
    rate=Rate(S, {S: -1}),
    text="Lemma 2 for every lam >= 2 delta: the noise part falls like 1/S, the rest like 1/S^2 "
    "once S passes (chi - 1)/2, chi = (lam + ell)/(lam - delta).",
    note="Early steps, k <= (chi - 1)/2: E||e_{k+1}||^2 <= (1 - 1/k)^2 E||e_k||^2 + "
    "(4 G^2 + sigma^2)/(mu k)^2, because only a difference of two gradients of f, at most 2 G "
    "long, is not pulled. Later steps contract by 1 - 1/k and add sigma^2/(mu k)^2. Times k^2, "
    "both telescope.",
    proof=(
        *_recursion,
        *_contraction,
        Identity("m early steps and S - m late ones add up",
                 _b * (4 * G**2 + sigma**2) + (S - _b) * sigma**2,
                 S * sigma**2 + 4 * G**2 * _b),
    ),
)  # fmt: skip
lemma_2_lipschitz = Statement(
    "tralgo.lemma_2_lipschitz", "Lemma 2 without smoothness", "repaired",
    Claim(inner_distance_squared, "<=", (sigma**2 + 4 * G**2) / (_mu**2 * S)),
    (LIPSCHITZ, WEAKLY_CONVEX, BOUNDED_VARIANCE), _TRSGD, _SINGLE, (_STRONG, _CONVEX_ENOUGH),
    rate=Rate(S, {S: -1}),
    text="Lemma 2 for every lam >= 2 delta, whatever ell: no smoothness is used.",
    note="The early steps' recursion of Lemma 2, repaired, kept up to S.",
    proof=_recursion,
)  # fmt: skip
lemma_2_contraction = Statement(
    "tralgo.lemma_2_contraction", "Lemma 2, contraction", "repaired",
    Claim(inner_distance_squared, "<=",
          sigma**2 / (_mu**2 * S) + (_chi - 1) ** 2 * start_distance_squared / S**2),
    (SMOOTH, WEAKLY_CONVEX, BOUNDED_VARIANCE), _TRSGD, _SINGLE,
    (_STRONG, Condition(lam, ">=", (ell + 3 * delta) / 2)),
    rate=Rate(S, {S: -1}),
    text="Lemma 2 for lam >= (ell + 3 delta)/2, from the start's distance to the minimiser.",
    note="lam >= (ell + 3 delta)/2 is chi <= 3: every step but the first contracts by 1 - 1/k, "
    "the first expands by at most chi - 1. Attained: G_t' = (lam + ell) e for e > 0 and mu e for "
    "e < 0, a start at e > 0 and noise too small to cross back.",
    proof=(
        *_contraction,
        Nonnegative("chi <= 3", (3 - _chi).subs(lam, (ell + 3 * delta) / 2 + _x)),
        Identity("k^2 E||e_k||^2 telescopes", _k**2 * (1 - 1 / _k) ** 2, (_k - 1) ** 2),
        Identity("attained: k e_{k+1} = (k-1) e_k - noise/mu on the far side",
                 _k * ((1 - _mu / (_mu * _k)) * _a - _b / (_mu * _k)), (_k - 1) * _a - _b / _mu),
    ),
)  # fmt: skip

# --- one round of TRSGD -----------------------------------------------------------------------
lemma_3_ratio_lower = Statement(
    "tralgo.lemma_3_ratio_lower", "Lemma 3, proof, lower", "printed",
    Claim(sp.Rational(9, 4), "<=", (ell + lam) ** 2 / _mu**2),
    prescription={lam: 2 * ell},
    conditions=(_DELTA_BELOW_ELL,),
    text="At lam = 2 ell, 9/4 <= (ell + lam)^2/(lam - delta)^2.",
    note="True, with equality at delta = 0.",
    proof=(
        Nonnegative("chi >= 3/2", (_chi_2 - sp.Rational(3, 2)).subs(ell, delta + _h)),
    ),
)  # fmt: skip
lemma_3_ratio_upper = Statement(
    "tralgo.lemma_3_ratio_upper", "Lemma 3, proof, upper", "printed",
    Claim((ell + lam) ** 2 / _mu**2, "<=", 9),
    prescription={lam: 2 * ell},
    conditions=(_DELTA_BELOW_ELL,),
    text="At lam = 2 ell, (ell + lam)^2/(lam - delta)^2 <= 9.",
    note="True, with equality at delta = ell.",
    proof=(
        Nonnegative("chi <= 3", (3 - _chi_2).subs(ell, delta + _h)),
    ),
)  # fmt: skip
_PRINTED_ERROR = 72 * ell**2 * (sigma**2 + G**2) / S
_error = _chi_2**2 * (sigma**2 / S + ((ell + delta) * G / (2 * ell * S)) ** 2)
"""E||grad G_t(w_{t+1})||^2 at lam = 2 ell; at most 9 (sigma^2/S + G^2/S^2)."""
lemma_3_inner_gradient = Statement(
    "tralgo.lemma_3_inner_gradient", "Lemma 3, proof, inner gradient", "printed",
    Claim(inner_gradient_norm_squared, "<=", _PRINTED_ERROR),
    _TRSGD_PRINTED, _TRSGD, _TWICE,
    rate=Rate(S, {S: -1}),
    text="E||grad f(w_t) + lam (w_t - w_{t-1})||^2 <= 72 ell^2 (g^2 + sigma^2)/S at lam = 2 ell.",
    note="Inherits Lemma 2's units: ell^2 too many.",
)  # fmt: skip
lemma_3_inner_gradient_repaired = Statement(
    "tralgo.lemma_3_inner_gradient", "Lemma 3, proof, inner gradient", "repaired",
    Claim(inner_gradient_norm_squared, "<=", _error),
    _INNER, _TRSGD, _TWICE, (_DELTA_BELOW_ELL,),
    rate=Rate(S, {S: -1}),
    text="How well one round at lam = 2 ell solves its inner problem; at most "
    "9 (sigma^2/S + G^2/S^2), and a quarter of the first term where delta = 0.",
    note="(lam + ell)^2 times lemma_2_contraction, with ||w_t - w*|| = ||grad f(w*)||/lam "
    "<= G/lam.",
    proof=(
        Identity("substitution",
                 (lam + ell) ** 2 * lemma_2_contraction.claim.rhs
                 .subs(start_distance_squared, (G / lam) ** 2), _error, {lam: 2 * ell}),
        Nonnegative("at most 9 (sigma^2/S + G^2/S^2) for delta <= ell",
                    sp.together(9 * (sigma**2 / S + G**2 / S**2) - _error).subs(ell, delta + _h)),
    ),
)  # fmt: skip
lemma_3 = Statement(
    "tralgo.lemma_3", "Lemma 3", "printed",
    Claim(next_gradient_norm_squared, "<=", 4 * ell * decrease + _PRINTED_ERROR),
    _TRSGD_PRINTED, _TRSGD, _TWICE,
    rate=Rate(S, {S: -1}),
    text="One round of TRSGD at lam = 2 ell, batch 1.",
    note="ell^2 (sigma^2 + g^2) is not a squared slope: false for small ell, loose for large.",
)  # fmt: skip
_length = sp.Symbol("D", nonnegative=True)
_drop = sp.Symbol("F", real=True)
lemma_3_exact = Statement(
    "tralgo.lemma_3_exact", "Lemma 3 for any inner solver", "repaired",
    Claim(next_gradient_norm_squared + lam * _mu * displacement_squared, "<=",
          2 * lam * decrease + inner_gradient_norm_squared),
    (WEAKLY_CONVEX,), _TRSGD, _SINGLE, (_STRONG,),
    text="One round at any lam > delta, with the inner problem's gradient as the only error.",
    note="Expand grad G_t = grad f + lam d, d = w_{t+1} - w_t, and bound <grad f, d> by "
    "Assumption 2: no expectation, no smoothness. Attained on (-delta/2)||w||^2.",
    proof=(
        Identity("||grad G_t||^2 less the bound is 2 lam times Assumption 2's slack "
                 "(a = ||grad f||^2, p = <grad f, d>, D = ||d||^2, F the decrease)",
                 (_a + 2 * lam * _p + lam**2 * _length)
                 - (_a + lam * _mu * _length - 2 * lam * _drop),
                 2 * lam * (_p + _drop + delta * _length / 2)),
    ),
)  # fmt: skip
lemma_3_repaired = Statement(
    "tralgo.lemma_3", "Lemma 3", "repaired",
    Claim(next_gradient_norm_squared + 2 * ell * (2 * ell - delta) * displacement_squared, "<=",
          4 * ell * decrease + _error),
    _INNER, _TRSGD, _TWICE, (_DELTA_BELOW_ELL,),
    rate=Rate(S, {S: -1}),
    text="Lemma 3 with its units mended and the displacement kept; the error is at most "
    "9 (sigma^2/S + G^2/S^2).",
    note="lemma_3_exact at lam = 2 ell, and lemma_3_inner_gradient. The printed form drops the "
    "displacement. Without noise and error it is attained on -(delta/2)||w||^2.",
    proof=(
        *lemma_3_exact.proof, *lemma_3_inner_gradient_repaired.proof,
        Identity("lam mu at lam = 2 ell", lam * _mu, 2 * ell * (2 * ell - delta), {lam: 2 * ell}),
    ),
)  # fmt: skip

# --- TRSGD ------------------------------------------------------------------------------------
theorem_2 = Statement(
    "tralgo.theorem_2", "Theorem 2", "printed",
    Claim(mean_next_gradient_norm_squared, "<=", 4 * ell * Bf / T + _PRINTED_ERROR),
    _TRSGD_PRINTED, _TRSGD, _TWICE,
    rate=Rate(T, {T: -1}, {S: T}),
    trivial=G**2,
    text="TRSGD at lam = 2 ell, batch 1, averaged over t = 1..T.",
    note="Telescoping gives 8 ell Bf/T, as f ranges over 2 Bf; the second term has Lemma 2's "
    "units.",
)  # fmt: skip
_start = 8 * ell * Bf / T
_kept = (2 * ell - delta) / (2 * ell)
_far_root, _near_root = sp.symbols("a e", nonnegative=True)  # sqrt(A), sqrt(E)
_total_fall = sp.Symbol("F", nonnegative=True)


def _kept_root(fall: sp.Expr, error: sp.Expr, ratio: sp.Expr) -> sp.Expr:
    """sqrt(A) where A + ratio (sqrt(A) - sqrt(error))^2 = fall + error."""
    return (ratio * sp.sqrt(error) + sp.sqrt((1 + ratio) * fall + error)) / (1 + ratio)


theorem_2_sum = Statement(
    "tralgo.theorem_2_sum", "Theorem 2, a sum of two terms", "repaired",
    Claim(mean_next_gradient_norm_squared, "<=", _start + _error),
    (*_INNER, BOUNDED), _TRSGD, _TWICE, (_DELTA_BELOW_ELL,),
    rate=Rate(T, {T: -1}, {S: T}),
    trivial=G**2,
    text="Theorem 2 with constants and units mended; the second term is at most "
    "9 (sigma^2/S + G^2/S^2).",
    note="Lemma 3, repaired, without its displacement, summed over rounds; "
    "f(w_0) - f(w_T) <= 2 Bf. Theorem 2, repaired, is never above it.",
    proof=(
        *lemma_3_repaired.proof,
        Telescopes("Lemma 3, summed", lemma_3_repaired.claim.rhs.subs(decrease, _FALL),
                   4 * ell * _FALLEN + T * _error, _i, T),
        Identity("4 ell times 2 Bf over T rounds", 4 * ell * _drop / T, 8 * ell * Bf / T,
                 {_drop: 2 * Bf}),
    ),
)  # fmt: skip
theorem_2_repaired = Statement(
    "tralgo.theorem_2", "Theorem 2", "repaired",
    Claim(mean_next_gradient_norm_squared, "<=", _kept_root(_start, _error, _kept) ** 2),
    theorem_2_sum.assumptions, _TRSGD, _TWICE, (_DELTA_BELOW_ELL,),
    rate=theorem_2_sum.rate,
    trivial=G**2,
    text="Theorem 2 with constants and units mended and the displacement kept: between 4 and 16/3 "
    "times ell Bf/T where the inner problems are solved, the error alone where T is large.",
    note="Lemma 3, repaired, summed: A + r D <= F + E with A the mean of ||grad f(w_t)||^2, "
    "F = 8 ell Bf/T, E the error, r = 1 - delta/(2 ell) and D the mean of "
    "||lam (w_t - w_{t-1})||^2. lam (w_t - w_{t-1}) = grad G - grad f, so sqrt(D) >= "
    "sqrt(A) - sqrt(E) (Minkowski): a quadratic in sqrt(A). It is at most theorem_2_sum. At delta "
    "= ell theorem_2_interpolated has "
    "the smaller first term.",
    proof=(
        *theorem_2_sum.proof,
        Identity("the larger root of the quadratic in sqrt(A), at sqrt(E) = e",
                 ((1 + _r) * _far_root**2 - 2 * _r * _far_root * _near_root
                  + (_r - 1) * _near_root**2 - _total_fall)
                 .subs(_far_root, _kept_root(_total_fall, _near_root**2, _r)), sp.Integer(0)),
        Identity("there F + E - A = r (sqrt(A) - sqrt(E))^2, so A is at most F + E",
                 _total_fall + _near_root**2 - _far_root**2, _r * (_far_root - _near_root) ** 2,
                 {_total_fall: (1 + _r) * _far_root**2 - 2 * _r * _far_root * _near_root
                  + (_r - 1) * _near_root**2}),
        Identity("first term without error", _kept_root(_start, sp.Integer(0), _kept) ** 2,
                 16 * ell**2 * Bf / ((4 * ell - delta) * T)),
    ),
)  # fmt: skip
theorem_2_delta = Statement(
    "tralgo.theorem_2_delta", "Theorem 2, from the initial suboptimality", "repaired",
    Claim(mean_next_gradient_norm_squared, "<=",
          _kept_root(4 * ell * Delta / T, _error, _kept) ** 2),
    (*_INNER, BOUNDED_BELOW), _TRSGD, _TWICE, (_DELTA_BELOW_ELL,),
    rate=Rate(T, {T: -1}, {S: T}),
    trivial=G**2,
    text="Theorem 2, repaired, with Delta for 2 Bf.",
    note="f(w_0) - f(w_T) <= Delta.",
    proof=(
        Identity("Theorem 2, repaired, with Delta for 2 Bf", theorem_2_repaired.claim.rhs,
                 _kept_root(4 * ell * Delta / T, _error, _kept) ** 2, {Bf: Delta / 2}),
    ),
)  # fmt: skip
# Interpolation of the delta-weakly convex, ell-smooth f between w_t (gradient a) and w_{t+1}
# (gradient b) where 2 ell (w_t - w_{t+1}) = b - e, e the inner gradient; h = delta/ell.
_e = sp.Symbol("e", real=True)
_proximal = _b * (_b - _e) / 2 + (
    (_a - _b) ** 2 - _h * (_b - _e) ** 2 / 4 + _h * (_a - _b) * (_b - _e)
) / (2 * (1 + _h))  # fmt: skip
_curved = _h * (2 + _h) / (2 - _h)


def _interpolated_root(fall: sp.Expr, error: sp.Expr, ratio: sp.Expr) -> sp.Expr:
    """sqrt(A) where (4 + 3k) A - (4 + 2k) sqrt(A E) - k (2+k)/(2-k) E = 2 (1+k) F, k = ratio."""
    inside = (2 + ratio) ** 2 * error + (4 + 3 * ratio) * (
        ratio * (2 + ratio) / (2 - ratio) * error + 2 * (1 + ratio) * fall
    )
    return ((2 + ratio) * sp.sqrt(error) + sp.sqrt(inside)) / (4 + 3 * ratio)


theorem_2_interpolated = Statement(
    "tralgo.theorem_2_interpolated", "Theorem 2, by interpolation", "repaired",
    Claim(mean_next_gradient_norm_squared, "<=",
          _interpolated_root(_start, _error, delta / ell) ** 2),
    theorem_2_sum.assumptions, _TRSGD, _TWICE, (_DELTA_BELOW_ELL,),
    rate=theorem_2_sum.rate,
    trivial=G**2,
    text="Theorem 2 where the inner problems are solved: between 4 and 32/7 times ell Bf/T, for up "
    "to 1.47 times the error.",
    note="A solved round is a gradient step up from w_{t+1} to w_t. Interpolation at "
    "(w_t, w_{t+1}) gives 8 (1+kappa) ell (decrease) >= 2 kappa a_t + (4+kappa) a_{t+1} - "
    "(4+2 kappa) <b, e> - kappa (2+kappa)/(2-kappa) ||e||^2, a = ||grad f||^2, b = grad "
    "f(w_{t+1}), e = grad G_t; sum, "
    "Cauchy-Schwarz, and what is left of a_0 and a_T is paid by the range of f as in "
    "theorem_1_interpolated. Without error a chain of dips comes as near to 32/7 as one likes.",
    proof=(
        *lemma_3_inner_gradient_repaired.proof,
        Identity("interpolation, its square completed in a",
                 8 * (1 + _h) * _proximal,
                 (4 - 2 * _h) * (_a - _b - _h / (2 - _h) * _e) ** 2 + 2 * _h * _a**2
                 + (4 + _h) * _b**2 - (4 + 2 * _h) * _b * _e - _curved * _e**2),
        Identity("summed: 4 + 3 kappa of each gradient, 2 kappa of a_0 - a_T",
                 (4 + _h) * _sum + 2 * _h * (_sum + _a - _b),
                 (4 + 3 * _h) * _sum + 2 * _h * (_a - _b)),
        Nonnegative("which the range of f, 2 Bf - (a_0 + a_T)/(2 ell), pays for",
                    (4 * (1 + _h) * (_a + _b) + 2 * _h * (_a - _b))
                    .subs({_a: _x, _b: _y}, simultaneous=True)),
        Identity("the larger root of the quadratic in sqrt(A), at sqrt(E) = e",
                 ((4 + 3 * _h) * _far_root**2 - (4 + 2 * _h) * _far_root * _near_root
                  - _curved * _near_root**2 - 2 * (1 + _h) * _total_fall)
                 .subs(_far_root, _interpolated_root(_total_fall, _near_root**2, _h)),
                 sp.Integer(0)),
        Identity("first term without error",
                 _interpolated_root(_start, sp.Integer(0), delta / ell) ** 2,
                 16 * ell * (ell + delta) * Bf / ((4 * ell + 3 * delta) * T)),
    ),
)  # fmt: skip
_T_TRSGD = 4 * sp.sqrt(Bf * C) / sp.sqrt(ell * (sigma**2 + G**2))
theorem_2_complexity = Statement(
    "tralgo.theorem_2_complexity", "Theorem 2, complexity", "printed",
    Claim(mean_next_gradient_norm_squared, "<=",
          theorem_2.claim.rhs.subs(S, C / T).subs(T, _T_TRSGD), big_o=True),
    _TRSGD_PRINTED, _TRSGD,
    {**_TWICE, T: _count(_T_TRSGD), S: _count(C / T)},
    rate=Rate(C, {C: -_HALF}),
    trivial=G**2,
    text="With T = 4 sqrt(Bf N)/sqrt(ell (sigma^2 + g^2)) and S = N/T, N = O(1/eps^2) evaluations "
    "reach E||grad f||^2 <= eps. Read as: the mean over N evaluations is O(N^(-1/2)).",
    note="The order in N is right; T has units, and the two terms it should balance differ by 288.",
    proof=(
        Identity("Theorem 2 at the printed T",
                 theorem_2.claim.rhs.subs(S, C / T).subs(T, _T_TRSGD),
                 289 * ell * sp.sqrt(ell * Bf * (sigma**2 + G**2) / C)),
    ),
)  # fmt: skip
_T_BEST = 2 * sp.sqrt(2 * ell * Bf * C) / (_chi_2 * sigma)
theorem_2_complexity_repaired = Statement(
    "tralgo.theorem_2_complexity", "Theorem 2, complexity", "repaired",
    theorem_2_sum.claim,
    theorem_2_sum.assumptions, _TRSGD,
    {**_TWICE, T: _count(_T_BEST), S: _count(C / T)},
    (_DELTA_BELOW_ELL, _NOISY),
    rate=Rate(C, {C: -_HALF}),
    trivial=G**2,
    text="With T = 2 sqrt(2 ell Bf N)/(chi sigma), chi = 3 ell/(2 ell - delta), and S = N/T the "
    "mean over N evaluations is, up to rounding and a term O(1/N), at most "
    "4 sqrt(2) chi sigma sqrt(ell Bf/N): about 32 chi^2 ell Bf sigma^2/eps^2 evaluations for eps.",
    note="theorem_2_sum by substitution. At delta = ell that is 40.5 times SGD's number in "
    "theorem_1_complexity, at delta = 0 still 10 times.",
    proof=(
        Minimal("best split, h = chi sigma", 8 * ell * Bf / T + _h**2 * T / C,
                {T: 2 * sp.sqrt(2 * ell * Bf * C) / _h}),
        Identity("the leading terms there", 8 * ell * Bf / T + _chi_2**2 * sigma**2 * T / C,
                 4 * sp.sqrt(2) * _chi_2 * sigma * sp.sqrt(ell * Bf / C), {T: _T_BEST}),
        Identity("N for accuracy eps",
                 4 * sp.sqrt(2) * _r * sigma * sp.sqrt(ell * Bf / C), eps,
                 {C: 32 * _r**2 * ell * Bf * sigma**2 / eps**2}),
        Identity("against SGD at chi = 3", sp.Integer(32 * 9) / sp.Rational(64, 9),
                 sp.Rational(81, 2)),
    ),
)  # fmt: skip

# --- claims made in passing -------------------------------------------------------------------
claim_progress = Statement(
    "tralgo.claim_progress", "S = Theta(M)", "printed",
    Claim(inner_gradient_norm_squared, "<=", sigma**2 / (2 * M), big_o=True),
    _TRSGD_PRINTED, _TRSGD, {**_TWICE, S: M}, (_NOISY,),
    rate=Rate(M, {M: -1}),
    text="With S = Theta(M), a round of TRSGD makes the progress of an SGD step with batch M. Read "
    "as: at S = M the error of a round, which stands where Lemma 1 at eta = 1/(2 ell) has "
    "sigma^2/(2M), is O(sigma^2/M).",
    note="True as an order; the constant holds g^2/sigma^2 and is not small.",
)  # fmt: skip
claim_progress_repaired = Statement(
    "tralgo.claim_progress", "S = Theta(M)", "repaired",
    Claim(next_gradient_norm_squared, "<=", 4 * ell * decrease + sigma**2 / (2 * M)),
    _INNER, _TRSGD, {**_TWICE, S: 36 * M},
    (_DELTA_BELOW_ELL, _NOISY, Condition(M, ">=", G**2 / (36 * sigma**2))),
    rate=Rate(M, {M: -1}),
    text="With S = 36 M >= (g/sigma)^2, a round of TRSGD has the guarantee of one SGD step with "
    "batch M at eta = 1/(2 ell), ||grad f||^2 <= 4 ell (decrease) + sigma^2/(2M), for 36 times "
    "its evaluations.",
    note="Lemma 3, repaired, with its error at most 9 (sigma^2/S + G^2/S^2) <= 18 sigma^2/S.",
    proof=(
        *lemma_3_repaired.proof,
        Nonnegative("S = 36 M and S sigma^2 = G^2 + x",
                    (sigma**2 / (2 * M) - 9 * (sigma**2 / S + G**2 / S**2))
                    .subs(M, S / 36).subs(G, sp.sqrt(S * sigma**2 - _x)),
                    9 * _x / S**2),
        Identity("Lemma 1 at eta = 1/(2 ell), solved for ||grad f||^2",
                 (_drop + eta * sigma**2 / (4 * M)) / (eta / 2),
                 4 * ell * _drop + sigma**2 / (2 * M), _HALF_STEP),
    ),
)  # fmt: skip
_ROOT = {**_TWICE, S: _count(sp.sqrt(C)), T: _count(C / S)}
claim_balance = Statement(
    "tralgo.claim_balance", "S = Theta(sqrt N)", "printed",
    Claim(mean_next_gradient_norm_squared, "<=",
          theorem_2.claim.rhs.subs({T: sp.sqrt(C), S: sp.sqrt(C)}, simultaneous=True), big_o=True),
    _TRSGD_PRINTED, _TRSGD, _ROOT,
    rate=Rate(C, {C: -_HALF}),
    trivial=G**2,
    text="At batch 1, S = Theta(sqrt N) balances the terms of Theorem 2. Read as: with "
    "S = T = sqrt(N) the mean is O(N^(-1/2)), Theorem 2's order at its best T.",
    note="True as an order.",
)  # fmt: skip
claim_balance_repaired = Statement(
    "tralgo.claim_balance", "S = Theta(sqrt N)", "repaired",
    theorem_2_sum.claim,
    theorem_2_sum.assumptions, _TRSGD, _ROOT, (_DELTA_BELOW_ELL,),
    rate=Rate(C, {C: -_HALF}),
    trivial=G**2,
    text="theorem_2_sum at S = sqrt(N), T = N/S, rounded.",
    note="By substitution. With noise the best S is chi sigma sqrt(N/(8 ell Bf)), a multiple of "
    "sqrt(N); without noise the best S is a multiple of N^(1/3).",
    proof=(
        Minimal("best S with noise, h = chi sigma", 8 * ell * Bf * S / C + _h**2 / S,
                {S: _h * sp.sqrt(C / (8 * ell * Bf))}),
        Minimal("best S without noise", 8 * ell * Bf * S / C + _h**2 / S**2,
                {S: (_h**2 * C / (4 * ell * Bf)) ** sp.Rational(1, 3)}),
    ),
)  # fmt: skip
claim_small_batch = Statement(
    "tralgo.claim_small_batch", "Better rate at a small batch", "printed",
    Claim(mean_next_gradient_norm_squared, "<=", matched_sgd_mean_gradient_norm_squared),
    _TRSGD_PRINTED, _TRSGD, _ROOT, (_NOISY,),
    trivial=G**2,
    text="TRSGD has a better rate than SGD when the batch is small. Read as: at batch 1, with "
    "S = sqrt(N), its mean is at most that of SGD at batch 1 and the paper's eta = 1/(2 ell) "
    "after the same N evaluations.",
    note="No proof can cover every N: where the start dominates, SGD's N steps beat T rounds. Nor "
    "is a fixed step SGD's best: see tralgo.claim_small_batch_tuned.",
)  # fmt: skip
claim_small_batch_repaired = Statement(
    "tralgo.claim_small_batch", "Better rate at a small batch", "repaired",
    Claim(theorem_2_sum.claim.rhs, "<=",
          theorem_1_repaired.claim.rhs.subs({T: S * T, B: 1}, simultaneous=True)),
    conditions=(
        _DELTA_BELOW_ELL, _NOISY, Condition(T, ">=", 72 * ell * Bf / sigma**2),
        Condition(S, ">=", 81), Condition(S, ">=", 9 * G / sigma),
    ),
    text="From T >= 72 ell Bf/sigma^2 rounds of S >= max(81, 9 g/sigma) steps on, TRSGD's bound is "
    "below that of SGD at batch 1 and eta = 1/(2 ell), which never falls below sigma^2/3.",
    note="A relation between the two repaired bounds: each term on the left is at most sigma^2/9.",
    proof=(
        Identity("first term", 8 * ell * Bf / T, sigma**2 / 9, {T: 72 * ell * Bf / sigma**2}),
        Identity("noise", 9 * sigma**2 / S, sigma**2 / 9, {S: sp.Integer(81)}),
        Identity("gradient", 9 * G**2 / S**2, sigma**2 / 9, {S: 9 * G / sigma}),
        *lemma_3_inner_gradient_repaired.proof[-1:],
    ),
)  # fmt: skip
_TUNED = 2 / sigma * sp.sqrt(Bf / (ell * C))
claim_small_batch_tuned = Statement(
    "tralgo.claim_small_batch_tuned", "SGD at batch 1 with its best step", "repaired",
    Claim(mean_next_gradient_norm_squared, "<=",
          sp.Rational(8, 3) * sigma * sp.sqrt(ell * Bf / C)),
    (SMOOTH, BOUNDED, BOUNDED_VARIANCE), _SGD,
    {eta: _TUNED, T: C, B: sp.Integer(1)},
    (_NOISY, Condition(C, ">=", 16 * ell * Bf / sigma**2)),
    rate=Rate(C, {C: -_HALF}),
    trivial=_LARGEST_GRADIENT,
    text="SGD at batch 1 with eta = (2/sigma) sqrt(Bf/(ell N)) has the rate of the best batch: "
    "no large batch, and no regulariser, is needed for N^(-1/2).",
    note="C >= 16 ell Bf/sigma^2 is eta <= 1/(2 ell); then the descent lemma's gradient "
    "coefficient is at least (3/4) eta. TRSGD's bound at its best split and chi = 3 is "
    "12 sqrt(2) sigma sqrt(ell Bf/N), 6.4 times this one.",
    proof=(
        Identity("eta <= 1/(2 ell)", _TUNED, 1 / (2 * ell), {C: 16 * ell * Bf / sigma**2}),
        Identity("the descent lemma, summed", (2 * Bf / (eta * C) + ell * eta * sigma**2 / 2)
                 / sp.Rational(3, 4), sp.Rational(8, 3) * sigma * sp.sqrt(ell * Bf / C),
                 {eta: _TUNED}),
        Identity("it is Theorem 1, repaired, at its best split",
                 theorem_1_repaired.claim.rhs.subs(B, C / T),
                 sp.Rational(8, 3) * sigma * sp.sqrt(ell * Bf / C), {T: _T_SGD}),
        Identity("TRSGD's best split", 8 * ell * Bf / T + 9 * sigma**2 * T / C,
                 12 * sp.sqrt(2) * sigma * sp.sqrt(ell * Bf / C),
                 {T: 2 * sp.sqrt(2 * ell * Bf * C) / (3 * sigma)}),
    ),
)  # fmt: skip


def _with_batch(expression: sp.Expr) -> sp.Expr:
    """The mean of B samples has a B-th of one sample's variance."""
    return expression.subs(sigma, sigma / sp.sqrt(B))


claim_any_batch = Statement(
    "tralgo.claim_any_batch", "Any batch size", "printed",
    Claim(mean_next_gradient_norm_squared, "<=", _with_batch(theorem_2.claim.rhs)),
    _TRSGD_PRINTED, _TRSGD, {lam: 2 * ell},
    rate=Rate(T, {T: -1}, {S: T}),
    trivial=G**2,
    text="The analysis can be generalized to any batch size; the framework works well no matter "
    "what the batch size is. Read as: Theorem 2 with the variance sigma^2/B of B samples' mean.",
    note="It inherits Theorem 2's faults.",
)  # fmt: skip
claim_any_batch_repaired = Statement(
    "tralgo.claim_any_batch", "Any batch size", "repaired",
    Claim(mean_next_gradient_norm_squared, "<=", _with_batch(theorem_2_repaired.claim.rhs)),
    theorem_2_repaired.assumptions, _TRSGD, {lam: 2 * ell}, (_DELTA_BELOW_ELL,),
    rate=theorem_2_repaired.rate,
    trivial=G**2,
    text="Theorem 2, repaired, for every batch size B: sigma^2/B in place of sigma^2.",
    note="True: the proof uses nothing of a step's noise but that it is unbiased with variance at "
    "most sigma^2, which becomes sigma^2/B. The error's other term, 9 G^2/S^2, is left as it is.",
    proof=(
        *theorem_2_repaired.proof,
        Identity("only sigma^2 changes", _with_batch(_error),
                 _chi_2**2 * (sigma**2 / (B * S) + ((ell + delta) * G / (2 * ell * S)) ** 2)),
    ),
)  # fmt: skip
claim_no_slower = Statement(
    "tralgo.claim_no_slower", "No slower than SGD", "printed",
    Claim(mean_next_gradient_norm_squared, "<=", matched_sgd_mean_gradient_norm_squared),
    _TRSGD_PRINTED, _TRSGD, {lam: 2 * ell},
    trivial=G**2,
    text="TRAlgo converges no slower than SGD. Read as: at any T, S and batch, the mean over its "
    "rounds is at most that of SGD at the same batch, eta = 1/(2 ell) and as many evaluations.",
    note="Not where the start dominates: T S steps of SGD beat T rounds. What is true is the "
    "order, see the repaired form.",
)  # fmt: skip
claim_no_slower_repaired = Statement(
    "tralgo.claim_no_slower", "No slower than SGD", "repaired",
    Claim((_start + _chi_2**2 * sigma**2 * T / C).subs(T, _T_BEST), "==",
          3 / sp.sqrt(2) * _chi_2 * theorem_1_repaired.claim.rhs.subs(B, C / T).subs(T, _T_SGD)),
    conditions=(_DELTA_BELOW_ELL, _NOISY),
    text="At a budget of N evaluations, TRSGD's guarantee at its best split has the order of SGD's "
    "at its best, and is (3/sqrt(2)) chi times as large, chi between 3/2 and 3, but for a term "
    "O(1/N).",
    note="theorem_2_sum, without its G^2/S^2, and Theorem 1, repaired, each at its best T.",
    proof=(
        Identity("the leading terms at T, squared",
                 (_start + _chi_2**2 * sigma**2 * T / C)
                 .subs(T, _T_BEST) ** 2,
                 32 * _chi_2**2 * sigma**2 * ell * Bf / C),
        Identity("SGD's, squared",
                 theorem_1_repaired.claim.rhs.subs(B, C / T).subs(T, _T_SGD) ** 2,
                 sp.Rational(64, 9) * sigma**2 * ell * Bf / C),
        Identity("their ratio, squared", 32 * _chi_2**2 / sp.Rational(64, 9),
                 sp.Rational(9, 2) * _chi_2**2),
    ),
)  # fmt: skip
claim_lam_2delta = Statement(
    "tralgo.claim_lam_2delta", "lam >= 2 delta", "printed",
    Claim(least_curvature + lam, ">=", lam / 2),
    (WEAKLY_CONVEX,),
    conditions=(_CONVEX_ENOUGH,),
    text="lam >= 2 delta suffices to make the inner problem strongly convex. Read as: its "
    "curvature is at least lam/2.",
    note="True as printed: lam - delta >= lam/2.",
    proof=(Nonnegative("lam - delta >= lam/2", (_mu - lam / 2).subs(lam, 2 * delta + _x)),),
)  # fmt: skip
claim_lam_2delta_rate = Statement(
    "tralgo.claim_lam_2delta_rate", "lam >= 2 delta in Theorem 2", "printed",
    theorem_2.claim,
    _TRSGD_PRINTED, _TRSGD, _SINGLE, (_STRONG, _CONVEX_ENOUGH),
    rate=Rate(T, {T: -1}, {S: T}),
    trivial=G**2,
    text="lam >= 2 delta suffices. Read as: Theorem 2's bound holds for every such lam, "
    "not only for lam = 2 ell.",
    note="Beside Theorem 2's own faults, its first term has to grow with lam: a strong pull slows "
    "every round down.",
)  # fmt: skip
claim_lam_2delta_rate_repaired = Statement(
    "tralgo.claim_lam_2delta_rate", "lam >= 2 delta in Theorem 2", "repaired",
    Claim(mean_next_gradient_norm_squared, "<=",
          4 * lam * Bf / T + (lam + ell) ** 2 * lemma_2_repaired.claim.rhs),
    (*_INNER, BOUNDED), _TRSGD, _SINGLE, (_STRONG, _CONVEX_ENOUGH),
    rate=Rate(T, {T: -1}, {S: T}),
    trivial=G**2,
    text="TRSGD for every lam >= 2 delta, at the price of the factor chi^2 in the error.",
    note="lemma_3_exact with E||grad G_t||^2 <= (lam + ell)^2 E||w_{t+1} - w*||^2, and Lemma 2, "
    "repaired, summed over rounds.",
    proof=(
        *lemma_3_exact.proof,
        *lemma_2_repaired.proof,
        Telescopes("lemma_3_exact's right side, summed",
                   2 * lam * _FALL + (lam + ell) ** 2 * lemma_2_repaired.claim.rhs,
                   2 * lam * _FALLEN + T * (lam + ell) ** 2 * lemma_2_repaired.claim.rhs, _i, T),
        Identity("2 lam times 2 Bf over T rounds", 2 * lam * _drop / T, 4 * lam * Bf / T,
                 {_drop: 2 * Bf}),
    ),
)  # fmt: skip

STATEMENTS: tuple[Statement, ...] = (
    assumption_1_smooth, assumption_1_lipschitz, assumption_1_bounded,
    assumption_2, assumption_2_remark_bound, assumption_2_remark_convex, assumption_3,
    lemma_1, descent, theorem_1, theorem_1_repaired, theorem_1_delta, theorem_1_interpolated,
    theorem_1_balance, theorem_1_complexity, theorem_1_complexity_repaired,
    lemma_2, lemma_2_repaired, lemma_2_lipschitz, lemma_2_contraction,
    lemma_3_ratio_lower, lemma_3_ratio_upper,
    lemma_3_inner_gradient, lemma_3_inner_gradient_repaired,
    lemma_3, lemma_3_repaired, lemma_3_exact,
    theorem_2, theorem_2_repaired, theorem_2_delta, theorem_2_sum,
    theorem_2_interpolated,
    theorem_2_complexity, theorem_2_complexity_repaired,
    claim_progress, claim_progress_repaired, claim_balance, claim_balance_repaired,
    claim_small_batch, claim_small_batch_repaired, claim_small_batch_tuned,
    claim_any_batch, claim_any_batch_repaired, claim_no_slower, claim_no_slower_repaired,
    claim_lam_2delta, claim_lam_2delta_rate, claim_lam_2delta_rate_repaired,
)  # fmt: skip
