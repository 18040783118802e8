"""``train_study``: a training run, its control arms, each at its own step and several seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, final

import pandas as pd
import torch

from deep import checkpoint, results
from deep.arms import Gain, gains, report
from deep.arms import arms as control_arms
from deep.devices import device_named, processes
from deep.measures import Fit, hitting, relaxed_smoothness
from deep.runs import History, Runs
from deep.schedules import schedule
from deep.settings import MAX_SEED, Settings
from deep.training import Trainer, load_data
from deep.twins import TwinPair, train_twins
from theorylab.errors import UsageError
from theorylab.plugins.files import keep_beside, writable, write_text
from theorylab.plugins.provenance import provenance
from theorylab.plugins.store import write_sealed
from theorylab.studies.planning import end_of_plan, planner
from theorylab.studies.report import Report
from theorylab.studies.scale import Scale

__all__ = [
    "Arm", "Summary", "TrainReport", "TwinsReport", "seeds_of", "train_study", "twin_study",
]  # fmt: skip

_TUNING = (0.1, 0.316, 1.0, 3.16, 10.0)
_TUNING_SEED = 1000
_MOST = 1_000_000


@final
@dataclass(frozen=True)
class Summary:
    """One arm in a line: means over its seeds, at the end of the runs.

    ``None`` where no run has the value (it diverged). Accuracies are shares of the test set;
    ``spread`` is their standard deviation over seeds, ``last_tenth`` the mean of a run's last
    tenth, ``most`` its largest.
    """

    arm: str
    lr: float
    seeds: int
    rounds: float | None
    gradients: float | None
    seconds: float | None
    train_loss: float | None
    test_loss: float | None
    gap: float | None
    accuracy: float | None
    spread: float | None
    last_tenth: float | None
    most: float | None


@final
@dataclass(frozen=True)
class Arm:
    """The runs of one arm.

    Attributes
    ----------
    name : str
    settings : Settings
        At the first seed; the step is the tuned one.
    histories : mapping of int to sequence of mapping
        By seed, the measurements of :class:`deep.training.Trainer`.
    hitting : tuple, optional
        For each seed, where the training loss first reached the threshold (``None``: never).
    smoothness : Fit, optional
        ``||Hessian|| ~ L + lambda ||gradient||`` along the runs, where that was measured.
    made : mapping of str to str
        Digests of the data and the code.
    """

    name: str
    settings: Settings
    histories: Mapping[int, Sequence[results.Row]]
    hitting: tuple[Mapping[str, float] | None, ...] | None = None
    smoothness: Fit | None = None
    made: Mapping[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> list[float]:
        """Every seed's test accuracy at the end; 0 where it diverged."""
        return [h[-1]["test_accuracy"] or 0.0 for h in self.histories.values()]

    @property
    def summary(self) -> Summary:
        """The arm in a line."""
        last = [h[-1] for h in self.histories.values()]

        def average(name: str) -> float | None:
            return _mean([row[name] for row in last])

        known = [row["test_accuracy"] for row in last if row["test_accuracy"] is not None]
        table = self.to_json()
        return Summary(
            self.name, self.settings.step_size, len(last), average("rounds"),
            average("gradients"), average("seconds"), average("train_loss"),
            average("test_loss"), average("gap"), average("test_accuracy"),
            stdev(known) if len(known) > 1 else None, _mean(table["last_tenth"]),
            _mean(table["maximum"]),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """As ``results.json`` keeps an arm."""
        return results.entry(self.settings, self.histories, self.made) | self.measured

    @property
    def measured(self) -> dict[str, Any]:
        """What was asked for beside the histories, JSON-ready."""
        table: dict[str, Any] = {}
        if self.hitting is not None:
            table["hitting"] = list(self.hitting)
        if self.smoothness is not None:
            table["relaxed_smoothness"] = vars(self.smoothness)
        return table


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return mean(known) if known else None


@final
@dataclass(frozen=True)
class TrainReport(Report):
    """What the arms of a training study reached.

    ``to_pandas`` has one row a measurement of a run; web page and LaTeX show one row an arm.

    Attributes
    ----------
    arms : tuple of Arm
        The method first. Empty in every process but the first of several.
    seed : int
        The first seed.
    """

    arms: tuple[Arm, ...]
    seed: int = 0

    def __iter__(self) -> Iterator[Arm]:
        return iter(self.arms)

    def __getitem__(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def __len__(self) -> int:
        return len(self.arms)

    @property
    def gains(self) -> tuple[Gain, ...]:
        """How much better the method did than each arm beside it, paired over seeds."""
        return tuple(gains({arm.name: arm.scores for arm in self.arms}))

    @property
    def words(self) -> str:
        """One sentence an arm: which part of the method's gain survives it."""
        return report(self.gains)

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """One line an arm."""
        return tuple(arm.summary for arm in self.arms)

    def to_pandas(self) -> pd.DataFrame:
        return results.tidy({arm.name: arm.to_json() for arm in self.arms})

    def _repr_html_(self) -> str:
        return str(self._lines().to_html(index=False))

    def to_latex(self) -> str:
        """One line an arm (``booktabs``)."""
        return str(self._lines().to_latex(index=False, escape=True, float_format="%.4g"))

    def _lines(self) -> pd.DataFrame:
        return pd.DataFrame([asdict(line) for line in self.summaries])

    def to_json(self) -> dict[str, Any]:
        table: dict[str, Any] = {
            "schema": results.SCHEMA,
            "provenance": provenance(seed=self.seed, data=sorted({a.made["data"] for a in self.arms
                                                                  if "data" in a.made}),
                                     threads=torch.get_num_threads()),
            "arms": {arm.name: arm.to_json() for arm in self.arms},
        }  # fmt: skip
        if found := self.gains:
            table["report"] = self.words
            if all(gain.seeds > 1 for gain in found):
                table["gains"] = [{**vars(g), "survives": g.survives} for g in found]
        return table


def train_study(
    settings: Settings,
    data_dir: Path | str | None = None,
    *,
    arms: bool | Mapping[str, Settings] = False,
    tune: bool = False,
    seeds: int | Sequence[int] = 1,
    threshold: float | None = None,
    device: str = "auto",
    jobs: int | Scale = 1,
    checkpoint_every: float = 30.0,
    out: Path | str = "results/train",
    progress: bool | None = None,
) -> TrainReport:
    """Train a network with a method and its control arms, each at several seeds.

    Stopped anywhere, the same call goes on bit for bit. ``out/results.json`` and ``results.csv``
    keep every arm and seed, those of earlier calls too; where an earlier call's arm had other
    settings, data or code, its results stay beside, as ``out/results-DIGEST.json``.

    Parameters
    ----------
    settings : Settings
        The method's run at the first seed.
    data_dir : path, optional
        The data's folder or archive.
    arms : bool or mapping of str to Settings
        Whether to run the control arms of :func:`deep.arms.arms`; or arms of your own, by name.
    tune : bool
        Choose each arm's step, of five around its own, on a tenth of the training samples held
        out, at a seed of its own.
    seeds : int or sequence of int
        So many seeds ``settings.seed, settings.seed + 1, ...``, or those that are given.
    threshold : float, optional
        Say when the training loss first reaches this.
    device : str
        ``cpu``, ``cuda`` or ``auto``. Under ``torchrun`` each process takes a share of a batch.
    jobs : int or Scale
        Workers, each with one thread of torch, that take a run at a time; 1 trains here.
    checkpoint_every : float
        Seconds.
    out : path
        Where runs are kept.

    Raises
    ------
    UsageError
        If settings do not fit each other or the data.
    DataError
        If the data, or what ``out`` holds, cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> tiny = Settings(model="two_conv", optimizer="sgd", steps=2, train_samples=32, batch_size=16)
    >>> found = train_study(tiny, seeds=2, device="cpu", out=tempfile.mkdtemp(), progress=False)
    >>> found["sgd"].settings.optimizer, sorted(found["sgd"].histories)
    ('sgd', [0, 1])
    """
    every, out, scale = seeds_of(settings.seed, seeds), Path(out), Scale.of(jobs)
    first = every[0]
    # What is bad is refused before data is read.
    schedule(settings.schedule, settings.step_size, 1, round(settings.warmup > 0),
             settings.warmup_from)  # fmt: skip
    if isinstance(arms, Mapping):
        found = dict(arms)
    else:
        found = control_arms(settings) if arms else {settings.optimizer: settings}
    target = writable(out / "results.json")
    results.kept(target)  # what is no results file is refused now
    with processes(device_named(device)) as (rank, world, where):
        if world > 1 and scale != Scale():
            raise UsageError("--jobs and --backend: under torchrun all processes share each run")
        runs = Runs(data_dir, where, (rank, world), out, checkpoint_every, progress, scale)
        if tune:
            found = _tuned(runs, found)
        wanted = [(name, replace(arm, seed=seed)) for name, arm in found.items() for seed in every]
        histories: dict[str, dict[int, History]] = {name: {} for name in found}
        for (name, run), history in zip(wanted, runs.all(wanted), strict=True):
            histories[name][run.seed] = history
    end_of_plan()
    if rank:
        return TrainReport((), first)
    study = TrainReport(
        tuple(_arm(name, found[name], histories[name], runs.made[name], threshold)
              for name in found), first
    )  # fmt: skip
    _keep(study, target)
    return study


def _keep(study: TrainReport, target: Path) -> None:
    """Add the arms to those of earlier calls; where one was another run's, begin anew beside it."""
    before, table = results.kept(target), study.to_json()
    if any(name in before and not results.alike(before[name], arm)
           for name, arm in table["arms"].items()):  # fmt: skip
        keep_beside(target, target.with_suffix(".csv"))
        before = {}
    every = before | {
        name: results.merged(before, name, arm) for name, arm in table["arms"].items()
    }
    write_sealed(target, {**table, "arms": every})
    write_text(target.with_suffix(".csv"), results.tidy(every).to_csv(index=False))


def _arm(
    name: str, settings: Settings, histories: Mapping[int, Sequence[results.Row]],
    made: Mapping[str, str], threshold: float | None,
) -> Arm:  # fmt: skip
    reached, fit = None, None
    if threshold is not None:
        reached = tuple(hitting(h, "train_loss", threshold) for h in histories.values())
    if settings.measures:
        points = [row for h in histories.values() for row in h
                  if row.get("hessian_norm") is not None]  # fmt: skip
        if len(points) > 1:
            fit = relaxed_smoothness([row["gradient_norm"] for row in points],
                                     [row["hessian_norm"] for row in points])  # fmt: skip
    return Arm(name, settings, histories, reached, fit, made)


def _tuned(runs: Runs, arms: Mapping[str, Settings]) -> dict[str, Settings]:
    """Each with the step of a grid that does best on a tenth held out, at a seed of its own."""
    trials = [
        (name, replace(arm, lr=arm.step_size * factor, holdout=0.1, seed=_TUNING_SEED,
                       evaluations=1))
        for name, arm in arms.items() for factor in _TUNING
    ]  # fmt: skip
    histories = runs.all([(f"tuning/{name}/{s.lr:.3g}", s) for name, s in trials], "tuning")
    best = {
        name: max(
            # Processes other than the first measure nothing: they take part and are told.
            (history[-1]["test_accuracy"] or 0.0 if history else 0.0, trial.step_size)
            for (arm, trial), history in zip(trials, histories, strict=True) if arm == name
        )[1]
        for name in arms
    }  # fmt: skip
    if runs.process[1] > 1:
        told = [best]
        torch.distributed.broadcast_object_list(told, src=0)
        best = told[0]
    return {name: replace(arm, lr=best[name]) for name, arm in arms.items()}


def seeds_of(first: int, seeds: int | Sequence[int]) -> tuple[int, ...]:
    """So many seeds from the first one on, or those that are given.

    Raises
    ------
    UsageError
        If there is none, one is out of range, or one is given twice.

    Examples
    --------
    >>> seeds_of(4, 2), seeds_of(0, [3, 1])
    ((4, 5), (3, 1))
    """
    if isinstance(seeds, int):
        seeds = range(first, first + seeds)
    if not 0 < len(seeds) <= _MOST or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds: 1 to {_MOST} different seeds")
    if min(seeds) < 0 or max(seeds) > MAX_SEED:
        raise UsageError(f"--seed and --seeds: seeds must be at most {MAX_SEED}")
    return tuple(seeds)


@final
@dataclass(frozen=True)
class TwinsReport(Report):
    """Twins of one run that differ from it in one training sample each.

    Attributes
    ----------
    settings : Settings
    pairs : tuple of TwinPair
    data : str
        The digest of the data.
    """

    settings: Settings
    pairs: tuple[TwinPair, ...]
    data: str = ""

    def __iter__(self) -> Iterator[TwinPair]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame([
            {"sample": pair.sample, "first_drawn": pair.first_drawn, **row}
            for pair in self.pairs for row in pair.rows
        ])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "provenance": provenance(seed=self.settings.seed, data=[self.data] * bool(self.data),
                                     threads=torch.get_num_threads()),
            "settings": self.settings.to_json(), "twins": [pair.to_json() for pair in self.pairs],
        }  # fmt: skip


def twin_study(
    settings: Settings,
    data_dir: Path | str | None = None,
    *,
    count: int = 1,
    device: str = "auto",
    checkpoint_every: float = 30.0,
    out: Path | str = "results/train",
    progress: bool | None = None,
) -> TwinsReport:
    """Train a network and ``count`` twins of it; the report is kept as ``out/twins.json``.

    Parameters
    ----------
    settings, data_dir, device, checkpoint_every, out
        As in :func:`train_study`.
    count : int
        Twins; see :func:`deep.twins.train_twins`.

    Raises
    ------
    UsageError
        If the settings do not fit, or under ``torchrun``.
    """
    out = Path(out)
    if planner() is not None:
        raise UsageError("plan: twins of a network are not split into cells")
    schedule(settings.schedule, settings.step_size, 1, round(settings.warmup > 0),
             settings.warmup_from)  # fmt: skip
    target = writable(out / "twins.json")
    with processes(device_named(device)) as (_, world, where):
        if world > 1:
            raise UsageError("--twins runs in one process")
        data = load_data(settings, data_dir)
        folder = checkpoint.own_folder(out / "twins", {**settings.to_json(), "twins": count},
                                       Trainer(settings, data).made)  # fmt: skip
        pairs = train_twins(settings, data, count=count, device=where, folder=folder,
                            checkpoint_every=checkpoint_every, progress=progress)  # fmt: skip
    study = TwinsReport(settings, tuple(pairs), data.origin)
    study.keep(target)
    return study
