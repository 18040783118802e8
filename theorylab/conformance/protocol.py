"""The protocol of a step: closures, hooks, gradients, clipping, the autograd around it."""

from __future__ import annotations

import torch
from torch import Tensor

from theorylab.conformance.check import NotApplicable, check, require
from theorylab.conformance.subject import Subject
from theorylab.conformance.trial import Trial, begin, finite, flat, require_same

_STEPS = 6


@check
def descends(subject: Subject) -> None:
    """It is built of plain parameters, and its steps lower a convex loss, near and far away."""
    for error in subject.traits.refusals:
        raise error
    for far in (1.0, 100.0):
        trial = begin(subject, noise=0.0)
        require(isinstance(trial.optimizer, torch.optim.Optimizer),
                f"required a torch.optim.Optimizer; got {type(trial.optimizer).__name__}"
                )  # fmt: skip
        with torch.no_grad():
            for p in trial.params:
                p.mul_(far)
        value = trial.value
        trial.step(4 * _STEPS)
        require(finite(trial.weights) and trial.value < value,
                f"required a loss below {value:.6g}, that of weights of size {far:g}; got "
                f"{trial.value:.6g} after {4 * _STEPS} steps")  # fmt: skip


@check
def repeats(subject: Subject) -> None:
    """The same torch.manual_seed gives the same weights, bit for bit."""
    for dtype in (torch.float32, torch.float64):
        if dtype == torch.float64 and not _takes(subject, dtype):
            continue
        one, other = (begin(subject, dtype=dtype).step(_STEPS).weights for _ in range(2))
        require_same(one, other, "of the same seed", 0.0)


def _takes(subject: Subject, dtype: torch.dtype) -> bool:
    try:
        begin(subject, dtype=dtype).step()
    except Exception:
        return False
    return True


@check
def step_returns_the_loss(subject: Subject) -> None:
    """step(closure) returns the closure's loss, and step() returns None."""
    trial = begin(subject)
    wanted = begin(subject).closure()()
    got = (subject.claims.step or (lambda o, c: o.step(c)))(trial.optimizer, trial.closure())
    require(got is not None and abs(float(got) - float(wanted)) < 1e-5,
            f"required the closure's loss {float(wanted):.6g} from step(closure); got {got}"
            )  # fmt: skip
    if not subject.traits.closure and subject.claims.step is None:
        alone = trial.optimizer.step()
        require(alone is None, f"required None from step(); got {alone}")


@check
def closure_takes_the_step(subject: Subject) -> None:
    """step(closure) is the closure and then step()."""
    if subject.traits.closure or subject.claims.step is not None:
        raise NotApplicable("its steps need a closure")
    trial, plain = begin(subject), begin(subject)
    for _ in range(_STEPS):
        trial.optimizer.step(trial.closure())
        trial.taken += 1
    require_same(plain.step(_STEPS).weights, trial.weights, "without a closure")


@check
def closure_may_differentiate(subject: Subject) -> None:
    """A closure computes gradients, even where step is called under torch.no_grad."""
    trial = begin(subject)
    seen = []

    def closure() -> Tensor:
        seen.append(torch.is_grad_enabled())
        with torch.enable_grad():
            return trial.problem.backward(trial.params, 0)

    with torch.no_grad():
        (subject.claims.step or (lambda o, c: o.step(c)))(trial.optimizer, closure)
    require(bool(seen), "required step to call its closure; it did not")
    require(all(seen), "required a closure that can call backward; gradients were switched off")


@check
def gradients_are_left(subject: Subject) -> None:
    """A step leaves the gradients as they were."""
    if subject.traits.closure:
        raise NotApplicable("its steps evaluate gradients of their own")
    arguments = {"weight_decay": 0.1} if "weight_decay" in subject.arguments else {}
    trial = begin(subject, arguments=arguments).step(2)
    trial.closure()()
    before = [p.grad.to_dense().clone() for p in trial.params]
    subject.step(trial.optimizer, lambda: torch.zeros(()))
    after = [None if p.grad is None else p.grad.to_dense() for p in trial.params]
    same = all(b is not None and torch.equal(a, b) for a, b in zip(before, after, strict=True))
    require(same, "required the gradients as they were before the step; they changed")


@check
def moves_in_place(subject: Subject) -> None:
    """The weights move where they are in memory: views, tied weights and graphs see the step."""
    trial = begin(subject)
    places = [p.data_ptr() for p in trial.params]
    views = [p.detach().view(-1) for p in trial.params]
    trial.step(_STEPS)
    require(places == [p.data_ptr() for p in trial.params] and torch.equal(
        torch.cat(views), trial.weights), "required weights that move in place; "
        "they are in other memory now")  # fmt: skip


@check
def autograd_sees_the_step(subject: Subject) -> None:
    """A backward through weights that a step has changed since is an error, not a wrong number."""
    trial = begin(subject)
    before = [p._version for p in trial.params]
    trial.step()
    require(all(p._version > v for p, v in zip(trial.params, before, strict=True)),
            "required that autograd knows of the change; weights changed behind its back (.data), "
            "so an old graph gives wrong gradients in silence")  # fmt: skip


@check
def leaves_no_graph(subject: Subject) -> None:
    """Weights stay leaves that require gradients, and no state holds on to a graph."""
    trial = begin(subject).step(3)
    require(all(p.is_leaf and p.requires_grad for p in trial.params),
            "required weights that are leaves and require gradients")  # fmt: skip
    held = [
        name
        for state in trial.optimizer.state.values() if isinstance(state, dict)
        for name, value in state.items() if isinstance(value, Tensor) and value.requires_grad
    ]  # fmt: skip
    require(not held, f"required a state outside of graphs; {', '.join(sorted(set(held)))} "
                      "requires gradients, and memory grows")  # fmt: skip


@check
def hooks_run(subject: Subject) -> None:
    """Hooks registered before and after a step run once a step."""
    trial = begin(subject)
    ran: list[str] = []
    trial.optimizer.register_step_pre_hook(lambda *_: ran.append("before"))
    trial.optimizer.register_step_post_hook(lambda *_: ran.append("after"))
    trial.step(2)
    require(ran == ["before", "after"] * 2,
            f"required the hooks before, after, before, after; ran {', '.join(ran) or 'none'}"
            )  # fmt: skip


@check
def zero_grad_clears(subject: Subject) -> None:
    """zero_grad() sets gradients to None, zero_grad(set_to_none=False) to zero."""
    trial = begin(subject)
    trial.closure()()
    trial.optimizer.zero_grad(set_to_none=False)
    left = [p.grad for p in trial.params]
    require(all(g is not None and not g.to_dense().any() for g in left),
            "required gradients of zero after zero_grad(set_to_none=False)")  # fmt: skip
    trial.optimizer.zero_grad()
    require(all(p.grad is None for p in trial.params), "required no gradients after zero_grad()")


@check
def clipping_acts(subject: Subject) -> None:
    """What clip_grad_norm_ left of the gradients is what the step takes."""
    if subject.traits.closure or subject.claims.step is not None:
        raise NotApplicable("its steps evaluate gradients of their own")
    if subject.traits.sparse:
        raise NotApplicable("torch does not clip sparse gradients")
    runs = []
    for by_hand in (False, True):
        trial = begin(subject)
        for _ in range(_STEPS):
            trial.closure()()
            _clip(trial, by_hand)
            subject.step(trial.optimizer, lambda: torch.zeros(()))
            trial.taken += 1
        runs.append(trial.weights)
    require_same(runs[1], runs[0], "of gradients that were small from the start")


def _clip(trial: Trial, by_hand: bool) -> None:
    if not by_hand:
        torch.nn.utils.clip_grad_norm_(trial.params, 0.1)
        return
    gradients = [p.grad.detach().clone() for p in trial.params]
    factor = min(1.0, 0.1 / (float(flat(gradients).norm()) + 1e-6))
    for p in trial.params:
        p.grad = None
    # A backward of its own: whoever listens to gradients as they come hears the clipped ones.
    pairs = zip(trial.params, gradients, strict=True)
    torch.stack([(p * g * factor).sum() for p, g in pairs]).sum().backward()


@check
def gradients_that_add_up(subject: Subject) -> None:
    """Gradients of two backward passes that add up act like the gradient of the sum."""
    if subject.traits.closure or subject.claims.step is not None:
        raise NotApplicable("its steps evaluate gradients of their own")
    if subject.traits.sparse:
        raise NotApplicable("it takes sparse gradients alone")
    trial, plain = begin(subject), begin(subject)
    for _ in range(_STEPS):
        for p in trial.params:
            p.grad = None
        for _ in range(2):
            (trial.problem.loss(trial.params, trial.taken) / 2).backward()
        subject.step(trial.optimizer, lambda: torch.zeros(()))
        trial.taken += 1
    require_same(plain.step(_STEPS).weights, trial.weights, "of one backward pass")


@check
def shows_itself(subject: Subject) -> None:
    """repr() names the class and its arguments."""
    trial = begin(subject)
    text = repr(trial.optimizer)
    require(type(trial.optimizer).__name__ in text,
            f"required its name in repr(); got {text[:40]!r}")  # fmt: skip
