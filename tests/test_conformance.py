"""The conformance suite: torch's own optimizers pass, and each check finds its planted fault."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from plain_optimizer import CLAIMS, SETTINGS, Plain
from planted_steps import STEPS, Planted
from planted_values import VALUES

from theorylab.conformance import Conformance, conform
from theorylab.conformance.presets import PRESETS
from theorylab.conformance.registry import CHECKS, select
from theorylab.conformance.run import examine
from theorylab.conformance.target import Target, found_in, subject_at

FAULTS: Mapping[str, Planted] = {**STEPS, **VALUES}
every_check = pytest.mark.parametrize("name", CHECKS)


@pytest.fixture(scope="module")
def sound() -> Mapping[str, str]:
    report = conform(Plain, CLAIMS, settings=SETTINGS, progress=False)
    return {found.check: f"{found.outcome} {found.detail}" for found in report}


@every_check
def test_a_sound_optimizer_keeps_every_promise(name: str, sound: Mapping[str, str]) -> None:
    elsewhere = {"fused": "refused", "scale_invariance": "not", "state_dict_to_device": "not"}
    assert sound[name].startswith(("passed", elsewhere.get(name, "passed")))


def found_of(name: str, only: list[str] | None) -> Conformance:
    fault = FAULTS[name]
    return conform(fault.made, fault.claims, settings=SETTINGS, only=only, progress=False)


def out_of_reach(name: str) -> bool:
    return name == "state_dict_to_device" and not torch.accelerator.is_available()


@every_check
def test_each_check_finds_its_planted_fault(name: str) -> None:
    assert name in FAULTS, f"{name} has no planted fault: no one knows what it can find"
    if out_of_reach(name):
        pytest.skip("no accelerator here")
    (found,) = found_of(name, [name])
    assert found.outcome == "failed"
    assert found.detail
    assert "\n" not in found.detail
    assert "no step of it can be taken" not in found.detail


@pytest.mark.slow
@every_check
def test_no_other_check_finds_it(name: str) -> None:
    failed = {found.check for found in found_of(name, None).of("failed")}
    assert failed == (set() if out_of_reach(name) else {name})


@pytest.mark.slow
@pytest.mark.parametrize("path", found_in("torch.optim"))
def test_torchs_own_pass(path: str) -> None:
    """Up to the limits that presets.py names, each of which must still be there."""
    findings = list(examine(subject_at(Target(path)), select()))
    assert not [(found.check, found.detail) for found in findings if found.outcome == "failed"]


OURS = "theorylab.torch.optim"
# What no optimizer of ours keeps to, and why, is in theorylab/conformance/presets.py.
DECLARED = {
    ("EntropySGD", "learning_rate_edits_act"),
    ("EntropySGD", "zero_gradients"),
    ("StochasticBatchSize1", "closure_takes_the_step"),
    ("TwoPointZerothOrder", "arguments_act"),
    ("TwoPointZerothOrder", "zero_gradients"),
}


@pytest.mark.slow
@pytest.mark.parametrize("path", found_in(OURS))
def test_ours_pass(path: str) -> None:
    found = list(examine(subject_at(Target(path)), select(), limit=60))
    assert not [(f.check, f.detail) for f in found if f.outcome == "failed"]
    limited = {(path.split(":")[1], f.check) for f in found if f.outcome == "limited"}
    assert limited <= DECLARED


def test_what_ours_do_not_keep_is_declared_with_its_reason() -> None:
    known = {path: preset for path, preset in PRESETS.items() if path.startswith(f"{OURS}:")}
    assert {p for p, preset in known.items() if preset is not None} >= set(found_in(OURS))
    limits = {
        (path.split(":")[1], check): reason
        for path, preset in known.items() if preset is not None
        for check, reason in preset.claims.limitations.items()
    }  # fmt: skip
    assert set(limits) == DECLARED
    assert all(len(reason) > 20 for reason in limits.values())


# Each failed before: rounds that a late parameter joined, values that were not ascended, ...
@pytest.mark.parametrize(
    ("name", "check"),
    [
        *((name, check) for name in ("TRSGD", "TRAdam", "LRSGD_C", "SVRG")
          for check in ("late_parameter", "late_gradient")),
        ("SVRG", "added_group_trains"),
        ("LARS", "zero_gradients"),
        ("OptimizedGradient", "weights_set_from_outside"),
        ("PolyakStep", "maximize"), ("PolyakStep", "saddle"),
        ("TwoPointZerothOrder", "maximize"), ("TwoPointZerothOrder", "foreach"),
        ("StochasticBatchSize1", "arguments_act"), ("StochasticBatchSize2", "scalar_parameter"),
    ],
)  # fmt: skip
def test_what_ours_once_failed(name: str, check: str) -> None:
    (found,) = examine(subject_at(Target(f"{OURS}:{name}")), select([check]), limit=60)
    assert found.outcome == "passed", found.detail


def test_every_planted_fault_is_of_a_check() -> None:
    assert set(FAULTS) == set(CHECKS)
    assert not set(STEPS) & set(VALUES)
