"""AdamW: how far decoupled weight decay lets the iterates go.

Xie and Li (2024), "Implicit bias of AdamW: l_inf norm constrained optimization", Theorem 1.1 and
the bound on the size of an update behind it: where ``beta1 <= beta2``, iterates that converge end
up with ``||w||_inf <= 1/decay``; their lambda is ``decay``, beta1 is ``beta`` here. At
``beta1 = beta2`` that bound holds of every single update (the term that it adds elsewhere has the
factor ``beta2 - beta1``): that case is stated first, with the geometric sum that follows. The text
of the paper was not at hand (its argument was, in a write-up of the proof); all was proved anew
(``proof``). With other rates single updates reach further: by the Cauchy-Schwarz inequality, as
is well known without the correction of the moments' bias, which changes nothing.
"""

from __future__ import annotations

import sympy as sp

from bounds.claim import Claim, Condition
from bounds.notation import T, beta, beta2, decay
from bounds.notation import eta_length as eta
from bounds.proof import Identity, Nonnegative
from bounds.quantities import final_linf_norm, first_linf_norm
from bounds.statement import Algorithm, Statement

__all__ = ["FALSE_NEIGHBOURS", "STATEMENTS"]

_ALGORITHM = Algorithm(
    "adamw", {"eta": eta, "beta1": beta, "beta2": beta, "weight_decay": decay}
)  # fmt: skip
_CONDITIONS = (Condition(eta, "<=", 1 / decay),)
_KEPT = (1 - eta * decay) ** T
_k, _x, _p, _q = sp.symbols("k x p q", positive=True)
_a, _b = sp.symbols("a b", real=True)

norm_bound = Statement(
    key="adamw.norm_bound",
    label="Norm of the iterates at beta1 = beta2",
    form="printed",
    claim=Claim(
        final_linf_norm, "<=", _KEPT * first_linf_norm + (1 - _KEPT) / decay, mode="every run"
    ),
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    text="Whatever the gradients, ||w_T||_inf tends to 1/decay at most, at the rate of the decay.",
    note="True in every run: m^ and v^ are means of the gradients so far and of their squares with "
    "the same weights, so |m^_j| <= sqrt(v^_j) by Jensen's inequality, and |w_j| <= "
    "(1 - eta decay)|w_j| + eta at each step. Met where a coordinate's gradient keeps its value.",
    proof=(
        Nonnegative(
            "Jensen's inequality for two weights: the mean square less the square of the mean",
            (_p * _a**2 + _q * _b**2) / (_p + _q) - ((_p * _a + _q * _b) / (_p + _q)) ** 2,
            _p * _q * (_a - _b) ** 2 / (_p + _q) ** 2,
        ),
        Identity(
            "k ||w_0|| + (1 - k)/decay, k = (1 - eta decay)^t, solves x <- (1 - eta decay) x + eta",
            (1 - eta * decay) * (_k * _x + (1 - _k) / decay) + eta,
            _k * (1 - eta * decay) * _x + (1 - _k * (1 - eta * decay)) / decay,
        ),
    ),
)  # fmt: skip

norm_bound_half = Statement(
    key="adamw.norm_bound.half",
    label="Norm of the iterates, 1/(2 decay)",
    form="printed",
    claim=Claim(
        final_linf_norm, "<=", _KEPT * first_linf_norm + (1 - _KEPT) / (2 * decay),
        mode="every run",
    ),
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    note="False: where the gradient is constant, w_T - w_0 (1 - eta decay)^T is the whole of "
    "(1 - (1 - eta decay)^T)/decay.",
)  # fmt: skip

_UNEQUAL = Algorithm(
    "adamw", {"eta": eta, "beta1": beta, "beta2": beta2, "weight_decay": decay}
)  # fmt: skip
# The largest update, in units of eta; r is beta1^2/beta2.
_LARGEST = (1 - beta) * sp.sqrt(beta2) / sp.sqrt((1 - beta2) * (beta2 - beta**2))
_r, _s = sp.symbols("r s", positive=True)

norm_bound_unequal = Statement(
    key="adamw.norm_bound_unequal",
    label="Norm of the iterates at any rates beta1^2 < beta2",
    form="printed",
    claim=Claim(
        final_linf_norm, "<=", _KEPT * first_linf_norm + _LARGEST * (1 - _KEPT) / decay,
        mode="every run",
    ),
    algorithm=_UNEQUAL,
    conditions=(*_CONDITIONS, Condition(beta2, ">", beta**2)),
    text="An update reaches (1 - beta1) sqrt(beta2)/sqrt((1 - beta2)(beta2 - beta1^2)) steps at "
    "most, and the norm so many times 1/decay.",
    note="True in every run: |m_j|^2 <= v_j (1-beta1)^2/(1-beta2) (1 - r^t)/(1 - r), r = "
    "beta1^2/beta2, by the Cauchy-Schwarz inequality; the corrections of the bias bring "
    "(1 - beta2^t)/(1 - beta1^t)^2, and (1 - r^t)(1 - beta2^t) <= (1 - beta1^t)^2. It is 1/decay "
    "at beta1 = beta2. Gradients that grow by beta2/beta1 a step approach it.",
    proof=(
        Nonnegative(
            "(1 - sqrt(r s))^2 - (1 - r)(1 - s) for r and s = r^t and beta2^t, sqrt(r s) = beta1^t",
            (1 - sp.sqrt(_r * _s)) ** 2 - (1 - _r) * (1 - _s),
            (sp.sqrt(_r) - sp.sqrt(_s)) ** 2,
        ),
        Identity(
            "the largest update is one step at equal rates", _LARGEST**2, sp.Integer(1),
            {beta2: beta},
        ),
    ),
)  # fmt: skip

norm_bound_transient = Statement(
    key="adamw.norm_bound_transient",
    label="Norm of the iterates, 1/decay at any rates beta1 <= beta2",
    form="printed",
    claim=norm_bound.claim,
    algorithm=_UNEQUAL,
    conditions=(*_CONDITIONS, Condition(beta2, ">=", beta)),
    note="False: what holds in the limit does not hold on the way. A gradient larger than those "
    "before it moves w by more than eta: at beta1 = 0 by up to eta/sqrt(1 - beta2).",
)

STATEMENTS: tuple[Statement, ...] = (norm_bound, norm_bound_unequal)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (norm_bound_half, norm_bound_transient)
