"""``AffineGradients``: sample gradients that are affine in w, so that moments close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["AffineGradients"]


@dataclass(frozen=True, eq=False)
class AffineGradients:
    """One sample's gradient is ``H_i w + c_i`` with probability ``p_i``, plus noise.

    An objective that declares this form (:meth:`Objective.affine_gradients`) is quadratic:
    ``grad F(w) = H w + c`` with the means ``H = sum_i p_i H_i`` and ``c = sum_i p_i c_i``, and
    the mean and the second moment of a linear rule's iterates follow exact recursions.

    Attributes
    ----------
    chances : ndarray, shape (m,)
        ``p_i``, nonnegative, of sum 1.
    matrices : ndarray, shape (m, d, d)
        ``H_i``, symmetric.
    offsets : ndarray, shape (m, d)
        ``c_i``.
    covariance : ndarray, shape (d, d)
        Of zero-mean noise in one sample's gradient, independent of the sample and of w.

    Examples
    --------
    >>> import synthetic
    >>> bowl = synthetic.quadratic(dim=1, ell=4.0, noise="gaussian", sigma=0.5)
    >>> form = bowl.affine_gradients()
    >>> form.matrices.tolist(), form.covariance.tolist()
    ([[[4.0]]], [[0.25]])
    """

    chances: np.ndarray
    matrices: np.ndarray
    offsets: np.ndarray
    covariance: np.ndarray

    @property
    def mean(self) -> tuple[np.ndarray, np.ndarray]:
        """``(H, c)`` of the full gradient ``H w + c``."""
        return (np.einsum("i,ijk->jk", self.chances, self.matrices),
                self.chances @ self.offsets)  # fmt: skip
