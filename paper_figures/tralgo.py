"""The exhibits of TRAlgo (TRSGD, TRAdam): four figures and five tables."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from deep.gan import GanSettings
from deep.recipes import AUTHORS, tralgo_table_4, with_arms
from deep.settings import Settings
from paper_figures.drawing import curves, sheet
from paper_figures.exhibit import Exhibit, Place
from paper_figures.recipes import claimed, draw_table, straight
from paper_figures.scale import Run
from paper_figures.session import GanRun, Session
from paper_figures.style import Style

__all__ = ["EXHIBITS"]

_STEPS = "staircase:0.5,0.75:0.1"
_DECAY = 1e-4  # the authors' code; the text does not say
_BASE = Settings(
    model="resnet18", data="cifar10", batch_size=8, epochs=200.0, schedule=_STEPS, lr=0.1,
    optimizer="msgd", options={"momentum": 0.9, "weight_decay": _DECAY},
)  # fmt: skip
_NETWORKS = (("ResNet18", "resnet18"), ("ResNet101", "resnet101"), ("DenseNet121", "densenet121"))
_SETS = (("CIFAR10", "cifar10"), ("CIFAR100", "cifar100"))


def _settings(method: str, **changes: object) -> Settings:
    """A method at the paper's parameters: lambda = 0.1 and S = 10, steps 0.1 and 0.001."""
    adam = {"weight_decay": _DECAY}
    given = {
        "SGD": ("msgd", 0.1, {"momentum": 0.9, **adam}),
        "TRSGD": ("trsgd", 0.1, {"momentum": 0.9, "lam": 0.1, "S": 10, **adam}),
        "Adam": ("adam", 0.001, adam),
        "TRAdam": ("tradam", 0.001, {"lam": 0.1, "S": 10, **adam}),
    }
    optimizer, lr, options = given[method]
    made = replace(_BASE, optimizer=optimizer, lr=lr, options=options)
    return replace(made, **changes)  # type: ignore[arg-type]


def _figure_1(session: Session) -> pd.DataFrame:
    return session.train([
        Run(f"batch {size}", "ResNet18", replace(_BASE, batch_size=size, steps=5000))
        for size in (8, 32, 128)
    ], seeds=1)  # fmt: skip


def _draw_figure_1(data: pd.DataFrame, style: Style) -> Figure:
    panels = [("ResNet18", [m]) for m in
              ("train_loss", "train_accuracy", "test_loss", "test_accuracy")]  # fmt: skip
    return curves(data, style, panels, titles={"ResNet18": ""})


def _pair(plain: str, method: str) -> Callable[[Session], pd.DataFrame]:
    def compute(session: Session) -> pd.DataFrame:
        runs = []
        for title, data in _SETS:
            runs.append(Run(plain, title, _settings(plain, model="resnet101", data=data)))
            runs += claimed(method, title, _settings(method, model="resnet101", data=data))
        return session.train(runs, seeds=5)

    return compute


def _draw_pair(data: pd.DataFrame, style: Style) -> Figure:
    panels = [
        (title, metrics)
        for title, _ in _SETS
        if data[(data.column == title) & data.steps.notna()].size
        for metrics in (("train_loss", "test_loss"), ("train_accuracy", "test_accuracy"))
    ]
    return curves(data, style, panels, x="epoch")


def _table_1(session: Session) -> pd.DataFrame:
    runs = []
    for method in ("SGD", "TRSGD", "Adam", "TRAdam"):
        for title, data in _SETS:
            for shown, model in _NETWORKS:
                settings = _settings(method, model=model, data=data)
                place = method, f"{title}/{shown}"
                plain = method in ("SGD", "Adam")
                # Own steps for one network: five more runs for each of the twelve others.
                tune = model == "resnet18"
                runs += [Run(*place, settings)] if plain else claimed(*place, settings, tune=tune)
    return session.train(runs, seeds=5)


def _table_4(session: Session) -> pd.DataFrame:
    runs = []
    for recipe in tralgo_table_4():
        place = recipe.row, recipe.column
        if recipe.row == "SGD":
            runs.append(Run(*place, recipe.settings, recipe=recipe.name))
            continue
        runs += claimed(*place, recipe.settings, recipe=recipe.name)
        (theirs,) = (r for r in with_arms(recipe) if r.arm == AUTHORS)
        runs.append(Run(*place, theirs.settings, AUTHORS, recipe=theirs.name))
    return session.train(runs, seeds=5)


def _table_5(session: Session) -> pd.DataFrame:
    runs = []
    for length in (1, 5, 10, 20, 50):
        settings = _settings("TRSGD")
        settings = replace(settings, options={**settings.options, "S": length})
        runs += claimed("TRSGD", str(length), settings, tune=False)
    return session.train(runs, seeds=5)


# --- images -------------------------------------------------------------------------------------
_ADAM = GanSettings()
_TRADAM = GanSettings(optimizer="tradam", lam=0.1, S=10)


def _scores(session: Session) -> pd.DataFrame:
    # Adam at TRAdam's mean step, H_10 / 10 of its own: the schedule's share of the gain.
    mean = sum(1 / k for k in range(1, 11)) / 10
    runs = [
        GanRun("GT", None), GanRun("Adam", _ADAM), GanRun("TRAdam", _TRADAM),
        GanRun("TRAdam", replace(_TRADAM, lam=0.0), "lambda=0"),
        GanRun("TRAdam", replace(_ADAM, lr=_ADAM.lr * mean), "mean step"),
        GanRun("TRAdam", _ADAM, "same gradients"),
    ]  # fmt: skip
    return session.translate(runs, seeds=3)


_SCORES = {"Per-pixel acc.": "per_pixel", "Per-class acc.": "per_class", "Class IOU": "class_iou"}


def _places(reader: str) -> Callable[[pd.DataFrame], Sequence[Place]]:
    def places(data: pd.DataFrame) -> list[Place]:
        return [
            Place(row, column, (row, reader), metric)
            for row in ("GT", "Adam", "TRAdam") for column, metric in _SCORES.items()
        ]  # fmt: skip

    return places


def _of(reader: str) -> Callable[[Session], pd.DataFrame]:
    """The scores by one reader; the runs are shared."""

    def compute(session: Session) -> pd.DataFrame:
        data = _scores(session)
        return data[data.column == reader].reset_index(drop=True)

    return compute


def _figure_4(session: Session) -> pd.DataFrame:
    runs = [GanRun("Adam", _ADAM), GanRun("TRAdam", _TRADAM)]
    return session.translate(runs, seeds=1, images=4)


def _draw_figure_4(data: pd.DataFrame, style: Style) -> Figure:
    """Rows are test pairs; columns input, ground truth, Adam, TRAdam."""

    def images(row: str, column: str) -> list[str]:
        chosen = data[(data.row == row) & (data.column == column)].sort_values("panel")
        return [str(image) for image in chosen.image]

    heads = {
        "input": images("Adam", "input"), "ground truth": images("Adam", "ground truth"),
        "Adam": images("Adam", "output"), "TRAdam": images("TRAdam", "output"),
    }  # fmt: skip
    deep = max(map(len, heads.values())) or 1
    side = style.page / len(heads)
    canvas, upper, _ = sheet(style, side * deep + 0.3, data, pd.DataFrame())
    with style.rc():
        axes = upper.subplots(deep, len(heads), squeeze=False)
        for k, (name, column) in enumerate(heads.items()):
            axes[0, k].set_title(name)
            for i in range(deep):
                axes[i, k].set_axis_off()
                if i < len(column):
                    axes[i, k].imshow(_image(column[i]), interpolation="nearest")
    return canvas


def _image(text: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        return np.asarray(picture.convert("RGB"))


def _fcn_score(number: int, reader: str) -> Exhibit:
    key, places = f"tralgo.table_{number}", _places(reader)
    return Exhibit(
        key, f"FCN-score of photos from labels, {reader}", f"Table {number}", _of(reader),
        draw_table(key, places, statistic="per_pixel"), places, data="cityscapes",
        statistic="per_pixel",
        supports="At a reduced scale a small network, trained on the pairs, reads the classes: "
        "methods compare with each other and with GT, not with the published numbers.",
    )  # fmt: skip


EXHIBITS = (
    Exhibit(
        "tralgo.figure_1", "SGD at batch sizes 8, 32 and 128 for equally many steps", "Figure 1",
        _figure_1, _draw_figure_1,
        supports="Equal steps give the larger batch up to 16 times the gradients: what is seen is "
        "the value of more work as much as of less noise.",
    ),
    Exhibit(
        "tralgo.figure_2", "SGD and TRSGD on ResNet101, batch 8", "Figure 2",
        _pair("SGD", "TRSGD"), _draw_pair,
        supports="The arms below say whether the gain is the pull's or the falling step's.",
    ),
    Exhibit(
        "tralgo.figure_3", "Adam and TRAdam on ResNet101, batch 8", "Figure 3",
        _pair("Adam", "TRAdam"), _draw_pair,
        supports="The arms below say whether the gain is the pull's or the falling step's.",
    ),
    Exhibit(
        "tralgo.figure_4", "Photos from labels by pix2pix with Adam and TRAdam", "Figure 4",
        _figure_4, _draw_figure_4, data="cityscapes",
        supports="Four chosen images show no difference in quality; Tables 2 and 3 measure it.",
    ),
    Exhibit(
        "tralgo.table_1", "Test accuracy at batch size 8", "Table 1", _table_1,
        draw_table("tralgo.table_1", straight()), straight(),
        supports="Published gains are over SGD at the same step; TRSGD's mean step is 0.29 of it.",
    ),
    _fcn_score(2, "FCN-8s"),
    _fcn_score(3, "DPC-xception71"),
    Exhibit(
        "tralgo.table_4", "Test accuracy over the batch size, ResNet18", "Table 4", _table_4,
        draw_table("tralgo.table_4", straight(), heading="batch size {}"), straight(),
        supports="SGD's step is not adapted to the batch size in the paper; the own-step arm is.",
    ),
    Exhibit(
        "tralgo.table_5", "Test accuracy of TRSGD over S, ResNet18", "Table 5", _table_5,
        draw_table("tralgo.table_5", straight(), heading="S={}"), straight(),
        supports="S = 1 is SGD with a constant step: the published gain over S = 1 is 0.23 points.",
    ),
)  # fmt: skip
