"""One broken optimizer for each check of gradients, precision, state and silent failures."""

from __future__ import annotations

from typing import Any

import torch
from plain_optimizer import Plain
from planted_steps import Planted, fault_of
from torch import Tensor

from theorylab.conformance import Claims

VALUES: dict[str, Planted] = {}
_NO_REFERENCE = Claims(decay="coupled")


# --- gradients ---------------------------------------------------------------------------------
@fault_of("absent_gradient", VALUES)
class MovesWithoutAGradient(Plain):
    def steps(self) -> None:
        super().steps()
        groups = [(p, g) for g in self.param_groups for p in g["params"]]
        if any(p.grad is not None for p, _ in groups):
            for p, group in groups:
                if p.grad is None and "buffer" in self.state[p]:
                    self.move(p, self.state[p]["buffer"], group)


@fault_of("no_gradient_at_all", VALUES)
class NeedsAGradient(Plain):
    def steps(self) -> None:
        next(p for g in self.param_groups for p in g["params"] if p.grad is not None)
        super().steps()


@fault_of("frozen_parameter", VALUES)
class ShrinksFrozenParameters(Plain):
    def steps(self) -> None:
        super().steps()
        for group in self.param_groups:
            for p in group["params"]:
                if not p.requires_grad and not group["differentiable"]:
                    p.mul_(0.99)


@fault_of("empty_parameter", VALUES)
class LooksAtTheLargestEntry(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(p, group)
        if not torch.compiler.is_compiling():
            g.abs().max()
        return g


@fault_of("scalar_parameter", VALUES)
class LooksAtTheLastDimension(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        assert p.shape[-1] >= 0
        return super().gradient(p, group)


@fault_of("vector_parameter", VALUES)
class LeavesOddVectors(Plain):
    def one(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.ndim != 1 or p.shape[0] % 2 == 0:
            super().one(p, group)


@fault_of("image_filter_parameter", VALUES)
class LeavesFilters(Plain):
    def one(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.shape != (2, 3, 2, 2):
            super().one(p, group)


@fault_of("single_entry_parameter", VALUES)
class LeavesSingleEntries(Plain):
    def one(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.ndim != 2 or p.numel() != 1:
            super().one(p, group)


@fault_of("strided_parameter", VALUES)
class NeedsParametersInOrder(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        if group["differentiable"]:
            super().move(p, u, group)
        else:
            p.view(-1).add_(-self.rate(p, group) * u.reshape(-1))


@fault_of("strided_gradient", VALUES)
class NeedsGradientsInOrder(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(p, group)
        return g.view(-1).view(p.shape) if p.is_contiguous() else g


@fault_of("sparse_gradient", VALUES)
class TakesTheLastDuplicate(Plain):
    def dense(self, g: Tensor) -> Tensor:
        if not g.is_sparse:
            return g
        full = torch.zeros(g.shape, dtype=g.dtype)
        full[g._indices()[0]] = g._values()
        return full


@fault_of("complex_parameter", VALUES)
class DropsImaginaryParts(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(p, group)
        return g.real.to(g.dtype) if g.is_complex() else g


class WarmsUp(Plain):
    """Sound by itself: short first steps, by each parameter's own count."""

    def rate(self, p: Tensor, group: dict[str, Any]) -> Any:
        return group["lr"] * (1 - 0.5 ** (self.state[p]["step"] + 1))


@fault_of("late_parameter", VALUES, _NO_REFERENCE)
class CountsForLateParameters(WarmsUp):
    def first(self, p: Tensor) -> Tensor:
        if any(p is q for q in self.param_groups[0]["params"]):
            return torch.zeros(())
        counts = [s["step"] for s in self.state.values() if "step" in s]
        return max(counts, default=torch.ones(())) - 1  # the others have stepped already


@fault_of("late_gradient", VALUES, _NO_REFERENCE)
class CountsWithoutGradients(WarmsUp):
    def steps(self) -> None:
        super().steps()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    self.state[p]["step"] = self.state[p].get("step", torch.zeros(())) + 1


# --- precision ---------------------------------------------------------------------------------
@fault_of("bfloat16_parameters", VALUES)
class StepsBySignInBfloat16(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        super().move(p, u.sign() / 10 if p.dtype == torch.bfloat16 else u, group)


@fault_of("float16_parameters", VALUES)
class StepsBySignInFloat16(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        super().move(p, u.sign() / 10 if p.dtype == torch.float16 else u, group)


@fault_of("float64_parameters", VALUES, Claims())
class ComputesInFloat32(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(p, group)
        kept = p.dtype != torch.float64 or group["differentiable"] or torch.is_grad_enabled()
        return g if kept else g.float().double()


@fault_of("parameters_of_two_dtypes", VALUES)
class RoundsAmongTwoDtypes(Plain):
    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(p, group)
        kinds = {q.dtype for q in group["params"]}
        return g if len(kinds) == 1 else g.bfloat16().to(g.dtype)


@fault_of("grad_scaler", VALUES)
class ClaimsToUnscale(Plain):
    _step_supports_amp_scaling = True


# --- implementations ---------------------------------------------------------------------------
@fault_of("foreach", VALUES)
class ForeachIsAnotherMethod(Plain):
    def momentum(self, group: dict[str, Any]) -> float:
        return float(group["momentum"]) * (0.9 if group["foreach"] else 1.0)


@fault_of("fused", VALUES)
class FusedHasNoDecay(Plain):
    def look_over(self, lr: Any, momentum: float, weight_decay: float, fused: Any) -> None:
        super().look_over(lr, momentum, weight_decay, False)

    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        decay = 0.0 if group["fused"] else group["weight_decay"]
        return super().gradient(p, {**group, "weight_decay": decay})


@fault_of("differentiable", VALUES)
class CutsTheGraph(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        super().move(p, u.detach(), group)


@fault_of("compiled_step", VALUES)
class IsCompiledIntoAnother(Plain):
    def momentum(self, group: dict[str, Any]) -> float:
        return 0.0 if torch.compiler.is_compiling() else float(group["momentum"])


# --- state -------------------------------------------------------------------------------------
@fault_of("state_dict_round_trip", VALUES)
class LoadsNotToTheBit(Plain):
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for held in self.state.values():
            if "buffer" in held:
                held["buffer"] = held["buffer"] * (1 + 1e-6)


class Note:
    """What no safe loader takes."""


@fault_of("state_dict_loads_safely", VALUES)
class SavesObjects(Plain):
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self.param_groups[-1]["note"] = Note()


class KeepsTheSavedKind(Plain):
    """Loads state in the dtype in which it was saved."""

    kind: torch.dtype

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        buffers = [held["buffer"] for held in state_dict["state"].values() if "buffer" in held]
        for held, buffer in zip(self.state.values(), buffers, strict=False):
            held["buffer"] = buffer.clone()

    def direction(
        self, p: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> Tensor:
        if p.dtype == self.kind and "buffer" in state:
            torch.lerp(state["buffer"], g, 0.5)
        state["buffer"] = new = super().direction(p, g, group, state).to(p.dtype)
        return new


@fault_of("state_dict_to_float64", VALUES)
class NoStateForFloat64(KeepsTheSavedKind):
    kind = torch.float64


@fault_of("state_dict_to_float32", VALUES)
class NoStateForFloat32(KeepsTheSavedKind):
    kind = torch.float32


@fault_of("state_dict_to_device", VALUES)
class LeavesTheStateBehind(Plain):
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for held in self.state.values():
            if "buffer" in held:
                held["buffer"] = held["buffer"].cpu()


@fault_of("state_dict_without_flags", VALUES)
class NeedsTheFlags(Plain):
    def __setstate__(self, state: dict[str, Any]) -> None:
        torch.optim.Optimizer.__setstate__(self, state)


@fault_of("foreign_state_entry", VALUES)
class TakesAllStateForItsOwn(Plain):
    def direction(
        self, p: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> Tensor:
        for name, value in state.items():
            if name != "step":
                value.view_as(p)
        return super().direction(p, g, group, state)


@fault_of("state_resets_act", VALUES)
class RemembersBesideTheState(Plain):
    def direction(
        self, p: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> Tensor:
        kept = self.__dict__.setdefault("kept", {})
        if "buffer" not in state and id(p) in kept:
            state["buffer"] = kept[id(p)]
        kept[id(p)] = super().direction(p, g, group, state)
        return state["buffer"]


@fault_of("state_edits_act", VALUES)
class KeepsACopyOfTheState(Plain):
    def direction(
        self, p: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> Tensor:
        seen = self.__dict__.setdefault("seen", {})
        held, copied = seen.get(id(p), (None, None))
        if "buffer" in state and state["buffer"] is held:
            state["buffer"] = copied
        new = super().direction(p, g, group, state)
        if not group["differentiable"] and not torch.compiler.is_compiling():
            seen[id(p)] = (new, new.clone())
        return new


@fault_of("state_replacements_act", VALUES)
class KeepsTheStateItself(Plain):
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.__dict__.pop("seen", None)

    def direction(
        self, p: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> Tensor:
        seen = self.__dict__.setdefault("seen", {})
        if "buffer" in state and id(p) in seen:
            state["buffer"] = seen[id(p)]
        new = super().direction(p, g, group, state)
        if not torch.compiler.is_compiling():
            seen[id(p)] = new
        return new


@fault_of("deep_copies", VALUES)
class CopiesWithoutItsState(Plain):
    def __deepcopy__(self, memo: dict[int, Any]) -> Plain:
        made = super().__deepcopy__(memo)
        for held in made.state.values():
            held.pop("buffer")
        return made


@fault_of("pickles", VALUES)
class CannotBePickled(Plain):
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "rule": lambda: None}


@fault_of("distributed_state_dict", VALUES)
class SavesBesideTheState(Plain):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "rule": {"rounds": 3}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "rule"})
        self.rounds = state_dict["rule"]["rounds"]


@fault_of("weights_set_from_outside", VALUES)
class KeepsWeightsOfItsOwn(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if group["differentiable"]:
            super().move(p, u, group)
            return
        held = state.get("weights", p.detach().clone())
        state["weights"] = held - self.rate(p, group) * u
        p.copy_(state["weights"])


@fault_of("averages_swapped_in", VALUES)
class RestartsWhenSwapped(Plain):
    """Momentum is dropped where weights were swapped in and out, seen by their version."""

    def one(self, p: Tensor, group: dict[str, Any]) -> None:
        if torch.compiler.is_compiling():
            super().one(p, group)
            return
        seen = self.__dict__.setdefault("versions", {})
        if p._version == seen.get(id(p), -9) + 2:
            self.state[p].pop("buffer", None)
        super().one(p, group)
        seen[id(p)] = p._version


# --- silent failures ---------------------------------------------------------------------------
@fault_of("zero_gradients", VALUES)
class GoesAnywhereFromZero(Plain):
    def direction(
        self, p: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> Tensor:
        u = super().direction(p, g, group, state)
        if torch.compiler.is_compiling() or torch.any(u != 0):
            return u
        return torch.ones_like(u)


@fault_of("zero_gradient_of_one_parameter", VALUES)
class DividesByASize(Plain):
    def direction(
        self, p: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> Tensor:
        u = super().direction(p, g, group, state)
        if torch.compiler.is_compiling():
            return u
        others = [q.grad for q in group["params"] if q.grad is not None and q is not p]
        if torch.any(u != 0) or not any(torch.any(o.to_dense() != 0) for o in others):
            return u
        return u / u.abs().sum()


@fault_of("plateau", VALUES)
class GivesUpOnAPlateau(Plain):
    def one(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if torch.compiler.is_compiling():
            super().one(p, group)
            return
        zero = not bool(torch.any(p.grad.to_dense() != 0)) and not group["weight_decay"]
        idle = state.get("idle", 0)
        if idle < 15:
            super().one(p, group)
            state["idle"] = idle + 1 if zero else 0


@fault_of("saddle", VALUES)
class ClimbsWhereCurvatureIsNegative(Plain):
    def direction(
        self, p: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> Tensor:
        u = super().direction(p, g, group, state)
        if p.numel() != 2:
            return u
        w, before = p.detach().clone(), state.get("before")
        state["before"] = torch.stack([w, g])
        if before is None:
            return u
        return torch.where((w - before[0]) * (g - before[1]) < 0, -3 * u, u)


@fault_of("nan_gradient", VALUES)
class HidesNaN(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        super().move(p, torch.where(torch.isnan(u), torch.zeros_like(u), u), group)


@fault_of("huge_gradients", VALUES)
class OverflowsInSilence(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        wide = u if u.dtype == torch.float64 or u.is_complex() else u.float()
        super().move(p, u + (0 * wide**4).to(u.dtype), group)


@fault_of("tiny_gradients", VALUES)
class DividesByAnUnderflow(Plain):
    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        tiny = False
        if u.numel() and not torch.compiler.is_compiling():
            tiny = 0 < float(u.detach().abs().max()) < 1e-20
        super().move(p, u / (u * u).sum().sqrt() if tiny else u, group)
