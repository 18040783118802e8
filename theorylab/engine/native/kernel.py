"""Compiled steps: a row's step as C, many steps and many rows in one call.

A step is traced once, for one row; the C that is written from the trace takes a row through as
many steps as are asked for before it turns to the next, so that the row's vectors stay in the
first-level cache. Compiled code is kept on disk, by its text and the machine.
"""

from __future__ import annotations

import ctypes
import dataclasses
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.native.library import library
from theorylab.engine.native.source import source, trace
from theorylab.engine.step import eager_step
from theorylab.engine.streams import spread
from theorylab.errors import UsageError
from theorylab.method.rule import Drawn, State, UpdateRule, entries, map_state, tables
from theorylab.method.schedules import Schedule
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch
from theorylab.threads import alone

__all__ = ["Kernel", "Steps", "advance", "compiled"]

_TURNS = 4  # times that a thread takes rows through several stretches


@final
@dataclass(frozen=True)
class Steps:
    """What the rows get at some consecutive steps.

    Attributes
    ----------
    samples : Tensor, shape (lags - 1 + steps, R, B, ...)
        Mini-batches, oldest first; those before the first step are what lags refer to.
    ticks : Tensor, shape (steps,)
    restarts : Tensor, shape (steps, R, 1) or (steps, 1, 1), or sequence of bool
    own : mapping of str to Tensor, each of shape (steps, R, ...)
    weights : Tensor, shape (n,), optional
        The sampler's, the same at every step.
    """

    samples: Tensor
    ticks: Tensor
    restarts: Tensor | Sequence[bool]
    own: Mapping[str, Tensor]
    weights: Tensor | None = None

    def alike(self, first: int, stop: int) -> tuple[int, bool | None]:
        """Where the steps from ``first`` on turn into others, and whether they begin rounds."""
        if isinstance(self.restarts, Tensor):
            return stop, None
        begins = self.restarts[first]
        try:
            return self.restarts.index(not begins, first, stop), begins
        except ValueError:
            return stop, begins

    def at(self, k: int) -> tuple[Tensor, Drawn]:
        """The newest mini-batch of a step and what else its rule gets."""
        own = {name: table[k] for name, table in self.own.items()}
        lag = len(self.samples) - len(self.ticks)
        return self.samples[lag + k], Drawn(self.ticks[k], self.restarts[k], own)


@final
class Kernel:
    """A rule's step on an objective as machine code.

    Parameters
    ----------
    code : CDLL
        The C functions ``run`` and ``relay``, and how many rows ``run`` takes at once, ``height``.
    roles : sequence of str
        What each of its inputs is: ``w`` and ``state.NAME`` (read and written), ``field.NAME``,
        ``samples.LAG``, ``t``, ``restart``, ``own.NAME``, ``weights``, and ``kept`` ones.
    kept : sequence of Tensor
        Tables that the code reads.
    lags : int
    shared : set of str
        The entries of the state that have no axis of rows; they are kept once a row.
    """

    def __init__(
        self, code: ctypes.CDLL, roles: Sequence[str], kept: Sequence[Tensor], lags: int,
        shared: frozenset[str],
    ) -> None:  # fmt: skip
        self._code, self._roles, self._kept, self._lags = code, tuple(roles), tuple(kept), lags
        self.shared = shared
        self.height = ctypes.c_int64.in_dll(code, "height").value
        self.relay: Callable[..., int] = code.relay
        code.relay.restype = ctypes.c_int64
        code.relay.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]

    def shown(self, state: State) -> State:
        """The state as the rule knows it."""
        return _replaced(state, {n: x[0] for n, x in entries(state).items() if n in self.shared})

    def inputs(self, rule: UpdateRule, w: Tensor, state: State, given: Steps) -> _Inputs:
        """Where its inputs are."""
        kept, fields = iter(self._kept), tables(rule)
        places, across, along, alive = [], [], [], []
        for role in self._roles:
            name, _, rest = role.partition(".")
            stacked, lag = True, 0
            if name == "w":
                table, stacked = w, False
            elif name == "state":
                table, stacked = getattr(state, rest), False
            elif name == "field":
                table, stacked = fields[rest], False
            elif name == "kept":
                table, stacked = next(kept).unsqueeze(0), False
            elif name == "weights":
                assert given.weights is not None
                table, stacked = given.weights.unsqueeze(0), False
            elif name == "samples":
                table, lag = given.samples, self._lags - 1 - int(rest)
            elif name == "t":
                table = given.ticks.unsqueeze(1)
            elif name == "restart":
                assert isinstance(given.restarts, Tensor)
                table = given.restarts
            else:
                table = given.own[rest]
            table = table if table.is_contiguous() else table.contiguous()
            alive.append(table)
            size = table.element_size()
            count = table.shape[1 if stacked else 0]
            step = table.stride(0) * size if stacked else 0
            row = table.stride(1 if stacked else 0) * size if count > 1 else 0
            places.append(table.data_ptr() + lag * step)
            across.append(row)
            along.append(step)
        code = ctypes.cast(self._code.run, ctypes.c_void_p).value
        assert code is not None
        found = [np.array(x, dtype=np.int64) for x in (places, across, along)]
        return _Inputs(code, found[0], found[1], found[2], alive)


@final
@dataclass(frozen=True)
class _Inputs:
    """What a kernel reads and writes at the first of some steps.

    Attributes
    ----------
    code : int
        Where the C function is.
    places, across, along : ndarray of int, shape (inputs,)
        Where each input is, and the bytes from a row, and a step, to the next.
    alive : sequence of Tensor
        What is there.
    """

    code: int
    places: np.ndarray
    across: np.ndarray
    along: np.ndarray
    alive: Sequence[Tensor]


def advance(
    stretches: Sequence[tuple[Kernel, int, int]], rule: UpdateRule, w: Tensor, state: State,
    given: Steps,
) -> None:  # fmt: skip
    """Take all rows through stretches of steps, each by code of its own, in place.

    Parameters
    ----------
    stretches : sequence of (Kernel, int, int)
        One after another: the code, the first step of ``given``, and the one after the last.
    rule : UpdateRule
        Its fields that are tensors have a value a row.
    w : Tensor, shape (R, d)
    state : NamedTuple
        As :func:`compiled` returns it.

    Raises
    ------
    UsageError
        If a sample is out of range.
    """
    rows, steps = len(w), sum(last - first for _, first, last in stretches)
    if not rows or steps <= 0:
        return
    known: dict[int, _Inputs] = {}
    told, alive = [], []
    for kernel, first, last in stretches:
        given_to = known.get(id(kernel))
        if given_to is None:
            given_to = known[id(kernel)] = kernel.inputs(rule, w, state, given)
        base = given_to.places + first * given_to.along
        alive.append(base)
        told.append((given_to.code, last - first, base.ctypes.data, given_to.across.ctypes.data,
                     given_to.along.ctypes.data))  # fmt: skip
    table = np.array(told, dtype=np.int64)
    threads = min(torch.get_num_threads(), rows)
    # Every thread takes the next rows that none has taken: cores are not always equally free.
    tile = max(kernel.height for kernel, _, _ in stretches)
    if len(stretches) > 1:  # what one reads of the data is not there any more after another
        tile *= -(-rows // (_TURNS * threads * tile))
    taken, relay = np.zeros(1, dtype=np.int64), stretches[0][0].relay
    work = rows * steps * w.shape[1] * max(1, given.samples.shape[2])
    found = spread(
        lambda _: relay(taken.ctypes.data, rows, tile, len(table), table.ctypes.data),
        range(threads), work,
    )  # fmt: skip
    if any(code < 0 for code in found):
        raise MemoryError("a compiled step found no memory for its arrays")
    if any(found):
        raise UsageError("run: a sample or an index of the step is out of range")


# What was compiled in this process, for as long as the objective lives: by its identity (equal
# objectives may hold other data), with the rule's settings and the shapes.
_KEPT: dict[int, list[tuple[tuple[Any, ...], Kernel]]] = {}
_LOCK = threading.Lock()


def compiled(
    objective: Objective,
    rule: UpdateRule,
    w: Tensor,
    sample: Tensor,
    state: State,
    draw: Drawn,
    weights: Tensor | None = None,
) -> tuple[Kernel, State]:
    """The step compiled, and ``state`` as it takes it: contiguous tensors, a row each.

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
        The kernel, and the state to start from.

    Raises
    ------
    UsageError
        If the step cannot be traced, or changes the shape of the state, or there is no C compiler.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.method import SGD
    >>> from theorylab.method.rule import Stateless
    >>> bowl, w = synthetic.quadratic(dim=2), torch.ones(3, 2, dtype=torch.float64)
    >>> samples = torch.from_numpy(bowl.draw(np.random.default_rng(0), 1, 3, 1))
    >>> one = torch.ones((), dtype=torch.float64)
    >>> kernel, state = compiled(bowl, SGD(eta=0.5), w, samples[0], Stateless(), Drawn(one))
    >>> eager, _ = eager_step(bowl, SGD(eta=0.5))(w, [samples[0]], state, Drawn(one))
    >>> given = Steps(samples, one[None], [True], {})
    >>> advance([(kernel, 0, 1)], SGD(eta=0.5), w, state, given)
    >>> torch.allclose(w, eager)
    True
    """
    varied = tables(rule)
    numbers = map_state(lambda entry: torch.as_tensor(entry, dtype=w.dtype), state)
    splits, rows = isinstance(draw.restart, bool), len(w)
    inputs = {"w": w, "samples": sample, **{f"own.{k}": x for k, x in draw.own.items()},
              **{f"state.{k}": x for k, x in entries(numbers).items()}}  # fmt: skip
    key = (_with(rule, dict.fromkeys(varied)), weights is None,
           draw.restart if splits else None, *((k, x.dtype) for k, x in varied.items()),
           *((k, x.dtype, *(-1 if axis == 0 and n == rows else n for axis, n in enumerate(x.shape)))
             for k, x in inputs.items()))  # fmt: skip
    with _LOCK:
        if id(objective) not in _KEPT:
            _KEPT[id(objective)] = []
            weakref.finalize(objective, _KEPT.pop, id(objective), None)
        known = _KEPT[id(objective)]
        kernel = next((kernel for other, kernel in known if _same(other, key)), None)
        shared = _shared(objective, rule, w) if kernel is None else kernel.shared
        with alone():
            begin = {
                name: (x.expand(rows, *x.shape) if name in shared else x).clone().contiguous()
                for name, x in entries(numbers).items()
            }
        if kernel is None:
            # Tables that an objective fills at first use must not be filled while tracing.
            eager_step(objective, rule, weights)(w, [sample] * rule.lags, numbers, draw)
            arguments: list[tuple[str, Tensor]] = [("w", w[:1])]
            arguments += [(f"field.{name}", value[:1]) for name, value in varied.items()]
            arguments += [(f"samples.{lag}", sample[:1]) for lag in range(rule.lags)]
            arguments += [(f"state.{name}", table[0] if name in shared else table[:1])
                          for name, table in begin.items()]  # fmt: skip
            arguments.append(("t", draw.t))
            if not splits:
                arguments.append(("restart", torch.as_tensor(draw.restart, dtype=w.dtype)[:1]))
            arguments += [(f"own.{name}", value[:1]) for name, value in draw.own.items()]
            if weights is not None:
                arguments.append(("weights", weights))
            step = _row_step(objective, rule, numbers, draw, [role for role, _ in arguments])
            kernel = _compile(
                step, arguments, rule.lags, shared, f"{rule.name} on {objective.name}"
            )
            known.append((key, kernel))
    return kernel, _replaced(state, begin)


def _replaced(state: State, parts: Mapping[str, Tensor]) -> State:
    return state._replace(**parts)  # type: ignore[attr-defined]


def _shared(objective: Objective, rule: UpdateRule, w: Tensor) -> frozenset[str]:
    """The entries of the state that have no axis of rows, told by starts of other lengths."""
    shapes = []
    for rows in (2, 3):
        few = rule.rows(np.zeros(rows, dtype=np.int64)) if len(w) else rule
        begun = few.init(w[:1].expand(rows, -1).contiguous(), MiniBatch(objective))
        shapes.append({name: torch.as_tensor(x).shape for name, x in entries(begun).items()})
    return frozenset(name for name, shape in shapes[0].items() if shapes[1].get(name) == shape)


def _row_step(
    objective: Objective, rule: UpdateRule, state: State, draw: Drawn, roles: Sequence[str]
) -> Callable[..., list[Tensor]]:
    """The step of one row as a function of its tensors alone."""

    def step(*tensors: Tensor) -> list[Tensor]:
        given = dict(zip(roles, tensors, strict=True))

        def named(kind: str) -> dict[str, Tensor]:
            return {r.partition(".")[2]: x for r, x in given.items() if r.startswith(f"{kind}.")}

        mine = _with(rule, named("field"))
        before = _replaced(state, named("state"))
        restart = draw.restart if isinstance(draw.restart, bool) else given["restart"]
        drawn = Drawn(given["t"], restart, named("own"))
        batches = list(named("samples").values())
        w = given["w"]
        moved, after = eager_step(objective, mine, given.get("weights"))(w, batches, before, drawn)
        old, new = entries(before), entries(after)
        if set(new) != set(old):
            raise TypeError(f"the state goes from {sorted(old)} to {sorted(new)}")
        for name, a, b in [("w", w, moved), *((e, old[e], new[e]) for e in old)]:
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                raise TypeError(f"{name} goes from {a.dtype} {tuple(a.shape)} to "
                                f"{b.dtype} {tuple(b.shape)}")  # fmt: skip
        return [moved, *(new[name] for name in old)]

    return step


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    try:
        return bool(one == other)
    except RuntimeError:  # tables of tensors: compile anew
        return False


def _with(whole: Any, changes: Mapping[str, Any], path: str = "") -> Any:
    """A rule with these tensors, without the checks of its constructor, which read values."""
    if not any(name.startswith(path) for name in changes):
        return whole
    other = object.__new__(type(whole))
    for f in dataclasses.fields(whole):
        name, value = f"{path}{f.name}", getattr(whole, f.name)
        if name in changes:
            value = changes[name]
        elif isinstance(value, UpdateRule | Schedule) and dataclasses.is_dataclass(value):
            value = _with(value, changes, f"{name}/")
        object.__setattr__(other, f.name, value)
    return other


def _compile(
    step: Callable[..., list[Tensor]],
    arguments: Sequence[tuple[str, Tensor]],
    lags: int,
    shared: frozenset[str],
    who: str,
) -> Kernel:
    try:
        graph = trace(step, [x for _, x in arguments])
        text, roles, kept = source(graph, arguments)
        w = arguments[0][1]
        code = library(text, w.shape[-1] * w.element_size())
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"run: cannot compile {who} ({type(error).__name__}: {reason}); "
            "compile=True needs a C compiler, and torch operations without branches on values"
        ) from error
    return Kernel(code, roles, kept, lags, shared)
