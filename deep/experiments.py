"""Is LRSGD better than SGD once the work is matched? LeNet, small batches, control arms.

The LRSGD paper compares at equal outer iterations (its Table 1, Figures 2 and 3), where an
iteration of LRSGD takes about ten gradients and one of SGD takes one. Here every arm is run both
ways. One cell is one run; finished cells are kept, so a stopped experiment goes on.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from deep.arms import arms
from deep.comparison import Comparison, Group, Plan, RunsOfArm
from deep.data import Dataset
from deep.recipes import DROPS
from deep.results import columns
from deep.settings import Settings
from deep.training import Trainer, load_data
from deep.trial import estimated_seconds
from theorylab.errors import DataError
from theorylab.plugins.provenance import provenance
from theorylab.plugins.store import Store
from theorylab.studies.compute import Lost, compute
from theorylab.studies.planning import end_of_plan
from theorylab.studies.scale import Scale

__all__ = ["DATA_VARIABLE", "compare", "matching", "scope"]

DATA_VARIABLE = "THEORYLAB_CIFAR10_JPEG"
_GRID = (0.1, 0.316, 1.0, 3.16, 10.0)
_TUNING_SEED = 1000


def matching(plan: Plan, samples: int, batch_size: int) -> dict[str, Settings]:
    """Every arm at one batch size, by name; those matched by gradients have ten times the steps.

    >>> found = matching(Plan(share=0.1), 1000, 10)
    >>> [(name, s.optimizer, s.steps) for name, s in found.items()][:2]
    [('lrsgd_r', 'lrsgd_r', 100), ('lrsgd_c', 'lrsgd_c', 100)]
    >>> list(found)[2:]
    ['lambda=0', 'mean step', 'same gradients', 'same rounds']
    """
    outer = max(1, round(plan.share * samples / batch_size))
    common = Settings(
        model=plan.model, data=plan.data, lr=plan.lr, batch_size=batch_size, steps=10 * outer,
        schedule="staircase:0.5,0.75:0.1", evaluations=plan.evaluations, evaluate_samples=2000,
    )  # fmt: skip
    shared = {"momentum": 0.9, "weight_decay": 1e-4}
    r = replace(common, optimizer="lrsgd_r", lam_over_lr=0.01, options={**shared, "gamma": 0.1})
    c = replace(common, optimizer="lrsgd_c", lam_over_lr=0.01, options={**shared, "S": 10})
    found = {"lrsgd_r": r, **arms(c)}
    # LRSGD-R's arms are among LRSGD-C's: without its pull it is SGD at the same step.
    assert all(found[name] == arm for name, arm in arms(r).items())
    return found


def scope(plan: Plan, samples: int) -> dict[str, Settings]:
    """Figure 2: LRSGD-R over gamma at equal outer iterations, and SGD with as many gradients."""
    outer = max(1, round(plan.share * samples / plan.gamma_batch))
    found = {}
    for gamma in plan.gammas:
        base = Settings(
            model=plan.model, data=plan.data, optimizer="lrsgd_r", lr=plan.gamma_lr,
            lam_over_lr=0.01, options={"momentum": 0.9, "weight_decay": 1e-4, "gamma": gamma},
            batch_size=plan.gamma_batch, steps=round(outer / gamma),
            schedule=DROPS, evaluations=plan.evaluations, evaluate_samples=5000,
        )  # fmt: skip
        label = f"1/{round(1 / gamma)}"
        found[f"lrsgd_r gamma={label}"] = base
        found[f"msgd gradients of gamma={label}"] = arms(base)["same gradients"]
    return found


def compare(
    plan: Plan,
    out: Path | str,
    data_dir: Path | str | None = None,
    *,
    jobs: int | Scale = 1,
    budget: float | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Run (or go on with) the experiment; the report is kept as ``out/results.json``.

    Parameters
    ----------
    plan : Plan
    out : path
        Where finished runs are kept.
    data_dir : path, optional
        The data's folder or archive; by default ``$THEORYLAB_CIFAR10_JPEG``.
    jobs : int or Scale
        Worker processes; or workers elsewhere.
    budget : float, optional
        Seconds after which no run starts; the report says how many are missing.

    Raises
    ------
    UsageError
        If the plan does not fit the data.
    DataError
        If the data cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> plan = Plan(share=0.01, batch_sizes=(64,), seeds=1, gammas=(), data="digits")
    >>> found = compare(plan, tempfile.mkdtemp(), budget=0, progress=False)
    >>> found.missing, len(found.to_pandas())
    (6, 0)
    """
    out = Path(out)
    directory = data_dir if data_dir is not None else os.environ.get(DATA_VARIABLE)
    probe = Settings(model=plan.model, data=plan.data)
    data = _data(probe.model, probe.data, None if directory is None else str(directory))
    samples = len(data.train)
    digest = data.origin
    store, lost = Store(out), list[Lost]()
    execute = partial(_run, directory=None if directory is None else str(directory))

    def run(runs: Sequence[Settings], label: str) -> list[Any]:
        cells = [{"settings": s.to_json(), "data": digest} for s in runs]
        found = compute(execute, cells, store, jobs=jobs, label=label, budget=budget,
                        progress=progress, trial=trial, reads=_columns)  # fmt: skip
        lost.extend(found.lost)
        return list(found)

    def trial(cell: Mapping[str, Any]) -> float:
        return estimated_seconds(Settings(**cell["settings"]), data)

    # Middle batch sizes first: should the budget run out, the ends are what is missing.
    sizes = sorted(plan.batch_sizes, key=lambda b: abs(b - 16))
    groups: dict[str, dict[str, Settings]] = {
        f"batch {size}": matching(plan, samples, size) for size in sizes
    }
    if plan.gammas:
        groups["gamma"] = scope(plan, samples)
    if plan.tune:
        groups = {name: _tuned(group, run) for name, group in groups.items() if name != "gamma"}
    wanted = [
        (group, arm, seed, replace(settings, seed=seed))
        for group, found in groups.items()
        for arm, settings in found.items()
        for seed in range(plan.seeds)
    ]
    histories = run([settings for *_, settings in wanted], "comparing")
    end_of_plan()
    done: dict[tuple[str, str], dict[int, Any]] = defaultdict(dict)
    for (group, arm, seed, _), history in zip(wanted, histories, strict=True):
        if history is not None:
            done[group, arm][seed] = history
    made = dict(provenance(data=digest))
    if data_dir is not None:
        # Where the data lay is nobody's business but the user's.
        made["command"] = made["command"].replace(str(data_dir), "DATA")
    compared = []
    for name, found in groups.items():
        of_arms = [
            RunsOfArm(arm, s.step_size, s.steps or 0, tuple(runs), tuple(runs.values()))
            for arm, s in found.items()
            if (runs := done[name, arm])
        ]
        compared.append(Group.of(name, of_arms, plan.seeds))
    missing = sum(history is None for history in histories)
    report = Comparison(data.label, plan, samples, tuple(compared), missing, made, tuple(lost))
    report.keep(out / "results.json")
    return report


def _tuned(group: Mapping[str, Settings], run: Any) -> dict[str, Settings]:
    """Each arm at the step of the grid that does best on held-out samples, at another seed."""
    trials = [
        (arm, replace(s, lr=s.step_size * x, holdout=0.1, seed=_TUNING_SEED, evaluations=1))
        for arm, s in group.items()
        for x in _GRID
    ]
    histories = run([settings for _, settings in trials], "tuning")
    best = dict(group)
    for arm, settings in group.items():
        scores = [
            (history["test_accuracy"][-1] or 0.0, trial.step_size)
            for (name, trial), history in zip(trials, histories, strict=True)
            if name == arm and history is not None
        ]
        if scores:
            best[arm] = replace(settings, lr=max(scores)[1])
    return best


@cache
def _data(model: str, name: str, directory: str | None) -> Dataset:
    return load_data(Settings(model=model, data=name), directory)


_KEPT = ("rounds", "gradients", "seconds", "train_loss", "test_loss", "test_accuracy")


def _columns(table: Any) -> object:
    return columns(table, *_KEPT)


def _run(cell: Mapping[str, Any], directory: str | None) -> dict[str, list[Any]]:
    """One run's history, column by column."""
    settings = Settings(**cell["settings"])
    if settings.holdout or settings.train_samples:
        data = load_data(settings, directory)
    else:
        data = _data(settings.model, settings.data, directory)
    if data.origin != cell["data"]:
        raise DataError(
            f"compare: {settings.data} has changed since the command began; run it again"
        )
    history = Trainer(settings, data).run(progress=False)
    return {
        name: [round(v, 5) if isinstance(v := row[name], float) else v for row in history]
        for name in _KEPT
    }
