"""All checks, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from theorylab.conformance import (
    arguments,
    failures,
    fidelity,
    gradients,
    groups,
    implementations,
    invariance,
    learning_rate,
    precision,
    protocol,
    state,
)
from theorylab.conformance.check import Check
from theorylab.plugins.registry import unknown

__all__ = ["CHECKS", "select"]

_CONCEPTS = (
    protocol, arguments, groups, learning_rate, gradients, precision, implementations, state,
    fidelity, invariance, failures,
)  # fmt: skip

CHECKS: Mapping[str, Check] = {
    found.name: found
    for concept in _CONCEPTS
    for found in vars(concept).values()
    if isinstance(found, Check)
}
"""Every check by its name; a new one is a function with ``@check`` in one of these files."""


def select(names: Sequence[str] | None = None) -> tuple[Check, ...]:
    """The checks of these names or concepts; all of them without any.

    Raises
    ------
    UnknownNameError
        If there is no such check.

    Examples
    --------
    >>> [c.name for c in select(["invariance"])]
    ['scale_invariance', 'rotation_invariance', 'translation_invariance']
    >>> select(["hook_run"])
    Traceback (most recent call last):
    theorylab.errors.UnknownNameError: unknown check 'hook_run'; did you mean hooks_run?
    """
    if not names:
        return tuple(CHECKS.values())
    concepts = {found.concept for found in CHECKS.values()}
    for name in names:
        if name not in CHECKS and name not in concepts:
            raise unknown("check", name, {*CHECKS, *concepts})
    return tuple(c for c in CHECKS.values() if c.name in names or c.concept in names)
