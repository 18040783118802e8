"""``RuleOptimizer``: an update rule on a network's parameters, a ``torch.optim`` optimizer.

A rule acts on one flat vector: the parameters that have a gradient, end to end, over all
groups; so SNGM's norm is over all of them. Hyperparameters that differ between groups become
one number a coordinate. Parameters are float32 or float64, all alike and on one device.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from theorylab.method.rule import Drawn, State, UpdateRule, entries, map_state
from theorylab.method.schedules import Schedule
from theorylab.torch.arguments import FLAGS, check_group, layer_kinds
from theorylab.torch.oracle import Closure, ClosureOracle, Nothing

__all__ = ["RuleOptimizer"]

Parameters = Iterable[Any]
Active = list[tuple[Tensor, dict[str, Any]]]
Fields = Mapping[str, str | tuple[str, ...]]


class RuleOptimizer(torch.optim.Optimizer):
    """Runs an :class:`~theorylab.method.rule.UpdateRule` on a network's parameters (abstract).

    :func:`~theorylab.torch.optim.optimizer` derives a subclass from a rule's fields. Its
    ``fields`` say which arguments are which of the rule's. Those are read from the parameter
    groups at every step, so schedulers act and groups may differ; every other argument must be
    the same in all groups.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups.
    *arguments, **keywords
        As the subclass's signature says, :class:`~theorylab.torch.arguments.Flags` included.

    Raises
    ------
    ValueError
        If an argument is out of range, naming it.
    TypeError
        If there is no such argument, or one is missing.
    """

    rule: ClassVar[type[UpdateRule]]
    fields: ClassVar[Fields]
    accepts: ClassVar[inspect.Signature]
    _drawn_on: torch.device | None = None

    def __init__(self, params: Parameters, *arguments: Any, **keywords: Any) -> None:
        try:
            bound = self.accepts.bind(*arguments, **keywords)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        bound.apply_defaults()
        self._steps = self._position = self._rounds = 0
        self._shared: dict[str, Any] = {}
        self._flat: dict[str, Tensor] = {}
        self._active: tuple[int, ...] = ()
        self._closures: list[Closure] = []
        self._generator: torch.Generator | None = None
        self._generator_state: Tensor | None = None
        self._built: tuple[Any, UpdateRule, tuple[str, ...]] | None = None
        super().__init__(params, dict(bound.arguments))
        self._host_rng = np.random.Generator(np.random.PCG64(self.defaults["seed"]))
        self._check_shared_arguments()
        self._rule([(p, group) for group in self.param_groups for p in group["params"]])

    # --- arguments ---------------------------------------------------------------------------
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; arguments it does not give take their defaults."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_group(type(self).__name__, group)
        except ValueError:
            self.param_groups.pop()
            raise
        self._built = None

    def _check_shared_arguments(self) -> None:
        for key in self.defaults:
            if key in self.fields or key == "maximize":
                continue
            if any(group[key] != self.param_groups[0][key] for group in self.param_groups):
                raise ValueError(
                    f"{type(self).__name__}: {key} must be the same in all parameter groups"
                )

    def _rule(self, active: Sequence[tuple[Tensor, dict[str, Any]]]) -> UpdateRule:
        """The rule with the groups' present values."""
        groups: list[dict[str, Any]] = []
        sizes: list[int] = []
        for p, group in active:
            if not groups or groups[-1] is not group:
                groups.append(group)
                sizes.append(0)
            sizes[-1] += p.numel()
        arguments: dict[str, Any] = {}
        for key, names in self.fields.items():
            together = isinstance(names, tuple)
            for i, field in enumerate(names if isinstance(names, tuple) else (names,)):
                arguments[field] = [g[key][i] if together else g[key] for g in groups]
        fixed = {key: groups[0][key] for key in self.defaults if key not in (*self.fields, *FLAGS)}
        shape = tuple((id(p), p.numel()) for p, _ in active)
        # Tensors are compared by identity: their values stay where they are.
        stamp = (shape, [[id(v) if isinstance(v, Tensor) else v for v in column]
                         for column in arguments.values()], list(fixed.values()))  # fmt: skip
        frozen = True
        if self._built is not None and self._built[0] == stamp:
            return self._built[1]
        values: dict[str, Any] = dict(fixed)
        for field, column in arguments.items():
            first = column[0]
            if all(v is first or (not isinstance(v, Tensor) and not isinstance(first, Tensor)
                                  and v == first) for v in column):  # fmt: skip
                values[field] = first
                continue
            if any(isinstance(v, Schedule) for v in column):
                raise ValueError(f"{type(self).__name__}: a schedule for {field} must be the same "
                                 "in all parameter groups")  # fmt: skip
            frozen &= not any(isinstance(v, Tensor) for v in column)
            like = active[0][0]
            values[field] = torch.cat([
                v.to(like).reshape(1).expand(n) if isinstance(v, Tensor)
                else torch.full((n,), v, dtype=like.dtype, device=like.device)
                for v, n in zip(column, sizes, strict=True)
            ])  # fmt: skip
        if "layout" in self.rule.__dataclass_fields__:
            values["layout"] = tuple(layer_kinds(self.param_groups, active))
        rule = self.rule(**values)
        probe = entries(rule.init(torch.zeros(2), Nothing(type(self).__name__)))
        names = tuple(name for name, value in probe.items()
                      if isinstance(value, Tensor) and value.shape == (2,))  # fmt: skip
        self._built = (stamp if frozen else None, rule, names)
        return rule

    # --- steps -------------------------------------------------------------------------------
    def restart(self) -> None:
        """Let the next step begin a round, as the authors' code does at every epoch."""
        self._position = min(self._position, math.floor(self.defaults.get("t0", 0)))

    @property
    def between_rounds(self) -> bool:
        """Whether the next step begins a round, so that the parameters are a round's outcome."""
        if self._built is None:
            self._rule([(p, group) for group in self.param_groups for p in group["params"]])
        assert self._built is not None
        # A copy is asked: the draws of random rounds stay those of the steps.
        mask = self._built[1].restarts(copy.deepcopy(self._host_rng), self._position, 1, 1)
        return mask is None or bool(mask[0, 0])

    def begins(self, first: int, steps: int) -> np.ndarray | None:
        """Which of steps ``first .. first+steps-1`` (from 0) begin a round, unless that is random.

        ``None`` where it is, and where every step does.
        """
        if self._built is None:
            self._rule([(p, group) for group in self.param_groups for p in group["params"]])
        assert self._built is not None
        mask = self._built[1].restarts(np.random.default_rng(0), first, steps, 2)
        return None if mask is None or mask.shape[1] > 1 else mask[:, 0]

    @property
    def rounds(self) -> int:
        """Rounds begun: outer iterations, each of one step for methods without an inner loop."""
        return self._rounds

    @torch.no_grad()
    def step(self, closure: Any = None, full: Closure | None = None) -> Any:
        """One step of the rule.

        Parameters
        ----------
        closure : callable or sequence of callables, optional
            Clears the gradients, computes the loss, calls ``backward`` and returns the loss.
            Methods that want several mini-batches' gradients need it at every step, bound to
            its own mini-batch: the last few closures are kept and evaluated again at the
            current parameters. A sequence, newest first, replaces those kept (needed at the
            first step after a checkpoint, which cannot hold them). Methods that ask for
            gradients at other points evaluate it there.
        full : callable, optional
            Likewise over all of the data, for methods that take full gradients.

        Returns
        -------
        The closure's loss, or ``None`` without one.

        Raises
        ------
        ValueError
            If gradients are sparse or parameters' types or devices differ, or a closure is
            missing.
        """
        lags = self._lags
        closures: Sequence[Closure] = [] if closure is None else [closure]
        if lags > 1:
            self._remember(closure, lags)
            closures = self._closures
        loss, active = self._evaluated(closures)
        if not active:
            return loss
        rule = self._rule(active)
        params = [p for p, _ in active]
        w, oracle = self._oracle(active, loss, closures, full)
        state = self._gather(rule, params, w)
        try:
            moved, state = rule.update(w, oracle, state, self._draw(rule, w))
        finally:
            oracle.put_back()
        self._scatter(params, moved, state)
        self._steps += 1
        self._position += 1
        return loss

    def _evaluated(self, closures: Sequence[Closure]) -> tuple[Any, Active]:
        """This step's loss, and the parameters that have a gradient now."""
        loss = None
        if closures:
            with torch.enable_grad():
                loss = closures[0]()
        return loss, self._with_gradients()

    def _oracle(
        self, active: Active, loss: Any, closures: Sequence[Closure], full: Closure | None
    ) -> tuple[Tensor, ClosureOracle]:
        """The parameters end to end, and what answers for this step's mini-batch there."""
        w = torch.cat([p.reshape(-1) for p, _ in active])
        return w, ClosureOracle(
            type(self).__name__, [p for p, _ in active], w, self._gradient(active), loss, closures,
            full, lambda: self._gradient(active),
        )  # fmt: skip

    @property
    def _lags(self) -> int:
        if self._built is None:
            self._rule([(p, group) for group in self.param_groups for p in group["params"]])
        assert self._built is not None
        return self._built[1].lags

    def _remember(self, closure: Any, lags: int) -> None:
        name = type(self).__name__
        if closure is None:
            raise ValueError(f"{name}: step needs a closure bound to its mini-batch: gradients of "
                             f"the last {lags} mini-batches are taken again")  # fmt: skip
        kept = list(closure) if isinstance(closure, Sequence) else [closure, *self._closures]
        self._closures = kept[:lags]
        wanted = min(lags, self._steps + 1)
        if len(self._closures) < wanted:
            raise ValueError(f"{name}: the step after a checkpoint needs the closures of the last "
                             f"{wanted} mini-batches, newest first; got "
                             f"{len(self._closures)}")  # fmt: skip

    def _with_gradients(self) -> Active:
        active = [
            (p, group) for group in self.param_groups for p in group["params"] if p.grad is not None
        ]
        for what in ("dtype", "device"):
            found = {getattr(p, what) for p, _ in active}
            if len(found) > 1:
                raise ValueError(f"{type(self).__name__}: all params must share one {what}, "
                                 f"got {sorted(map(str, found))}")  # fmt: skip
        return active

    def _gradient(self, active: Sequence[tuple[Tensor, dict[str, Any]]]) -> Tensor:
        pieces = []
        for p, group in active:
            g = p.grad if p.grad is not None else torch.zeros_like(p)
            if g.is_sparse:
                raise ValueError(f"{type(self).__name__}: sparse gradients are not supported")
            pieces.append((-g if group["maximize"] else g).reshape(-1))
        return torch.cat(pieces)

    def _gather(self, rule: UpdateRule, params: list[Tensor], w: Tensor) -> State:
        assert self._built is not None
        names = self._built[2]
        active = tuple(map(id, params))
        if active != self._active or set(names) - set(self._flat):
            for p in params:
                held = self.state[p]
                if set(names) - set(held):
                    fresh = entries(
                        rule.init(p.detach().reshape(-1).clone(), Nothing(type(self).__name__))
                    )
                    held.update({n: fresh[n].view(p.shape) for n in names if n not in held})
            self._flat = {
                name: torch.cat([self.state[p][name].reshape(-1) for p in params]) for name in names
            }
            self._active = active
        start = rule.init(w, Nothing(type(self).__name__))
        held = {**self._shared, **{name: self._flat[name] for name in names}}
        parts = {name: held.get(name, value) for name, value in entries(start).items()}
        return start._replace(**parts)

    def _scatter(self, params: list[Tensor], moved: Tensor, state: State) -> None:
        assert self._built is not None
        names = self._built[2]
        sizes = [p.numel() for p in params]
        pieces = [piece.view(p.shape) for piece, p in zip(moved.split(sizes), params, strict=True)]
        if self.defaults["foreach"] is False:
            for p, piece in zip(params, pieces, strict=True):
                p.copy_(piece)
        else:
            torch._foreach_copy_(params, pieces)
        parts = entries(state)
        self._flat = {name: parts[name] for name in names}
        self._shared |= {name: value for name, value in parts.items() if name not in names}
        for name, flat in self._flat.items():
            for p, piece in zip(params, flat.split(sizes), strict=True):
                self.state[p][name] = piece.view(p.shape)

    def _draw(self, rule: UpdateRule, w: Tensor) -> Drawn:
        t = torch.full((), self._steps + 1, dtype=w.dtype, device=w.device)
        mask = rule.restarts(self._host_rng, self._position, 1, 1)
        begins = mask is None or bool(mask[0, 0])
        self._rounds += begins
        own = {}
        for item in rule.draws:
            shape = w.shape if item.per == "coordinate" else (1,)
            law = torch.rand if item.law == "uniform" else torch.randn
            generator = self._device_generator(w.device)
            drawn = law(shape, generator=generator, dtype=w.dtype, device=generator.device)
            own[item.name] = drawn.to(w.device)
        return Drawn(t, begins, own)

    def draw_on(self, device: torch.device | str) -> None:
        """Take the method's own draws on ``device``: a CPU's are the same on every machine."""
        self._drawn_on = torch.device(device)
        self._generator = None

    def _device_generator(self, device: torch.device) -> torch.Generator:
        if self._generator is None:
            self._generator = torch.Generator(self._drawn_on or device)
            self._generator.manual_seed(self.defaults["seed"])
            if self._generator_state is not None:
                self._generator.set_state(self._generator_state)
        return self._generator

    # --- steps run by someone else -----------------------------------------------------------
    def taken_apart(self) -> tuple[UpdateRule, list[Tensor], State]:
        """The rule, the parameters that have gradients, and the state of these end to end.

        For whoever runs steps as a graph: :meth:`drawn` before each, :meth:`moved` in it, and
        :meth:`put_back` before anyone else looks.
        """
        active = self._with_gradients()
        rule, params = self._rule(active), [p for p, _ in active]
        w = torch.cat([p.detach().reshape(-1) for p in params])
        return rule, params, self._gather(rule, params, w)

    def drawn(self, rule: UpdateRule, w: Tensor) -> Drawn:
        """What the next step draws; it counts as taken."""
        draw = self._draw(rule, w)
        self._steps += 1
        self._position += 1
        return draw

    @torch.no_grad()
    def moved(
        self, rule: UpdateRule, closure: Closure, state: State, draw: Drawn
    ) -> tuple[Any, State]:
        """One step of the parameters alone: the loss and the next state, and no host's numbers."""
        loss, active = self._evaluated([closure])
        params = [p for p, _ in active]
        w, oracle = self._oracle(active, loss, [closure], None)
        try:
            moved, state = rule.update(w, oracle, state, draw)
        finally:
            oracle.put_back()
        pieces = moved.split([p.numel() for p in params])
        torch._foreach_copy_(params, [x.view(p.shape) for x, p in zip(pieces, params, strict=True)])
        return loss, state

    @torch.no_grad()
    def put_back(self, params: list[Tensor], state: State) -> None:
        """The parameters' present values and this state are those of the last step."""
        w = torch.cat([p.reshape(-1) for p in params])
        self._scatter(params, w, map_state(torch.clone, state))

    # --- checkpoints -------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """torch's, and under ``"rule"`` the step counters, shared state and generators.

        Schedules are left out (they are code, not state): the optimizer that loads keeps its
        own. All else is tensors, numbers and strings, so ``weights_only=True`` loads it.
        """
        packed = super().state_dict()
        packed["param_groups"] = [
            {key: value for key, value in group.items() if not isinstance(value, Schedule)}
            for group in packed["param_groups"]
        ]
        # Steps make new tensors, so a copy of the tables is a snapshot.
        packed["state"] = {index: dict(held) for index, held in packed["state"].items()}
        packed["rule"] = self._extra()
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`, bit for bit.

        Raises
        ------
        ValueError
            If it comes from another method.
        """
        extra = state_dict.get("rule")
        if extra is None or extra["name"] != self.rule.name:
            raise ValueError(
                f"{type(self).__name__}: the state is of "
                f"{'another optimizer' if extra is None else extra['name']}, not {self.rule.name}"
            )
        groups = [
            {**{k: v for k, v in mine.items() if isinstance(v, Schedule)}, **theirs}
            for mine, theirs in zip(self.param_groups, state_dict["param_groups"], strict=False)
        ] + list(state_dict["param_groups"][len(self.param_groups) :])
        super().load_state_dict({**state_dict, "param_groups": groups})
        self._restore(extra)

    def _extra(self) -> dict[str, Any]:
        generator = self._generator
        return {
            "name": self.rule.name,
            "steps": self._steps,
            "position": self._position,
            "rounds": self._rounds,
            "shared": dict(self._shared),
            "host_rng": self._host_rng.bit_generator.state,
            "generator": generator.get_state() if generator else self._generator_state,
        }

    def _restore(self, extra: Mapping[str, Any]) -> None:
        device = self.param_groups[0]["params"][0].device
        self._steps, self._position = extra["steps"], extra["position"]
        self._rounds = extra["rounds"]
        self._shared = {n: v.to(device, copy=True) if isinstance(v, Tensor) else v
                        for n, v in extra["shared"].items()}  # fmt: skip
        self._host_rng = np.random.Generator(np.random.PCG64())
        self._host_rng.bit_generator.state = extra["host_rng"]
        self._generator, self._generator_state = None, extra["generator"]
        self._flat, self._active, self._built, self._closures = {}, (), None, []

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "extra": self._extra()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        extra = state.pop("extra", None)
        super().__setstate__(state)
        if extra is not None:
            self._restore(extra)
