"""What is saved, copied, edited and loaded goes on as if nothing had happened."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from theorylab.conformance.check import NotApplicable, check, refusable, require
from theorylab.conformance.subject import Subject
from theorylab.conformance.trial import Trial, begin, flat, gap, random, require_same

_BEFORE, _AFTER = 5, 5
_FLAGS = ("maximize", "foreach", "capturable", "differentiable", "fused")


def _go_on(trial: Trial, steps: int = _AFTER) -> Tensor:
    """The weights some steps later; what is drawn from torch's generator is the same for all."""
    torch.manual_seed(1)
    return trial.step(steps).weights


def _loaded(trial: Trial, state: dict[str, Any], **problem: Any) -> Trial:
    """A used optimizer of the trial's weights into which ``state`` was loaded."""
    other = begin(trial.subject, **problem).step(2)
    with torch.no_grad():
        for mine, theirs in zip(other.params, trial.params, strict=True):
            mine.copy_(theirs)
    other.optimizer.load_state_dict(state)
    other.taken = trial.taken
    return other


def _restarted(trial: Trial, other: Trial, what: str, tolerance: float | None = None) -> None:
    """Both go on alike; where a method must be helped after a checkpoint, it may say so."""
    with refusable("the step after a checkpoint"):
        found = _go_on(other)
    require_same(_go_on(trial), found, what, tolerance)


@check
def state_dict_round_trip(subject: Subject) -> None:
    """load_state_dict(state_dict()) on a used optimizer continues bit for bit."""
    trial = begin(subject).step(_BEFORE)
    other = _loaded(trial, copy.deepcopy(trial.optimizer.state_dict()))
    _restarted(trial, other, "without the round trip", 0.0)


@check
def state_dict_loads_safely(subject: Subject) -> None:
    """A saved state dict loads with torch.load(weights_only=True)."""
    trial = begin(subject).step(_BEFORE)
    buffer = io.BytesIO()
    torch.save(trial.optimizer.state_dict(), buffer)
    buffer.seek(0)
    try:
        state = torch.load(buffer, weights_only=True)
    except pickle.UnpicklingError as error:
        text = str(error).split("\n")[0]
        require(False, f"required a state dict of tensors, numbers and text; got {text}")
    require(state["state"].keys() == trial.optimizer.state_dict()["state"].keys(),
            "required the same parameters in the loaded state")  # fmt: skip


def _across(subject: Subject, old: torch.dtype, new: torch.dtype) -> None:
    if random(subject):
        raise NotApplicable("the method draws at random, other numbers in another dtype")
    trial = begin(subject, dtype=old).step(_BEFORE)
    other = _loaded(trial, copy.deepcopy(trial.optimizer.state_dict()), dtype=new)
    with refusable("the step after a checkpoint"):
        found = _go_on(other)
    require_same(_go_on(trial), found, f"in {old}: the state was loaded on {new}", 1e-4)


@check
def state_dict_to_float64(subject: Subject) -> None:
    """A state saved with float32 parameters continues on float64 ones."""
    _across(subject, torch.float32, torch.float64)


@check
def state_dict_to_float32(subject: Subject) -> None:
    """A state saved with float64 parameters continues on float32 ones."""
    _across(subject, torch.float64, torch.float32)


@check
def state_dict_to_device(subject: Subject) -> None:
    """A state saved on the CPU continues on an accelerator."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        raise NotApplicable("no accelerator here")
    trial = begin(subject).step(_BEFORE)
    state = copy.deepcopy(trial.optimizer.state_dict())
    other = _loaded(trial, state, device=accelerator.type)
    with refusable("the step after a checkpoint"):
        found = _go_on(other)
    require_same(_go_on(trial), found.cpu(), f"on the CPU, continued on {accelerator}", 1e-4)


@check
def state_dict_without_flags(subject: Subject) -> None:
    """A state dict from before torch's flags (maximize, foreach, ...) were added still loads."""
    trial = begin(subject).step(_BEFORE)
    state = copy.deepcopy(trial.optimizer.state_dict())
    gone = [flag for flag in _FLAGS if flag in state["param_groups"][0]]
    if not gone:
        raise NotApplicable("its groups have none of torch's flags")
    for group in state["param_groups"]:
        for flag in gone:
            del group[flag]
    with refusable(f"a state dict without {', '.join(gone)}"):
        other = _loaded(trial, state)
    _restarted(trial, other, "with the flags in the state dict")


@check
def foreign_state_entry(subject: Subject) -> None:
    """What somebody else notes in optimizer.state[p] does no harm, and is saved and loaded."""
    trial, plain = begin(subject).step(_BEFORE), begin(subject).step(_BEFORE)
    first = trial.params[0]
    trial.optimizer.state[first]["note"] = torch.tensor([1.0, 2.0])
    other = _loaded(trial, copy.deepcopy(trial.optimizer.state_dict()))
    _restarted(plain, other, "without a note in the state")
    note = other.optimizer.state[other.params[0]].get("note")
    require(isinstance(note, Tensor) and note.tolist() == [1.0, 2.0],
            f"required the note to be loaded too; got {note}")  # fmt: skip


@check
def state_resets_act(subject: Subject) -> None:
    """After optimizer.state.clear() the steps are those of a fresh optimizer."""
    if random(subject):
        raise NotApplicable("the method draws at random, so a fresh one draws anew")
    trial = begin(subject).step(_BEFORE)
    other = begin(subject)
    with torch.no_grad():
        for mine, theirs in zip(other.params, trial.params, strict=True):
            mine.copy_(theirs)
    other.taken = trial.taken
    trial.optimizer.state.clear()
    _restarted(other, trial, "from a fresh optimizer, the state having been cleared")


def _edited(subject: Subject, edit: Callable[[dict[str, Any], str, Tensor], object]) -> Tensor:
    trial = begin(subject).step(_BEFORE)
    found = 0
    for held in list(trial.optimizer.state.values()):
        for name, value in list(held.items()) if isinstance(held, dict) else []:
            number = isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 0
            if number and name != "step":
                with torch.no_grad():
                    edit(held, name, value)
                found += 1
    if not found:
        raise NotApplicable("its state has no tensors to edit")
    return _outcome(trial)


def _outcome(trial: Trial) -> Tensor:
    """Weights and state some steps later: an average's edits are seen in the average alone."""
    weights = _go_on(trial)
    held = [
        value.double()
        for state in trial.optimizer.state.values() if isinstance(state, dict)
        for value in state.values()
        if isinstance(value, Tensor) and value.is_floating_point()
    ]  # fmt: skip
    return flat([weights, *held])


@check
def state_edits_act(subject: Subject) -> None:
    """A tensor of optimizer.state that is changed in place changes the steps."""
    plain = _outcome(begin(subject).step(_BEFORE))
    changed = _edited(subject, lambda held, name, v: v.add_(0.3 * v.abs().mean() + 0.1))
    require(gap(plain, changed) > 1e-6,
            "required other steps once the state's tensors were changed in place; got the same"
            )  # fmt: skip


@check
def state_replacements_act(subject: Subject) -> None:
    """A tensor put into optimizer.state in place of another one changes the steps."""
    plain = _outcome(begin(subject).step(_BEFORE))
    changed = _edited(
        subject,
        lambda held, name, v: held.__setitem__(name, v + 0.3 * v.abs().mean() + 0.1),
    )
    require(gap(plain, changed) > 1e-6,
            "required other steps once the state's tensors were replaced; got the same"
            )  # fmt: skip


@check
def deep_copies(subject: Subject) -> None:
    """copy.deepcopy of parameters and optimizer together continues by itself, bit for bit."""
    trial = begin(subject).step(_BEFORE)
    other = trial.copied()
    before = other.weights
    continued = _go_on(trial)
    require(torch.equal(other.weights, before), "required a copy that does not move by itself; "
            "steps of the original moved it")  # fmt: skip
    with refusable("a step of a copy"):
        found = _go_on(other)
    require_same(continued, found, "of the original", 0.0)


@check
def pickles(subject: Subject) -> None:
    """Parameters and optimizer pickled together continue bit for bit."""
    trial = begin(subject).step(_BEFORE)
    # Our own bytes, made in the line above and seen by nobody else.
    params, optimizer = pickle.loads(pickle.dumps((trial.params, trial.optimizer)))
    other = trial.twin(optimizer, params)
    with refusable("a step of an unpickled optimizer"):
        found = _go_on(other)
    require_same(_go_on(trial), found, "of the original", 0.0)


@check
def distributed_state_dict(subject: Subject) -> None:
    """torch.distributed.checkpoint's get_ and set_optimizer_state_dict continue."""
    if subject.traits.closure or subject.traits.sparse:
        raise NotApplicable("torch makes the state there by a step of its own, without a closure "
                            "and with dense gradients")  # fmt: skip
    from torch.distributed.checkpoint import state_dict as distributed

    trial = begin(subject).step(_BEFORE)
    state = distributed.get_optimizer_state_dict(_module(trial), trial.optimizer)
    other = begin(subject)
    with torch.no_grad():
        for mine, theirs in zip(other.params, trial.params, strict=True):
            mine.copy_(theirs)
    distributed.set_optimizer_state_dict(_module(other), other.optimizer, copy.deepcopy(state))
    other.taken = trial.taken
    _restarted(trial, other, "without the round trip")


def _module(trial: Trial) -> nn.Module:
    return nn.ParameterList(trial.params)


@check
def weights_set_from_outside(subject: Subject) -> None:
    """Weights that something else sets (an average, a checkpoint) are where the next step starts.

    Averages of weights (SWA, EMA) are swapped in and out so.
    """
    moved = float((_go_on(begin(subject)) - flat(begin(subject).params)).abs().max())
    trial = begin(subject).step(_BEFORE)
    jump = 100.0 * (1.0 + moved)
    kept = [None if p.grad is None else p.grad.clone() for p in trial.params]
    with torch.no_grad():
        for p in trial.params:
            p.add_(jump)
    there = trial.weights

    def closure() -> Tensor:
        for p, g in zip(trial.params, kept, strict=True):
            p.grad = None if g is None else g.clone()
        return torch.zeros(())

    subject.step(trial.optimizer, closure)
    off = float((trial.weights - there).abs().max())
    require(off < jump / 4, f"required a step from weights set to be about {jump:.3g} away; the "
                            f"step went {off:.3g} from there")  # fmt: skip


@check
def averages_swapped_in(subject: Subject) -> None:
    """Averaged weights (SWA) swapped in to evaluate, and out again, leave training as it was."""
    trial, plain = begin(subject), begin(subject)
    module = _module(trial)
    averaged = torch.optim.swa_utils.AveragedModel(module)
    seen: list[Tensor] = []
    torch.manual_seed(1)
    for _ in range(_BEFORE):
        trial.step()
        averaged.update_parameters(module)
        seen.append(trial.weights)
        kept = [p.detach().clone() for p in trial.params]
        for weights in (list(averaged.module.parameters()), kept):
            with torch.no_grad():
                for p, w in zip(trial.params, weights, strict=True):
                    p.copy_(w)
    require_same(torch.stack(seen).mean(0), flat(list(averaged.module.parameters())),
                 "the mean of the weights seen", 1e-5)  # fmt: skip
    torch.manual_seed(1)
    require_same(plain.step(_BEFORE).weights, trial.weights, "without the averages")
