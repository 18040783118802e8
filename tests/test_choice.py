"""Whether to compile is decided by counted operations and kept costs; never at a result's price."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import synthetic
import theorylab
import theorylab.engine.choice as choice
import theorylab.engine.driver as driver
from theorylab import run
from theorylab.engine.metering import metered
from theorylab.engine.native import costs
from theorylab.engine.native.costs import MachineCosts
from theorylab.method import SGD, SNGM
from theorylab.method.rule import UpdateRule
from theorylab.stability.twins import run_twins

compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc")) is None, reason="compiling needs a C compiler"
)
QUICK = MachineCosts(1e-6, 1e-11, 1e-11, 1e-9, 1e-3)  # to compile is nearly free
SLOW = MachineCosts(1e-6, 1e-11, 1e-11, 1e-9, 1e3)
LONG: dict[str, Any] = {"steps": 12000, "replicas": 3, "record": ("w",)}


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch) -> Callable[[MachineCosts | None], None]:
    return lambda found: monkeypatch.setattr(choice, "machine_costs", lambda: found)


@pytest.fixture
def objective() -> Any:
    return synthetic.robust_regression(n=50, dim=5)


def bits(objective: Any, rule: UpdateRule, compile: bool | None) -> np.ndarray:
    return run(objective, rule, compile=compile, **LONG)["w"]


@compiler
def test_long_runs_are_compiled_where_that_is_cheap(objective: Any, paid: Any) -> None:
    rule = SNGM(eta=0.01, beta=0.9)
    eager, native = (bits(objective, rule, compile) for compile in (False, True))
    assert not np.array_equal(eager, native)  # else nothing is told apart
    for found, expected in ((QUICK, native), (SLOW, eager), (None, eager)):
        paid(found)
        np.testing.assert_array_equal(bits(objective, rule, None), expected)


def test_short_runs_measure_nothing(objective: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError

    monkeypatch.setattr(choice, "machine_costs", never)
    run(objective, SGD(eta=0.1), 500, 8, replicas=50)
    monkeypatch.setattr(choice, "operations", never)
    run(objective, SGD(eta=0.1), 200, 8, replicas=50)


@dataclass(frozen=True)
class Strange(UpdateRule):
    """SGD with something in its step that a trace cannot hold."""

    name: ClassVar[str] = "strange"
    source: ClassVar[str] = "this test"
    f: Callable[[torch.Tensor], torch.Tensor]

    def update(self, w: Any, oracle: Any, state: Any, draw: Any) -> Any:
        return w - 0.01 * oracle.gradient(w) + 1e-3 * self.f(w), state


@compiler
@pytest.mark.parametrize(
    "f",
    [
        lambda w: torch.lgamma(w.abs() + 1),
        lambda w: w if w.sum() > 0 else -w,
        lambda w: w * np.random.default_rng().normal(),  # in a trace, one number for all steps
    ],
    ids=["no C for it", "branches on values", "randomness of its own"],
)
def test_what_compiles_to_nothing_or_something_else_runs_as_it_is(
    objective: Any, paid: Any, monkeypatch: pytest.MonkeyPatch, f: Any
) -> None:
    paid(QUICK)
    chosen = []
    walk = driver.CompiledWalk
    monkeypatch.setattr(driver, "CompiledWalk",
                        lambda *a: chosen.append(len(a[2])) or walk(*a))  # fmt: skip
    run(objective, SGD(eta=0.01), **LONG)
    assert chosen == [4, 3]  # it was tried on some rows, and then taken
    chosen.clear()
    run(objective, Strange(f), **LONG)
    assert chosen in ([], [4])


@compiler
def test_the_trial_is_no_work_of_the_run(objective: Any, paid: Any) -> None:
    work = []
    for found in (QUICK, SLOW):
        paid(found)
        with metered() as meter:
            run(objective, SGD(eta=0.01), **LONG)
        work.append(meter.work)
    assert work[0] == work[1]


@compiler
def test_each_replica_s_own_step_size_and_start(objective: Any, paid: Any) -> None:
    paid(QUICK)
    options = LONG | {"start": torch.ones(3, 5, dtype=torch.float64)}
    rule = SGD(eta=torch.tensor([[0.01], [0.02], [0.03]], dtype=torch.float64))
    auto, native = (run(objective, rule, compile=compile, **options)["w"]
                    for compile in (None, True))  # fmt: skip
    np.testing.assert_array_equal(auto, native)


@compiler
def test_costs_are_measured_once_a_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = asdict(costs.machine_costs())  # type: ignore[call-overload]
    assert all(value > 0 for value in kept.values())
    (path,) = Path(tmp_path).rglob("*.json")
    assert json.loads(path.read_text()) == kept
    path.write_text(json.dumps(asdict(SLOW)))
    costs._costs.cache_clear()
    assert costs.machine_costs() == SLOW
    for damaged in ("", "[]", "{}", json.dumps(asdict(SLOW) | {"byte": -1.0}), '{"byte": NaN}'):
        path.write_text(damaged)
        assert costs._kept(path) is None


def test_without_a_compiler_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, objective: Any, capfd: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    assert costs.machine_costs() is None
    rule = SGD(eta=0.01)
    np.testing.assert_array_equal(bits(objective, rule, None), bits(objective, rule, False))
    assert capfd.readouterr() == ("", "")


def test_operations_are_counted_with_rows_and_passes() -> None:
    data = synthetic.robust_regression(n=100, dim=10)
    few, many = (choice.operations(data, SGD(eta=0.1), 1, rows, True) for rows in (10, 1000))
    assert few.count == many.count > 5
    assert 50 < many.bytes / few.bytes < 101
    assert choice.operations(data, SGD(eta=0.1), 8, 10, True).bytes > 4 * few.bytes


def test_checks_and_twins_are_never_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of twins are runs of other widths: a choice for each would put rounding in a gap."""

    def asked(*_: Any) -> bool:
        raise AssertionError("a study left the choice open")

    monkeypatch.setattr(driver, "compiling_pays", asked)
    sum_of_losses = synthetic.robust_regression(n=6, dim=2)
    for key in ("sngm.theorem_1", "lrsgd.theorem_3_4", "lrsgd.definition_3_3", "lrsgd.lemma_4_6"):
        theorylab.check(key, sum_of_losses, form="repaired", replicas=4, effort=1e4)
    run_twins(sum_of_losses, SGD(eta=0.1), 5, batch_size=1, pairs=2, seeds=2)
    with pytest.raises(AssertionError, match="left the choice open"):
        run(sum_of_losses, SGD(eta=0.1), 5)
