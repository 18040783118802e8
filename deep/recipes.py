"""The papers' training recipes as settings: each cell of a table is one full-length run.

A recipe is what the paper prints (where it is silent: the authors' code, and it is said here). Run
at another length with :meth:`Recipe.shortened`, whose schedule ends where the run does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

from deep.arms import arms
from deep.settings import Option, Settings

__all__ = [
    "AUTHORS", "CIFAR_SAMPLES", "DROPS", "Recipe", "lrsgd_table_1", "sngm_table_2",
    "tralgo_table_4", "with_arms",
]  # fmt: skip

CIFAR_SAMPLES = 50_000
DROPS = "staircase:0.42857,0.71429:0.1"
"""LRSGD's schedule: a tenth after 150 and after 250 of 350 epochs."""
AUTHORS = "authors' code"
"""The arm of a method as its authors' code runs it, where that differs from the paper."""
_HALVES = "staircase:0.5,0.75:0.1"
_INNER = 10
_MOMENTUM: dict[str, Option] = {"momentum": 0.9, "weight_decay": 1e-4}


@final
@dataclass(frozen=True)
class Recipe:
    """One cell of a paper's table.

    Attributes
    ----------
    exhibit : str
        Paper and table, as in ``sngm.table_2``.
    row, column : str
        The cell's place in the table.
    settings : Settings
        The run of full length.
    arm : str
        Empty for what the paper prints; else the control arm's name.
    """

    exhibit: str
    row: str
    column: str
    settings: Settings
    arm: str = ""

    @property
    def name(self) -> str:
        """Unique: exhibit, row, column and arm.

        >>> [recipe.name for recipe in with_arms(next(lrsgd_table_1(("lenet",))))]
        ['lrsgd.table_1/SGD/lenet']
        """
        return "/".join(filter(None, (self.exhibit, self.row, self.column, self.arm)))

    def steps(self, samples: int = CIFAR_SAMPLES) -> int:
        """Steps of the optimizer in the full recipe, with that many training samples.

        >>> [recipe.steps() for recipe in tralgo_table_4()][:2]
        [5000000, 5000000]
        """
        return round(self.settings.epochs * math.ceil(samples / self.settings.batch_size))

    def shortened(self, steps: int) -> Settings:
        """The same run over ``steps`` steps: schedule, warm-up and all are as shares of the run."""
        share = steps / self.steps()
        return replace(self.settings, steps=steps, warmup=self.settings.warmup * share)


def with_arms(recipe: Recipe) -> Iterator[Recipe]:
    """A recipe, and the control arms of its method (:mod:`deep.arms`) in the same cell.

    TRSGD has :data:`AUTHORS` too: another pull, 2 lam/lr with lam = 0.01, and rounds that begin
    anew every epoch.

    >>> [r.arm for r in with_arms(list(tralgo_table_4((8,)))[1])]
    ['', 'lambda=0', 'mean step', 'same gradients', 'same rounds', "authors' code"]
    """
    yield recipe
    settings = recipe.settings
    if settings.optimizer in ("sgd", "msgd"):
        return
    for name, arm in arms(settings).items():
        if name != settings.optimizer:
            yield replace(recipe, settings=arm, arm=name)
    if settings.optimizer == "trsgd":
        options: dict[str, Option] = {**settings.options, "variant": "authors"}
        del options["lam"]
        yield replace(recipe, settings=replace(settings, options=options), arm=AUTHORS)


def sngm_table_2(model: str = "resnet20") -> Iterator[Recipe]:
    """SNGM's Table 2: MSGD at batch 128 and 4096, LARS without and with warm-up, SNGM; 160 epochs.

    Batches of 4096 are computed in 32 parts, as the paper's gradient accumulation. LARS's trust
    coefficient is its reference code's 0.001. The length is that of He et al. (2016), whose
    milestones the paper takes.

    >>> [(r.row, r.settings.lr, r.settings.batch_size) for r in sngm_table_2()][-1]
    ('SNGM', 1.6, 4096)
    """
    large, lars, warm, sngm = {
        "resnet20": (0.4, 0.8, 2.4, 1.6), "resnet56": (0.3, 0.64, 2.8, 1.3)
    }[model]  # fmt: skip
    base = Settings(
        model=model, data="cifar10", optimizer="msgd", options=_MOMENTUM, lr=0.1, batch_size=128,
        epochs=160, schedule=_HALVES,
    )  # fmt: skip
    big = replace(base, batch_size=4096, accumulate=32)
    trust = {**_MOMENTUM, "trust": 0.001}
    cells = {
        "MSGD, batch 128": base,
        "MSGD": replace(big, lr=large),
        "LARS": replace(big, optimizer="lars", options=trust, lr=lars, schedule="poly:1.1"),
        "LARS, warm-up": replace(big, optimizer="lars", options=trust, lr=warm, schedule="poly:2",
                                 warmup=5.0, warmup_from=0.1),
        "SNGM": replace(big, optimizer="sngm", lr=sngm, schedule="poly:1.1"),
    }  # fmt: skip
    for row, settings in cells.items():
        yield Recipe("sngm.table_2", row, model, settings)


def lrsgd_table_1(models: tuple[str, ...] = ("lenet", "vgg16", "resnet18")) -> Iterator[Recipe]:
    """LRSGD's Table 1: SGD, LRSGD-R and LRSGD-C, batch 128, 350 epochs of outer iterations.

    An outer iteration of LRSGD takes ten gradients on average, so its runs have ten times SGD's
    steps. Momentum 0.9 and weight decay 1e-4 throughout; ``lambda_t = 0.01/alpha``.

    >>> {r.row: r.steps() for r in lrsgd_table_1(("lenet",))}
    {'SGD': 136850, 'LRSGD-R': 1368500, 'LRSGD-C': 1368500}
    """
    for model in models:
        sgd = Settings(
            model=model, data="cifar10", optimizer="msgd", options=_MOMENTUM, lr=0.1,
            batch_size=128, epochs=350, schedule=DROPS,
        )  # fmt: skip
        yield Recipe("lrsgd.table_1", "SGD", model, sgd)
        for row, optimizer, inner in (
            ("LRSGD-R", "lrsgd_r", {"gamma": 1 / _INNER}), ("LRSGD-C", "lrsgd_c", {"S": _INNER})
        ):  # fmt: skip
            settings = replace(sgd, optimizer=optimizer, options={**_MOMENTUM, **inner},
                               epochs=350.0 * _INNER, lam_over_lr=0.01)  # fmt: skip
            yield Recipe("lrsgd.table_1", row, model, settings)


def tralgo_table_4(batch_sizes: tuple[int, ...] = (2, 8, 32, 128)) -> Iterator[Recipe]:
    """TRAlgo's Table 4: SGD and TRSGD on ResNet18 by batch size, 200 epochs of gradients each.

    Weight decay is the authors' code's 1e-4. ``lam`` is the paper's 0.1; the code's is an arm of
    :func:`with_arms`.
    """
    for size in batch_sizes:
        sgd = Settings(
            model="resnet18", data="cifar10", optimizer="msgd", options=_MOMENTUM, lr=0.1,
            batch_size=size, epochs=200, schedule=_HALVES,
        )  # fmt: skip
        trsgd = replace(sgd, optimizer="trsgd", options={**_MOMENTUM, "lam": 0.1, "S": _INNER})
        yield Recipe("tralgo.table_4", "SGD", str(size), sgd)
        yield Recipe("tralgo.table_4", "TRSGD", str(size), trsgd)
