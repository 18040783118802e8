"""Regularisers that live inside a network: stochastic depth and rates that grow with depth.

Both draw from torch's global generator of the device they run on, as ``torch.nn.Dropout`` does,
so that saving that generator's state is enough to resume a run bit for bit.
"""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

__all__ = ["StochasticDepth", "rates_by_depth"]


def rates_by_depth(blocks: int, last: float) -> tuple[float, ...]:
    """Drop rates that grow linearly with depth: ``l / L * last`` for block ``l = 1 .. L``.

    Source: Huang et al., Deep Networks with Stochastic Depth (2016), Section 3, linear decay;
    the "adaptive dropout" arm of the stochastic-batch-size paper.

    >>> rates_by_depth(4, 0.5)
    (0.125, 0.25, 0.375, 0.5)

    Raises
    ------
    ValueError
        If ``last`` is not in [0, 1).
    """
    if not 0 <= last < 1:
        raise ValueError(f"rates_by_depth: last must be in [0, 1), got {last}")
    return tuple((level + 1) / blocks * last for level in range(blocks))


@final
class StochasticDepth(nn.Module):
    """Drops a residual branch: ``b f(x)`` in training, ``(1 - rate) f(x)`` in evaluation.

    ``b`` is 1 with probability ``1 - rate``, one draw a mini-batch (``per="batch"``, the paper's
    form) or one a sample. A dropped branch is multiplied by 0 rather than skipped: no host
    synchronisation, but its batch-norm statistics still see the batch.

    Parameters
    ----------
    rate : float in [0, 1)
        Probability of dropping the branch.
    per : "batch" or "sample"
        What shares one draw.

    Raises
    ------
    ValueError
        If ``rate`` is not in [0, 1).

    Source: Huang et al. (2016), equations (2) and (5).

    >>> import torch
    >>> StochasticDepth(0.25).eval()(torch.ones(2, 1, 1, 1)).flatten()
    tensor([0.7500, 0.7500])
    """

    def __init__(self, rate: float, per: Literal["batch", "sample"] = "batch") -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"StochasticDepth: rate must be in [0, 1), got {rate}")
        self.rate = rate
        self.per = per

    def forward(self, branch: Tensor) -> Tensor:
        if self.rate == 0:
            return branch
        if not self.training:
            return branch * (1 - self.rate)
        samples = 1 if self.per == "batch" else branch.shape[0]
        shape = (samples,) + (1,) * (branch.ndim - 1)
        keep = torch.rand(shape, device=branch.device) >= self.rate
        return branch * keep.to(branch.dtype)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, per={self.per!r}"
