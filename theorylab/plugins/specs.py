"""Objectives by description: the JSON-ready spec that names one, and how it is built."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.plugins.provenance import file_digest
from theorylab.problem.objective import Objective

__all__ = [
    "DATA_FAMILY", "Spec", "build_objective", "objective_specs", "parse_parameters",
    "with_parameters",
]  # fmt: skip

Spec = Mapping[str, Any]
DATA_FAMILY = "data"
_NOT_SET = frozenset({"source", "dtype", "name"})


def build_objective(spec: Spec) -> Objective:
    """The objective of ``{"family": NAME, "parameters": {...}}``; built once in a process."""
    return _built(json.dumps(spec, sort_keys=True))


@cache
def _built(text: str) -> Objective:
    spec = json.loads(text)
    return registry.family(spec["family"]).build(**spec.get("parameters", {}))


def with_parameters(spec: Spec, parameters: Mapping[str, Any]) -> Spec:
    """``spec`` with some of its family's parameters changed, and built once to be sure.

    Raises
    ------
    UsageError
        If the family has no such parameter, or refuses a value.

    Examples
    --------
    >>> with_parameters({"family": "quadratic", "parameters": {"dim": 2}}, {"ell": 3.0})
    {'family': 'quadratic', 'parameters': {'dim': 2, 'ell': 3.0}}
    >>> with_parameters({"family": "linear_twins"}, {"dim": 2})
    Traceback (most recent call last):
    ...
    theorylab.errors.UsageError: linear_twins has no parameter 'dim'; it has G, ell, n, start
    """
    known = set(inspect.signature(registry.family(spec["family"]).build).parameters) - _NOT_SET
    for name in parameters:
        if name not in known:
            raise UsageError(
                f"{spec['family']} has no parameter {name!r}; it has {', '.join(sorted(known))}"
            )
    changed = {**spec, "parameters": {**spec.get("parameters", {}), **parameters}}
    try:
        build_objective(changed)
    except TypeError as error:
        raise UsageError(f"{spec['family']}: {error}") from None
    return changed


def parse_parameters(text: str | None) -> dict[str, Any]:
    """``name=value,name=value``: numbers where they are numbers, else text.

    Raises
    ------
    UsageError
        If a part is no ``name=value``.

    Examples
    --------
    >>> parse_parameters("loss=welsch, scale=2, alpha=0.5")
    {'loss': 'welsch', 'scale': 2, 'alpha': 0.5}
    """
    found: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        name, equals, value = (x.strip() for x in part.partition("="))
        if not (name and equals and value):
            raise UsageError(f"--set expects NAME=VALUE, got {part!r}")
        try:
            number = float(value)
        except ValueError:
            found[name] = value
        else:
            found[name] = int(number) if number.is_integer() else number
    return found


def objective_specs(
    objective: str | None = None,
    data: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> list[Spec]:
    """The objectives a command runs on.

    A family's default instances if ``objective`` names one; otherwise every family's, with the
    data-backed sum of ``data`` (a bundled data set or a file) first if given. ``parameters``
    change those of what is named.

    Raises
    ------
    UsageError
        If both are given, a name or parameter is unknown, a file cannot be used, or parameters
        are given for nothing that is named.
    """
    given = parameters or {}
    if objective is not None and data is not None:
        raise UsageError("give either --objective or --data, not both")
    if given and objective is None and data is None:
        raise UsageError("--set changes what --objective or --data names; neither is given")
    if objective is not None:
        family = registry.family(objective)
        named = [{"family": family.name, "parameters": dict(p)} for p in family.defaults]
        return [with_parameters(spec, given) for spec in named] if given else list(named)
    specs: list[Spec] = [
        {"family": family.name, "parameters": dict(p)}
        for family in registry.families().values()
        if family.name != DATA_FAMILY
        for p in family.defaults
    ]
    if data is not None:
        spec: dict[str, Any] = {"family": DATA_FAMILY, "parameters": {"source": data}}
        if Path(data).is_file():
            spec["digest"] = file_digest(data)
        # A bad file is refused before anything runs.
        specs = [with_parameters(spec, given), *specs]
    return specs
