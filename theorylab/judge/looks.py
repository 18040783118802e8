"""What is known of each point of a domain, and where a closer look may still decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from theorylab.judge.verdict import Verdict

__all__ = ["Judged", "settled"]


@final
@dataclass(frozen=True)
class Judged:
    """What is known of a point.

    Attributes
    ----------
    verdict : Verdict
    may_hold : bool
        Whether a closer look may still show that the claim holds there.
    earlier : mapping
        What was measured on the way: see :class:`~theorylab.quantities.protocol.Measurement`.
    """

    verdict: Verdict
    may_hold: bool = False
    earlier: Mapping[str, np.ndarray] = field(default_factory=dict)


def settled(judged: Sequence[Judged], looks: Sequence[Iterator[Judged]]) -> list[Verdict]:
    """The verdicts, after closer looks at all points where these may show that the claim holds.

    What one point leaves open no look at another can settle: then none is taken.

    Parameters
    ----------
    judged : sequence of Judged
        Each point after its first look.
    looks : sequence of iterator
        Each point's closer looks; only the first is taken.

    Examples
    --------
    >>> opened, held = (Verdict("k", "printed", outcome, evidence="samples")
    ...                 for outcome in ("not refuted", "holds"))
    >>> [v.verdict for v in settled([Judged(opened, True)], [iter([Judged(held)])])]
    ['holds']
    """
    found = [point.verdict for point in judged]
    if not any(_open(point.verdict) for point in judged if not point.may_hold):
        for k in [k for k, point in enumerate(judged) if point.may_hold]:
            found[k] = next(looks[k]).verdict
            if _open(found[k]):
                break
    return found


def _open(verdict: Verdict) -> bool:
    """Whether a statement does not hold that is so at one point."""
    return verdict.verdict == "violated" or (
        verdict.verdict == "not refuted" and bool(verdict.evidence)
    )
