"""Randomness drawn ahead: one stream a block of replicas and a purpose, the same for any cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from typing import TypeVar

import numpy as np
import torch

from theorylab.engine.native.draws import GROUP, FastGenerator, uniforms
from theorylab.method.rule import Draw, UpdateRule

__all__ = [
    "BLOCK", "RESTARTS", "RULE", "SAMPLES", "TIMES", "blocks", "generator",
    "restart_mask", "rule_draws", "side_by_side", "spread",
]  # fmt: skip

_T = TypeVar("_T")
_R = TypeVar("_R")

BLOCK = 128
_PARALLEL = 1 << 18  # bytes (or steps of one number) below which a second thread does not pay
# Streams of a block's randomness: what is drawn for one must not shift another.
# A rule's draws have one stream each, from ``RULE`` on.
SAMPLES, RESTARTS, TIMES, RULE = range(4)


def generator(seed: int, block: int, stream: int, fast: bool = False) -> np.random.Generator:
    """The generator of a block of replicas for one purpose; ``fast`` ones give the same bits."""
    sequence = np.random.SeedSequence(seed, spawn_key=(block, stream))
    return (FastGenerator if fast else np.random.Generator)(np.random.SFC64(sequence))


def blocks(replicas: int) -> int:
    """How many blocks hold so many replicas."""
    return math.ceil(replicas / BLOCK)


def side_by_side(
    draws: Sequence[Callable[[], np.ndarray]], size: int, copies: int,
    dtype: np.dtype | None = None,
) -> np.ndarray:  # fmt: skip
    """The blocks' draws beside each other, each as ``copies`` equal rows, ``size`` in all."""
    head = draws[0]()
    whole = np.empty((len(head), size // copies, copies, *head.shape[2:]), dtype or head.dtype)

    def fill(b: int) -> None:
        place = whole[:, b * BLOCK : (b + 1) * BLOCK]
        part = draws[b]() if b else head
        place[:] = part[:, : place.shape[1], None]

    spread(fill, range(len(draws)), whole.nbytes)
    return whole.reshape(len(whole), size, *whole.shape[3:])


def spread(work: Callable[[_T], _R], parts: Sequence[_T], size: int) -> list[_R]:
    """``work`` on each part, on torch's number of threads where ``size`` is worth it."""
    threads = min(torch.get_num_threads(), len(parts))
    if threads <= 1 or size < _PARALLEL:
        return list(map(work, parts))
    queue, found = iter(enumerate(parts)), {}

    def take() -> None:
        for k, part in queue:
            found[k] = work(part)

    # This thread works too: waking another takes as long as some hundred steps.
    others = [_pool(threads - 1).submit(take) for _ in range(threads - 1)]
    try:
        take()
    finally:
        # One that never woke has nothing left to do.
        others = [other for other in others if not other.cancel()]
        wait(others)
    for other in others:
        other.result()
    return [found[k] for k in range(len(parts))]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="theorylab")


def restart_mask(
    rule: UpdateRule,
    streams: list[np.random.Generator],
    first: int,
    length: int,
    size: int,
    copies: int,
) -> np.ndarray | None:
    """Which steps begin a round: ``(length, size)``, or ``(length, 1)`` where all rows agree."""
    mask = rule.restarts(streams[0], first, length, BLOCK)
    if mask is None or mask.shape[1] == 1:
        return mask

    def restarts(rng: np.random.Generator) -> np.ndarray:
        part = rule.restarts(rng, first, length, BLOCK)
        assert part is not None
        return part

    return side_by_side([lambda: mask, *(partial(restarts, rng) for rng in streams[1:])],
                        size, copies)  # fmt: skip


def rule_draws(
    draw: Draw, steps: int, dim: int, streams: Sequence[np.random.Generator], size: int,
    copies: int, dtype: np.dtype,
) -> np.ndarray:  # fmt: skip
    """A rule's own randomness for ``size`` rows: shape ``(steps, size, dim)`` or ``(..., 1)``."""
    width = dim if draw.per == "coordinate" else 1
    full = (steps, BLOCK, width)
    if draw.law == "normal":
        normal: Callable[[np.random.Generator], np.ndarray] = lambda rng: rng.standard_normal(full)
        return side_by_side([partial(normal, rng) for rng in streams], size, copies, dtype)
    out = np.empty((steps, size // copies, width), dtype)

    def fill(b: int) -> None:
        group, places = streams[b : b + GROUP], out[:, b * BLOCK : (b + GROUP) * BLOCK]
        if len(group) > GROUP // 2 and uniforms(group, places, BLOCK):
            return
        for k, rng in enumerate(group):
            place = places[:, k * BLOCK : (k + 1) * BLOCK]
            place[:] = rng.random(full)[:, : place.shape[1]]

    spread(fill, range(0, len(streams), GROUP), out.nbytes)
    return out if copies == 1 else out.repeat(copies, axis=1)
