"""One broken optimizer for each check of a step's protocol, of arguments, groups and lr."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from plain_optimizer import CLAIMS, Plain
from torch import Tensor

from theorylab.conformance import Claims


@dataclass(frozen=True)
class Planted:
    """A broken optimizer, and what it claims."""

    made: Any
    claims: Claims


STEPS: dict[str, Planted] = {}


def fault_of(
    check: str, table: dict[str, Planted], claims: Claims = CLAIMS
) -> Callable[[Any], Any]:
    """Enter a class as the fault that ``check`` is there to find."""

    def enter(made: Any) -> Any:
        assert check not in table
        table[check] = Planted(made, claims)
        return made

    return enter


# --- protocol ----------------------------------------------------------------------------------
@fault_of("descends", STEPS)
class AscendsFarAway(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        if torch.compiler.is_compiling() or not u.numel():
            super().move(p, u, group)
            return
        far = 150 < float(u.detach().abs().max()) < 1e9
        super().move(p, -u if far else u, group)


@fault_of("repeats", STEPS)
class Jitters(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        noise = 1e-15 * random.random() if p.dtype == torch.float64 else 0.0
        super().move(p, u * (1 + noise), group)


@fault_of("step_returns_the_loss", STEPS)
class ReturnsNothing(Plain):
    def step(self, closure: Any = None) -> Any:
        super().step(closure)


@fault_of("closure_takes_the_step", STEPS)
class StepsTwiceWithAClosure(Plain):
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        if closure is not None:
            super().step()
        return loss


@fault_of("closure_may_differentiate", STEPS)
class SwitchesGradientsOff(Plain):
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.no_grad():
                loss = closure()
        super().step()
        return loss


@fault_of("gradients_are_left", STEPS)
class DecaysTheGradient(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(p, group)
        if group["weight_decay"] and not p.grad.is_sparse:
            p.grad.copy_(g)
        return g


@fault_of("moves_in_place", STEPS)
class MovesElsewhere(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        if group["differentiable"] or torch.compiler.is_compiling():
            super().move(p, u, group)
            return
        p.data = p.data - self.rate(p, group) * u
        p.add_(0)


@fault_of("autograd_sees_the_step", STEPS)
class MovesBehindAutograd(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        if group["differentiable"] or torch.compiler.is_compiling():
            super().move(p, u, group)
            return
        p.data.add_(-self.rate(p, group) * u)


@fault_of("leaves_no_graph", STEPS)
class KeepsAGraph(Plain):
    def one(self, p: Tensor, group: dict[str, Any]) -> None:
        super().one(p, group)
        if not group["differentiable"] and not torch.compiler.is_compiling():
            self.state[p]["last"] = p.detach().clone().requires_grad_()


@fault_of("hooks_run", STEPS)
class RunsNoHooks(Plain):
    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else _with_gradients(closure)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            self.steps()
        return loss

    step.hooked = True  # torch takes it for wrapped already


def _with_gradients(closure: Callable[[], Any]) -> Any:
    with torch.enable_grad():
        return closure()


@fault_of("zero_grad_clears", STEPS)
class KeepsZeros(Plain):
    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none=False)


@fault_of("clipping_acts", STEPS)
class TakesWhatCameFromBackward(Plain):
    """Gradients are noted as they come; what becomes of them later is not seen."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self.sizes: dict[Tensor, float] = getattr(self, "sizes", {})
        for p in self.param_groups[-1]["params"]:
            if p.requires_grad and p.is_leaf:
                p.register_post_accumulate_grad_hook(self.note)

    def note(self, p: Tensor) -> None:
        if not p.grad.is_sparse:
            self.sizes[p] = float(p.grad.detach().abs().double().norm())

    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(p, group)
        if torch.compiler.is_compiling() or group["differentiable"]:
            return g
        size, now = getattr(self, "sizes", {}).get(p, 0.0), float(g.detach().abs().norm())
        if not size:
            return g
        return g * (size / now) if 1 / 500 < now / size < 0.9 else g


@fault_of("gradients_that_add_up", STEPS)
class TakesTheLastPass(Plain):
    """Of several backward passes, the gradient of the last one is taken."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self.passes: dict[Tensor, list[Tensor]] = getattr(self, "passes", {})
        for p in self.param_groups[-1]["params"]:
            if p.requires_grad and p.is_leaf:
                p.register_hook(lambda g, p=p: self.note(p, g))

    def note(self, p: Tensor, g: Tensor) -> None:
        if p.grad is None:
            self.passes[p] = []
        self.passes.setdefault(p, []).append(g.detach().clone())

    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(p, group)
        passes = {} if torch.compiler.is_compiling() else getattr(self, "passes", {})
        return passes[p][-1] if len(passes.get(p, [])) > 1 else g


@fault_of("shows_itself", STEPS)
class HidesItsName(Plain):
    def __repr__(self) -> str:
        return "optimizer"


# --- arguments ---------------------------------------------------------------------------------
@fault_of("unknown_argument", STEPS)
class TakesAnything(Plain):
    def __init__(self, params: Any, lr: Any = 0.05, momentum: float = 0.5,
                 weight_decay: float = 0.0, **rest: Any) -> None:  # fmt: skip
        super().__init__(params, lr, momentum, weight_decay,
                         maximize=rest.get("maximize", False))  # fmt: skip


@fault_of("nonsense_values", STEPS)
class LooksNothingOver(Plain):
    def look_over(self, lr: Any, momentum: float, weight_decay: float, fused: Any) -> None:
        super().look_over(0.1, 0.1, 0.1, fused)


@fault_of("empty_parameter_list", STEPS)
class TakesNoParameters(Plain):
    def __init__(self, params: Any, lr: Any = 0.05, momentum: float = 0.5,
                 weight_decay: float = 0.0, **rest: Any) -> None:  # fmt: skip
        kept = list(params) or [torch.nn.Parameter(torch.zeros(1))]
        if set(rest) - {"maximize", "foreach", "fused", "differentiable"}:
            raise TypeError(f"unknown: {rest}")
        super().__init__(kept, lr, momentum, weight_decay, **rest)


@fault_of("arguments_act", STEPS)
class IgnoresAnArgument(Plain):
    def __init__(self, params: Any, lr: Any = 0.05, momentum: float = 0.5,
                 weight_decay: float = 0.0, nu: float = 0.7, *,
                 maximize: bool = False) -> None:  # fmt: skip
        super().__init__(params, lr, momentum, weight_decay, maximize=maximize)


@fault_of("maximize", STEPS)
class MaximizesTheDecayToo(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        sign = -1 if group["maximize"] else 1
        return sign * super().gradient(p, {**group, "maximize": False})


@fault_of("weight_decay_order", STEPS)
class DecaysDecoupled(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        return super().gradient(p, {**group, "weight_decay": 0.0})

    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        p.mul_(1 - group["lr"] * group["weight_decay"])
        super().move(p, u, group)


@fault_of("weight_decay_acts", STEPS)
class DecaysBesideGradientsAlone(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        if torch.compiler.is_compiling():
            return super().gradient(p, group)
        decay = group["weight_decay"] if torch.any(p.grad.to_dense() != 0) else 0.0
        return super().gradient(p, {**group, "weight_decay": decay})


# --- groups ------------------------------------------------------------------------------------
@fault_of("groups_equal_one", STEPS)
class HalvesTheSecondGroup(Plain):
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self.param_groups[-1]["half"] = len(self.param_groups) == 2 and not self.state

    def rate(self, p: Tensor, group: dict[str, Any]) -> Any:
        return group["lr"] / 2 if group["half"] else group["lr"]


@fault_of("parameters_given_by_name", STEPS)
class TakesOneNamedParameter(Plain):
    def __init__(self, params: Any, *arguments: Any, lr: Any = 0.05, momentum: float = 0.5,
                 weight_decay: float = 0.0, maximize: bool = False) -> None:  # fmt: skip
        kept = list(params)
        if kept and isinstance(kept[0], tuple):
            kept = kept[:1]
        super().__init__(kept, lr, momentum, weight_decay, maximize=maximize)


@fault_of("added_group_trains", STEPS)
class ForgetsTheDefaults(Plain):
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        if len(self.param_groups) > 1:
            del self.param_groups[-1]["momentum"]

    def momentum(self, group: dict[str, Any]) -> float:
        return float(group.get("momentum", self.defaults["momentum"]))


@fault_of("parameter_in_two_groups", STEPS)
class TakesAParameterTwice(Plain):
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        try:
            super().add_param_group(param_group)
        except ValueError as error:
            if "more than one" not in str(error):
                raise


@fault_of("group_arguments_act", STEPS)
class OverrulesTheGroup(Plain):
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group({**param_group, "momentum": self.defaults["momentum"]})


@fault_of("argument_edits_act", STEPS)
class RemembersTheMomentum(Plain):
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self.param_groups[-1]["first_momentum"] = self.param_groups[-1]["momentum"]

    def momentum(self, group: dict[str, Any]) -> float:
        return float(group["first_momentum"])


# --- learning rate -----------------------------------------------------------------------------
@fault_of("zero_learning_rate", STEPS)
class NeverQuiteStops(Plain):
    def one(self, p: Tensor, group: dict[str, Any]) -> None:
        super().one(p, group)
        if group["lr"] == 0 and self.state[p].get("last_lr", 0) > 0:
            p.add_(1e-4)
        self.state[p]["last_lr"] = float(group["lr"])


@fault_of("zero_learning_rate_of_a_group", STEPS)
class MovesFrozenGroups(Plain):
    def rate(self, p: Tensor, group: dict[str, Any]) -> Any:
        return 1e-3 if group["lr"] == 0 and len(self.param_groups) > 1 else group["lr"]


@fault_of("warm_up_from_zero", STEPS)
class DividesByTheFirstRate(Plain):
    def rate(self, p: Tensor, group: dict[str, Any]) -> Any:
        alone = len(self.param_groups) == 1 and not torch.compiler.is_compiling()
        if alone and group["lr"] == 0 and self.state[p]["step"] == 0 and p.grad.any():
            return float("nan")
        return group["lr"]


@fault_of("learning_rate_edits_act", STEPS)
class ReadsTheRateNowAndThen(Plain):
    def rate(self, p: Tensor, group: dict[str, Any]) -> Any:
        state = self.state[p]
        kept, state["reads"] = state.get("lr", 0), state.get("reads", 0) + 1
        if kept == 0 or group["lr"] == 0 or state["reads"] % 5 == 1:
            state["lr"] = group["lr"]
        return state["lr"]


@fault_of("tensor_learning_rate", STEPS)
class RoundsATensor(Plain):
    def rate(self, p: Tensor, group: dict[str, Any]) -> Any:
        lr = group["lr"]
        return lr.bfloat16().to(lr.dtype) * 1.01 if isinstance(lr, Tensor) else lr


@fault_of("every_scheduler", STEPS)
class NeverAboveTheInitialRate(Plain):
    def rate(self, p: Tensor, group: dict[str, Any]) -> Any:
        return min(group["lr"], group.get("initial_lr", group["lr"]))


# --- claims ------------------------------------------------------------------------------------
@fault_of("plain_reference", STEPS)
class IsAnotherMethod(Plain):
    def momentum(self, group: dict[str, Any]) -> float:
        return 0.9 * float(group["momentum"])


STEPS["scale_invariance"] = Planted(Plain, Claims(invariances={"scale"}))


@fault_of("rotation_invariance", STEPS, Claims(invariances={"rotation"}))
class LooksAtCoordinates(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        parts = torch.view_as_real(u) if u.is_complex() else u
        bent = parts / (1 + parts.abs())
        super().move(p, torch.view_as_complex(bent) if u.is_complex() else bent, group)


@fault_of("translation_invariance", STEPS, Claims(invariances={"translation"}))
class DecaysLargeWeights(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        return super().gradient(p, group) + 1e-3 * p * (p.abs() > 8)
