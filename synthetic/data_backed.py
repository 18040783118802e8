"""Finite sums over data: generated, bundled with scikit-learn, or a user's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthetic.losses import Loss, loss_named
from synthetic.margin_sum import MarginSum
from synthetic.populations import Pool, Population, SphereLaw
from synthetic.shared import count, given, refuse
from synthetic.shared import positive as require_positive
from theorylab.data.reader import bundled_dataset, load
from theorylab.data.record import (
    BUNDLED,
    Choices,
    Dataset,
    by_name,
    few_values,
    with_note,
)
from theorylab.errors import DataError, UsageError

__all__ = [
    "classification", "dataset_objective", "finite_sum", "from_file", "robust_regression",
]  # fmt: skip

_POOL = 10_000


def _generated(
    who: str, population: Population, loss: str, n: int, start: np.ndarray, alpha: float,
    seed: int, parameters: dict[str, Any], dtype: torch.dtype,
) -> MarginSum:  # fmt: skip
    # Stream 1 of the seed: the population itself is made from stream 0.
    A, b = population.sample(np.random.default_rng([1, seed]), n)
    return MarginSum(who, loss_named(loss), A, b, start, alpha, population, parameters, dtype)


def robust_regression(
    n: int = 50,
    dim: int = 5,
    loss: str = "geman_mcclure",
    scale: float = 1.0,
    outliers: float = 0.2,
    outlier_size: float = 3.0,
    alpha: float = 0.0,
    start: float = 1.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> MarginSum:
    """``f_i(w) = phi((<a_i, w> - b_i)/scale)``, ``a_i`` uniform on the sphere of radius sqrt(d).

    ``b_i = <a_i, w*> + noise_i``, the noise ``+-outlier_size`` with probability ``outliers``,
    else 0; ``w* = 0``. The population risk is a one-dimensional integral, by quadrature.

    Parameters
    ----------
    n, dim : int
        Samples and dimension.
    loss : str
        A loss of residuals: ``"geman_mcclure"``, ``"welsch"``, ``"tukey"``, ``"cauchy"``,
        ``"pseudo_huber"`` or ``"squared"``.
    scale : float
        Residuals much beyond it count as outliers.
    outliers, outlier_size : float
        Probability (in [0, 1]) and size of the outliers.
    alpha : float
        Weight of the regulariser ``sum_j w_j^2/(1 + w_j^2)``.
    start : float
        Every coordinate of ``w_0``.
    seed : int

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = robust_regression(n=30, dim=2)
    >>> sorted(F.constants())
    ['Bf', 'Delta', 'G', 'L', 'd', 'delta', 'ell', 'n', 'sigma']
    """
    parameters = given(locals())
    who = "robust_regression"
    n, dim = count(who, "n", n), count(who, "dim", dim)
    require_positive(who, scale=scale)
    if not 0 <= outliers <= 1:
        raise refuse(who, "outliers", "in [0, 1]", outliers)
    if alpha < 0:
        raise refuse(who, "alpha", "at least 0", alpha)
    if loss_named(loss).of_margin:
        raise refuse(who, "loss", "a loss of residuals", loss)
    law = SphereLaw(np.zeros(dim), math.sqrt(dim) / scale, outliers, outlier_size / scale)
    return _generated(who, law, loss, n, np.full(dim, start), alpha, seed, parameters, dtype)


def classification(
    n: int = 50,
    dim: int = 5,
    loss: str = "logistic",
    scale: float = 1.0,
    flips: float = 0.1,
    alpha: float = 0.1,
    start: float = 0.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> MarginSum:
    """``f_i(w) = phi(y_i <a_i, w>/scale) + alpha sum_j w_j^2/(1 + w_j^2)``.

    ``a_i`` is uniform on the sphere of radius sqrt(d), ``y_i`` the sign of its first
    coordinate, flipped with probability ``flips``. The population is a pool of 10,000 such rows.

    Parameters
    ----------
    n, dim : int
        Samples and dimension.
    loss : str
        A loss of margins: ``"logistic"``, ``"sigmoid"`` or ``"savage"``.
    scale : float
        Divides the margins.
    flips : float
        Probability of a wrong label, in [0, 1].
    alpha : float
        Weight of the non-convex regulariser.
    start : float
        Every coordinate of ``w_0``.
    seed : int

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> classification(n=30, dim=2, alpha=0.0).declared
    frozenset({'convex'})
    """
    parameters = given(locals())
    who = "classification"
    n, dim = count(who, "n", n), count(who, "dim", dim)
    require_positive(who, scale=scale)
    if not 0 <= flips <= 1:
        raise refuse(who, "flips", "in [0, 1]", flips)
    if alpha < 0:
        raise refuse(who, "alpha", "at least 0", alpha)
    if not loss_named(loss).of_margin:
        raise refuse(who, "loss", "a loss of margins", loss)
    rng = np.random.default_rng([0, seed])
    A = rng.standard_normal((_POOL, dim))
    A *= math.sqrt(dim) / scale / np.linalg.norm(A, axis=1, keepdims=True)
    A *= np.where(rng.random(_POOL) < flips, -1.0, 1.0)[:, None] * np.sign(A[:, :1])
    pool = Pool(A, np.zeros(_POOL))
    return _generated(who, pool, loss, n, np.full(dim, start), alpha, seed, parameters, dtype)


@by_name
def dataset_objective(
    source: str | Path | Any = "breast_cancer",
    loss: str | Loss = "geman_mcclure",
    scale: float = 1.0,
    alpha: float = 0.0,
    n: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    *,
    choices: Choices,
    digest: str | None = None,
) -> MarginSum:
    """A finite sum over the standardised rows of a data set.

    Losses of residuals take ``(<a_i, w> - b_i)/scale`` with the standardised target; losses of
    margins take ``y_i <a_i, w>/scale`` with ``y_i`` = +1 where the target is above its mean, -1
    elsewhere. ``w_0 = 0``. The whole data set is the population: with ``n``, the sum is over
    ``n`` rows drawn from it with replacement.

    Parameters
    ----------
    source : str, Path or frame
        ``"breast_cancer"``, ``"digits"``, ``"diabetes"``, or a file or frame of yours (see
        :func:`theorylab.data.load`).
    loss : str or Loss
        See :data:`synthetic.losses.LOSSES`; :func:`synthetic.own_loss` makes one of your own.
    scale : float
        Divides residuals or margins.
    alpha : float
        Weight of the non-convex regulariser.
    n : int or None
        How many rows to draw; all of them, once each, if ``None``.
    seed : int
        Of that draw.
    target, header, index, delimiter, decimal, text, impute, positive, labels
        How to read the data; see :class:`theorylab.data.Choices`.
    digest : str, optional
        The SHA-256 that the file must have, in hex.

    Raises
    ------
    DataError
        If the data cannot be used, or a loss of margins meets three classes or more.
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = dataset_objective("diabetes", loss="welsch")
    >>> F.n, F.dim, F.data.rows
    (442, 10, 442)
    """
    told = {k: v for k, v in (*asdict(choices).items(), ("digest", digest)) if v is not None}
    parameters: dict[str, Any] = {"loss": str(loss), "scale": scale, "alpha": alpha, "n": n,
                                  "seed": seed}  # fmt: skip
    parameters |= told
    chosen = loss_named(loss)
    require_positive("dataset_objective", scale=scale)
    if alpha < 0:
        raise refuse("dataset_objective", "alpha", "at least 0", alpha)
    raw = _read(source, told)
    parameters["source"] = str(source) if isinstance(source, str | Path) else raw.name
    if chosen.of_margin:
        raw = _two_classes(raw)
    data = raw.standardised()
    A, b = data.X / scale, data.y / scale
    if chosen.of_margin:
        A, b = A * data.signs()[:, None], np.zeros(len(b))
    pool = Pool(A, b)
    if n is not None:
        n = count("dataset_objective", "n", n)
        A, b = pool.sample(np.random.default_rng([1, seed]), n)
    start = np.zeros(A.shape[1])
    objective = MarginSum(data.name, chosen, A, b, start, alpha, pool, parameters, dtype)
    objective.data = data.reading
    objective.unread = {} if n is not None else {"seed": "n=ROWS"}
    return objective


def _read(source: str | Path | Any, told: Mapping[str, str]) -> Dataset:
    if not isinstance(source, str | Path) or str(source) not in BUNDLED:
        return load(source, **told)
    if odd := [k for k in told if k != "positive"]:
        raise UsageError(f"{source} is bundled and needs no {odd[0]}; leave it out")
    return bundled_dataset(str(source), told.get("positive"))


def _two_classes(data: Dataset) -> Dataset:
    """The data with a target for losses of margins; of a quantity, a split at its mean is said."""
    different = len(np.unique(data.y))
    if different == 2:
        low, high = np.unique(data.y)
        known = data.reading is not None and data.reading.classes
        return data if known else with_note(data, f"classes: {low:g} = -1, {high:g} = +1")
    if few_values(data.y):
        raise DataError(f"{data.name}: a loss of margins takes two classes, the target has "
                        f"{different}; --set positive=LABEL sets one against the rest")  # fmt: skip
    return with_note(data, "classes: target above its mean = +1, else -1")


def finite_sum(
    A: np.ndarray,
    b: np.ndarray,
    loss: str | Loss = "geman_mcclure",
    alpha: float = 0.0,
    start: float | np.ndarray | None = None,
    dtype: torch.dtype = torch.float64,
) -> MarginSum:
    """``f_i(w) = phi(<a_i, w> - b_i) + alpha sum_j w_j^2/(1 + w_j^2)`` on arrays as they are.

    Parameters
    ----------
    A : ndarray, shape (n, d)
    b : ndarray, shape (n,)
    loss : str or Loss
        See :data:`synthetic.losses.LOSSES`; :func:`synthetic.own_loss` makes one of your own.
    alpha : float
        Weight of the non-convex regulariser.
    start : float or ndarray, shape (d,)
        ``w_0``, a number for every coordinate; 0 by default.

    Raises
    ------
    DataError
        If the arrays are not finite or their shapes do not fit.

    Examples
    --------
    >>> F = finite_sum(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0.0, 1.0]))
    >>> float(F.sample_constants()["ell"])
    4.0
    """
    A, b = np.asarray(A, dtype=float), np.asarray(b, dtype=float)
    if A.ndim != 2 or b.shape != A.shape[:1] or not A.size:
        raise DataError(f"finite_sum: expected A of shape (n, d) and b of shape (n,), got "
                        f"{A.shape} and {b.shape}")  # fmt: skip
    if not (np.isfinite(A).all() and np.isfinite(b).all()):
        raise DataError("finite_sum: expected finite numbers")
    if alpha < 0:
        raise refuse("finite_sum", "alpha", "at least 0", alpha)
    first = np.zeros(A.shape[1]) if start is None else np.asarray(start, dtype=float)
    if first.shape not in ((), A.shape[1:]) or not np.isfinite(first).all():
        raise DataError(f"finite_sum: expected start as a number or of shape ({A.shape[1]},), "
                        f"finite, got {first.tolist()}")  # fmt: skip
    first = np.broadcast_to(first, A.shape[1:]).copy()
    parameters = {"loss": str(loss), "alpha": alpha, "n": len(b)}
    return MarginSum("finite_sum", loss_named(loss), A, b, first, alpha, Pool(A, b), parameters,
                     dtype)  # fmt: skip


def from_file(path: str | Path, **parameters: Any) -> MarginSum:
    """:func:`dataset_objective` on a file of yours, even if it is called as a bundled one."""
    return dataset_objective(Path(path).absolute(), **parameters)
