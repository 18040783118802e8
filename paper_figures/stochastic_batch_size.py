"""The exhibits of stochastic batch size: two figures and five tables.

The text gives no number of epochs: 200 are taken. Its Staircase drops are taken at half and at
three quarters, its RMSProp and Adam steps as 0.001.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from deep.schedules import schedule
from deep.settings import Option, Settings
from paper_figures.drawing import curves, sheet
from paper_figures.exhibit import Exhibit, Place
from paper_figures.recipes import claimed, draw_table
from paper_figures.scale import SAMPLES, Run
from paper_figures.session import Session
from paper_figures.style import Style, line

__all__ = ["EXHIBITS"]

_SEEDS = 10
_BASE = Settings(
    data="cifar10", optimizer="sgd", lr=0.1, batch_size=16, epochs=200.0, schedule="sigmoid:0.01",
)  # fmt: skip
_NETWORKS = {"VGG11": "vgg11", "ResNet18": "resnet18", "ResNet50": "resnet50"}
_TWO = ("VGG11", "ResNet18")
_SETS = {"CIFAR10": "cifar10", "SVHN": "svhn", "STL10": "stl10"}
_MOMENTA = {16: 0.0, 32: 0.3, 64: 0.6, 128: 0.9}
_PARTS = {"mean": "last tenth", "max": "maximum"}
# The exponential power 0.05 is an epoch's.
_SCHEMES: dict[str, tuple[str, float, str, dict[str, Option]]] = {
    "0.1": ("sgd", 0.1, "constant", {}),
    "0.01": ("sgd", 0.01, "constant", {}),
    "0.001": ("sgd", 0.001, "constant", {}),
    "Exp": ("sgd", 0.1, f"exponential:{0.05 * 200:g}", {}),
    "RMS": ("rmsprop", 0.001, "constant", {"alpha": 0.95}),
    "Adam": ("adam", 0.001, "constant", {}),
    "Stair": ("sgd", 0.1, "staircase:0.5,0.75:0.1", {}),
    "Sigm": ("sgd", 0.1, "sigmoid:0.01", {}),
}


def _momentum(settings: Settings, value: float) -> Settings:
    """SGD with momentum where there is any."""
    if value == 0:
        return settings
    return replace(settings, optimizer="msgd", options={"momentum": value})


def _ours(settings: Settings, alpha: float, lambda_: float, momentum: float = 0.0) -> Settings:
    options: dict[str, Option] = {"alpha": alpha, "lambda_": lambda_}
    if momentum:
        options["momentum"] = momentum
    return replace(settings, optimizer="stochastic_batch_size_2", options=options)


def _methods(network: str, data: str, size: int) -> dict[str, Settings]:
    """The six methods of Table 5 at one setting."""
    momentum = _MOMENTA[size]
    base = replace(_BASE, model=_NETWORKS[network], data=_SETS[data], batch_size=size)
    sgd = _momentum(base, momentum)
    depth = "depth_dropout" if network == "VGG11" else "stochastic_depth"
    entropy: dict[str, Option] = {"S": 5, "momentum": momentum, "variant": "authors"}
    return {
        "SGD": sgd,
        "Drop": replace(sgd, model_options={"dropout": 0.5}),
        "aDrop": replace(sgd, model_options={depth: 0.5}),
        "eSGD": replace(base, optimizer="entropy_sgd", lr=1.0, options=entropy),
        "aSGD": replace(base, optimizer="accelerated_sgd"),
        "Ours": _ours(base, 0.1, -4.0, momentum),
    }


# --- schedules ----------------------------------------------------------------------------------
def _schemes(session: Session) -> pd.DataFrame:
    runs = []
    for network in _TWO:
        for name, (optimizer, lr, form, options) in _SCHEMES.items():
            settings = replace(
                _BASE, model=_NETWORKS[network], optimizer=optimizer, lr=lr, schedule=form,
                options=options,
            )  # fmt: skip
            runs.append(Run(network, name, settings))
        # The schedule that is chosen, and the two closest to it, at steps of their own.
        for name in ("Sigm", "Stair", "Exp"):
            settings = replace(_BASE, model=_NETWORKS[network], schedule=_SCHEMES[name][2])
            arm = "own step" if name == "Sigm" else f"{name}, own step"
            runs.append(Run(network, "Sigm", settings, arm, tune=True))
    return session.train(runs, seeds=_SEEDS)


def _two_parts(data: pd.DataFrame) -> Sequence[Place]:
    """Table 1: rows mean and max, columns network/scheme."""
    return [
        Place(part, f"{network}/{name}", (network, name), statistic)
        for network in _TWO for name in _SCHEMES for part, statistic in _PARTS.items()
    ]  # fmt: skip


def _draw_figure_1(data: pd.DataFrame, style: Style) -> Figure:
    """Top: the step over the run, by scheme; below: losses and accuracy, a row for each network."""
    plain = data[(data.arm == "") & data.steps.notna()]
    names = [name for name in _SCHEMES if name in set(plain.column)]
    t = np.arange(1, 201)
    canvas, upper, _ = sheet(style, 0.7 * style.page, data, pd.DataFrame())
    with style.rc():
        axes = upper.subplots(3, len(names), squeeze=False, sharey="row")
        for k, name in enumerate(names):
            optimizer, lr, form, _ = _SCHEMES[name]
            at = schedule(form, lr, len(t))
            axes[0, k].plot(t / len(t), [float(at(int(i))) for i in t], color="black")
            axes[0, k].set_title(name + ("" if optimizer == "sgd" else "\n(initial)"))
            axes[0, k].set_ylim(0, 0.105)
            for i, network in enumerate(_TWO, 1):
                runs = plain[(plain.column == name) & (plain.row == network)]
                place, other = axes[i, k], axes[i, k].twinx()
                for j, metric in enumerate(("train_loss", "test_loss")):
                    mean = runs.groupby("epoch")[metric].mean()
                    place.plot(mean.index, mean, **{**line(j), "marker": ""})
                accuracy = 100 * runs.groupby("epoch").test_accuracy.mean()
                other.plot(accuracy.index, accuracy, **{**line(2), "marker": ""})
                other.set_ylim(0, 100)
                other.set_yticks([0, 50, 100] if k == len(names) - 1 else [])
                other.spines["right"].set_visible(k == len(names) - 1)
                place.set_ylim(bottom=0)
                place.locator_params(nbins=2)
                if k == 0:
                    place.set_ylabel(f"{network}\nloss")
                if k == len(names) - 1:
                    other.set_ylabel("accuracy (%)")
            axes[0, k].locator_params(nbins=2)
            axes[2, k].set_xlabel("epochs")
        axes[0, 0].set_ylabel("step size")
        names = ["train loss", "test loss", "test accuracy"]
        handles = [
            axes[1, 0].plot([], [], **{**line(j), "marker": ""}, label=label)[0]
            for j, label in enumerate(names)
        ]
        upper.legend(handles=handles, loc="outside upper center", ncols=3)
    return canvas


# --- batch size and momentum --------------------------------------------------------------------
def _table_2(session: Session) -> pd.DataFrame:
    runs = []
    for network in _TWO:
        for size in _MOMENTA:
            for momentum in _MOMENTA.values():
                base = replace(_BASE, model=_NETWORKS[network], batch_size=size)
                place = network, f"B={size}/m={momentum:g}"
                runs.append(Run(*place, _momentum(base, momentum)))
    return session.train(runs, seeds=_SEEDS)


def _network_parts(data: pd.DataFrame) -> Sequence[Place]:
    """Table 2: rows network/part."""
    pairs = data[data.arm == ""][["row", "column"]].drop_duplicates()
    return [
        Place(f"{row}/{part}", column, (row, column), statistic)
        for row, column in pairs.itertuples(index=False)
        for part, statistic in _PARTS.items()
    ]


# --- alpha and lambda ---------------------------------------------------------------------------
def _table_3(session: Session) -> pd.DataFrame:
    runs = []
    for network in _TWO:
        base = replace(_BASE, model=_NETWORKS[network])
        for alpha in (-0.1, 0.0, 0.1, 1.0):
            runs.append(Run(network, f"alpha={alpha:g}", _ours(base, alpha, 0.0)))
        for lambda_ in (0.0, -2.0, -4.0, -8.0):
            settings = _ours(base, 0.1, lambda_)
            place = network, f"lambda={lambda_:g}"
            runs += claimed(*place, settings) if lambda_ == -4.0 else [Run(*place, settings)]
    return session.train(runs, seeds=_SEEDS)


def _swapped_parts(data: pd.DataFrame) -> Sequence[Place]:
    """Table 3: rows mean and max, columns parameter/network."""
    pairs = data[data.arm == ""][["row", "column"]].drop_duplicates()
    return [
        Place(part, f"{column}/{row}", (row, column), statistic)
        for row, column in pairs.itertuples(index=False)
        for part, statistic in _PARTS.items()
    ]


# --- part of the training data ------------------------------------------------------------------
def _table_4(session: Session) -> pd.DataFrame:
    runs = []
    for network in _TWO:
        for size, momentum in _MOMENTA.items():
            for part in (2, 4, 8):
                base = replace(
                    _BASE, model=_NETWORKS[network], batch_size=size,
                    train_samples=SAMPLES["cifar10"] // part,
                )  # fmt: skip
                row = f"{network}/B={size}"
                runs.append(Run(row, f"SGD/1/{part}", _momentum(base, momentum)))
                ours = _ours(base, 0.1, -4.0, momentum)
                # Own steps where the printed gain is largest.
                tune = size == 128 and part == 8
                runs += claimed(row, f"Ours/1/{part}", ours, tune=tune)
    return session.train(runs, seeds=_SEEDS)


def _ratios(data: pd.DataFrame) -> Sequence[Place]:
    """Table 4: SGD, ours, and the improvement, paired over seeds."""
    found = []
    for row in dict.fromkeys(data.row):
        for part in (2, 4, 8):
            sgd, ours = f"SGD/1/{part}", f"Ours/1/{part}"
            found += [Place(row, c, (row, c), "last tenth") for c in (sgd, ours)]
            found.append(Place(row, f"improvement/1/{part}", (row, ours), "last tenth", (row, sgd)))
    return found


# --- methods ------------------------------------------------------------------------------------
def _table_5(session: Session) -> pd.DataFrame:
    runs = []
    for data in _SETS:
        for network in _NETWORKS:
            for size in _MOMENTA:
                for name, settings in _methods(network, data, size).items():
                    place = f"{data}/B={size}", f"{network}/{name}"
                    if name == "Ours":
                        tune = data == "CIFAR10" and network == "ResNet18" and size == 16
                        runs += claimed(*place, settings, tune=tune)
                    else:
                        runs.append(Run(*place, settings))
    return session.train(runs, seeds=_SEEDS)


def _blocks(data: pd.DataFrame) -> Sequence[Place]:
    """Table 5: rows data/part/batch."""
    pairs = data[data.arm == ""][["row", "column"]].drop_duplicates()
    found = []
    for row, column in pairs.itertuples(index=False):
        name, size = row.split("/")
        found += [
            Place(f"{name}/{part}/{size}", column, (row, column), statistic)
            for part, statistic in _PARTS.items()
        ]
    return found


def _figure_2(session: Session) -> pd.DataFrame:
    runs = []
    for data in _SETS:
        for network in _NETWORKS:
            for name, settings in _methods(network, data, 16).items():
                place = name, f"{data}/{network}"
                tune = data == "CIFAR10" and network == "ResNet18"
                runs += (
                    claimed(*place, settings, tune=tune)
                    if name == "Ours" else [Run(*place, settings)]
                )  # fmt: skip
    return session.train(runs, seeds=_SEEDS)


def _draw_figure_2(data: pd.DataFrame, style: Style) -> Figure:
    ran = data[data.steps.notna()]
    panels = [(column, ["test_accuracy"]) for column in dict.fromkeys(ran.column)]
    return curves(data, style, panels, x="epoch", columns=3, statistic="last tenth")


def _table(
    number: int, title: str, compute: Callable[[Session], pd.DataFrame],
    places: Callable[[pd.DataFrame], Sequence[Place]], supports: str, per_line: int,
) -> Exhibit:  # fmt: skip
    key = f"stochastic_batch_size.table_{number}"
    draw = draw_table(key, places, per_line, "last tenth")
    return Exhibit(key, title, f"Table {number}", compute, draw, places, statistic="last tenth",
                   supports=supports)  # fmt: skip


EXHIBITS = (
    Exhibit(
        "stochastic_batch_size.figure_1", "Step schedules and SGD's curves under them", "Figure 1",
        _schemes, _draw_figure_1,
        supports="Each scheme has one step, chosen by the authors: Sigm's lead over Stair is 0.2 "
        "points.",
    ),
    Exhibit(
        "stochastic_batch_size.figure_2", "Accuracy of six methods at batch 16", "Figure 2",
        _figure_2, _draw_figure_2, statistic="last tenth",
        supports="All methods run at SGD's step; the arms give SGD and ours steps of their own.",
    ),
    _table(1, "SGD under eight step schedules", _schemes, _two_parts,
           "`max` profits from every look at the test set, more the noisier the scheme.", 8),
    _table(2, "SGD over batch size and momentum", _table_2, _network_parts,
           "The step is 0.1 at every batch size and momentum, so the effective step varies 80 "
           "times over.", 8),
    _table(3, "Ours over alpha and lambda", _table_3, _swapped_parts,
           "The printed differences, 0.1 to 0.4 points, have no interval; ours do.", 4),
    _table(4, "SGD and ours with part of the training data", _table_4, _ratios,
           "Improvements are paired over seeds.", 3),
    _table(5, "Six methods, three networks, three data sets, four batch sizes", _table_5, _blocks,
           "Methods share SGD's step; `max` is chosen on the test set.", 6),
)  # fmt: skip
