"""The registered families: what ``verify`` tries by default, and what a search may move."""

from __future__ import annotations

import math
from functools import partial

from synthetic.chain_twins import chain_twins
from synthetic.composite import composite_quadratic, lasso
from synthetic.constrained import constrained_huber, constrained_linear, constrained_quadratic
from synthetic.convex import huber, strongly_convex
from synthetic.data_backed import classification, dataset_objective, robust_regression
from synthetic.delta_nonconvex import bounded_nonconvex, delta_nonconvex
from synthetic.dips import dip_chain, quadratic_dip
from synthetic.games import quadratic_game
from synthetic.interpolated import interpolated
from synthetic.linear_sum import linear_twins, strongly_convex_twins
from synthetic.one_sided import one_sided
from synthetic.piecewise_quadratic import piecewise_quadratic
from synthetic.piecewise_quadratic_sum import piecewise_quadratic_sum
from synthetic.polyak import polyak_lojasiewicz
from synthetic.quadratic import quadratic
from synthetic.quadratic_sum import quadratic_sum
from synthetic.relaxed_smooth import cosh_sum, relaxed_smooth
from synthetic.trigonometric import cosine_sum, stability_twins
from synthetic.workers import (
    curved_workers,
    linear_workers,
    regression_workers,
    shifted_workers,
)
from theorylab.data.record import BUNDLED
from theorylab.problem.objective import Family, Parameter

__all__ = ["FAMILIES"]

_DIM = Parameter("dim", 1, 20, integer=True)
_N = Parameter("n", 2, 200, log=True, integer=True)
_SIGMA = Parameter("sigma", 0.01, 10.0, log=True)
_RARITY = Parameter("rarity", 1e-3, 0.5, log=True)
_KAPPA = Parameter("kappa", 0.02, 1.0, log=True)
_ELL = Parameter("ell", 0.01, 100.0, log=True)
_CONDITION = Parameter("condition", 1.0, 100.0, log=True)
_SCALE = Parameter("scale", 0.1, 10.0, log=True)
_SIZE = Parameter("size", 0.1, 10.0, log=True)
_OUT = Parameter("start", 0.0, 1.0)
_ALPHA = Parameter("alpha", 0.0, 1.0)
_M = Parameter("M", 2, 8, log=True, integer=True)

FAMILIES: tuple[Family, ...] = (
    Family(
        "quadratic",
        quadratic,
        (_DIM, _ELL, _CONDITION, Parameter("start", 0.01, 100.0, log=True), _SIGMA, _N),
        ({"dim": 1, "noise": "two_point", "sigma": 1.0, "start": 2.0},
         {"dim": 5, "noise": "shifts", "sigma": 0.5, "n": 6}),
    ),
    Family(
        "delta_nonconvex",
        delta_nonconvex,
        (_DIM, _ELL, _KAPPA, Parameter("wavelength", 0.1, 100.0, log=True), _CONDITION,
         Parameter("start", 0.0, 20.0), _SIGMA, _N),
        ({"dim": 4, "kappa": 0.5, "noise": "gaussian", "sigma": 0.5},
         {"dim": 3, "kappa": 0.2, "noise": "shifts", "sigma": 0.5, "n": 6}),
    ),
    Family(
        "bounded_nonconvex",
        bounded_nonconvex,
        (_DIM, _ELL, _KAPPA, Parameter("Bf", 0.01, 100.0, log=True), _CONDITION,
         Parameter("start", 0.0, 1.0), _SIGMA, _N),
        ({"dim": 1, "kappa": 0.5, "noise": "two_point", "sigma": 0.5},
         {"dim": 4, "kappa": 0.25, "noise": "shifts", "sigma": 0.3, "n": 6},
         {"dim": 2, "kappa": 1.0, "noise": "two_point", "sigma": 0.0},
         {"dim": 1, "kappa": 0.5, "ell": 0.01, "noise": "two_point", "sigma": 0.01}),
    ),
    Family(
        "dip_chain",
        dip_chain,
        (Parameter("dips", 4, 64, log=True, integer=True), _ELL, _KAPPA,
         Parameter("slope", 0.1, 10.0, log=True), Parameter("spacing", 0.5, 1.0)),
        ({}, {"dips": 10}),  # the second for runs of a typical length
    ),
    Family(
        "quadratic_dip",
        quadratic_dip,
        (_ELL, _KAPPA, Parameter("radius", 0.5, 10.0, log=True), Parameter("start", 0.0, 2.0),
         _SIGMA),
    ),
    Family(
        "huber",
        huber,
        (_ELL, Parameter("width", 0.01, 10.0, log=True),
         Parameter("start", 0.5, 500.0, log=True)),
        ({}, {"noise": "shifts", "sigma": 0.5, "n": 6},
         # Steep almost everywhere, and the noise just above the slope: signs are fair coins.
         {"ell": 0.1, "width": 10.0, "start": 7.0, "noise": "two_point", "sigma": 1.002}),
    ),
    Family(
        "strongly_convex",
        strongly_convex,
        (_ELL, _CONDITION, Parameter("first", 0.1, 10.0, log=True),
         Parameter("gap", 0.1, 10.0, log=True), Parameter("start", -10.0, 10.0),
         Parameter("pieces", 1, 6, integer=True)),
        ({}, {"ell": 1.0, "condition": 4.0, "noise": "two_point", "sigma": 0.5}),
    ),
    Family(
        "composite_quadratic",
        composite_quadratic,
        (_DIM, _ELL, _CONDITION, Parameter("weight", 0.01, 10.0, log=True),
         Parameter("centre", -5.0, 5.0), Parameter("start", -10.0, 10.0)),
        ({}, {"part": "squared_norm", "dim": 2},
         {"dim": 2, "noise": "two_point", "sigma": 0.5}),
    ),
    Family(
        "lasso",
        lasso,
        (_SCALE, Parameter("weight", 0.001, 1.0, log=True), Parameter("start", -10.0, 10.0)),
    ),
    Family(
        "constrained_quadratic",
        constrained_quadratic,
        (_DIM, _ELL, _CONDITION, _SIZE, Parameter("centre", -3.0, 3.0), _OUT),
        ({}, {"domain": "simplex"}, {"domain": "simplex", "start": 0.0},
         {"domain": "l1_ball", "centre": -2.0},
         # From the minimizer's side a step of length 1 leads to the other end of the box.
         {"domain": "box", "dim": 1, "centre": 0.99, "start": 1.0},
         {"domain": "box", "dim": 2, "noise": "two_point", "sigma": 0.5}),
    ),
    Family(
        "constrained_huber",
        constrained_huber,
        (_ELL, Parameter("width", 0.01, 10.0, log=True), Parameter("centre", -3.0, 3.0),
         Parameter("start", 0.5, 500.0, log=True)),
        ({}, {"start": 20.0}, {"start": 40.0}),
    ),
    Family(
        "constrained_linear",
        constrained_linear,
        (_DIM, Parameter("slope", 0.01, 100.0, log=True), _SIZE, _OUT),
        ({"shape": "max"}, {"shape": "max", "dim": 11}, {"domain": "simplex", "dim": 3},
         {"domain": "l1_ball", "dim": 3}, {"shape": "max", "domain": "box", "start": 0.5},
         # Drawn losses against which nobody can do much: their mean is all but flat.
         {"dim": 1, "slope": 0.01, "noise": "shifts", "sigma": 1.0, "n": 2}),
    ),
    Family(
        "polyak_lojasiewicz",
        polyak_lojasiewicz,
        (_ELL, _KAPPA, Parameter("fall", 0.05, 0.95), Parameter("waves", 1, 6, integer=True),
         Parameter("width", 0.1, 10.0, log=True), Parameter("start", -10.0, 10.0)),
        ({}, {"noise": "two_point", "sigma": 0.5}),
    ),
    Family(
        "quadratic_game",
        quadratic_game,
        (Parameter("pairs", 1, 10, integer=True), Parameter("coupling", 0.01, 100.0, log=True),
         _CONDITION, Parameter("mu", 0.0, 10.0), Parameter("start", 0.01, 100.0, log=True)),
        ({}, {"mu": 0.5}, {"pairs": 1, "coupling": 1e-3, "condition": 1.0, "mu": 1.0}),
    ),
    Family(
        "piecewise_quadratic",
        piecewise_quadratic,
        (*(Parameter(f"s{k}", -2.0, 2.0) for k in range(5)), Parameter("left", 0.0, 2.0),
         Parameter("right", 0.0, 2.0), Parameter("spacing", 0.1, 10.0, log=True),
         Parameter("start", -20.0, 20.0), _SIGMA, _RARITY),
        ({"s0": -1.0, "s4": 1.0, "noise": "two_point", "sigma": 0.5},
         # A long slope under noise just above it: its stochastic gradients point either way.
         {"s0": -1.0, "s1": -1.0, "s2": -1.0, "s3": 0.0, "s4": 0.0, "spacing": 10.0,
          "start": -10.0, "noise": "two_point", "sigma": 1.02},
         # The other way, under noise that seldom strikes: half of all batches of 16 miss it.
         {"s0": 0.0, "s1": 0.0, "s2": 1.0, "s3": 1.0, "s4": 1.0, "spacing": 10.0, "start": 10.0,
          "noise": "rare", "sigma": 4.9, "rarity": 0.042}),
    ),
    Family(
        "piecewise_quadratic_sum",
        piecewise_quadratic_sum,
        (_N, Parameter("kinds", 1, 6, integer=True), Parameter("knots", 3, 9, integer=True),
         Parameter("steepest", 0.1, 10.0, log=True), Parameter("bend", 0.1, 10.0, log=True),
         Parameter("start", -5.0, 5.0), Parameter("seed", 0, 1000, integer=True)),
    ),
    Family(
        "one_sided",
        one_sided,
        (_DIM, Parameter("L", 0.01, 100.0, log=True), Parameter("width", 0.01, 100.0, log=True),
         Parameter("start", 1e-4, 10.0, log=True), _SIGMA, _N),
        ({"dim": 2, "noise": "two_point", "sigma": 0.2},),
    ),
    Family(
        "relaxed_smooth",
        relaxed_smooth,
        (_DIM, Parameter("frequency", 0.1, 10.0, log=True),
         Parameter("amplitude", 0.01, 100.0, log=True), Parameter("p", 2, 4, integer=True),
         Parameter("L1", 0.5, 8.0, log=True), Parameter("start", -5.0, 5.0), _SIGMA, _N),
        ({"dim": 2, "shape": "cosh", "noise": "shifts", "sigma": 0.5, "n": 6},
         {"dim": 2, "shape": "power", "p": 2, "noise": "two_point", "sigma": 0.5},
         {"dim": 1, "shape": "exponential", "noise": "two_point", "sigma": 0.2},
         {"dim": 2, "shape": "double_well", "noise": "gaussian", "sigma": 0.3}),
    ),
    Family(
        "cosh_sum",
        cosh_sum,
        (_DIM, _N, Parameter("amplitude", 0.01, 100.0, log=True),
         Parameter("frequency", 0.1, 5.0, log=True), Parameter("spread", 0.01, 2.0, log=True),
         Parameter("start", -5.0, 5.0)),
    ),
    Family(
        "cosine_sum",
        cosine_sum,
        (_DIM, _N, Parameter("amplitude", 0.01, 100.0, log=True),
         Parameter("wavelength", 0.1, 100.0, log=True), Parameter("spread", 0.01, math.pi),
         Parameter("start", -20.0, 20.0)),
        ({"dim": 2, "n": 10},),
    ),
    Family(
        "stability_twins",
        stability_twins,
        (Parameter("n", 2, 10_000, log=True, integer=True),
         Parameter("delta", 0.01, 1.0, log=True), Parameter("start", -3.0, 3.0)),
        ({"n": 20},),
    ),
    Family(
        "linear_twins",
        linear_twins,
        (Parameter("n", 2, 10_000, log=True, integer=True), Parameter("G", 0.1, 10.0, log=True),
         _ELL),
    ),
    Family(
        "chain_twins",
        chain_twins,
        (Parameter("n", 50, 2000, log=True, integer=True), Parameter("dim", 3, 21, integer=True),
         Parameter("G", 0.1, 10.0, log=True), _ELL),
    ),
    Family(
        "strongly_convex_twins",
        strongly_convex_twins,
        (Parameter("n", 2, 10_000, log=True, integer=True),
         Parameter("slope", 0.1, 10.0, log=True), Parameter("mu", 0.01, 10.0, log=True),
         _CONDITION),
    ),
    Family(
        "quadratic_sum",
        quadratic_sum,
        (_N, _ELL, _CONDITION, Parameter("apart", 0.0, 10.0), Parameter("start", -10.0, 10.0)),
        ({"n": 2}, {"n": 12, "condition": 1.0, "start": 0.0},
         {"n": 2, "condition": 1.0, "apart": 0.0}),  # gradient descent, whichever is drawn
    ),
    Family(
        "robust_regression",
        robust_regression,
        (_N, _DIM, _SCALE, Parameter("outliers", 0.0, 0.5),
         Parameter("outlier_size", 0.1, 10.0, log=True), _ALPHA,
         Parameter("start", -10.0, 10.0), Parameter("seed", 0, 1000, integer=True)),
        ({"n": 20, "dim": 3}, {"n": 20, "dim": 3, "loss": "squared"}),
    ),
    Family(
        "classification",
        classification,
        (_N, _DIM, _SCALE, Parameter("flips", 0.0, 0.5), _ALPHA,
         Parameter("start", -10.0, 10.0), Parameter("seed", 0, 1000, integer=True)),
        ({"n": 20, "dim": 3, "loss": "sigmoid", "alpha": 0.0}, {"n": 20, "dim": 3},
         {"n": 20, "dim": 3, "alpha": 0.0}),
    ),
    Family(
        "shifted_workers",
        shifted_workers,
        (_M, _DIM, _ELL, _CONDITION, Parameter("zeta", 0.0, 10.0),
         Parameter("start", -10.0, 10.0), _SIGMA, _RARITY),
        ({"noise": "two_point", "sigma": 0.0}, {"noise": "two_point", "sigma": 1.0},
         {"M": 3, "zeta": 0.0, "noise": "two_point", "sigma": 1.0},  # workers who are alike
         # Most votes of most samples go the wrong way: a step's noise is mostly small and negative.
         {"M": 9, "zeta": 0.0, "noise": "rare", "sigma": 1.1, "rarity": 0.45, "ell": 0.1,
          "start": 9.0},
         {"M": 3, "dim": 2, "condition": 4.0, "zeta": 0.0, "noise": "gaussian", "sigma": 0.5}),
    ),
    Family(
        "curved_workers",
        curved_workers,
        (_M, _DIM, _ELL, _CONDITION, Parameter("apart", 0.1, 10.0, log=True),
         Parameter("start", -10.0, 10.0), _SIGMA),
        ({"noise": "two_point", "sigma": 0.0}, {"noise": "shifts", "sigma": 0.5, "n": 2},
         {"start": 0.0, "noise": "two_point", "sigma": 0.0}),  # drift alone moves it
    ),
    Family(
        "linear_workers",
        linear_workers,
        (_M, Parameter("dim", 2, 20, integer=True), Parameter("G", 0.1, 10.0, log=True), _ELL,
         Parameter("aligned", 0.0, 1.0), _SIGMA),
        ({"sigma": 0.0}, {"dim": 3, "aligned": 0.5, "sigma": 0.5},
         {"M": 2, "dim": 16, "aligned": 1.0}),
    ),
    Family(
        "regression_workers",
        regression_workers,
        (_M, Parameter("n", 2, 20, log=True, integer=True), _DIM, _SCALE,
         Parameter("outliers", 0.0, 0.5), Parameter("start", -10.0, 10.0),
         Parameter("seed", 0, 1000, integer=True)),
        ({"n": 3},),
    ),
    *(
        Family(name, partial(dataset_objective, name), (_SCALE, _ALPHA, _N), defaults=())
        for name in BUNDLED
    ),
    Family("interpolated", interpolated, defaults=()),
    Family("data", dataset_objective, (_SCALE, _ALPHA), defaults=()),
)  # fmt: skip
