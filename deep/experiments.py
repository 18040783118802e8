"""Is LRSGD better than SGD once the work is matched? LeNet, small batches, control arms.

The LRSGD paper compares at equal outer iterations (its Table 1, Figures 2 and 3), where an
iteration of LRSGD takes about ten gradients and one of SGD takes one. Here every arm is run both
ways. One cell is one run; finished cells are kept, so a stopped experiment goes on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any, final

from deep.arms import Gain, arms, gains
from deep.data import Dataset
from deep.measures import hitting
from deep.recipes import DROPS
from deep.settings import Settings
from deep.training import Trainer, load_data
from theorylab.errors import UsageError, require_finite
from theorylab.plugins.provenance import file_digest, provenance
from theorylab.plugins.store import Store, compute, write_json
from theorylab.studies.pages import fill, markdown_table

__all__ = ["DATA_VARIABLE", "Plan", "compare", "markdown", "matching", "scope", "write_tables"]

DATA_VARIABLE = "THEORYLAB_CIFAR10_JPEG"
_GRID = (0.1, 0.316, 1.0, 3.16, 10.0)
_TUNING_SEED = 1000


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
    out: Path,
    data_dir: Path | str | None = None,
    *,
    jobs: int = 1,
    budget: float | None = None,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Run (or go on with) the experiment; the results, also in ``out/results.json``.

    ``data_dir`` is the data's folder or archive; by default ``$THEORYLAB_CIFAR10_JPEG``.
    ``budget`` is in seconds: no run starts after it, and the results say what is missing.
    """
    directory = data_dir if data_dir is not None else os.environ.get(DATA_VARIABLE)
    probe = Settings(model=plan.model, data=plan.data)
    data = _data(probe.model, probe.data, None if directory is None else str(directory))
    samples = len(data.train)
    digest = None
    if directory is not None and Path(directory).is_file():
        digest = file_digest(directory)
    store = Store(out)
    execute = partial(_run, directory=None if directory is None else str(directory))

    def run(runs: Sequence[Settings], label: str) -> list[Any]:
        cells = [{"settings": s.to_json(), "data": digest} for s in runs]
        return compute(execute, cells, store, jobs=jobs, label=label, budget=budget,
                       progress=progress)  # fmt: skip

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
    results: dict[str, Any] = {
        "schema": 1,
        "label": data.label,
        "plan": {**vars(plan), "batch_sizes": list(plan.batch_sizes), "gammas": list(plan.gammas)},
        "samples": samples,
        "missing": sum(history is None for history in histories),
        "groups": {},
        "provenance": provenance(data=digest),
    }
    for name, found in groups.items():
        table: dict[str, Any] = {}
        for arm, settings in found.items():
            done = [
                h for (g, a, *_), h in zip(wanted, histories, strict=True)
                if (g, a) == (name, arm) and h is not None
            ]  # fmt: skip
            if done:
                table[arm] = {"lr": settings.step_size, "steps": settings.steps, "runs": done}
        results["groups"][name] = {"arms": table, **_conclusions(name, table, plan.seeds)}
    if data_dir is not None:
        # Where the data lay is nobody's business but the user's.
        results["provenance"]["command"] = results["provenance"]["command"].replace(
            str(data_dir), "DATA"
        )
    write_json(out / "results.json", results)
    return results


def _conclusions(name: str, table: Mapping[str, Any], seeds: int) -> dict[str, Any]:
    complete = {arm: entry for arm, entry in table.items() if len(entry["runs"]) == seeds}
    if name == "gamma":
        thresholds = (1.8, 1.6, 1.4, 1.2, 0.65)
        return {"hitting": {
            arm: {str(x): [hitting(_rows(run), "train_loss", x) for run in entry["runs"]]
                  for x in thresholds}
            for arm, entry in complete.items()
        }}  # fmt: skip
    scores = {
        arm: [run["test_accuracy"][-1] for run in entry["runs"]] for arm, entry in complete.items()
    }
    found: dict[str, list[Gain]] = {}
    for first in ("lrsgd_r", "lrsgd_c"):
        if first in scores:
            others = {a: s for a, s in scores.items() if a not in ("lrsgd_r", "lrsgd_c")}
            if first == "lrsgd_r":
                others.pop("lambda=0", None)
                others.pop("mean step", None)
            found[first] = gains({first: scores[first], **others})
    return {"gains": {
        first: [{**vars(gain), "survives": gain.survives} for gain in each if gain.seeds > 1]
        for first, each in found.items()
    }}  # fmt: skip


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


def _run(cell: Mapping[str, Any], directory: str | None) -> dict[str, list[Any]]:
    """One run's history, column by column."""
    settings = Settings(**cell["settings"])
    if settings.holdout or settings.train_samples:
        data = load_data(settings, directory)
    else:
        data = _data(settings.model, settings.data, directory)
    history = Trainer(settings, data).run(progress=False)
    return {
        name: [round(v, 5) if isinstance(v := row[name], float) else v for row in history]
        for name in _KEPT
    }


def _rows(run: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(run, values, strict=True)) for values in zip(*run.values(), strict=True)]


def markdown(results: Mapping[str, Any]) -> str:
    """The results as tables: accuracies by arm, and which gains survive which arm.

    >>> markdown({"label": "x", "groups": {}})
    ''
    """
    blocks = [words] if (words := _words(results)) else []
    if note := results.get("note"):
        blocks.append(f"*{note}*")
    if missing := results.get("missing", 0):
        blocks.append(f"*Not finished: {missing} runs are missing.*")
    for name, group in _by_size(results):
        if "gains" in group and group["arms"]:
            blocks.append(_accuracies(f"{results['label']}, {name}", group))
        elif group.get("hitting"):
            blocks.append(_hits(f"{results['label']}, LRSGD-R over gamma", group))
    return "\n\n".join(blocks)


def _by_size(results: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The groups by batch size; they were run in another order. Those without one come last."""

    def size(entry: tuple[str, Any]) -> float:
        number = entry[0].removeprefix("batch ")
        return float(number) if number.isdecimal() else math.inf

    return sorted(results["groups"].items(), key=size)


def _words(results: Mapping[str, Any]) -> str:
    """One sentence a method and arm: at which batch sizes the gain survives."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for name, group in _by_size(results):
        for first, rows in group.get("gains", {}).items():
            for row in rows:
                verdicts = found.setdefault((first, row["arm"]), {})
                verdicts.setdefault(row["survives"], []).append(name.removeprefix("batch "))
    said = {"yes": "better", "no": "worse", "undecided": "not told apart"}
    return "\n".join(
        f"- {first} against `{arm}`: "
        + "; ".join(f"{said[k]} at batch {', '.join(v)}" for k, v in verdicts.items()) + "."
        for (first, arm), verdicts in found.items()
    )  # fmt: skip


def write_tables(page: Path, results: Mapping[str, Any]) -> None:
    """Put :func:`markdown` between the page's markers, so that it shows what was measured.

    The markers say ``results``, or ``tuned results`` where every arm has a step of its own.

    Raises
    ------
    UsageError
        If the page has no markers.
    """
    fill(page, "tuned results" if results["plan"]["tune"] else "results", markdown(results))


def _accuracies(title: str, group: Mapping[str, Any]) -> str:
    scores = []
    for arm, entry in group["arms"].items():
        runs = entry["runs"]
        score = [100 * (run["test_accuracy"][-1] or 0.0) for run in runs]
        spread = f" ± {stdev(score):.2f}" if len(score) > 1 else ""
        ends = [
            (run["train_loss"][-1], run["test_loss"][-1]) for run in runs if "train_loss" in run
        ]
        ends = [pair for pair in ends if None not in pair]
        train = f"{mean(a for a, _ in ends):.3f}" if ends else "-"
        gap = f"{mean(b - a for a, b in ends):+.3f}" if ends else "-"
        scores.append((arm, f"{entry['lr']:.3g}", entry["steps"], len(runs),
                       f"{mean(score):.2f}{spread}", train, gap))  # fmt: skip
    compared = [
        (f"{first} {100 * row['mean']:+.2f}", row["arm"],
         f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f}", row["survives"])
        for first, rows in group["gains"].items() for row in rows
    ]  # fmt: skip
    return "\n\n".join((
        f"**{title}**",
        markdown_table(("arm", "step", "steps", "seeds", "test accuracy %", "train loss", "gap"),
                       scores),
        markdown_table(("gain in points", "over", "95% interval", "survives"), compared),
    ))  # fmt: skip


def _hits(title: str, group: Mapping[str, Any]) -> str:
    """Outer iterations and gradients until the training loss reaches each threshold, mean."""
    thresholds = list(next(iter(group["hitting"].values())))
    heads = ("arm", *(f"train loss {x}: rounds / gradients" for x in thresholds), "gap at the end")
    lines = []
    for arm, found in group["hitting"].items():
        cells = []
        for x in thresholds:
            places = [place for place in found[x] if place is not None]
            cells.append(
                f"{mean(p['rounds'] for p in places):.0f} / "
                f"{mean(p['gradients'] for p in places):.0f}"
                + (f" ({len(places)} of {len(found[x])} seeds)" if len(places) < len(found[x])
                   else "")
                if places else "never"
            )  # fmt: skip
        ends = [(run["test_loss"][-1], run["train_loss"][-1]) for run in group["arms"][arm]["runs"]]
        gaps = [test - train for test, train in ends if test is not None and train is not None]
        gap = f"{mean(gaps):+.3f}" if gaps else "diverged"
        lines.append((arm, *cells, gap))
    return f"**{title}**\n\n{markdown_table(heads, lines)}"
