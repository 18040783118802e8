"""Elementwise functions whose result at one entry is the same bits in any tensor.

Some of torch's (sigmoid, sinh, cosh, softplus, most powers) run vector code on whole registers
and scalar code, rounded differently, on the last few entries: a replica's result would depend on
its place in the batch. These are built from operations that do not.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cosh", "power", "sigmoid", "sigmoid_slope", "sinh"]


def sigmoid(x: Tensor) -> Tensor:
    """``1/(1 + exp(-x))``, accurate to rounding of 1.

    >>> sigmoid(torch.tensor([0.0]))
    tensor([0.5000])
    """
    return torch.tanh(0.5 * x).add(1).mul(0.5)


def sigmoid_slope(x: Tensor) -> Tensor:
    """``exp(-x)/(1 + exp(-x))^2``, an even function, accurate in its tails.

    >>> sigmoid_slope(torch.tensor([0.0]))
    tensor([0.2500])
    """
    e = x.abs().neg_().exp_()
    return (1 + e).square_().reciprocal_().mul_(e)


def sinh(x: Tensor) -> Tensor:
    """The hyperbolic sine, accurate near 0.

    >>> sinh(torch.tensor([0.0]))
    tensor([0.])
    """
    return (torch.expm1(x) - torch.expm1(-x)) * 0.5


def cosh(x: Tensor) -> Tensor:
    """The hyperbolic cosine.

    >>> cosh(torch.tensor([0.0]))
    tensor([1.])
    """
    return (torch.exp(x) + torch.exp(-x)) * 0.5


def power(x: Tensor, exponent: int) -> Tensor:
    """``x^exponent`` by repeated multiplication, ``exponent >= 1``.

    >>> power(torch.tensor([2.0]), 5)
    tensor([32.])
    """
    result = x
    for _ in range(exponent - 1):
        result = result * x
    return result
