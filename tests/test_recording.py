"""Recording: one pass over the data at a state, and reductions that keep no record."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import synthetic
from theorylab import Stratified, run
from theorylab.engine.recorders import Passes, recorders
from theorylab.method import LRSGD_R, SGD, TRSGD

RULES = {
    "sgd": SGD(eta=0.05),
    "trsgd": TRSGD(lam=4.0, delta=0.5, S=3),
    "lrsgd_r": LRSGD_R(lam=4.0, theta=0.25),
}


def counted(objective: Any) -> tuple[Any, Counter[str]]:
    """The objective, and how often F and its gradient were asked for."""
    asked: Counter[str] = Counter()

    def counting(name: str) -> Any:
        method = getattr(objective, name)

        def call(w: Any) -> Any:
            asked[name] += 1
            return method(w)

        return call

    for name in ("value", "gradient"):
        vars(objective)[name] = counting(name)
    return objective, asked


@pytest.mark.parametrize(
    ("at", "states"), [(None, 1), (range(11), 11), (Stratified(5), 5)], ids=["end", "all", "strata"]
)
def test_all_that_is_recorded_of_a_state_shares_one_pass(at: Any, states: int) -> None:
    objective, asked = counted(synthetic.robust_regression(n=50, dim=4))
    record = ["gradient_norm", "gradient_norm_squared", "gradient_l1_norm", "suboptimality",
              "value", recorders()["gradient_mapping_norm"].bind(step=0.1)]  # fmt: skip
    out = run(objective, SGD(eta=0.1), 10, replicas=20, record=record, at=at, progress=False)
    assert asked == {"gradient": states, "value": states}
    np.testing.assert_allclose(out["gradient_mapping_norm"], out["gradient_norm"], rtol=1e-12)
    alone = run(objective, SGD(eta=0.1), 10, replicas=20, record=["value"], at=at, progress=False)
    np.testing.assert_array_equal(alone["value"], out["value"])


def test_a_pass_is_made_when_it_is_asked_for() -> None:
    objective, asked = counted(synthetic.quadratic(dim=2))
    here = Passes(objective, objective.start.unsqueeze(0))
    assert not asked
    recorders()["distance"].at(here)
    assert not asked
    recorders()["gradient_norm"].at(here)
    assert asked == {"gradient": 1}


@pytest.mark.parametrize("at", [None, range(13), Stratified(4), [5, 2]],
                         ids=["end", "all", "strata", "listed"])  # fmt: skip
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("horizon", [{"steps": 40}, {"rounds": 12}], ids=["steps", "rounds"])
def test_a_reduced_run_is_the_record_reduced(rule: Any, horizon: Any, at: Any) -> None:
    objective = synthetic.robust_regression(n=50, dim=4)
    names = ("value", "gradient_norm", "w", "output.value")
    asked = {"replicas": 150, "record": names, "at": at, "progress": False, **horizon}
    whole = run(objective, rule, **asked)
    for reduce in ("mean", "sum", "min", "max"):
        found = run(objective, rule, reduce=reduce, chunk=1, **asked)
        for name in names:
            expected = getattr(np, reduce)(whole[name], axis=0)
            np.testing.assert_allclose(found[name], expected[None], rtol=1e-12, atol=1e-15)
            if reduce in ("min", "max"):
                np.testing.assert_array_equal(found[name], expected[None])
        np.testing.assert_array_equal(found.rounds, whole.rounds)


@pytest.mark.parametrize("reduce", ["mean", "sum", "min", "max"])
def test_a_reduction_drops_nothing_that_is_not_finite(reduce: Any) -> None:
    """A run that leaves the numbers behind ends in inf - inf."""
    steep = synthetic.quadratic(dim=1, start=1.0)
    out = run(steep, SGD(eta=1e200), 6, replicas=2, record=("w",), at=range(7), reduce=reduce,
              progress=False)  # fmt: skip
    assert np.isnan(out["w"]).all()


def test_an_unknown_reduction_is_named() -> None:
    with pytest.raises(ValueError, match="reduce is one of mean, sum, min, max, got 'median'"):
        run(synthetic.quadratic(dim=1), SGD(eta=0.1), 3, reduce="median")  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 8])
def test_random_times_give_the_interval_of_every_step_at_a_tenth_of_the_cost(batch: int) -> None:
    """Counted: sample gradients, those of the steps included, for one width of the interval."""
    n, steps, replicas = 500, 640, 256
    objective, asked = counted(synthetic.robust_regression(n=n, dim=5))
    found = {}
    for name, at in (("every", range(steps)), ("strata", Stratified(32, 0, steps))):
        before = asked["gradient"]
        out = run(objective, SGD(eta=0.05), steps, batch, replicas, 1, ("gradient_norm",), at=at,
                  chunk=replicas, progress=False)  # fmt: skip
        passes = (asked["gradient"] - before) * replicas
        width = out.mean("gradient_norm").std() / replicas**0.5
        found[name] = width, passes * n + replicas * steps * batch
    wider = (found["strata"][0] / found["every"][0]) ** 2  # so many times as many replicas
    share = wider * found["strata"][1] / found["every"][1]
    print(f"{share:.3f} of the gradients of every step; {wider:.2f} times the replicas")
    assert share < 0.1
