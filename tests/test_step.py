"""The compiled step: what eager torch computes, the same bits for any number of replicas."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from method_references import CASES as MORE_CASES
from optimizer_references import CASES, DIM

import synthetic
import theorylab.engine.native.kernel as kernels
from synthetic.losses import GemanMcClure
from synthetic.margin_sum import MarginSum
from theorylab import Stratified, run
from theorylab.engine.driver import BLOCK
from theorylab.errors import UsageError
from theorylab.method import LRSGD_R, SGD, SNGM, TRSGD, StochasticBatchSize1
from theorylab.method.rule import UpdateRule
from theorylab.plugins.registry import families
from theorylab.problem.composite import Composite, Constrained
from theorylab.problem.geometry import L1, Ball

pytestmark = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc")) is None, reason="compiling needs a C compiler"
)


@pytest.fixture(scope="module")
def objective() -> Any:
    return synthetic.robust_regression(n=50, dim=DIM)


def both(objective: Any, rule: Any, *args: Any, **kwargs: Any) -> Any:
    kwargs = {"record": ("w",), "progress": False} | kwargs
    compiled, eager = (run(objective, rule, *args, compile=compile, **kwargs)
                       for compile in (True, False))  # fmt: skip
    return eager, compiled


COMPILED = ("svrg", "saga", "storm", "fista", "two-point zeroth order", "local sgd")


def first_of_each_rule() -> Iterator[Any]:
    seen = set()
    for name, rule in CASES.items():
        fast = type(rule) not in seen and (name not in MORE_CASES or name in COMPILED)
        rest = [] if fast else [pytest.mark.slow]
        seen.add(type(rule))
        yield pytest.param(rule, id=name, marks=rest)


def fitting(objective: Any, rule: Any) -> Any:
    """The objective with the geometry that the rule needs."""
    if "prox" in rule.needs:
        return Composite(objective, L1(0.01))
    if rule.needs & {"projection", "linear_minimizer", "mirror"}:
        return Constrained(objective, Ball(0.5))
    if "workers" in rule.needs:
        return synthetic.curved_workers(M=3, dim=DIM, noise="two_point", sigma=0.1)
    return objective


@pytest.mark.parametrize("rule", list(first_of_each_rule()))
def test_every_rule_compiles_to_what_it_is(objective: Any, rule: Any) -> None:
    """Rounding differs, and what divides by small gradients makes it larger; errors are not."""
    objective = fitting(objective, rule)
    eager, compiled = both(objective, rule, 25, 2, 30, at=range(26))
    np.testing.assert_allclose(compiled["w"], eager["w"], rtol=1e-6, atol=1e-6)
    assert np.abs(eager["w"][-1] - eager["w"][0]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [(name, p) for name, family in families().items() for p in family.defaults],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_family_compiles_to_what_it_is(name: Any, parameters: Any) -> None:
    objective = families()[name].build(**parameters)
    eager, compiled = both(objective, SNGM(eta=0.01, beta=0.5), 30, 2, 20, at=range(31))
    np.testing.assert_allclose(compiled["w"], eager["w"], rtol=1e-6, atol=1e-6)
    few = run(objective, SNGM(eta=0.01, beta=0.5), 30, 2, 3, record=("w",), compile=True)
    np.testing.assert_array_equal(few["w"][0], compiled["w"][-1, :3])


RULES = {
    "sngm": SNGM(eta=0.02, beta=0.9),
    "trsgd": TRSGD(lam=4.0, delta=0.5, S=3),
    "lrsgd_r": LRSGD_R(lam=4.0, theta=0.25),
    "many mini-batches": StochasticBatchSize1(0.1, 0.5, 0.0),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_same_bits_for_any_number_of_replicas(objective: Any, rule: Any) -> None:
    options = {"record": ("w", "value"), "at": [0, 3, 12], "compile": True, "chunk": BLOCK}
    many = run(objective, rule, rounds=12, replicas=300, **options)
    few = run(objective, rule, rounds=12, replicas=5, **options)
    again = run(objective, rule, rounds=12, replicas=300, **options)
    for name in ("w", "value"):
        np.testing.assert_array_equal(many[name][:, :5], few[name])
        np.testing.assert_array_equal(many[name], again[name])


@pytest.mark.parametrize("rule", [RULES["sngm"], RULES["lrsgd_r"]], ids=["sngm", "lrsgd_r"])
def test_time_chunks_do_not_show(
    objective: Any, rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"replicas": 20, "record": ("w",), "at": range(41), "compile": True}
    whole = run(objective, rule, 40, **options)
    monkeypatch.setattr("theorylab.engine.chunks.DRAW_BYTES", 1)
    np.testing.assert_array_equal(whole["w"], run(objective, rule, 40, **options)["w"])


def test_one_hyperparameter_a_replica_is_an_argument(
    objective: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks whose step sizes differ share one compilation, and so do other values."""
    calls = []
    compile = kernels._compile
    monkeypatch.setattr(kernels, "_compile", lambda *a: calls.append(a) or compile(*a))
    fresh = synthetic.robust_regression(n=50, dim=DIM)
    for scale in (1.0, 2.0):
        etas = scale * torch.linspace(0.01, 0.1, 2 * BLOCK + 10, dtype=torch.float64)[:, None]
        eager, compiled = both(fresh, SGD(eta=etas), 10, 1, len(etas), chunk=BLOCK)
        np.testing.assert_allclose(compiled["w"], eager["w"], rtol=1e-12)
    assert len(calls) == 1
    both(fresh, SGD(eta=0.1), 10, 1, 4, chunk=BLOCK)
    both(fresh, SGD(eta=0.2), 10, 1, 4, chunk=BLOCK)
    assert len(calls) == 3


def test_records_states_and_twins(objective: Any) -> None:
    positions, twins = objective.replacement(0, 6)

    def replace(samples: Any) -> Any:
        draws = samples.draws.copy()
        for row in range(1, draws.shape[1], 2):
            draws[:, row][draws[:, row] == positions[row // 2]] = objective.n + row // 2
        return draws

    for rule in (RULES["sngm"], RULES["trsgd"]):
        state = {"sngm": "state.u", "trsgd": "state.anchor"}[rule.name]
        eager, compiled = both(twins, rule, 40, 2, 6, record=("w", "gradient_norm", state),
                               at=Stratified(4), copies=2, remap=replace)  # fmt: skip
        assert (eager["w"][:, ::2] != eager["w"][:, 1::2]).any()
        for name, values in eager.quantities.items():
            np.testing.assert_allclose(compiled[name], values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "build",
    [
        lambda: synthetic.quadratic(noise="two_point", sigma=1.0),
        lambda: synthetic.piecewise_quadratic(noise="two_point", sigma=0.5),
    ],
    ids=["two_point", "knots"],
)
def test_compiling_first_leaves_no_trace_in_the_objective(build: Any) -> None:
    """What an objective keeps from its first use is made by a real step, not by the tracer."""
    kept, fresh = build(), build()
    first = run(kept, SGD(eta=0.1), 20, replicas=4, compile=True)
    again = run(kept, SGD(eta=0.1), 20, replicas=4)
    other = run(kept, SGD(eta=0.1), 20, 2, replicas=4, compile=True)
    assert np.isfinite(other["value"]).all()
    expected = run(fresh, SGD(eta=0.1), 20, replicas=4)
    for name in ("value", "gradient_norm"):
        np.testing.assert_array_equal(again[name], expected[name])
        np.testing.assert_allclose(first[name], expected[name], rtol=1e-12)


def test_equal_objectives_are_told_apart() -> None:
    class Alike(MarginSum):
        def __eq__(self, other: Any) -> Any:
            return True

        def __hash__(self) -> Any:
            return 1

    def build(scale: Any) -> Any:
        A = scale * np.eye(2)
        return Alike("alike", GemanMcClure(), A, np.ones(2), np.zeros(2))

    one, two = build(1.0), build(2.0)
    for objective in (one, two):
        eager, compiled = both(objective, SGD(eta=0.1), 5, replicas=3)
        np.testing.assert_allclose(compiled["w"], eager["w"], rtol=1e-12)


def test_two_threads_may_compile() -> None:
    objectives = [synthetic.robust_regression(n=9 + k, dim=2) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda o: run(o, SGD(eta=0.1), 5, replicas=3, record=("w",),
                                            compile=True, progress=False), objectives))  # fmt: skip
    for objective, out in zip(objectives, found, strict=True):
        expected = run(objective, SGD(eta=0.1), 5, replicas=3, record=("w",))
        np.testing.assert_allclose(out["w"], expected["w"], rtol=1e-12)


def test_subnormal_numbers_survive_the_compiler(objective: Any) -> None:
    run(objective, SGD(eta=0.1), 1, replicas=2, compile=True)
    tiny = torch.tensor([1e-310], dtype=torch.float64)
    assert float(tiny * 0.5) == 5e-311


class Seen(NamedTuple):
    seen: torch.Tensor | None


@dataclass(frozen=True)
class Branching(UpdateRule):
    """Against the contract of a rule: it looks at a value."""

    name = "branching"
    source = "this test"

    def update(self, w: Any, oracle: Any, state: Any, draw: Any) -> Any:
        return (w if float(oracle.gradient(w).sum()) > 0 else -w), state


@dataclass(frozen=True)
class Reading(UpdateRule):
    """It leaves torch: a trace of real values would keep those of its example for ever."""

    name = "reading"
    source = "this test"

    def update(self, w: Any, oracle: Any, state: Any, draw: Any) -> Any:
        return w - torch.from_numpy(np.tanh(oracle.gradient(w).numpy())), state


@dataclass(frozen=True)
class Widening(UpdateRule):
    name = "widening"
    source = "this test"

    def init(self, w: Any, oracle: Any) -> Any:
        return Seen(w[..., :1])

    def update(self, w: Any, oracle: Any, state: Any, draw: Any) -> Any:
        g = oracle.gradient(w)
        return w - g, Seen(torch.cat([state.seen, g[..., :1]], -1)[..., -3:])


@dataclass(frozen=True)
class Growing(UpdateRule):
    name = "growing"
    source = "this test"

    def init(self, w: Any, oracle: Any) -> Any:
        return Seen(None)

    def update(self, w: Any, oracle: Any, state: Any, draw: Any) -> Any:
        g = oracle.gradient(w)
        return w - g, Seen(g)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Branching(), "cannot compile branching on robust_regression .*without branches on values"),
        (Reading(), "run: cannot compile reading on robust_regression .*numpy"),
        (Widening(), "cannot compile widening .*seen goes from torch.float64"),
        (Growing(), r"cannot compile growing .*the state goes from \[\] to \['seen'\]"),
    ],
    ids=["branches", "reads", "widens", "grows"],
)
def test_what_cannot_be_compiled_is_said_in_one_line(
    objective: Any, rule: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        run(objective, rule, 3, replicas=2, compile=True)
    assert "\n" not in str(caught.value)


def test_a_missing_compiler_is_said_in_one_line(
    objective: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(UsageError, match=r"cannot compile sgd .*needs a C compiler") as caught:
        run(objective, SGD(eta=0.123), 3, replicas=2, compile=True)
    assert "\n" not in str(caught.value)


def test_the_steps_tables_are_not_shared_by_mistake(objective: Any) -> None:
    """Two rules that differ in one number give two compilations, each with its own."""
    slow, fast = (run(objective, SGD(eta=eta), 5, replicas=3, record=("w",), compile=True)["w"]
                  for eta in (0.01, 0.3))  # fmt: skip
    assert (slow != fast).any()
