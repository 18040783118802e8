"""Is the judge calibrated? ``check`` at the exact mean of laws that fool judges, many times over.

One step of SGD carries a repetition to ``w_1 = s sqrt(X)`` with a random sign s, where
``||grad F(w_1)||^2 = X`` follows a law whose mean is known exactly: so claims that are exactly
true, or false by exactly 5%, can be put to ``check`` like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from bounds.claim import Claim
from bounds.quantities import final_gradient_norm_squared
from bounds.statement import Algorithm, Statement
from bounds.symbol import Domain, Symbol
from theorylab.errors import require_integer
from theorylab.judge.check import check
from theorylab.judge.verdict import json_ready
from theorylab.plugins.provenance import provenance
from theorylab.plugins.shape import shaped
from theorylab.plugins.store import Store
from theorylab.problem.objective import Constant, Objective
from theorylab.quantities.protocol import GRADIENTS_PER_STEP, LEAST_REPLICAS
from theorylab.studies.compute import Lost, compute
from theorylab.studies.pages import markdown_table
from theorylab.studies.report import Report
from theorylab.studies.scale import Scale

__all__ = ["CLAIMS", "LAWS", "Calibration", "Law", "Row", "calibrate"]

_RISK = 0.01
_LEAST = max(LEAST_REPLICAS, GRADIENTS_PER_STEP)  # that the one step of a check can be paid with


@dataclass(frozen=True, eq=False)
class Law:
    """The law of a nonnegative number with an exactly known mean.

    Attributes
    ----------
    name : str
    mean : float
    bounded : bool
        Whether it lies in [0, 1] and that is certified; otherwise nothing is known above.
    quantile : callable
        Maps uniform numbers to samples.
    """

    name: str
    mean: float
    bounded: bool
    quantile: Callable[[np.ndarray], np.ndarray]


def _chance(p: float, value: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    return lambda u: value * (u < p)


_STUDENT, _PARETO = 2.2, 1.1

LAWS: tuple[Law, ...] = (
    Law("uniform on [0, 1]", 0.5, True, lambda u: u),
    Law("fair coin", 0.5, True, _chance(0.5)),
    Law("three values 0, 1/2, 1", 0.35, True, lambda u: 0.5 * (u < 0.5) + 0.5 * (u < 0.2)),
    Law("all but surely 1 (0.999)", 0.999, True, _chance(0.999)),
    Law("rare event, p = 1e-4, certified in [0, 1]", 1e-4, True, _chance(1e-4)),
    Law("rare event, 10^6 with p = 1e-6", 1.0, False, _chance(1e-6, 1e6)),
    Law("squared Student t, 2.2 degrees", _STUDENT / (_STUDENT - 2), False,
        lambda u: stats.t.ppf((1 + u) / 2, _STUDENT) ** 2),
    Law("Pareto, index 1.1", _PARETO / (_PARETO - 1), False, lambda u: (1 - u) ** (-1 / _PARETO)),
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A kind of claim on the mean: ``lhs sense factor * mean``."""

    name: str
    sense: str
    factor: float

    @property
    def true(self) -> bool:
        """Whether the claim is true of every law."""
        return self.factor == 1 or (self.factor > 1) == (self.sense == "<=")


CLAIMS: tuple[Asked, ...] = (
    Asked("<= mean", "<=", 1.0),
    Asked(">= mean", ">=", 1.0),
    Asked("== mean", "==", 1.0),
    Asked("<= 0.95 mean", "<=", 0.95),
    Asked(">= 1.05 mean", ">=", 1.05),
    Asked("<= 1.05 mean", "<=", 1.05),
)


class _OneStep(Objective):
    """``F'(w) = w``, cut off at 1 where the law is bounded; SGD with eta = 1 steps from 0 to it."""

    def __init__(self, law: Law) -> None:
        self.law, self.name, self.parameters = law, law.name, {}
        self.start = torch.zeros(1, dtype=torch.float64)

    def value(self, w: Tensor) -> Tensor:
        x = w[:, 0].abs()
        return torch.where(x <= 1, x**2 / 2, x - 0.5) if self.law.bounded else x**2 / 2

    def gradient(self, w: Tensor) -> Tensor:
        return w.clamp(-1, 1) if self.law.bounded else w

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        uniform = rng.random((steps, replicas, batch_size, 2))
        sign = np.where(uniform[..., 0] < 0.5, -1.0, 1.0)
        return np.asarray(sign * np.sqrt(self.law.quantile(uniform[..., 1])))

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.gradient(w) - draw.mean(1, keepdim=True)

    def constants(self) -> Mapping[str, Constant]:
        found = {"ell": Constant(1.0, "closed form"), "Delta": Constant(0.0, "closed form")}
        return found | ({"G": Constant(1.0, "closed form")} if self.law.bounded else {})

    def minimum(self) -> float:
        return 0.0


def _statement(asked: Asked) -> Statement:
    mean = Symbol("m", "the claimed mean", Domain(0, math.inf))
    claim = Claim(final_gradient_norm_squared, asked.sense, mean)  # type: ignore[arg-type]
    return Statement("calibration.mean", asked.name, "printed", claim,
                     algorithm=Algorithm("sgd", {"eta": 1}))  # fmt: skip


@dataclass(frozen=True)
class Row:
    """How often one claim on one law got each verdict.

    Attributes
    ----------
    law, claim : str
    mean : float
        The exact mean.
    certified : bool
        Whether the law's range is.
    true : bool
        Whether the claim is.
    repetitions, violated, holds : int
    """

    law: str
    claim: str
    mean: float
    certified: bool
    true: bool
    repetitions: int
    violated: int
    holds: int

    @property
    def wrong(self) -> int:
        """Verdicts that are false: ``violated`` of a true claim, ``holds`` of a false one."""
        return self.violated if self.true else self.holds

    @property
    def right(self) -> int:
        """Verdicts that are true and say more than ``not refuted``."""
        return self.holds if self.true else self.violated

    def interval(self, count: int) -> tuple[float, float]:
        """The 99% Clopper-Pearson interval of a rate seen ``count`` times."""
        found = stats.binomtest(count, self.repetitions).proportion_ci(0.99, "exact")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Calibration(Report):
    """The rates of false and of decided verdicts, by law and claim.

    Attributes
    ----------
    rows : tuple of Row
    risk : float
        The rate of false verdicts that the judge states.
    replicas : int
        Samples of a first look.
    provenance : mapping
    """

    rows: tuple[Row, ...]
    risk: float
    replicas: int
    provenance: Mapping[str, Any]
    lost: tuple[Lost, ...] = ()

    @property
    def calibrated(self) -> bool:
        """Whether no rate of false verdicts lies, with 99% confidence, above the stated risk."""
        return all(row.interval(row.wrong)[0] <= self.risk for row in self.rows)

    def to_pandas(self) -> pd.DataFrame:
        """One row a law and claim."""
        return pd.DataFrame([asdict(row) | {"wrong": row.wrong} for row in self.rows])

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "schema": 1, "provenance": dict(self.provenance), "risk": self.risk,
            "replicas": self.replicas, "calibrated": self.calibrated,
            "failed": [vars(lost) for lost in self.lost],
            "results": [
                {**asdict(row), "wrong": row.wrong, "interval": row.interval(row.wrong)}
                for row in self.rows
            ],
        }  # fmt: skip

    def markdown(self) -> str:
        """The two tables of the page: false verdicts, and power."""
        lines = [
            (row.law, f"`{row.claim}`", str(row.true).lower(), f"{row.wrong} of {row.repetitions}",
             "[{:.3f}, {:.3f}]".format(*row.interval(row.wrong)))
            for row in self.rows if row.claim != "<= 1.05 mean" or row.wrong
        ]  # fmt: skip
        power = [
            (row.law, "yes" if row.certified else "no", f"`{row.claim}`",
             "violated" if not row.true else "holds",
             f"{row.right / row.repetitions:.3f}",
             "[{:.3f}, {:.3f}]".format(*row.interval(row.right)))
            for row in self.rows if "0." in row.claim or "1.0" in row.claim
        ]  # fmt: skip
        made = self.provenance
        versions = ", ".join(f"{k} {v}" for k, v in made["versions"].items())
        return "\n\n".join([
            f"Stated risk of a false verdict: {self.risk:g}. {self.replicas:,} samples at the "
            "first look, up to eight times as many at each of two closer ones. A false verdict is "
            "`violated` of a true claim or `holds` of a false one; intervals are Clopper-Pearson "
            "at 99%.",
            markdown_table(("law", "claim", "true", "false verdicts", "rate"), lines),
            "What is decided 5% from the mean:",
            markdown_table(("law", "range certified", "claim", "verdict", "rate", "interval"),
                           power),
            f"*`{made['command']}`, seed {made['seed']}, {versions}, code {made['code']}.*",
        ])  # fmt: skip


def calibrate(
    laws: Sequence[Law] = LAWS,
    claims: Sequence[Asked] = CLAIMS,
    *,
    repetitions: int = 200,
    replicas: int = 4096,
    seed: int = 0,
    jobs: int | Scale = 1,
    out: str = "results/calibration",
    progress: bool | None = None,
) -> Calibration:
    """Put every claim on every law to ``check`` with fresh randomness, many times.

    Parameters
    ----------
    laws, claims : sequence
        Of :data:`LAWS` and :data:`CLAIMS`.
    repetitions : int
        Checks of each claim on each law.
    replicas : int
        Samples of a first look.
    seed : int
    jobs : int or Scale
        Worker processes; or workers elsewhere.

    Raises
    ------
    UsageError
        If a number is out of range.

    Examples
    --------
    >>> import tempfile
    >>> found = calibrate(LAWS[:1], CLAIMS[:1], repetitions=3, replicas=64,
    ...                   out=tempfile.mkdtemp(), progress=False)
    >>> found.rows[0].violated, found.calibrated
    (0, True)
    """
    for name, value, least in (("repetitions", repetitions, 1),
                               ("replicas", replicas, _LEAST), ("seed", seed, 0)):  # fmt: skip
        require_integer("calibration", name, value, least)
    cells = [
        {"kind": "calibration", "law": LAWS.index(law), "claim": CLAIMS.index(asked),
         "repetitions": repetitions, "replicas": replicas, "seed": seed}
        for law in laws for asked in claims
    ]  # fmt: skip
    found = compute(calibration_cell, cells, Store(out), jobs=jobs, label="calibrating",
                    progress=progress, reads=shaped(Row))  # fmt: skip
    rows = tuple(Row(**table) for table in found if table is not None)
    return Calibration(rows, _RISK, replicas, provenance(seed=seed), found.lost)


def calibration_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """All repetitions of one claim on one law."""
    law, asked = LAWS[cell["law"]], CLAIMS[cell["claim"]]
    statement, objective = _statement(asked), _OneStep(law)
    values = {"m": asked.factor * law.mean, "T": 1.0, "B": 1.0}
    verdicts = [
        check(statement, objective, values=values, count=1, replicas=cell["replicas"],
              effort=float(cell["replicas"]), seed=cell["seed"], confidence=1 - _RISK,
              repeat=10 * k).verdict
        for k in range(cell["repetitions"])
    ]  # fmt: skip
    row = Row(law.name, asked.name, law.mean, law.bounded, asked.true, cell["repetitions"],
              verdicts.count("violated"), verdicts.count("holds"))  # fmt: skip
    table = json_ready(asdict(row))
    assert isinstance(table, dict)
    return table
