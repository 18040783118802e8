"""One step of a rule: as torch runs it, or compiled to machine code; and a path of such steps.

The compiled step is traced once and handed to torch's inductor, which writes it as C++ that goes
through a replica's gradient and update in one pass, where eager torch makes a pass over memory
for every operation. It needs a C++ compiler, and a second or so for each objective and rule.
"""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from theorylab.engine.metering import spend
from theorylab.errors import UsageError
from theorylab.method.rule import Drawn, State, UpdateRule, entries, map_state
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch, Oracle

__all__ = ["Step", "compiled_step", "eager_step", "follow"]

Step = Callable[[Tensor, Sequence[Tensor], State, Drawn], tuple[Tensor, State]]
"""``(w, batches, state, draw)`` to the next ``w`` and state; mini-batches newest first."""

_Flat = Callable[..., Sequence[Tensor]]

# What was compiled in this process, for as long as the objective lives: by its identity (equal
# objectives may hold other data), with the rule's settings and the shapes.
_KEPT: dict[int, list[tuple[tuple[Any, ...], _Flat]]] = {}
_LOCK = threading.Lock()  # the compiler's own state is not for two threads


def eager_step(objective: Objective, rule: UpdateRule, weights: Tensor | None = None) -> Step:
    """The step as torch runs it, operation by operation; ``weights`` are the sampler's."""
    oracle = MiniBatch(objective, (), weights)

    def step(
        w: Tensor, batches: Sequence[Tensor], state: State, draw: Drawn
    ) -> tuple[Tensor, State]:
        oracle.batches = batches
        return rule.update(w, oracle, state, draw)

    return step


def follow(
    rule: UpdateRule,
    w: Tensor,
    oracle_of: Callable[[int, Tensor], Oracle],
    begins: Sequence[bool],
    *,
    state: State | None = None,
    first: int = 0,
    branches: int | Sequence[int] = 1,
    own: Callable[[int, Tensor], Mapping[str, Tensor]] | None = None,
) -> Iterator[tuple[Tensor, State]]:
    """The iterates and states of ``rule``: before each of ``len(begins)`` steps, and at the end.

    Parameters
    ----------
    rule : UpdateRule
    w : Tensor, shape (R, d)
        Where it starts.
    oracle_of : callable
        The oracle of step ``k`` (from 0) for some rows, or of none yet (``k = -1``).
    begins : sequence of bool
        Which steps begin a round; all rows agree.
    state : State, optional
        The state to start from; by default the rule's first.
    first : int
        How many steps came before.
    branches : int or sequence of int
        Every row becomes so many rows before each step, one beside the other: one an outcome.
        A sequence has a number a step.
    own : callable, optional
        The rule's own randomness at step ``k``.

    Examples
    --------
    >>> from theorylab.method import SGD
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> halves = follow(SGD(eta=0.5), torch.ones(1, 1), lambda k, w: FunctionOracle(torch.clone),
    ...                 [True, True])
    >>> [w.item() for w, state in halves]
    [1.0, 0.5, 0.25]
    """
    if state is None:
        state = rule.init(w, oracle_of(-1, w))
    widths = [branches] * len(begins) if isinstance(branches, int) else branches
    for k, (begin, width) in enumerate(zip(begins, widths, strict=True), first):
        yield w, state
        if width > 1:
            state = repeat_rows(state, len(w), width)
            w = w.repeat_interleave(width, dim=0)
        draw = Drawn(
            torch.tensor(k + 1.0, dtype=w.dtype), bool(begin), own(k, w) if own is not None else {}
        )
        w, state = rule.update(w, oracle_of(k, w), state, draw)
        spend(1, len(w))
    yield w, state


def repeat_rows(state: State, count: int, copies: int) -> State:
    """A state of ``count`` rows with each row ``copies`` times, one beside the other."""
    return map_state(
        lambda x: (
            x.repeat_interleave(copies, dim=0)
            if isinstance(x, Tensor) and x.ndim and len(x) == count
            else x
        ),
        state,
    )


def compiled_step(
    objective: Objective,
    rule: UpdateRule,
    w: Tensor,
    sample: Tensor,
    state: State,
    draw: Drawn,
    weights: Tensor | None = None,
) -> tuple[Step, State]:
    """The step compiled for the shapes of these arguments, and ``state`` as it takes it.

    It is for inner loops, and does not check that it gets contiguous tensors of these shapes.

    Parameters
    ----------
    objective : Objective
    rule : UpdateRule
    w : Tensor, shape (R, d)
    sample : Tensor, shape (R, batch_size, ...)
        One mini-batch a row.
    state : NamedTuple
        As :meth:`~theorylab.method.rule.UpdateRule.init` returns it.
    draw : Drawn
        What the rule gets at every step. ``restart`` is a tensor, or a bool that the code is for.
    weights : Tensor, shape (n,), optional
        The sampler's.

    Returns
    -------
    tuple
        The step, to be called with tensors of these shapes, and the state to start from, its
        plain numbers as tensors.

    Raises
    ------
    UsageError
        If the step cannot be traced, or changes the shape of the state, or there is no C++
        compiler.

    Examples
    --------
    >>> import numpy as np
    >>> import synthetic
    >>> from theorylab.method import SGD
    >>> from theorylab.method.rule import Drawn, Stateless
    >>> bowl, w = synthetic.quadratic(dim=2), torch.ones(3, 2, dtype=torch.float64)
    >>> sample = torch.from_numpy(bowl.draw(np.random.default_rng(0), 1, 3, 1)[0])
    >>> draw = Drawn(torch.ones((), dtype=torch.float64))
    >>> step, state = compiled_step(bowl, SGD(eta=0.5), w, sample, Stateless(), draw)
    >>> eager, _ = eager_step(bowl, SGD(eta=0.5))(w, [sample], state, draw)
    >>> torch.allclose(step(w, [sample], state, draw)[0], eager)
    True
    """
    lags = rule.lags
    # Hyperparameters that are tensors are arguments: chunks of replicas differ in nothing else.
    fields = {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}
    names = [name for name, value in fields.items() if isinstance(value, Tensor)]
    values = [fields[name] for name in names]
    samples = [sample] * lags
    state = map_state(lambda entry: torch.as_tensor(entry, dtype=w.dtype), state)
    kind, present = type(state), list(entries(state))
    own, splits = list(draw.own), isinstance(draw.restart, bool)

    places = [k for k, part in enumerate(state) if part is not None]
    # Absent parts mostly come last: this is done at every step of every run.
    leading = len(places) if places == list(range(len(places))) else None
    tail = (None,) * (len(state) - len(places))
    make: Callable[..., State] = kind

    def unpacked(given: Sequence[Tensor]) -> State:
        if leading is not None:
            return make(*given, *tail)
        parts: list[Tensor | None] = [None] * len(state)
        for k, part in zip(places, given, strict=True):
            parts[k] = part
        return make(*parts)

    def flat(w: Tensor, *rest: Tensor) -> list[Tensor]:
        given = iter(rest)
        mine = _with(rule, {name: next(given) for name in names})
        batches = [next(given) for _ in range(lags)]
        before, t = unpacked([next(given) for _ in present]), next(given)
        restart = draw.restart if splits else next(given)
        drawn = Drawn(t, restart, {name: next(given) for name in own})
        scales = next(given, None)
        moved, after = eager_step(objective, mine, scales)(w, batches, before, drawn)
        old, new = entries(before), entries(after)
        if set(new) != set(old):
            raise TypeError(f"the state goes from {sorted(old)} to {sorted(new)}")
        for name, a, b in [("w", w, moved), *((e, old[e], new[e]) for e in present)]:
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                raise TypeError(f"{name} goes from {a.dtype} {tuple(a.shape)} to "
                                f"{b.dtype} {tuple(b.shape)}")  # fmt: skip
        return [moved, *new.values()]

    last = [] if weights is None else [weights]

    def rest_of(state: State, draw: Drawn) -> list[Any]:
        parts = state[:leading] if leading is not None else [state[k] for k in places]
        if splits:
            return [*parts, draw.t, *draw.own.values(), *last]
        return [*parts, draw.t, draw.restart, *draw.own.values(), *last]

    arguments = [w, *values, *samples, *rest_of(state, draw)]
    # Tables that an objective fills at first use must not be filled while tracing.
    eager_step(objective, rule, weights)(w, samples, state, draw)
    settings = (None if name in names else value for name, value in fields.items())
    key = (type(rule), weights is None, *settings, draw.restart if splits else None,
           *((tuple(x.shape), x.dtype) for x in arguments))  # fmt: skip
    with _LOCK:
        if id(objective) not in _KEPT:
            _KEPT[id(objective)] = []
            weakref.finalize(objective, _KEPT.pop, id(objective), None)
        kept = _KEPT[id(objective)]
        run = next((run for other, run in kept if _same(other, key)), None)
        if run is None:
            run = _compile(flat, arguments, f"{rule.name} on {objective.name}")
            kept.append((key, run))

    def step(
        w: Tensor, batches: Sequence[Tensor], state: State, draw: Drawn
    ) -> tuple[Tensor, State]:
        missing = [batches[-1]] * (lags - len(batches))
        w, *after = run(w, *values, *batches, *missing, *rest_of(state, draw))
        return w, unpacked(after)

    return step, state


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    try:
        return bool(one == other)
    except RuntimeError:  # tables of tensors: compile anew
        return False


def _with(rule: UpdateRule, changes: Mapping[str, Tensor]) -> UpdateRule:
    """``rule`` with these fields, without the checks of its constructor, which read values."""
    if not changes:
        return rule
    other = object.__new__(type(rule))
    for f in dataclasses.fields(rule):
        object.__setattr__(other, f.name, changes.get(f.name, getattr(rule, f.name)))
    return other


def _compile(flat: _Flat, arguments: list[Tensor], who: str) -> _Flat:
    # Loading them takes as long as the rest of theorylab together.
    import torch._inductor
    from torch.fx.experimental.proxy_tensor import make_fx

    # Vectors of 256 bits: a usual problem's rows fill them, and sums across them are cheap.
    wide = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    options: dict[str, Any] = {"cpp.threads": 1, "size_asserts": False}
    if wide:
        options["cpp.simdlen"] = 256
    # The tracer takes two arguments that are one tensor for the same argument.
    examples: list[Any] = [x.clone() for x in arguments]
    try:
        # Fake tensors hold no values, so none can end up in the code.
        trace = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)
        return torch._inductor.compile(trace(*examples), examples, options=options)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"run: cannot compile {who} ({type(error).__name__}: {reason}); "
            "compile=True needs a C++ compiler, and torch operations without branches on values"
        ) from error
