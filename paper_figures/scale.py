"""How much of a paper's recipe a preset runs: ``smoke``, ``laptop``, ``paper``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

from deep.data import dataset
from deep.networks import network
from deep.settings import Option, Settings
from theorylab.errors import UnknownNameError

__all__ = ["SAMPLES", "SCALES", "Run", "Scale", "scale", "scaled"]

SAMPLES: Mapping[str, int] = {
    "cifar10": 50_000, "cifar100": 50_000, "svhn": 73_257, "stl10": 5_000, "imagenet": 1_281_167,
}  # fmt: skip
"""Training samples of the papers' data sets."""


@final
@dataclass(frozen=True)
class Run:
    """One training run of an exhibit, at the paper's scale.

    Attributes
    ----------
    row, column : str
        Where it stands: labels of the printed table, or of curve and panel.
    settings : Settings
        The paper's recipe. Its length is in ``epochs`` unless the paper gives steps.
    arm : str
        Empty for what the paper shows; else the control arm's name.
    tune : bool
        Choose the step on held-out samples.
    scale : str
        What was reduced, once :func:`scaled` has done so; empty at the paper's scale.
    share : float
        Gradients taken, as a share of the recipe's.
    recipe : str
        Name of the :class:`deep.recipes.Recipe`, where there is one: what was recorded under it
        elsewhere, on a GPU say, can stand here.
    """

    row: str
    column: str
    settings: Settings
    arm: str = ""
    tune: bool = False
    scale: str = ""
    share: float = 1.0
    recipe: str = ""


@final
@dataclass(frozen=True)
class Scale:
    """A preset.

    Attributes
    ----------
    name : str
    data : str or None
        What stands in for the first data set of an exhibit; the others are not run. ``None``:
        the paper's own.
    networks : mapping
        Stand-ins for the paper's networks; one that is not named is kept.
    seeds : int or None
        At most so many; ``None``: as many as the paper.
    steps, batch : int or None
        Cap on the longest run of an exhibit, and on its largest batch. All runs of the exhibit
        shrink by the same factor.
    evaluations : int or None
        Measurements in a run; ``None``: one an epoch.
    evaluate_samples : int
        Training samples the training loss is measured on.
    grid : sequence of float
        Factors of the step tried where an arm has its own.
    measures : int
        Samples for gradient norm and noise, where an exhibit shows them.
    image_size : int
        Side of the images of GAN exhibits.
    """

    name: str
    data: str | None = None
    networks: Mapping[str, str] = field(default_factory=dict)
    seeds: int | None = None
    steps: int | None = None
    batch: int | None = None
    evaluations: int | None = None
    evaluate_samples: int = 10_000
    grid: Sequence[float] = (0.1, 0.316, 1.0, 3.16, 10.0)
    measures: int = 2048
    image_size: int = 256

    def on(self, data: str) -> Scale:
        """The same preset with another data set in the place of the exhibits' first."""
        return replace(self, data=dataset(data).name)


_HELD_IN = 0.9

_SMALL = ("resnet18", "resnet101", "densenet121", "vgg11", "vgg16", "resnet20", "resnet56",
          "resnet50", "resnet18_imagenet", "resnet50_imagenet", "lenet")  # fmt: skip

SCALES: dict[str, Scale] = {
    "smoke": Scale(
        "smoke", "digits", dict.fromkeys(_SMALL, "two_conv"), seeds=2, steps=12, batch=32,
        evaluations=4, evaluate_samples=64, grid=(1.0, 3.16), measures=32, image_size=32,
    ),
    "laptop": Scale(
        "laptop", "digits",
        {
            "resnet18": "resnet20", "resnet101": "resnet56", "densenet121": "two_conv",
            "vgg11": "two_conv", "vgg16": "two_conv", "resnet50": "resnet56",
            "resnet18_imagenet": "resnet20", "resnet50_imagenet": "resnet56",
        },
        seeds=3, steps=1500, batch=256, evaluations=20, evaluate_samples=1000, measures=256,
        image_size=64,
    ),
    "paper": Scale("paper", networks={}),
}  # fmt: skip


def scale(name: str) -> Scale:
    """The preset of that name.

    >>> scale("smoke").data
    'digits'

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in SCALES:
        raise UnknownNameError(f"unknown preset {name!r}; known: {', '.join(SCALES)}")
    return SCALES[name]


def scaled(
    runs: Sequence[Run], preset: Scale, samples: Mapping[str, int]
) -> tuple[list[Run], list[tuple[Run, str]]]:
    """The runs as the preset makes them, and those it leaves out, with the reason.

    All runs keep their relative lengths and batch sizes. ``samples`` are the training samples
    of the data sets that are run. Gradients are counted in samples, as a share of the recipe's.

    >>> recipe = [Run("SGD", b, Settings(data="cifar10", batch_size=int(b), epochs=200.0))
    ...           for b in ("8", "128")]
    >>> found, left_out = scaled(recipe, SCALES["smoke"], {"digits": 1437})
    >>> [(r.settings.batch_size, r.settings.steps) for r in found], left_out
    ([(2, 12), (32, 1)], [])
    """
    if preset.data is None:
        return [
            replace(run, settings=replace(run.settings, evaluations=_per_epoch(run.settings)))
            for run in runs
        ], []
    lead = runs[0].settings.data
    stand_in = preset.data
    kept = [run for run in runs if run.settings.data == lead]
    left_out = [
        (run, f"not run: the {preset.name} preset has a stand-in for {lead} alone")
        for run in runs
        if run.settings.data != lead
    ]
    largest = max(run.settings.batch_size for run in kept)
    part = 1.0 if preset.batch is None else min(1.0, preset.batch / largest)
    # No batch may exceed the data, less what is held out for tuning.
    part = min(part, *(_HELD_IN * samples[stand_in] * _kept(run.settings) / run.settings.batch_size
                       for run in kept))  # fmt: skip
    shrunk = []
    for run in kept:
        s = run.settings
        size = max(1, math.floor(s.batch_size * part))
        here = math.ceil(samples[stand_in] * _kept(s) * (1 - s.holdout) / size)
        shrunk.append((run, size, here, s.steps or s.epochs * here))
    longest = max(steps for *_, steps in shrunk)
    factor = 1.0 if preset.steps is None else min(1.0, preset.steps / longest)
    found = []
    for run, size, here, steps in shrunk:
        s = run.settings
        count = max(1, round(steps * factor))
        model = preset.networks.get(s.model, s.model)
        options = _translated(s, model)
        if options is None:
            left_out.append((run, f"not run: {model}, which stands in for {s.model}, has no depth "
                             "to drop"))  # fmt: skip
            continue
        part_of = None
        if s.train_samples is not None:
            whole = SAMPLES.get(s.data, 50_000)
            part_of = max(1, round(s.train_samples * samples[stand_in] / whole))
        made = replace(
            s, data=stand_in, model=model, model_options=options, train_samples=part_of,
            batch_size=size,
            accumulate=min(s.accumulate, size), steps=count, epochs=1.0,
            warmup=s.warmup * count / (here * s.epochs) if s.warmup else 0.0,
            evaluations=min(preset.evaluations or count, count),
            evaluate_samples=preset.evaluate_samples,
            measures=min(s.measures, preset.measures),
        )  # fmt: skip
        wanted = _gradients(s)
        share = min(1.0, count * size / wanted)
        text = _words(s, made, share)
        found.append(replace(run, settings=made, scale=text, share=share))
    return found, left_out


def _kept(s: Settings) -> float:
    """The share of the training data that a recipe takes."""
    return 1.0 if s.train_samples is None else s.train_samples / SAMPLES[s.data]


def _translated(s: Settings, model: str) -> Mapping[str, Option] | None:
    """The network's options by the stand-in's names; ``None`` if it cannot drop layers."""
    old, new = network(s.model).depth_option, network(model).depth_option
    found: dict[str, Option] = {}
    for name, value in s.model_options.items():
        if name == old and new is None:
            return None
        found[new if name == old and new else name] = value
    return found


def _per_epoch(s: Settings) -> int:
    count = s.epochs if s.steps is None else s.steps * s.batch_size / SAMPLES.get(s.data, 50_000)
    return max(10, min(200, round(count)))


def _gradients(s: Settings) -> float:
    whole = s.train_samples or SAMPLES.get(s.data, 50_000)
    return s.steps * s.batch_size if s.steps else s.epochs * whole


def _words(recipe: Settings, made: Settings, share: float) -> str:
    parts = [
        f"{new} for {old}"
        for old, new in ((recipe.data, made.data), (recipe.model, made.model))
        if old != new
    ]
    if recipe.batch_size != made.batch_size:
        parts.append(f"batch {made.batch_size} for {recipe.batch_size}")
    if share < 1:
        parts.append(f"{100 * share:.2g}% of the gradients")
    return "; ".join(parts)
