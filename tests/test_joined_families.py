"""A family that another package registered is tried on every statement that it suits."""

from __future__ import annotations

from typing import Any

import pytest

from bounds import sngm
from synthetic import quadratic
from theorylab.plugins import registry
from theorylab.plugins.specs import objective_specs
from theorylab.problem.objective import Family, Objective
from theorylab.studies.applicable import objectives_for


def mine(ell: float = 1.0) -> Objective:
    """As many constants as ``quadratic``, and no better attained."""
    return quadratic(dim=3, ell=ell)


@pytest.mark.parametrize("key", ["theorem_1_repaired", "table_1_msgd"])
def test_one_instance_of_it_is_checked_beside_the_others(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement: Any = getattr(sngm, key)
    before = objectives_for(statement, objective_specs(), 0, given=False, chosen=False).kept
    family = Family("mine", mine, (), ({}, {"ell": 2.0}))
    known = {**registry.families(), "mine": family}
    monkeypatch.setattr(registry, "families", lambda: known)
    after = objectives_for(statement, objective_specs(), 0, given=False, chosen=False).kept
    assert after[0] == ({"family": "mine", "parameters": {}}, False)
    assert after[1:] == before  # whose places it does not take
