"""Parameter groups: split, added late, with arguments of their own."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from theorylab.conformance.arguments import variants
from theorylab.conformance.check import NotApplicable, Unmet, check, refusable, require
from theorylab.conformance.subject import Subject
from theorylab.conformance.trial import begin, gap, require_same

_STEPS = 6


@check
def groups_equal_one(subject: Subject) -> None:
    """Parameters in two groups of the same arguments train as in one."""
    with refusable("two parameter groups"):
        trial = begin(subject, grouped=lambda ps: [{"params": ps[:2]}, {"params": ps[2:]}])
    require_same(begin(subject).step(_STEPS).weights, trial.step(_STEPS).weights, "in one group")


@check
def parameters_given_by_name(subject: Subject) -> None:
    """model.named_parameters() and a generator are taken like a list."""
    plain = begin(subject).step(_STEPS).weights
    for what, grouped in (
        ("named", lambda ps: [(f"layer{k}.weight", p) for k, p in enumerate(ps)]),
        ("in a generator", lambda ps: (p for p in ps)),
    ):
        with refusable(f"parameters {what}"):
            trial = begin(subject, grouped=grouped)
        require_same(plain, trial.step(_STEPS).weights, "from a list")


@check
def added_group_trains(subject: Subject) -> None:
    """A group added later takes the defaults and trains."""
    trial = begin(subject, grouped=lambda ps: ps[:1]).step(3)
    with refusable("a second parameter group"):
        trial.optimizer.add_param_group({"params": trial.params[1:]})
        before = trial.params[1].detach().clone()
        trial.step(3)
    missing = set(trial.optimizer.param_groups[0]) - set(trial.optimizer.param_groups[1])
    require(not missing, f"required the defaults in a group added later; it lacks {missing}")
    require(not torch.equal(before, trial.params[1]), "required a group added later to train; "
                                                      "its weights stay")  # fmt: skip


@check
def parameter_in_two_groups(subject: Subject) -> None:
    """A parameter in two groups is refused."""
    try:
        begin(subject, grouped=lambda ps: [{"params": ps}, {"params": ps[:1]}])
    except Exception:
        return
    raise Unmet("required an error where a parameter stands in two groups; got none")


@check
def group_arguments_act(subject: Subject) -> None:
    """An argument that a group has of its own acts as if all had it, or is refused."""
    checked = 0
    for name, value in _acting(subject):
        with refusable(f"{name} of a group"):
            mine = begin(subject, grouped=partial(_one_group, {name: value}))
        wanted = begin(subject, arguments={name: value}).step(_STEPS).weights
        require_same(wanted, mine.step(_STEPS).weights,
                     f"with {name}={_shown(value)} for all parameters")  # fmt: skip
        checked += 1
    if not checked:
        raise NotApplicable("no argument changes the first steps")


@check
def argument_edits_act(subject: Subject) -> None:
    """An argument that stands in the groups and is changed there acts from then on."""
    checked = 0
    for name, value in _acting(subject):
        trial = begin(subject)
        if name not in trial.optimizer.param_groups[0]:
            continue
        for group in trial.optimizer.param_groups:
            group[name] = value
        wanted = begin(subject, arguments={name: value}).step(_STEPS).weights
        with refusable(f"{name} changed in the groups"):
            found = trial.step(_STEPS).weights
        require_same(wanted, found, f"built with {name}={_shown(value)}")
        checked += 1
    if not checked:
        raise NotApplicable("no argument in the groups changes the first steps")


def _acting(subject: Subject) -> list[tuple[str, Any]]:
    """Arguments whose change moves the weights of the first steps, with such a value each."""
    plain = begin(subject).step(_STEPS).weights
    found = []
    for name in subject.arguments:
        for value in variants(subject, name):
            try:
                changed = begin(subject, arguments={name: value}).step(_STEPS).weights
            except Exception:
                continue  # refused: another check says whether rightly
            if gap(plain, changed) > 1e-6:
                found.append((name, value))
                break
    return found


def _one_group(arguments: dict[str, Any], params: list[torch.nn.Parameter]) -> list[dict[str, Any]]:
    return [{"params": params, **arguments}]


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
