"""The learning rate: zero, from zero, changed by hand, by a tensor, by every scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import lr_scheduler as schedulers
from torch.optim.swa_utils import SWALR

from theorylab.conformance.check import NotApplicable, check, refusable, require
from theorylab.conformance.subject import Subject
from theorylab.conformance.trial import Trial, begin, finite, gap, require_same

_STEPS = 8


def _rate(trial: Trial) -> float:
    group = trial.optimizer.param_groups[0]
    if "lr" not in group:
        raise NotApplicable("its parameter groups have no lr")
    return float(group["lr"])


def _set(trial: Trial, rate: float) -> None:
    for group in trial.optimizer.param_groups:
        group["lr"] = rate


@check
def zero_learning_rate(subject: Subject) -> None:
    """With lr = 0 the weights stay, bit for bit, and a later lr trains them."""
    trial = begin(subject).step(3)
    rate, before = _rate(trial), trial.weights
    _set(trial, 0.0)
    trial.step(3)
    require(finite(trial.weights), "required weights that stay at lr = 0; they are not finite")
    moved = gap(before, trial.weights)
    require(moved == 0, f"required weights that stay at lr = 0; they moved by {moved:.2g}")
    _set(trial, rate)
    trial.step(3)
    require(finite(trial.weights) and gap(before, trial.weights) > 0,
            "required finite steps once lr was positive again")  # fmt: skip


@check
def zero_learning_rate_of_a_group(subject: Subject) -> None:
    """A group with lr = 0 stays while the others train."""
    _rate(begin(subject))
    with refusable("two parameter groups"):
        trial = begin(subject, grouped=lambda ps: [{"params": ps[:1], "lr": 0.0},
                                                   {"params": ps[1:]}])  # fmt: skip
    before = [p.detach().clone() for p in trial.params]
    trial.step(_STEPS)
    require(torch.equal(trial.params[0], before[0]),
            "required the weights of a group with lr = 0 to stay; they moved to within "
            f"{gap(before[0], trial.params[0].detach()):.2g}")  # fmt: skip
    require(finite(trial.weights) and not torch.equal(trial.params[1], before[1]),
            "required the other group to train")  # fmt: skip


@check
def warm_up_from_zero(subject: Subject) -> None:
    """A warm-up that begins at lr = 0 trains, with finite weights."""
    trial = begin(subject)
    rate, before, value = _rate(trial), trial.weights, trial.value
    for step in range(3 * _STEPS):
        _set(trial, rate * min(1.0, step / 5))
        trial.step()
        require(finite(trial.weights),
                f"required finite weights; they are not after step {step + 1}")  # fmt: skip
    require(gap(before, trial.weights) > 0 and trial.value < value,
            f"required a lower loss than {value:.4g} after the warm-up; got {trial.value:.4g}"
            )  # fmt: skip


@check
def learning_rate_edits_act(subject: Subject) -> None:
    """An lr written into the groups between steps is the one that the next step takes."""
    moves = []
    for factor in (1.0, 0.5):
        trial = begin(subject).step(4)
        before = trial.weights
        _set(trial, factor * _rate(trial))
        torch.manual_seed(1)
        moves.append(trial.step().weights - before)
    require(gap(*moves) > 1e-4, "required another step at half the lr; got the same")


@check
def tensor_learning_rate(subject: Subject) -> None:
    """lr as a tensor acts like the number."""
    if "lr" not in subject.arguments:
        raise NotApplicable("takes no lr")
    rate = _rate(begin(subject))
    with refusable("lr as a tensor"):
        trial = begin(subject, arguments={"lr": torch.tensor(rate)}).step(_STEPS)
    require_same(begin(subject).step(_STEPS).weights, trial.weights, "with a number")


def _cyclic(optimizer: Any, rate: float) -> Any:
    has = {"momentum", "betas"} & optimizer.defaults.keys()
    return schedulers.CyclicLR(optimizer, rate / 10, rate, 3, cycle_momentum=bool(has))


def _one_cycle(optimizer: Any, rate: float) -> Any:
    has = {"momentum", "betas"} & optimizer.defaults.keys()
    return schedulers.OneCycleLR(optimizer, rate, total_steps=30, cycle_momentum=bool(has))


SCHEDULERS: Mapping[str, Callable[[Any, float], Any]] = {
    "LambdaLR": lambda o, r: schedulers.LambdaLR(o, lambda t: 1 / (1 + t)),
    "MultiplicativeLR": lambda o, r: schedulers.MultiplicativeLR(o, lambda t: 0.9),
    "StepLR": lambda o, r: schedulers.StepLR(o, 3),
    "MultiStepLR": lambda o, r: schedulers.MultiStepLR(o, [2, 5]),
    "ConstantLR": lambda o, r: schedulers.ConstantLR(o, total_iters=4),
    "LinearLR": lambda o, r: schedulers.LinearLR(o, 0.1, total_iters=5),
    "ExponentialLR": lambda o, r: schedulers.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o, r: schedulers.PolynomialLR(o, 12),
    "CosineAnnealingLR": lambda o, r: schedulers.CosineAnnealingLR(o, 6),
    "CosineAnnealingWarmRestarts": lambda o, r: schedulers.CosineAnnealingWarmRestarts(o, 4),
    "CyclicLR": _cyclic,
    "OneCycleLR": _one_cycle,
    "SWALR": lambda o, r: SWALR(o, r / 10, anneal_epochs=4),
    "SequentialLR": lambda o, r: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o, 0.1, total_iters=3), schedulers.ExponentialLR(o, 0.8)], [3]
    ),
    "ChainedScheduler": lambda o, r: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(o, 0.5, 2), schedulers.ExponentialLR(o, 0.9)], o
    ),
    "ReduceLROnPlateau": lambda o, r: schedulers.ReduceLROnPlateau(o, patience=0, threshold=0.9),
}
"""Every kind of scheduler that torch has."""


def _scheduled(subject: Subject, name: str) -> tuple[Tensor, list[dict[str, Any]]]:
    trial = begin(subject)
    scheduler = SCHEDULERS[name](trial.optimizer, _rate(trial))
    seen: list[dict[str, Any]] = []
    for _ in range(_STEPS):
        seen.append({k: v for k, v in trial.optimizer.param_groups[0].items()
                     if k in ("lr", "momentum", "betas")})  # fmt: skip
        trial.step()
        scheduler.step(*([trial.value] if name == "ReduceLROnPlateau" else []))
    return trial.weights, seen


@check
def every_scheduler(subject: Subject) -> None:
    """Each of torch's schedulers drives it: the steps are those at the lr that it set."""
    for name in SCHEDULERS:
        found, seen = _scheduled(subject, name)
        trial = begin(subject)
        for values in seen:
            for group in trial.optimizer.param_groups:
                group.update(values)
            trial.step()
        require(finite(found), f"required finite weights under {name}")
        require_same(trial.weights, found, f"at the lr that {name} set, written by hand")
