"""``RuleOptimizer``: an update rule on a network's parameters, a ``torch.optim`` optimizer.

A rule acts on one vector: all parameters that have a gradient, over all groups; so SNGM's norm is
over all of them. The vector is a list of tensors (:mod:`theorylab.torch.vector`): nothing is
copied end to end. All that is kept between steps lies in ``optimizer.state[p]``, as torch's own
optimizers keep it.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from theorylab.method.rule import Drawn, State, UpdateRule, map_state
from theorylab.method.schedules import Schedule
from theorylab.torch.arguments import is_zero_rate
from theorylab.torch.draws import mixed, single
from theorylab.torch.forms import EndToEnd, Form, InParts, Kept, restore
from theorylab.torch.groups import Active, Fields, Groups
from theorylab.torch.oracle import Closure, ClosureOracle, NoClosure
from theorylab.torch.probe import Found, by_coordinate, in_parts, with_memory
from theorylab.torch.rounds import Rounds, shared, steady
from theorylab.torch.shards import local, refuse_draws, refuse_hidden, shards_of
from theorylab.torch.space import Space
from theorylab.torch.standing import Standing, stepped
from theorylab.torch.watchers import as_torch_does, uncompiled, watched

__all__ = ["RuleOptimizer"]

Parameters = Iterable[Any]
_ROUNDS, _RUN = 1, 2  # purposes of a key


class RuleOptimizer(torch.optim.Optimizer):
    """Runs an :class:`~theorylab.method.rule.UpdateRule` on a network's parameters (abstract).

    :func:`~theorylab.torch.optim.optimizer` derives a subclass from a rule's fields. Its
    ``fields`` say which arguments are which of the rule's. Those are read from the parameter
    groups at every step, so schedulers act and groups may differ; every other argument must be
    the same in all groups. A group with ``lr = 0`` does not move, whatever the method.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups. Of half-precision ones the state is float32.
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

    def __init__(self, params: Parameters, *arguments: Any, **keywords: Any) -> None:
        try:
            bound = self.accepts.bind(*arguments, **keywords)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        bound.apply_defaults()
        self._forget()
        super().__init__(params, {**bound.arguments, "method": self.rule.name})
        active = self._all()
        rule = self._groups.made(self.param_groups, active, None)
        every = [p for group in self.param_groups for p in group["params"]]
        kept, many = self._groups.kept, len(active)
        refuse_hidden(type(self).__name__, every, lambda: by_coordinate(rule, kept, many))
        if shards_of(type(self).__name__, every) is not None:
            self._form(active)

    def _forget(self) -> None:
        """Drop what is only remembered to save time, and closures."""
        self._groups = Groups(type(self).__name__, self.rule, self.fields, self.accepts)
        self._standing: Standing | None = None
        self._parts: dict[Any, Found | None] = {}
        self._space: tuple[Any, Space] | None = None
        self._closures: list[Closure] = []
        self._ahead: int | None = None
        self._rounds = Rounds(lambda: mixed(self._key(), _ROUNDS))
        self._drawn_on: torch.device | None = getattr(self, "_drawn_on", None)
        self._warned = False

    # --- arguments ---------------------------------------------------------------------------
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; arguments it does not give take their defaults.

        Raises
        ------
        ValueError
            If a value is out of range, or differs where it must be the same in all groups.
        """
        super().add_param_group(param_group)
        try:
            self._groups.check(self.param_groups[-1], self.param_groups[0])
        except ValueError:
            self.param_groups.pop()
            raise
        self._groups.present = None

    def _all(self) -> Active:
        return [(p, group) for group in self.param_groups for p in group["params"] if p.numel()]

    def _form(self, active: Active, plain: bool = False) -> Form:
        """The parameters as the rule will see them."""
        name, params = type(self).__name__, [p for p, _ in active]
        if any(group["maximize"] for group in self.param_groups):
            signs = [-1.0 if group["maximize"] else 1.0 for _, group in active]
        else:
            signs = [1.0] * len(params)
        shape = [(p.shape, p.dtype, p.device) for p in params]
        if self._space is None or self._space[0] != shape:
            if len({p.device for p in params}) > 1:
                raise ValueError(f"{name}: all params must share one device, "
                                 f"got {sorted({str(p.device) for p in params})}")  # fmt: skip
            space = Space([local(p) for p in params], self.defaults["capturable"],
                          shards_of(name, params), [p.numel() for p in params])  # fmt: skip
            self._space = (shape, space)
        if not plain and self.defaults["foreach"] is not False:
            form = InParts(name, params, signs, self._space[1])
            key = (len(params), *self._groups.kinds(self.param_groups))
            if key not in self._parts:
                rule = self._groups.made(self.param_groups, active, form)
                self._parts[key] = in_parts(rule, self._groups.kept, len(params))
            found, shards = self._parts[key], self._space[1].shards
            # Where numbers stand among others a part does not know, nor a graph that fetches none.
            if found is not None and not (found.placed and (shards or self.defaults["capturable"])):
                form.counts = found.counts
                if shards is not None:
                    refuse_draws(name, self._present(), self.defaults["seed"])
                return form
        if self._space[1].shards is not None:
            raise ValueError(f"{name}: sharded params are not supported: the method needs all "
                             "parameters in one place")  # fmt: skip
        return EndToEnd(name, params, signs)

    # --- rounds ------------------------------------------------------------------------------
    def _common(self, name: str) -> int:
        return shared(self.state, name)

    def restart(self) -> None:
        """Let the next step begin a round, as the authors' code does at every epoch."""
        position = min(self._common("position"), math.floor(self.defaults.get("t0", 0)))
        for held in self.state.values():
            if "position" in held:
                held["position"] = torch.tensor(position)

    @property
    def between_rounds(self) -> bool:
        """Whether the next step begins a round, so that the parameters are a round's outcome."""
        return self._rounds.next(self._present(), None, self.state)

    def _present(self) -> UpdateRule:
        if self._groups.present is not None:
            return self._groups.present
        return self._groups.made(self.param_groups, self._all(), None)

    def begins(self, first: int, steps: int) -> np.ndarray | None:
        """Which of steps ``first .. first+steps-1`` (from 0) begin a round, unless that is random.

        ``None`` where it is, and where every step does.
        """
        return steady(self._present(), first, steps)

    @property
    def rounds(self) -> int:
        """Rounds begun: outer iterations, each of one step for methods without an inner loop."""
        return self._common("rounds") if self._has_rounds(self._present()) else self._common("step")

    def _has_rounds(self, rule: UpdateRule) -> bool:
        return type(rule).restarts is not UpdateRule.restarts

    # --- steps -------------------------------------------------------------------------------
    def step(self, closure: Any = None, full: Closure | None = None) -> Any:
        """One step of the rule.

        Parameters
        ----------
        closure : callable or sequence of callables, optional
            Clears the gradients, computes the loss, calls ``backward`` and returns the loss.
            Methods that want several mini-batches' gradients need it at every step, bound to
            its own mini-batch: the last few closures are kept and evaluated again at the
            current parameters. A sequence, newest first, replaces those kept (at the first step
            after a checkpoint, which cannot hold them). Methods that ask for gradients at other
            points evaluate it there.
        full : callable, optional
            Likewise over all of the data, for methods that take full gradients.

        Returns
        -------
        The closure's loss, or ``None`` without one.

        Raises
        ------
        ValueError
            If gradients are sparse or parameters' devices differ, or a closure is missing.
        """
        if is_dynamo_compiling():
            return uncompiled(self, closure, full)
        if watched(self):
            return as_torch_does(self, closure, full)
        return self._step(closure, full)

    def _step(self, closure: Any, full: Closure | None) -> Any:
        closures: Sequence[Closure] = () if closure is None else (closure,)
        if self.rule.lags is not UpdateRule.lags:
            closures = self._remembered(closure)
        loss = None
        if closures:
            if torch.is_grad_enabled():
                loss = closures[0]()
            else:
                with torch.enable_grad():
                    loss = closures[0]()
        last = self._standing
        if last is not None and last.wholes and self._at_once(last):
            return loss
        return self._in_parts(loss, closures, full)

    def _at_once(self, last: Standing) -> bool:
        """Take the step as one call, where nothing has changed that it does not see."""
        if not last.same(self.param_groups, self._flags(), self.state):
            return False
        numbers = self._groups.told(self.param_groups)
        before, gradients = last.count, last.found()
        if numbers is None or before is None or gradients is None:
            return False
        begins = not last.rounds or self._rounds.next(self._present(), last, self.state)
        if not (whole := last.wholes[begins]).ready(gradients):
            return False
        if last.rounds:
            self._rounds.enter(self._present(), last, last.states, self.state)
            self._ahead = None
        whole.run(before + 1, numbers)
        last.called(before + 1)
        return True

    def _flags(self) -> tuple[Any, Any]:
        return self.defaults["foreach"], self.defaults["capturable"]

    @torch.no_grad()
    def _in_parts(self, loss: Any, closures: Sequence[Closure], full: Closure | None) -> Any:
        """Take the step operation by operation."""
        found = self._found()
        if found is None:
            return loss
        active, form, rule, states = found
        last = self._standing
        if last is not None:
            last.prepare(self._groups, self.param_groups, rule)
            if last.wholes and self._at_once(last):
                return loss
        if rule.lags > max(1, len(closures)):
            rule = with_memory(rule, max(1, len(closures)))
        kept = self._groups.kept
        state = form.state(rule, kept, states)
        draw = self._draw(rule, form, states)
        oracle = ClosureOracle(form, loss, closures, full)
        at_rest = [id(group) for group in self.param_groups
                   if is_zero_rate(group.get("lr"), group["capturable"])]  # fmt: skip
        still = [p for p, group in active if id(group) in at_rest] if at_rest else []
        before = [p.clone() for p in still]
        try:
            moved, state = rule.update(form.w, oracle, state, draw)
        except NoClosure:
            # torch.distributed.checkpoint takes a step of length 0 without a closure, to learn
            # what a state is: there is one now, and nothing was to move.
            if len(still) < len(active):
                raise
            return None
        finally:
            oracle.put_back()
            if form.away:
                self._standing = None
        form.write(moved, state, kept, states)
        if still:
            torch._foreach_copy_([local(p) for p in still], [local(p) for p in before])
        return loss

    def _found(self) -> tuple[Active, Form, UpdateRule, list[dict[str, Any]]] | None:
        """Parameters with gradients, their form, rule and states; ``None`` without a gradient."""
        groups, last = self.param_groups, self._standing
        if last is not None and last.holds(groups, self._flags(), self.state):
            rule = self._groups.again(groups)
            if rule is not None:
                return last.active, last.form, rule, last.states
        self._standing = None
        active = [(p, group) for p, group in self._all() if p.grad is not None]
        if not active:
            return None
        form = self._form(active)
        rule = self._groups.made(groups, active, form)
        states = [self.state[p] for p, _ in active]
        form.begin(rule, self._groups.kept, states)
        if isinstance(form, InParts) and form.space.shards is None:
            form.share(self._groups.kept, states)
            self._standing = Standing(groups, self._flags(), active, form, self.state)
        return active, form, rule, states

    def _remembered(self, closure: Any) -> list[Closure]:
        """This step's closure and those before it, as many as the rule asks about."""
        lags = self._present().lags
        if lags == 1:
            return [] if closure is None else [closure]
        if closure is None:
            self._closures = []
            if any(p.grad is not None and not is_zero_rate(group.get("lr"), group["capturable"])
                   for p, group in self._all()):  # fmt: skip
                self._warn("without closures only this step's mini-batch is known, "
                           f"not the last {lags}")  # fmt: skip
            return []
        kept = list(closure) if isinstance(closure, Sequence) else [closure, *self._closures]
        self._closures = kept[:lags]
        wanted = min(lags, self._common("step") + 1)
        if len(self._closures) < wanted:
            self._warn(f"mini-batches before a checkpoint are forgotten: {len(self._closures)} of "
                       f"the last {wanted} are known; to go on bit for bit, give step their "
                       "closures, newest first")  # fmt: skip
        return self._closures

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"{type(self).__name__}: {what}", stacklevel=4)

    # --- what a step draws -------------------------------------------------------------------
    def _draw(self, rule: UpdateRule, form: Form, states: list[dict[str, Any]]) -> Drawn:
        """Count the step, and draw for it."""
        if self.defaults["capturable"]:
            if self._has_rounds(rule) or rule.draws:
                raise ValueError(f"{type(self).__name__}: capturable=True is not supported: the "
                                 "host decides its rounds or draws")  # fmt: skip
            for s, p in zip(states, form.params, strict=True):
                s["step"] = s["step"].to(p.device)
            steps = [s["step"] for s in states]
            torch._foreach_add_(steps, 1)
            return Drawn(form.each(steps))
        last = self._standing
        begins = not self._has_rounds(rule) or self._rounds.enter(rule, last, states, self.state)
        own = {}
        if rule.draws:
            key = self._key()
            for n, item in enumerate(rule.draws):
                if item.per == "coordinate":
                    own[item.name] = form.draws(item.law, mixed(key, n), self._drawn_on)
                else:
                    own[item.name] = form.common(single(item.law, mixed(key, n, _RUN)))
        self._ahead = None
        counts = stepped([s["step"] for s in states]) if last is None else last.counted()
        t = form.each(counts) if isinstance(counts, list) else form.scalar(counts)
        return Drawn(t, begins, own)

    def _key(self) -> int:
        """What decides the next step's draws."""
        seed = self.defaults["seed"]
        if seed is not None:
            return mixed(seed, self._common("step"))
        if self._ahead is None:
            self._ahead = int(torch.randint(2**62, ()))
        return self._ahead

    def draw_on(self, device: torch.device | str) -> None:
        """Take the method's own draws on ``device``: a CPU's are the same on every machine."""
        self._drawn_on = torch.device(device)

    # --- steps run by someone else -----------------------------------------------------------
    def taken_apart(self) -> tuple[UpdateRule, list[Tensor], State]:
        """The rule, the parameters that have gradients, and the state of these end to end.

        For whoever runs steps as a graph: :meth:`drawn` before each, :meth:`moved` in it, and
        :meth:`put_back` before anyone else looks.
        """
        active = [(p, group) for p, group in self._all() if p.grad is not None]
        form = self._form(active, plain=True)
        rule = self._groups.made(self.param_groups, active, form)
        kept, states = self._groups.kept, [self.state[p] for p, _ in active]
        form.begin(rule, kept, states)
        return rule, form.params, form.state(rule, kept, states)

    def drawn(self, rule: UpdateRule, params: list[Tensor]) -> Drawn:
        """What the next step draws; it counts as taken."""
        form = EndToEnd(type(self).__name__, params, [1.0] * len(params))
        return self._draw(rule, form, [self.state[p] for p in params])

    @torch.no_grad()
    def moved(
        self, rule: UpdateRule, closure: Closure, state: State, draw: Drawn
    ) -> tuple[Any, State]:
        """One step of the parameters alone: the loss and the next state, and no host's numbers."""
        with torch.enable_grad():
            loss = closure()
        active = [(p, group) for p, group in self._all() if p.grad is not None]
        form = self._form(active, plain=True)
        oracle = ClosureOracle(form, loss, [closure], None)
        try:
            moved, state = rule.update(form.w, oracle, state, draw)
        finally:
            oracle.put_back()
        form.write(moved, state, Kept((), ()), [])
        return loss, state

    @torch.no_grad()
    def put_back(self, params: list[Tensor], state: State) -> None:
        """The parameters' present values and this state are those of the last step."""
        form = EndToEnd(type(self).__name__, params, [1.0] * len(params))
        form.write(form.w, map_state(torch.clone, state), self._groups.kept,
                   [self.state[p] for p in params])  # fmt: skip

    # --- checkpoints -------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """torch's own: ``state`` by parameter, and ``param_groups``.

        Schedules are left out (they are code, not state): the optimizer that loads keeps its
        own. All else is tensors, numbers and strings, so ``weights_only=True`` loads it. As in
        torch, its tensors are those that steps write into.
        """
        packed = super().state_dict()
        packed["param_groups"] = [
            {key: value for key, value in group.items() if not isinstance(value, Schedule)}
            for group in packed["param_groups"]
        ]
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`, bit for bit.

        Raises
        ------
        ValueError
            If it comes from another method or an older version, or a value is out of range.
        """
        name = type(self).__name__
        if "rule" in state_dict:
            raise ValueError(f"{name}: the state was written by an older version of theorylab")
        theirs = {group.get("method", "another optimizer") for group in state_dict["param_groups"]}
        if theirs != {self.rule.name}:
            raise ValueError(f"{name}: the state is of {', '.join(sorted(theirs))}, "
                             f"not {self.rule.name}")  # fmt: skip
        groups = [
            {**{k: v for k, v in mine.items() if k != "params"}, **group}
            for mine, group in zip(self.param_groups, state_dict["param_groups"], strict=False)
        ] + list(state_dict["param_groups"][len(self.param_groups) :])
        before = self.__getstate__()
        super().load_state_dict({**state_dict, "param_groups": groups})
        try:
            for group in self.param_groups:
                self._groups.check(group, self.param_groups[0])
        except ValueError:
            self.__setstate__(before)
            raise
        ids = [i for group in groups for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        restore(self.state, zip(params, ids, strict=True), state_dict["state"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()


# Torch wraps every class's step, unless told that it calls hooks itself: see watchers.
RuleOptimizer.step.hooked = True  # type: ignore[attr-defined]
