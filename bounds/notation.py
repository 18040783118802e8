"""The one symbol table: the same letter for the same thing in every statement.

Where a paper's letter clashes with another paper's, the table's wins: the mini-batch size is
``B`` (TRAlgo prints M, stochastic batch size b), the number of inner iterations ``S`` (LRSGD
prints M_t), the total number of gradient evaluations ``C`` (TRAlgo prints N), the bound on
``|f|`` is ``Bf``, and the two constants of (L, lambda)-smoothness are ``L0`` and ``L1``.
"""

from __future__ import annotations

from typing import Any

from bounds.symbol import COUNT, POSITIVE, UNIT_INTERVAL, Domain, Symbol
from bounds.units import Units

__all__ = [
    "FAILURE",
    "B", "Bf", "C", "D", "D1", "Delta", "G", "G_inf", "L", "L0", "L1", "M", "R", "S", "T", "a",
    "b0", "beta", "beta2", "c", "d", "decay", "delta", "ell", "ell_es", "eps", "eta",
    "eta_length", "gamma", "gap", "kappa", "lam", "mu", "mu_pl", "mu_qg", "n", "nu", "psi", "q",
    "radius", "rho", "s_min", "sigma", "sigma_star", "t", "t0", "theta", "zeta", "zeta_star",
]  # fmt: skip

_NONNEGATIVE = Domain(0)
_CURVATURE = Units(F=1, X=-2)
_SLOPE = Units(F=1, X=-1)
_VALUE = Units(F=1)
_STEP = Units(F=-1, X=2)


def _constant(
    name: str, meaning: str, units: Units, latex: str = "", domain: Domain = POSITIVE
) -> Any:
    return Symbol(name, meaning, domain, units, "constant", latex)


# What an objective certifies.
ell = _constant("ell", "Lipschitz constant of the gradient (smoothness)", _CURVATURE, r"\ell")
delta = _constant("delta", "weak-convexity constant", _CURVATURE, r"\delta", _NONNEGATIVE)
mu = _constant("mu", "strong-convexity constant", _CURVATURE, r"\mu")
s_min = _constant(
    "s_min", "least singular value of the gradient's Jacobian", _CURVATURE, r"s_{\min}"
)
mu_pl = _constant("mu_pl", "Polyak-Lojasiewicz constant", _CURVATURE, r"\mu_{\mathrm{PL}}")
mu_qg = _constant("mu_qg", "quadratic-growth constant", _CURVATURE, r"\mu_{\mathrm{QG}}")
ell_es = _constant("ell_es", "expected smoothness", _CURVATURE, r"\mathcal{L}")
L = _constant("L", "one-sided smoothness constant: upper bound on the curvature", _CURVATURE, "L")
L0 = _constant("L0", "(L, lambda)-smoothness: the L", _CURVATURE, "L", _NONNEGATIVE)
L1 = _constant("L1", "(L, lambda)-smoothness: the lambda", Units(X=-1), r"\lambda", _NONNEGATIVE)
G = _constant("G", "bound on the gradient norm (Lipschitz constant)", _SLOPE)
G_inf = _constant("G_inf", "bound on the gradient's largest entry", _SLOPE, r"G_\infty")
Bf = _constant("Bf", "bound on |f|", _VALUE, "B_f")
sigma = _constant(
    "sigma", "standard deviation of one stochastic gradient", _SLOPE, r"\sigma", _NONNEGATIVE
)
sigma_star = _constant(
    "sigma_star",
    "root mean square of one stochastic gradient at the minimizer",
    _SLOPE,
    r"\sigma_*",
    _NONNEGATIVE,
)
D = _constant("D", "diameter of the set the iterates stay in", Units(X=1), "D")
D1 = _constant("D1", "diameter in the l1 norm of the set F is minimised on", Units(X=1), "D_1")
R = _constant("R", "distance from w_0 to a minimizer", Units(X=1), "R", _NONNEGATIVE)
Delta = _constant("Delta", "initial suboptimality F(w_0) - F*", _VALUE, r"\Delta", _NONNEGATIVE)
n = _constant("n", "number of samples", Units(), "n", COUNT)
d = _constant("d", "dimension", Units(), "d", COUNT)
M = _constant("M", "number of workers", Units(), "M", COUNT)
zeta = _constant(
    "zeta",
    "root mean square, over workers, of how far their gradients are from the mean",
    _SLOPE,
    r"\zeta",
    _NONNEGATIVE,
)
zeta_star = _constant(
    "zeta_star",
    "root mean square of the workers' gradients at the minimizer of their mean",
    _SLOPE,
    r"\zeta_*",
    _NONNEGATIVE,
)

# What the experimenter chooses.
eta = Symbol("eta", "step size", POSITIVE, _STEP, latex=r"\eta", typical=(1.0, 0.1, 0.01))
eta_length = Symbol(
    "eta",
    "step size of a normalised method, a length",
    POSITIVE,
    Units(X=1),
    latex=r"\eta",
    typical=(1.0, 0.1, 0.01),
)
b0 = Symbol(
    "b0",
    "AdaGrad's first accumulator, a slope",
    POSITIVE,
    _SLOPE,
    latex="b_0",
    typical=(1.0, 0.1, 0.01),
)
decay = Symbol(
    "decay",
    "decoupled weight decay",
    POSITIVE,
    Units(X=-1),
    latex=r"\lambda_w",
    typical=(10.0, 1.0, 0.1),
)
radius = Symbol(
    "radius",
    "distance of SAM's perturbation",
    POSITIVE,
    Units(X=1),
    latex=r"\rho",
    typical=(1.0, 0.1, 0.01),
)
beta = Symbol("beta", "momentum", UNIT_INTERVAL, latex=r"\beta", typical=(0.0, 0.5, 0.9))
beta2 = Symbol(
    "beta2",
    "decay of the mean of squared gradients",
    UNIT_INTERVAL,
    latex=r"\beta_2",
    typical=(0.9, 0.99, 0.999),
)
lam = Symbol(
    "lam", "proximal weight", POSITIVE, _CURVATURE, latex=r"\lambda", typical=(2.0, 4.0, 10.0)
)
theta = Symbol(
    "theta",
    "inner step times proximal weight",
    Domain(0, 1, True, True),
    latex=r"\theta",
    typical=(0.25, 0.1, 0.01),
)
psi = Symbol(
    "psi",
    "accuracy of the inner problem's gradient",
    POSITIVE,
    _SLOPE,
    latex=r"\psi",
    typical=(0.1, 1.0),
)
c = Symbol("c", "step multiplier in eta_t = c/(t ell)", POSITIVE, typical=(0.25, 1.0, 2.0))
a = Symbol("a", "weight of the new gradient alone", Domain(0, 1, True), typical=(0.1, 0.5, 0.01))
nu = Symbol(
    "nu", "smoothing length of a finite difference", POSITIVE, Units(X=1), latex=r"\nu",
    typical=(1e-3, 0.1),
)  # fmt: skip
B = Symbol("B", "mini-batch size", COUNT, typical=(1, 4, 16, 64))
S = Symbol("S", "inner iterations in a round", COUNT, typical=(1, 4, 16, 64))
T = Symbol("T", "(outer) iterations", COUNT, typical=(1, 10, 100, 400))
C = Symbol("C", "total gradient evaluations", COUNT, typical=(64, 256, 1024, 4096))
t = Symbol("t", "index of the (outer) iteration, from 1", COUNT, role="derived")
eps = Symbol(
    "eps",
    "accuracy: the target for E||grad f||^2",
    POSITIVE,
    Units(F=2, X=-2),
    latex=r"\varepsilon",
    typical=(0.1, 0.03, 0.01),
)

FAILURE = Symbol(
    "p", "probability of failure, the p of 1 - p", Domain(0, 1, True, True), typical=(0.1, 0.01)
)

# What a prescription always gives.
kappa = Symbol(
    "kappa",
    "delta/ell (LRSGD) or (1+beta)/(1-beta)^2 (SNGM)",
    _NONNEGATIVE,
    role="derived",
    latex=r"\kappa",
)
q = Symbol("q", "exponent of the expansion", _NONNEGATIVE, role="derived")
rho = Symbol("rho", "delta/lam", _NONNEGATIVE, role="derived", latex=r"\rho")
gamma = Symbol(
    "gamma",
    "parameter of the geometric number of inner iterations",
    Domain(0, 1, True),
    role="derived",
    latex=r"\gamma",
)
gap = Symbol(
    "gap",
    "the share of the workers' distance from their mean that one mixing takes away, squared",
    Domain(0, 1, lower_open=True),
    role="derived",
    latex="p",
)
t0 = Symbol(
    "t0",
    "burn-in: rounds before the replaced sample may be drawn",
    POSITIVE,
    role="derived",
    latex="t_0",
)
