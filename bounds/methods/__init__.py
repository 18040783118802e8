"""One known theorem a method, in true form, each with a false neighbour; one module a method.

``STATEMENTS`` are registered. A false neighbour (a constant or an exponent off) is not: it shows
that the checks can tell the two apart.
"""

from __future__ import annotations

from types import ModuleType

from bounds.methods import (
    accelerated_sgd,
    adagrad_norm,
    adamw,
    averaged_sgd,
    clipped_sgd,
    decentralized_sgd,
    distributed_topk_sgd,
    extragradient,
    federated_averaging,
    fista,
    frank_wolfe,
    local_sgd,
    majority_vote,
    mirror_descent,
    optimized_gradient,
    polyak_step,
    projected_subgradient,
    proximal_gradient,
    reshuffled_sgd,
    saga,
    sam,
    sign_sgd,
    sngd,
    storm,
    svrg,
    two_point_zeroth_order,
)
from bounds.statement import Statement

_MODULES: tuple[ModuleType, ...] = (
    accelerated_sgd,
    adagrad_norm,
    adamw,
    averaged_sgd,
    clipped_sgd,
    decentralized_sgd,
    distributed_topk_sgd,
    extragradient,
    federated_averaging,
    fista,
    frank_wolfe,
    local_sgd,
    majority_vote,
    mirror_descent,
    optimized_gradient,
    polyak_step,
    projected_subgradient,
    proximal_gradient,
    reshuffled_sgd,
    saga,
    sam,
    sign_sgd,
    sngd,
    storm,
    svrg,
    two_point_zeroth_order,
)

STATEMENTS: tuple[Statement, ...] = tuple(s for m in _MODULES for s in m.STATEMENTS)
FALSE_NEIGHBOURS: tuple[Statement, ...] = tuple(s for m in _MODULES for s in m.FALSE_NEIGHBOURS)
