"""``Comparison``: what ``theorylab compare`` found, as records that show themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, final

import pandas as pd

from deep.arms import Gain, gains
from deep.measures import hitting
from theorylab.errors import UsageError, require_finite
from theorylab.studies.compute import Lost
from theorylab.studies.pages import fill, markdown_table
from theorylab.studies.report import Report

__all__ = ["Comparison", "Group", "Plan", "RunsOfArm", "markdown"]

History = Mapping[str, Sequence[Any]]
Place = Mapping[str, float] | None
_METHODS = ("lrsgd_r", "lrsgd_c")
_NOT_AMONG = {"lrsgd_r": frozenset({"lambda=0", "mean step"})}
_THRESHOLDS = (1.8, 1.6, 1.4, 1.2, 0.65)


@final
@dataclass(frozen=True)
class Plan:
    """How much of the experiment to run.

    Attributes
    ----------
    share : float
        Outer iterations, as a share of one epoch: 1 is the paper's Figure 3. Arms matched by
        gradients take ten times as many batches.
    batch_sizes : sequence of int
        The paper's Figure 3 has 4 to 64.
    seeds : int
    gammas : sequence of float
        LRSGD-R's round endings (Figure 2).
    gamma_batch, gamma_lr : int, float
        Batch size and first step for those: the paper's 512 and 0.1, dropped by 10 at 150 and
        250 of 350 epochs.
    lr : float
        Figure 3's 0.01; dropped by 10 at half and at three quarters of a run.
    evaluations : int
        Points of every curve.
    data, model : str
    tune : bool
        Give every arm its own step, chosen on held-out training samples.
    """

    share: float = 1.0
    batch_sizes: Sequence[int] = (4, 8, 16, 32, 64)
    seeds: int = 3
    gammas: Sequence[float] = (1 / 2, 1 / 3, 1 / 5, 1 / 10, 1 / 20)
    gamma_batch: int = 512
    gamma_lr: float = 0.1
    lr: float = 0.01
    evaluations: int = 20
    data: str = "cifar10-jpeg"
    model: str = "lenet"
    tune: bool = False

    def __post_init__(self) -> None:
        require_finite("compare", vars(self))
        if not self.share > 0 or self.seeds < 1 or not self.batch_sizes:
            raise UsageError("compare: share, seeds and batch sizes must be positive")
        if min(self.batch_sizes) < 1:
            raise UsageError(f"batch_size must be positive, got {min(self.batch_sizes)}")

    @property
    def section(self) -> str:
        """The name of the page's markers."""
        return "tuned results" if self.tune else "results"


@final
@dataclass(frozen=True)
class RunsOfArm:
    """The runs of one arm that are done.

    Attributes
    ----------
    name : str
    lr : float
        The first step of every run, the tuned one where steps were tuned.
    steps : int
    seeds : tuple of int
    runs : tuple of mapping of str to sequence
        Each seed's measurements column by column: ``rounds``, ``gradients``, ``seconds``,
        ``train_loss``, ``test_loss``, ``test_accuracy`` (``None`` once it diverged).
    """

    name: str
    lr: float
    steps: int
    seeds: tuple[int, ...]
    runs: tuple[History, ...]

    @property
    def scores(self) -> list[float]:
        """Every run's test accuracy at the end, a share; 0 where it diverged."""
        return [run["test_accuracy"][-1] or 0.0 for run in self.runs]

    @property
    def train_loss(self) -> float | None:
        """The mean at the end of those runs that did not diverge."""
        return mean(train for train, _ in self._ends) if self._ends else None

    @property
    def gap(self) -> float | None:
        """Test loss less training loss, likewise."""
        return mean(test - train for train, test in self._ends) if self._ends else None

    @property
    def _ends(self) -> list[tuple[float, float]]:
        found = [(run["train_loss"][-1], run["test_loss"][-1]) for run in self.runs]
        return [pair for pair in found if None not in pair]

    def reaches(self, threshold: float) -> tuple[Place, ...]:
        """Where each run's training loss first was that low; ``None`` if never."""
        return tuple(hitting(_rows(run), "train_loss", threshold) for run in self.runs)


@final
@dataclass(frozen=True)
class Group:
    """Arms that are compared with one another.

    Attributes
    ----------
    name : str
        ``"batch 16"``, or ``"gamma"`` for LRSGD-R over gamma.
    arms : tuple of RunsOfArm
    gains : mapping of str to tuple of Gain
        By method, how much better it did than each arm, of arms whose seeds are all done.
    hitting : mapping
        By arm and training loss, where each run first reached it. Of ``gamma`` alone.
    """

    name: str
    arms: tuple[RunsOfArm, ...]
    gains: Mapping[str, tuple[Gain, ...]]
    hitting: Mapping[str, Mapping[float, tuple[Place, ...]]]

    @classmethod
    def of(cls, name: str, arms: Sequence[RunsOfArm], seeds: int) -> Group:
        """The group with what its finished arms say."""
        done = [arm for arm in arms if len(arm.runs) == seeds]
        if name == "gamma":
            reached = {arm.name: {x: arm.reaches(x) for x in _THRESHOLDS} for arm in done}
            return cls(name, tuple(arms), {}, reached)
        scores = {arm.name: arm.scores for arm in done}
        found = {}
        for first in _METHODS:
            if first in scores:
                left_out = {*_METHODS, *_NOT_AMONG.get(first, ())}
                beside = {a: s for a, s in scores.items() if a not in left_out}
                each = gains({first: scores[first], **beside})
                found[first] = tuple(gain for gain in each if gain.seeds > 1)
        return cls(name, tuple(arms), found, {})

    @classmethod
    def from_json(cls, name: str, table: Mapping[str, Any]) -> Group:
        """What :meth:`to_json` wrote."""
        arms = tuple(
            RunsOfArm(arm, entry["lr"], entry["steps"],
                      tuple(entry.get("seeds", range(len(entry["runs"])))), tuple(entry["runs"]))
            for arm, entry in table["arms"].items()
        )  # fmt: skip
        found = {
            first: tuple(Gain(*(row[f] for f in ("arm", "mean", "low", "high", "seeds")))
                         for row in rows)
            for first, rows in table.get("gains", {}).items()
        }  # fmt: skip
        reached = {
            arm: {float(x): tuple(places) for x, places in entry.items()}
            for arm, entry in table.get("hitting", {}).items()
        }
        return cls(name, arms, found, reached)

    def to_json(self) -> dict[str, Any]:
        """As ``results.json`` keeps a group."""
        table: dict[str, Any] = {"arms": {
            arm.name: {"lr": arm.lr, "steps": arm.steps, "seeds": list(arm.seeds),
                       "runs": list(arm.runs)}
            for arm in self.arms
        }}  # fmt: skip
        if self.name == "gamma":
            return table | {"hitting": {
                arm: {str(x): list(places) for x, places in entry.items()}
                for arm, entry in self.hitting.items()
            }}  # fmt: skip
        return table | {"gains": {
            first: [{**vars(gain), "survives": gain.survives} for gain in each]
            for first, each in self.gains.items()
        }}  # fmt: skip


@final
@dataclass(frozen=True)
class Comparison(Report):
    """LRSGD, SGD and their control arms at equal outer iterations and at equal gradients.

    ``to_pandas`` has one row a measurement of a run; web page and LaTeX show one row an arm, and
    one a gain.

    Attributes
    ----------
    label : str
        What the images are called.
    plan : Plan
    samples : int
        Training samples.
    groups : tuple of Group
        By batch size, the comparison over gamma last.
    missing : int
        Runs that the budget left out, or that failed.
    provenance : mapping
    """

    label: str
    plan: Plan
    samples: int
    groups: tuple[Group, ...]
    missing: int
    provenance: Mapping[str, Any]
    lost: tuple[Lost, ...] = ()

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __getitem__(self, name: str) -> Group:
        return next(group for group in self.groups if group.name == name)

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame([
            {"group": group.name, "arm": arm.name, "lr": arm.lr, "steps": arm.steps,
             "seed": seed, **row}
            for group in self.groups for arm in group.arms
            for seed, run in zip(arm.seeds, arm.runs, strict=True) for row in _rows(run)
        ])  # fmt: skip

    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """One row an arm, and one row a gain."""
        ends = [
            {"group": group.name, "arm": arm.name, "lr": arm.lr, "steps": arm.steps,
             "seeds": len(arm.runs), "accuracy": mean(arm.scores),
             "spread": stdev(arm.scores) if len(arm.runs) > 1 else None,
             "train_loss": arm.train_loss, "gap": arm.gap}
            for group in self.groups for arm in group.arms
        ]  # fmt: skip
        won = [
            {"group": group.name, "method": first, **asdict(gain), "survives": gain.survives}
            for group in self.groups for first, each in group.gains.items() for gain in each
        ]  # fmt: skip
        return pd.DataFrame(ends), pd.DataFrame(won)

    def _repr_html_(self) -> str:
        return "\n".join(str(table.to_html(index=False)) for table in self._tables())

    def to_latex(self) -> str:
        """One line an arm, then one line a gain (``booktabs``)."""
        return "\n".join(
            str(table.to_latex(index=False, escape=True, float_format="%.4g"))
            for table in self._tables()
        )

    def to_json(self) -> dict[str, Any]:
        sizes = {"batch_sizes": list(self.plan.batch_sizes), "gammas": list(self.plan.gammas)}
        return {
            "schema": 1, "label": self.label, "plan": {**vars(self.plan), **sizes},
            "samples": self.samples, "missing": self.missing,
            "failed": [vars(lost) for lost in self.lost],
            "groups": {group.name: group.to_json() for group in self.groups},
            "provenance": dict(self.provenance),
        }  # fmt: skip

    def markdown(self) -> str:
        """The tables of the page."""
        return markdown(self.label, self.groups, self.missing)

    def write_tables(self, page: Path) -> None:
        """Put :meth:`markdown` between the page's markers, so that it shows what was measured.

        The markers say ``results``, or ``tuned results`` where every arm has a step of its own.

        Raises
        ------
        UsageError
            If the page has no markers.
        """
        fill(page, self.plan.section, self.markdown())


def _rows(run: History) -> list[dict[str, Any]]:
    return [dict(zip(run, values, strict=True)) for values in zip(*run.values(), strict=True)]


def markdown(label: str, groups: Sequence[Group], missing: int = 0) -> str:
    """Groups as tables: accuracies by arm, and which gains survive which arm.

    >>> markdown("x", [])
    ''
    """
    ordered = sorted(groups, key=_size)
    blocks = [words] if (words := _words(ordered)) else []
    if missing:
        blocks.append(f"*Not finished: {missing} runs are missing.*")
    for group in ordered:
        if group.hitting:
            blocks.append(_hits(f"{label}, LRSGD-R over gamma", group))
        elif group.arms and group.name != "gamma":
            blocks.append(_accuracies(f"{label}, {group.name}", group))
    return "\n\n".join(blocks)


def _size(group: Group) -> float:
    """The batch size; groups without one come last."""
    number = group.name.removeprefix("batch ")
    return float(number) if number.isdecimal() else math.inf


def _words(groups: Sequence[Group]) -> str:
    """One sentence a method and arm: at which batch sizes the gain survives."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for group in groups:
        for first, each in group.gains.items():
            for gain in each:
                verdicts = found.setdefault((first, gain.arm), {})
                verdicts.setdefault(gain.survives, []).append(group.name.removeprefix("batch "))
    said = {"yes": "better", "no": "worse", "undecided": "not told apart"}
    return "\n".join(
        f"- {first} against `{arm}`: "
        + "; ".join(f"{said[k]} at batch {', '.join(v)}" for k, v in verdicts.items()) + "."
        for (first, arm), verdicts in found.items()
    )  # fmt: skip


def _accuracies(title: str, group: Group) -> str:
    scores = []
    for arm in group.arms:
        score = [100 * x for x in arm.scores]
        spread = f" ± {stdev(score):.2f}" if len(score) > 1 else ""
        train = "-" if arm.train_loss is None else f"{arm.train_loss:.3f}"
        gap = "-" if arm.gap is None else f"{arm.gap:+.3f}"
        scores.append((arm.name, f"{arm.lr:.3g}", arm.steps, len(score),
                       f"{mean(score):.2f}{spread}", train, gap))  # fmt: skip
    compared = [
        (f"{first} {100 * gain.mean:+.2f}", gain.arm,
         f"{100 * gain.low:+.2f} to {100 * gain.high:+.2f}", gain.survives)
        for first, each in group.gains.items() for gain in each
    ]  # fmt: skip
    return "\n\n".join((
        f"**{title}**",
        markdown_table(("arm", "step", "steps", "seeds", "test accuracy %", "train loss", "gap"),
                       scores),
        markdown_table(("gain in points", "over", "95% interval", "survives"), compared),
    ))  # fmt: skip


def _hits(title: str, group: Group) -> str:
    """Outer iterations and gradients until the training loss reaches each threshold, mean."""
    thresholds = list(next(iter(group.hitting.values())))
    heads = ("arm", *(f"train loss {x}: rounds / gradients" for x in thresholds), "gap at the end")
    lines = []
    for arm in group.arms:
        if arm.name not in group.hitting:
            continue
        cells = []
        for places in group.hitting[arm.name].values():
            found = [place for place in places if place is not None]
            cells.append(
                f"{mean(p['rounds'] for p in found):.0f} / "
                f"{mean(p['gradients'] for p in found):.0f}"
                + (f" ({len(found)} of {len(places)} seeds)" if len(found) < len(places) else "")
                if found else "never"
            )  # fmt: skip
        lines.append((arm.name, *cells, "diverged" if arm.gap is None else f"{arm.gap:+.3f}"))
    return f"**{title}**\n\n{markdown_table(heads, lines)}"
