"""Whether compiling a step pays: its operations counted, at what this machine pays for each.

The answer depends on the run's shape and the machine alone, not on how many threads there are or
on what was compiled before, so the same run has the same bits every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from theorylab.engine.native.costs import MachineCosts, machine_costs
from theorylab.engine.step import eager_step
from theorylab.method.rule import Drawn, UpdateRule, tables
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch

__all__ = ["Operations", "compiling_pays", "operations"]

_PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm", "matmul", "mv", "dot", "linear", "einsum"})
_SPECIAL = frozenset({
    "exp", "expm1", "log", "log1p", "log2", "tanh", "sigmoid", "sin", "cos", "tan", "atan", "erf",
    "softplus", "log_sigmoid", "logaddexp", "pow", "softmax", "logsumexp", "atan2", "sinh", "cosh",
})  # fmt: skip
# What compiled code pays for the same, against torch: passes over memory are few, but torch's
# products of matrices and its exponentials are better than a compiler's.
_BYTE, _PRODUCT, _SPECIAL_TIMES = 0.15, 3.0, 8.0
_ROW = 20e-9  # seconds a row and step
_MARGIN = 1.0  # compilations that must be saved; Python's own time comes on top
_MANY = 60  # operations of a step that has not been counted
# What is assumed of a machine until it is worth measuring it: a slow one, with a fast compiler.
_SLOW = MachineCosts(5e-6, 1e-10, 1e-10, 1e-8, 0.5)


@final
@dataclass(frozen=True)
class Operations:
    """What torch does in a step.

    Attributes
    ----------
    count : float
        Operations.
    bytes : float
        That they write, and that products of matrices read.
    products : float
        Of two numbers, in products of matrices.
    special : float
        Exponentials, logarithms and the like.
    """

    count: float = 0
    bytes: float = 0
    products: float = 0
    special: float = 0

    def plus(self, other: Operations, times: float = 1) -> Operations:
        """The sum with so many of ``other``."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Operations(*(a + times * b for a, b in pairs))

    def eager(self, costs: MachineCosts) -> float:
        """Seconds, operation by operation."""
        return (self.count * costs.operation + self.bytes * costs.byte
                + self.products * costs.product + self.special * costs.special)  # fmt: skip

    def compiled(self, costs: MachineCosts) -> float:
        """Seconds as machine code."""
        return (self.bytes * costs.byte * _BYTE + self.products * costs.product * _PRODUCT
                + self.special * costs.special * _SPECIAL_TIMES)  # fmt: skip


@final
class _Counter(TorchDispatchMode):
    """Counts what is dispatched."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = Operations()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            name = func.name().partition("::")[2].partition(".")[0]
            given = [x for x in args if isinstance(x, Tensor)]
            fresh = all(x.data_ptr() != made.data_ptr() for x in given)
            size, product = made.numel(), name in _PRODUCTS and given
            read = sum(x.nbytes for x in given) if product else 0
            width = given[0].shape[-1] if product and given[0].ndim else 1
            self.found = self.found.plus(Operations(
                1, made.nbytes * fresh + read, size * width * bool(product),
                size * (name in _SPECIAL),
            ))  # fmt: skip
        return made


def operations(
    objective: Objective, rule: UpdateRule, batch_size: int, rows: int, restart: bool,
    weights: Tensor | None = None,
) -> Operations:  # fmt: skip
    """What a step of so many rows does, from steps of 2 and of 4.

    >>> import synthetic
    >>> from theorylab.method import SGD
    >>> few, many = (operations(synthetic.robust_regression(n=9, dim=20), SGD(eta=0.1), 1, rows,
    ...                         True) for rows in (10, 1000))
    >>> few.count == many.count, many.bytes / few.bytes
    (True, 100.0)
    """
    found = []
    for few in (2, 4):
        some = rule.rows(np.zeros(few, dtype=np.int64)) if tables(rule) else rule
        start = objective.start
        w = (start[:1] if start.ndim == 2 else start).expand(few, -1).contiguous()
        samples = objective.draw(np.random.default_rng(0), 1, few, batch_size)[0]
        own: Mapping[str, Tensor] = {
            d.name: w.new_full((few, objective.dim if d.per == "coordinate" else 1), 0.5)
            for d in rule.draws
        }
        drawn = Drawn(w.new_ones(()), restart, own)
        with torch.inference_mode(False), torch.no_grad():
            state = some.init(w, MiniBatch(objective))
            step = eager_step(objective, some, weights)
            batches = [torch.from_numpy(samples)] * rule.lags
            with _Counter() as counter:
                step(w, batches, state, drawn)
        found.append(counter.found)
    two, four = found
    return two.plus(four, (rows - 2) / 2).plus(two, -(rows - 2) / 2)


def compiling_pays(
    objective: Objective, rule: UpdateRule, horizon: int, by_rounds: bool, batch_size: int,
    rows: int, passes: bool, weights: Tensor | None = None,
) -> bool:  # fmt: skip
    """Whether the run is expected to save some compilations' time by being compiled.

    Parameters
    ----------
    horizon : int
        Steps, or rounds with ``by_rounds``.
    rows : int
    passes : bool
        Whether a step that begins a round is other code than one that does not.
    weights : Tensor, shape (n,), optional
        The sampler's.
    """
    begins = rule.restarts(np.random.default_rng(0), 0, min(1024, max(1, horizon)), 128)
    often = 1.0 if begins is None else float(begins.mean())
    steps = horizon / often if by_rounds else horizon
    size = batch_size + (getattr(objective, "n", 0) * often if passes else 0)
    width = rows * size * objective.dim * objective.start.element_size()
    most = Operations(_MANY, _MANY * width, _MANY * width, width)
    if steps * most.eager(_SLOW) < _SLOW.compilation:
        return False
    try:
        found = operations(objective, rule, batch_size, rows, not passes, weights)
        if passes:
            fresh = operations(objective, rule, batch_size, rows, True, weights)
            found = found.plus(fresh, often).plus(found, -often)
    except Exception:  # whatever it is, the run itself says it
        return False
    if steps * found.eager(_SLOW) < _SLOW.compilation:
        return False
    costs = machine_costs()
    if costs is None:
        return False
    saved = steps * (found.eager(costs) - found.compiled(costs) - rows * _ROW)
    return saved > _MARGIN * costs.compilation
