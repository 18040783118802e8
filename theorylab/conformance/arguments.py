"""Arguments: wrong ones refused, right ones heard, maximize and weight decay as they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from theorylab.conformance.check import NotApplicable, Unmet, check, refusable, require
from theorylab.conformance.subject import Subject
from theorylab.conformance.trial import Trial, begin, finite, flat, gap, require_same

__all__ = ["variants"]

_STEPS = 12
# They change how a step is computed, never where it leads; a deterministic method has no use for a
# seed; maximize has a check of its own.
_SILENT = frozenset(
    {"foreach", "fused", "capturable", "differentiable", "seed", "maximize", "lr", "params"}
)
# Some arguments act beside others alone: nesterov and dampening beside momentum.
_BESIDE: tuple[dict[str, Any], ...] = (
    {}, {"weight_decay": 0.1}, {"momentum": 0.5}, {"momentum": 0.5, "weight_decay": 0.1},
)  # fmt: skip


def variants(subject: Subject, name: str) -> Iterator[Any]:
    """Other values of an argument, mild ones first; none of one whose kind is not known."""
    if name not in _SILENT:
        yield from _others(subject.value(name))


def _others(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (v for v in (value + 1, 2 * value, 1, 0, 10) if v != value)
    elif isinstance(value, float):
        yield from (v for v in (value / 2, 2 * value, 0.5, 0.9, 0.1, 1.0, 10.0, 0.0) if v != value)
    elif isinstance(value, tuple):
        for place in range(len(value)):
            yield from _others_at(value, place)


def _others_at(value: tuple[Any, ...], place: int) -> Iterator[Any]:
    for other in _others(value[place]):
        yield (*value[:place], other, *value[place + 1 :])


@check
def unknown_argument(subject: Subject) -> None:
    """An argument that does not exist is refused."""
    try:
        begin(subject, arguments={"not_an_argument": 1.0})
    except Exception:
        return
    raise Unmet("required an error for not_an_argument=1.0; it was accepted")


@check
def nonsense_values(subject: Subject) -> None:
    """Negative lr, momentum, weight_decay and eps, and betas outside of [0, 1), are refused."""
    wrong: dict[str, list[Any]] = {
        "lr": [-1.0], "momentum": [-0.5], "weight_decay": [-1.0], "eps": [-1.0],
        "betas": [(-0.1, 0.9), (0.9, 1.5)],
    }  # fmt: skip
    named = [name for name in wrong if name in subject.arguments]
    if not named:
        raise NotApplicable("takes none of them by name")
    taken = []
    for name in named:
        if name == "eps" and not isinstance(subject.value(name), float):
            continue
        for value in wrong[name]:
            try:
                begin(subject, arguments={name: value})
            except Exception:
                continue
            taken.append(f"{name}={value}")
    require(not taken, f"required an error; accepted: {', '.join(taken)}")


@check
def empty_parameter_list(subject: Subject) -> None:
    """An optimizer of no parameters is refused."""
    try:
        subject.build([])
    except Exception:
        return
    raise Unmet("required an error for an empty list of parameters; got none")


@check
def arguments_act(subject: Subject) -> None:
    """No argument is accepted and ignored: some value of each changes a run or its state."""
    ignored = []
    for name in subject.arguments:
        value = None if name in _SILENT else subject.value(name)
        entries = list(range(len(value))) if isinstance(value, tuple) else [None]
        for place in entries:
            if _acts(subject, name, value, place) is False:
                ignored.append(name if place is None else f"{name}[{place}]")
    require(not ignored, f"required that it acts; accepted and ignored: {', '.join(ignored)}")


def _acts(subject: Subject, name: str, value: Any, place: int | None) -> bool | None:
    """Whether any other value acts; ``None`` where none is known or all are refused."""
    taken = None
    tried = [subject]
    if not subject.traits.closure:  # some act on what a closure tells alone
        tried.append(subject.with_traits(replace(subject.traits, closure=True)))
    for one in tried:
        found = _acts_in(one, name, value, place)
        if found:
            return True
        taken = taken if found is None else found
    return taken


def _acts_in(subject: Subject, name: str, value: Any, place: int | None) -> bool | None:
    taken = None
    for beside in _beside(subject, name):
        try:
            plain = _outcome(subject, beside)
        except Exception:
            continue
        for other in _others(value) if place is None else _others_at(value, place):
            try:
                changed = _outcome(subject, {**beside, name: other})
            except Exception:
                continue
            if changed.shape != plain.shape or gap(plain, changed) > 1e-13:
                return True
            taken = False
    return taken


def _beside(subject: Subject, name: str) -> Iterator[dict[str, Any]]:
    """Other arguments beside which this one may act."""
    others = set(subject.arguments) - {name}
    yield from (beside for beside in _BESIDE if set(beside) <= others)
    for other in sorted(others - _SILENT):
        if isinstance(subject.value(other), bool):
            yield {other: not subject.value(other)}


def _outcome(subject: Subject, arguments: dict[str, Any]) -> Tensor:
    trial = begin(subject, arguments=arguments, dtype=torch.float64)
    for factor in (1.0, 0.5, 4.0):  # some act where the lr falls or rises alone
        for group in trial.optimizer.param_groups:
            if "lr" in group:
                group["lr"] = group["lr"] * factor
        trial.step(_STEPS // 3)
    held = [
        value.detach().double()
        for state in trial.optimizer.state.values() if isinstance(state, dict)
        for value in state.values()
        if isinstance(value, Tensor) and not value.is_complex() and finite(value)
    ]  # fmt: skip
    return flat([trial.weights, *held])


@check
def maximize(subject: Subject) -> None:
    """maximize=True on a loss is maximize=False on its negative."""
    if "maximize" not in subject.arguments:
        raise NotApplicable("takes no maximize")
    for more in ({}, {"weight_decay": 0.1}):
        if not set(more) <= set(subject.arguments):
            continue
        with refusable("maximize=True"):
            trial = begin(subject, arguments={"maximize": True, **more}, scale=-1.0)
        plain = begin(subject, arguments=dict(more))
        require_same(plain.step(_STEPS).weights, trial.step(_STEPS).weights,
                     "minimising the negative loss")  # fmt: skip


@check
def weight_decay_order(subject: Subject) -> None:
    """Weight decay is coupled or decoupled as claimed."""
    if subject.claims.decay is None:
        raise NotApplicable("neither coupled nor decoupled decay is claimed")
    if "weight_decay" not in subject.arguments:
        raise NotApplicable("takes no weight_decay")
    decay, coupled = 0.1, subject.claims.decay == "coupled"
    trial = begin(subject, arguments={"weight_decay": decay}, dtype=torch.float64)
    plain = begin(subject, arguments={"weight_decay": 0.0}, dtype=torch.float64)
    trial.step(_STEPS)
    for _ in range(_STEPS):
        _decayed(plain, decay, coupled)
    require_same(plain.weights, trial.weights,
                 f"of {subject.claims.decay} decay made by hand")  # fmt: skip


def _decayed(plain: Trial, decay: float, coupled: bool) -> None:
    """One step without the optimizer's decay, decay made by hand."""
    problem, params, step = plain.problem, plain.params, plain.taken

    def closure() -> Tensor:
        loss = problem.backward(params, step)
        with torch.no_grad():
            for p in params:
                if coupled:
                    p.grad = p.grad.to_dense() + decay * p
                    loss = loss + decay * p.square().sum() / 2
                else:
                    p.mul_(1 - decay * float(plain.optimizer.param_groups[0]["lr"]))
        return loss

    plain.subject.step(plain.optimizer, closure)
    plain.taken += 1


@check
def weight_decay_acts(subject: Subject) -> None:
    """Beside gradients of zero, weight decay makes the weights smaller."""
    if "weight_decay" not in subject.arguments:
        raise NotApplicable("takes no weight_decay")
    sizes = []
    for decay in (0.0, 0.5):
        with refusable("float64 parameters"):  # small decay is lost in float32
            trial = begin(
                subject, arguments={"weight_decay": decay}, scale=0.0, dtype=torch.float64
            )
        with torch.no_grad():
            for p in trial.params:
                p.add_(5.0)
        sizes.append(float(trial.step(2 * _STEPS).weights.norm()))
    require(sizes[1] < sizes[0], f"required smaller weights with weight_decay=0.5 than the norm "
                                 f"{sizes[0]:.6g} without; got {sizes[1]:.6g}")  # fmt: skip
