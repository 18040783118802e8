"""One step of a rule as torch runs it, and a path of such steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from theorylab.engine.metering import spend
from theorylab.method.rule import Drawn, State, UpdateRule, map_state
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch, Oracle

__all__ = ["Step", "eager_step", "follow", "repeat_rows"]

Step = Callable[[Tensor, Sequence[Tensor], State, Drawn], tuple[Tensor, State]]
"""``(w, batches, state, draw)`` to the next ``w`` and state; mini-batches newest first."""


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
    clock: Callable[[Tensor], Tensor] | None = None,
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
    clock : callable, optional
        What the rule is given for the index of a step, from that index.

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
        t = torch.tensor(k + 1.0, dtype=w.dtype)
        draw = Drawn(
            t if clock is None else clock(t), bool(begin), own(k, w) if own is not None else {}
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
