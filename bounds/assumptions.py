"""Assumptions: what an objective and its sampling must satisfy before a statement applies."""

from __future__ import annotations

from dataclasses import dataclass

from bounds.notation import (
    L0,
    L1,
    Bf,
    D,
    Delta,
    G,
    G_inf,
    L,
    M,
    R,
    delta,
    ell,
    ell_es,
    mu,
    mu_pl,
    mu_qg,
    n,
    s_min,
    sigma,
    sigma_star,
    zeta,
    zeta_star,
)  # fmt: skip
from bounds.symbol import Symbol

__all__ = [
    "BOUNDED", "BOUNDED_BELOW", "BOUNDED_DOMAIN", "BOUNDED_ENTRIES", "BOUNDED_SET",
    "BOUNDED_VARIANCE", "COMPOSITE", "CONSTRAINED", "CONVEX", "EXPANDING", "EXPECTED_SMOOTHNESS",
    "FINITE_SUM", "FITTED", "FROM_CENTRE", "HETEROGENEITY", "HETEROGENEITY_AT_MINIMIZER",
    "KNOWN_DISTANCE", "LIPSCHITZ", "LIPSCHITZ_ON_REGION", "MONOTONE", "NOISE_AT_MINIMIZER",
    "ONE_SIDED_SMOOTH", "PER_SAMPLE", "PER_WORKER", "POLYAK_LOJASIEWICZ", "QUADRATIC_GROWTH",
    "RELAXED_SMOOTH", "SMOOTH", "STRONGLY_CONVEX", "STRONGLY_MONOTONE",
    "UNIMODAL_SYMMETRIC_NOISE", "WEAKLY_CONVEX",
    "Assumption",
]  # fmt: skip


@dataclass(frozen=True)
class Assumption:
    """A named condition. An objective satisfies it when it certifies ``constants``.

    Assumptions without constants (convexity, say) are declared by the objective by name.
    With ``on_region`` the constants need hold only on a convex set that no iterate leaves. Any
    one of ``implied_by`` that is declared will do in its stead.
    """

    name: str
    text: str
    constants: tuple[Symbol, ...] = ()
    on_region: bool = False
    implied_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


SMOOTH = Assumption("smooth", "||grad f(x) - grad f(y)|| <= ell ||x - y||", (ell,))
ONE_SIDED_SMOOTH = Assumption(
    "one_sided_smooth", "f(u) <= f(w) + <grad f(w), u - w> + (L/2)||u - w||^2", (L,)
)
RELAXED_SMOOTH = Assumption("relaxed_smooth", "||Hess f(w)|| <= L + lambda ||grad f(w)||", (L0, L1))
LIPSCHITZ = Assumption("lipschitz", "||grad f|| <= G", (G,))
LIPSCHITZ_ON_REGION = Assumption(
    "lipschitz_on_region",
    "||grad f_i|| <= G on a convex set that SGD with eta <= 1/ell never leaves",
    (G,),
    on_region=True,
)
BOUNDED = Assumption("bounded", "|f| <= Bf", (Bf,))
BOUNDED_BELOW = Assumption("bounded_below", "F(w_0) - inf F = Delta is finite", (Delta,))
WEAKLY_CONVEX = Assumption(
    "weakly_convex", "f(x) >= f(y) + <grad f(y), x - y> - (delta/2)||x - y||^2", (delta,)
)
BOUNDED_VARIANCE = Assumption(
    "bounded_variance", "E||g - grad F||^2 <= sigma^2 for one sample, unbiased", (sigma,)
)
FINITE_SUM = Assumption("finite_sum", "F = (1/n) sum_i f_i, uniform sampling", (n,))
PER_SAMPLE = Assumption("per_sample", "the constants hold for every f_i, one sample a step", (n,))
PER_WORKER = Assumption(
    "per_worker",
    "F = (1/M) sum_m f_m; the constants hold for every f_m, whose noise is independent of others'",
    (M,),
)
HETEROGENEITY = Assumption(
    "heterogeneity", "(1/M) sum_m ||grad f_m(w) - grad F(w)||^2 <= zeta^2 at every w", (zeta,)
)
HETEROGENEITY_AT_MINIMIZER = Assumption(
    "heterogeneity_at_minimizer", "(1/M) sum_m ||grad f_m(w*)||^2 <= zeta_star^2", (zeta_star,)
)
UNIMODAL_SYMMETRIC_NOISE = Assumption(
    "unimodal_symmetric_noise",
    "in every coordinate the noise's density is symmetric about 0 and falls away from it",
)
CONVEX = Assumption("convex", "f is convex")
FITTED = Assumption("fitted", "min f = 0")
POLYAK_LOJASIEWICZ = Assumption(
    "polyak_lojasiewicz", "||grad f(w)||^2 >= 2 mu_pl (f(w) - f*)", (mu_pl,)
)
QUADRATIC_GROWTH = Assumption(
    "quadratic_growth", "f(w) - f* >= (mu_qg/2) ||w - w*||^2, one minimizer w*", (mu_qg,)
)
# Gower, Loizou, Qian, Sailanbayev, Shulgin & Richtarik 2019, Definition 2.1, one sample a step.
EXPECTED_SMOOTHNESS = Assumption(
    "expected_smoothness", "E||g(w) - g(w*)||^2 <= 2 ell_es (f(w) - f*)", (ell_es,)
)
NOISE_AT_MINIMIZER = Assumption("noise_at_minimizer", "E||g(w*)||^2 <= sigma_star^2", (sigma_star,))
BOUNDED_DOMAIN = Assumption(
    "bounded_domain",
    "the iterates of SGD with eta <= 1/ell stay in a convex set of diameter D",
    (D,),
    on_region=True,
)
STRONGLY_CONVEX = Assumption("strongly_convex", "f is mu-strongly convex", (mu,))

# --- fields that need be no gradients: of a game each player's gradient in its own variables ------
# A game is spoken of only by statements that assume a monotone field.
MONOTONE = Assumption(
    "monotone", "<g(u) - g(w), u - w> >= 0 for the field g; g may be no gradient",
    implied_by=("convex",),
)  # fmt: skip
STRONGLY_MONOTONE = Assumption("strongly_monotone", "<g(u) - g(w), u - w> >= mu ||u - w||^2", (mu,))
EXPANDING = Assumption("expanding", "||g(u) - g(w)|| >= s_min ||u - w||", (s_min,))

# --- F with a simple part, or on a convex set ---------------------------------------------------
# An objective of these kinds is spoken of only by statements that assume so.
COMPOSITE = Assumption(
    "composite", "F = f + h, where h is convex and has a prox; the constants are f's"
)
CONSTRAINED = Assumption("constrained", "F is minimised on a convex set with a projection")
BOUNDED_SET = Assumption("bounded_set", "that set has diameter D", (D,))
FROM_CENTRE = Assumption("from_centre", "the set is a simplex and w_0 its centre")
BOUNDED_ENTRIES = Assumption("bounded_entries", "max_j |grad_j f| <= G_inf on the set", (G_inf,))
KNOWN_DISTANCE = Assumption("known_distance", "||w_0 - w*|| = R for some minimizer w*", (R,))
