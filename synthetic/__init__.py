"""Objectives with certified constants; ``FAMILIES`` lists them for the registry."""

from synthetic.attack import attack
from synthetic.chain_twins import ChainTwins, chain_twins
from synthetic.composite import composite_quadratic, lasso
from synthetic.constrained import constrained_huber, constrained_linear, constrained_quadratic
from synthetic.convex import huber, strongly_convex
from synthetic.data_backed import (
    classification,
    dataset_objective,
    finite_sum,
    from_file,
    robust_regression,
)
from synthetic.delta_nonconvex import bounded_nonconvex, delta_nonconvex
from synthetic.dips import dip_chain, quadratic_dip
from synthetic.families import FAMILIES
from synthetic.games import quadratic_game
from synthetic.interpolated import interpolated
from synthetic.laws import Gaussian, Rare, Shifts, StudentT, two_point
from synthetic.linear_sum import LinearSum, linear_twins, strongly_convex_twins
from synthetic.losses import LOSSES
from synthetic.noise import Noisy, ShiftedSum
from synthetic.one_sided import one_sided
from synthetic.own_loss import own_loss
from synthetic.piecewise_quadratic import PiecewiseQuadratic, piecewise_quadratic
from synthetic.piecewise_quadratic_sum import piecewise_quadratic_sum
from synthetic.polyak import polyak_lojasiewicz
from synthetic.quadratic import quadratic
from synthetic.quadratic_sum import quadratic_sum
from synthetic.reach import Reach
from synthetic.relaxed_smooth import cosh_sum, relaxed_smooth
from synthetic.trigonometric import cosine_sum, stability_twins
from synthetic.workers import (
    curved_workers,
    linear_workers,
    regression_workers,
    shifted_workers,
)
from theorylab.data.reader import load
from theorylab.data.record import Dataset

__all__ = [
    "FAMILIES", "LOSSES", "ChainTwins", "Dataset", "Gaussian", "LinearSum", "Noisy",
    "PiecewiseQuadratic", "Rare", "Reach", "ShiftedSum", "Shifts", "StudentT", "attack",
    "bounded_nonconvex", "chain_twins", "classification", "composite_quadratic",
    "constrained_huber", "constrained_linear", "constrained_quadratic", "cosh_sum", "cosine_sum",
    "curved_workers", "dataset_objective", "delta_nonconvex",
    "dip_chain", "finite_sum", "from_file", "huber", "interpolated", "lasso", "linear_twins",
    "linear_workers", "load",
    "one_sided", "own_loss", "piecewise_quadratic", "piecewise_quadratic_sum", "polyak_lojasiewicz",
    "quadratic", "quadratic_dip", "quadratic_game", "quadratic_sum", "regression_workers",
    "relaxed_smooth",
    "robust_regression", "shifted_workers", "stability_twins", "strongly_convex",
    "strongly_convex_twins", "two_point",
]  # fmt: skip
