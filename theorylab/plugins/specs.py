"""Objectives by description: the JSON-ready spec that names one, and how it is built."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from theorylab.data.content import read_file
from theorylab.data.record import BUNDLED, Choices, Reading
from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.plugins.isolation import OWN
from theorylab.problem.objective import Objective

__all__ = [
    "DATA_FAMILY", "Spec", "build_objective", "objective_specs", "parse_parameters", "readings",
    "require_read", "require_specs", "with_parameters",
]  # fmt: skip

Spec = Mapping[str, Any]
DATA_FAMILY = "data"
_READING = frozenset(f.name for f in fields(Choices))
_NOT_SET = frozenset({"source", "dtype", "name", "digest"})


def require_specs(who: str, specs: Sequence[Spec] | None) -> None:
    """Refuse what names no objectives: an objective itself cannot be moved, nor sent to a worker.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> require_specs("hunt", "quadratic")
    Traceback (most recent call last):
    ...
    theorylab.errors.UsageError: hunt: objectives are named in a list, [{'family': NAME, \
'parameters': {...}}], got str
    """
    given: Any = specs
    whole = not isinstance(given, str) and isinstance(given, Sequence)
    for spec in given if whole else [] if given is None else [given]:
        if not (whole and isinstance(spec, Mapping) and isinstance(spec.get("family"), str)):
            raise UsageError(
                f"{who}: objectives are named in a list, [{{'family': NAME, 'parameters': "
                f"{{...}}}}], got {type(spec).__name__}" + (" in it" if whole else "")
            )


def build_objective(spec: Spec) -> Objective:
    """The objective of ``{"family": NAME, "parameters": {...}}``; built once in a process."""
    return _built(json.dumps(spec, sort_keys=True))


@cache
def _built(text: str) -> Objective:
    spec = json.loads(text)
    return registry.family(spec["family"]).build(**spec.get("parameters", {}))


@cache
def _sound(name: str) -> bool:
    """Whether a family's default instances can be built; a plug-in's that cannot is left out."""
    family = registry.family(name)
    if family.build.__module__.split(".")[0] in OWN:
        return True
    try:
        for parameters in family.defaults:
            made: object = build_objective({"family": name, "parameters": dict(parameters)})
            if not isinstance(made, Objective):
                raise TypeError(f"it builds a {type(made).__name__}, no Objective")
            made.constants()
    except (Exception, SystemExit) as error:  # whatever it does, the others are checked
        registry.leave_out("objectives", name, f"{type(error).__name__}: {error}")
        return False
    return True


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
    except UsageError:
        raise
    except MemoryError as error:
        raise UsageError(f"{spec['family']}: not enough memory: {error}") from None
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        given = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        who = spec["family"] + ("" if any(n in reason for n in parameters) else f", {given}")
        raise UsageError(f"{who}: {reason}") from None
    return changed


def require_read(specs: Sequence[Spec], given: Iterable[str]) -> None:
    """Refuse a parameter that nothing reads in any of the objectives, as it stands.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> require_read([{"family": "quadratic", "parameters": {"dof": 3.0}}], ["dof"])
    Traceback (most recent call last):
    theorylab.errors.UsageError: quadratic reads dof with noise=student_t alone
    """
    for name in given:
        found = [build_objective(spec).unread.get(name) for spec in specs]
        if found and None not in found:
            raise UsageError(f"{specs[0]['family']} reads {name} with {found[0]} alone")


def parse_parameters(text: str | None) -> dict[str, Any]:
    """``name=value,name=value``: numbers where they are numbers, else text.

    Raises
    ------
    UsageError
        If a part is no ``name=value``, or a name stands twice.

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
        if name in found:
            raise UsageError(f"--set takes each name once, got {name} twice")
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
    target: str | None = None,
) -> list[Spec]:
    """The objectives a command runs on.

    A family's default instances if ``objective`` names one; otherwise every family's, with the
    data-backed sum of ``data`` (a bundled data set or a file) first if given, its ``target`` the
    column of that name. ``parameters`` change those of what is named. A file is known by its
    SHA-256 from here on: whoever builds the objective refuses another.

    Raises
    ------
    UsageError
        If both are given, a name or parameter is unknown, a file cannot be used, nothing reads a
        parameter, or parameters or a target are given for nothing that is named.
    """
    # How to read data is text: a search must not take the label 2 for a number to be moved.
    given = {k: str(v) if k in _READING else v for k, v in (parameters or {}).items()}
    if target is not None:
        if data is None:
            raise UsageError("--target names a column of --data, which is not given")
        given["target"] = target
    if objective is not None and data is not None:
        raise UsageError("give either --objective or --data, not both")
    if given and objective is None and data is None:
        raise UsageError("--set changes what --objective or --data names; neither is given")
    if objective is not None:
        family = registry.family(objective)
        named = [{"family": family.name, "parameters": dict(p)} for p in family.defaults]
        if not given:
            return list(named)
        changed = [with_parameters(spec, given) for spec in named]
        require_read(changed, given)
        return changed
    specs: list[Spec] = [
        {"family": family.name, "parameters": dict(p)}
        for family in registry.families().values()
        if family.name != DATA_FAMILY and _sound(family.name)
        for p in family.defaults
    ]
    if data is not None:
        known: dict[str, Any] = {"source": data}
        if data not in BUNDLED and Path(data).exists():
            known["digest"] = read_file(data)[1]
        # A bad file is refused before anything runs.
        mine = with_parameters({"family": DATA_FAMILY, "parameters": known}, given)
        require_read([mine], given)
        specs = [mine, *specs]
    return specs


def readings(specs: Iterable[Spec]) -> tuple[Reading, ...]:
    """What was read to build the objectives, each once.

    >>> [reading.name for reading in readings([{"family": "lasso"}, {"family": "quadratic"}])]
    ['diabetes']
    """
    found = (build_objective(spec).data for spec in specs)
    return tuple(dict.fromkeys(reading for reading in found if reading is not None))
