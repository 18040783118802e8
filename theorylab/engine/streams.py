"""Randomness drawn ahead: one stream a block of replicas and a purpose, the same for any cut."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np

from theorylab.method.rule import Draw, UpdateRule

__all__ = [
    "BLOCK", "RESTARTS", "RULE", "SAMPLES", "TIMES", "blocks", "generator", "restart_mask",
    "rule_draw", "side_by_side",
]  # fmt: skip

BLOCK = 128
# Streams of a block's randomness: what is drawn for one must not shift another.
# A rule's draws have one stream each, from ``RULE`` on.
SAMPLES, RESTARTS, TIMES, RULE = range(4)


def generator(seed: int, block: int, stream: int) -> np.random.Generator:
    """The generator of a block of replicas for one purpose."""
    sequence = np.random.SeedSequence(seed, spawn_key=(block, stream))
    return np.random.Generator(np.random.SFC64(sequence))


def blocks(replicas: int) -> int:
    """How many blocks hold so many replicas."""
    return math.ceil(replicas / BLOCK)


def side_by_side(parts: Iterable[np.ndarray], size: int, copies: int) -> np.ndarray:
    """The blocks' replicas beside each other, each as ``copies`` equal rows, ``size`` in all."""
    whole: np.ndarray | None = None
    for b, part in enumerate(parts):
        if whole is None:
            shape = (len(part), size // copies, copies, *part.shape[2:])
            whole = np.empty(shape, part.dtype)
        place = whole[:, b * BLOCK : (b + 1) * BLOCK]
        place[:] = part[:, : place.shape[1], None]
    assert whole is not None
    return whole.reshape(len(whole), size, *whole.shape[3:])


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
    others = (rule.restarts(rng, first, length, BLOCK) for rng in streams[1:])
    parts = (part for part in itertools.chain([mask], others) if part is not None)
    return side_by_side(parts, size, copies)


def rule_draw(draw: Draw, steps: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """A rule's own randomness for a block: shape ``(steps, BLOCK, dim)`` or ``(..., 1)``."""
    full = (steps, BLOCK, dim if draw.per == "coordinate" else 1)
    return rng.random(full) if draw.law == "uniform" else rng.standard_normal(full)
