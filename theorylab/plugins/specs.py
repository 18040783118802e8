"""Objectives by description: the JSON-ready spec that names one, and how it is built."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.plugins.provenance import file_digest
from theorylab.problem.objective import Objective

__all__ = ["DATA_FAMILY", "Spec", "build_objective", "objective_specs"]

Spec = Mapping[str, Any]
DATA_FAMILY = "data"


def build_objective(spec: Spec) -> Objective:
    """The objective of ``{"family": NAME, "parameters": {...}}``; built once in a process."""
    return _built(json.dumps(spec, sort_keys=True))


@cache
def _built(text: str) -> Objective:
    spec = json.loads(text)
    return registry.family(spec["family"]).build(**spec.get("parameters", {}))


def objective_specs(objective: str | None = None, data: str | None = None) -> list[Spec]:
    """The objectives a command runs on.

    A family's default instances if ``objective`` names one; otherwise every family's, with the
    data-backed sum of ``data`` (a bundled data set or a file) first if given.

    Raises
    ------
    UsageError
        If both are given, a name is unknown, or a file cannot be used.
    """
    if objective is not None and data is not None:
        raise UsageError("give either --objective or --data, not both")
    if objective is not None:
        family = registry.family(objective)
        return [{"family": family.name, "parameters": dict(p)} for p in family.defaults]
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
        build_objective(spec)  # a bad file is refused before anything runs
        specs = [spec, *specs]
    return specs
