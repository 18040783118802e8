"""One step of a rule on an objective: as torch runs it, or compiled to machine code.

The compiled step is traced once and handed to torch's inductor, which writes it as C++ that goes
through a replica's gradient and update in one pass, where eager torch makes a pass over memory
for every operation. It needs a C++ compiler, and a second or so for each objective and rule.
"""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.method.rule import State, UpdateRule
from theorylab.problem.objective import Objective

__all__ = ["Step", "compiled_step", "eager_step"]

Step = Callable[[Tensor, Sequence[Tensor], State, Mapping[str, Tensor]], tuple[Tensor, State]]
"""``(w, samples, state, draw)`` to the next ``w`` and state; samples newest first."""

_Flat = Callable[..., Sequence[Tensor]]

# What was compiled in this process, for as long as the objective lives: by its identity (equal
# objectives may hold other data), with the rule's settings and the shapes.
_KEPT: dict[int, list[tuple[tuple[Any, ...], _Flat]]] = {}
_LOCK = threading.Lock()  # the compiler's own state is not for two threads


def eager_step(objective: Objective, rule: UpdateRule) -> Step:
    """The step as torch runs it, operation by operation."""
    lags = rule.lags

    def step(
        w: Tensor, samples: Sequence[Tensor], state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        if lags == 1:
            return rule.update(w, objective.sample_gradient(w, samples[0]), state, draw)
        gradients = [objective.sample_gradient(w, sample) for sample in samples]
        gradients += [gradients[-1]] * (lags - len(gradients))
        return rule.update(w, torch.stack(gradients), state, draw)

    return step


def compiled_step(
    objective: Objective,
    rule: UpdateRule,
    w: Tensor,
    sample: Tensor,
    state: State,
    draw: Mapping[str, Tensor],
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
    state : dict of str to Tensor
        As :meth:`~theorylab.method.rule.UpdateRule.init` returns it.
    draw : mapping of str to Tensor
        What the rule gets at every step, tensors all.

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
    >>> bowl, w = synthetic.quadratic(dim=2), torch.ones(3, 2, dtype=torch.float64)
    >>> sample = torch.from_numpy(bowl.draw(np.random.default_rng(0), 1, 3, 1)[0])
    >>> draw = {"t": torch.ones((), dtype=torch.float64)}
    >>> step, state = compiled_step(bowl, SGD(eta=0.5), w, sample, {}, draw)
    >>> eager, _ = eager_step(bowl, SGD(eta=0.5))(w, [sample], {}, draw)
    >>> torch.allclose(step(w, [sample], state, draw)[0], eager)
    True
    """
    lags = rule.lags
    # Hyperparameters that are tensors are arguments: chunks of replicas differ in nothing else.
    fields = {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}
    names = [name for name, value in fields.items() if isinstance(value, Tensor)]
    values = [fields[name] for name in names]
    samples = [sample] * lags
    state = {name: torch.as_tensor(entry, dtype=w.dtype) for name, entry in state.items()}
    entries, draws = list(state), list(draw)

    def flat(w: Tensor, *rest: Tensor) -> list[Tensor]:
        given = iter(rest)
        mine = _with(rule, {name: next(given) for name in names})
        batches = [next(given) for _ in range(lags)]
        before = {name: next(given) for name in entries}
        drawn = {name: next(given) for name in draws}
        moved, after = eager_step(objective, mine)(w, batches, before, drawn)
        if set(after) != set(before):
            raise TypeError(f"the state goes from {sorted(before)} to {sorted(after)}")
        for name, old, new in [("w", w, moved), *((e, before[e], after[e]) for e in entries)]:
            if (old.shape, old.dtype) != (new.shape, new.dtype):
                raise TypeError(f"{name} goes from {old.dtype} {tuple(old.shape)} to "
                                f"{new.dtype} {tuple(new.shape)}")  # fmt: skip
        return [moved, *(after[name] for name in entries)]

    arguments = [w, *values, *samples, *state.values(), *draw.values()]
    # Tables that an objective fills at first use must not be filled while tracing.
    eager_step(objective, rule)(w, samples, state, draw)
    settings = (None if name in names else value for name, value in fields.items())
    key = (type(rule), *settings, *((tuple(x.shape), x.dtype) for x in arguments))
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
        w: Tensor, samples: Sequence[Tensor], state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        missing = [samples[-1]] * (lags - len(samples))
        w, *after = run(w, *values, *samples, *missing, *state.values(), *draw.values())
        return w, dict(zip(entries, after, strict=True))

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
