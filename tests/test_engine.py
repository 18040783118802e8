"""The engine: same bits for any chunk, unbiased time averages, rounds of any length."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import synthetic
from theorylab import Stratified, run
from theorylab.engine.driver import BLOCK
from theorylab.engine.metering import metered
from theorylab.errors import UsageError
from theorylab.method import LRSGD_C, LRSGD_R, SGD, SNGM, TRSGD
from theorylab.method.schedules import Harmonic, Warmup

RULES = {
    "sgd": SGD(eta=0.05),
    "sngm": SNGM(eta=0.02, beta=0.9),
    "trsgd": TRSGD(lam=4.0, delta=0.5, S=3),
    "lrsgd_r": LRSGD_R(lam=4.0, theta=0.25),
    "lrsgd_c": LRSGD_C(lam=4.0, delta=0.5, S=4),
}


@pytest.fixture(scope="module")
def objective() -> Any:
    return synthetic.robust_regression(n=50, dim=4)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("horizon", [{"steps": 40}, {"rounds": 12}], ids=["steps", "rounds"])
def test_same_bits_for_any_chunk_and_any_number_of_replicas(
    objective: Any, rule: Any, horizon: Any
) -> None:
    names = ("w", "value", "gradient_norm")
    whole = run(objective, rule, replicas=300, record=names, at=[0, 3, 12], **horizon)
    cut = run(objective, rule, replicas=300, record=names, at=[0, 3, 12], chunk=1, **horizon)
    few = run(objective, rule, replicas=5, record=names, at=[0, 3, 12], **horizon)
    for name in names:
        np.testing.assert_array_equal(whole[name], cut[name])
        np.testing.assert_array_equal(whole[name][:, :5], few[name])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_time_chunks_do_not_show(
    objective: Any, rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(objective, rule, 40, replicas=20, record=("w",), at=range(41))
    monkeypatch.setattr("theorylab.engine.chunks.DRAW_BYTES", 1)
    cut = run(objective, rule, 40, replicas=20, record=("w",), at=range(41))
    np.testing.assert_array_equal(whole["w"], cut["w"])


def test_the_seed_decides(objective: Any) -> None:
    one, two, other = (run(objective, SGD(eta=0.1), 20, replicas=9, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one["value"], two["value"])
    assert (one["value"] != other["value"]).all()


def test_sgd_by_hand(objective: Any) -> None:
    """One replica, step by step, with the sample indices the engine drew."""
    indices = []

    def spy(samples: Any) -> Any:
        indices.append(samples.draws.copy())
        return samples.draws

    out = run(objective, SGD(eta=0.1), 15, replicas=3, record=("w",), remap=spy)
    drawn = np.concatenate(indices)
    w = objective.start.clone().unsqueeze(0)
    for step in range(15):
        w = w - 0.1 * objective.sample_gradient(w, torch.from_numpy(drawn[step, 1:2]))
    np.testing.assert_allclose(out["w"][0, 1], w[0], rtol=1e-12)


def test_rounds_are_counted_from_restarts(objective: Any) -> None:
    """A round of TRSGD is S steps; of LRSGD-R a geometric number with mean 1/gamma."""
    trsgd = run(objective, RULES["trsgd"], rounds=7, replicas=4, at=range(8), record=("value",))
    np.testing.assert_array_equal(trsgd.evaluations[:, 0], 3 * np.arange(8))
    theta = 0.25
    gamma = np.log(1 / (1 - theta)) / np.log(1 / theta)
    lrsgd = run(objective, RULES["lrsgd_r"], rounds=50, replicas=2000, record=("value",))
    mean = lrsgd.evaluations[-1].mean() / 50
    error = np.sqrt((1 - gamma) / gamma**2 / (50 * 2000))
    assert abs(mean - 1 / gamma) < 5 * error


def test_stratified_times_are_unbiased(objective: Any) -> None:
    """The stratified mean of a deterministic quantity agrees with the mean over every round."""
    rule, horizon = SGD(eta=0.05), 37
    full = run(objective, rule, horizon, replicas=2000, at=range(horizon), record=("value",))
    part = run(objective, rule, horizon, replicas=2000, at=Stratified(4), record=("value",))
    difference = part.mean("value") - full.mean("value")
    assert abs(difference.mean()) < 5 * difference.std() / np.sqrt(2000)
    later = run(objective, rule, horizon, replicas=2000, at=Stratified(4, 1), record=("value",))
    assert later.rounds.min() == 1
    assert later.rounds.max() == horizon


def test_each_stratum_has_one_time(objective: Any) -> None:
    out = run(objective, SGD(eta=0.05), 40, replicas=500, at=Stratified(4), record=("value",))
    for k in range(4):
        assert out.rounds[k].min() >= 10 * k
        assert out.rounds[k].max() < 10 * (k + 1)
        assert len(np.unique(out.rounds[k])) == 10


@pytest.mark.parametrize("eta", [lambda x: x, Harmonic, lambda x: Warmup(Harmonic(x), 5)])
def test_one_hyperparameter_a_replica(objective: Any, eta: Any) -> None:
    etas = torch.linspace(0.01, 0.3, 2 * BLOCK + 10, dtype=torch.float64).unsqueeze(-1)
    many = run(objective, SGD(eta=eta(etas)), 10, replicas=len(etas), record=("w",), chunk=BLOCK)
    one = run(objective, SGD(eta=eta(float(etas[200]))), 10, replicas=len(etas), record=("w",))
    np.testing.assert_array_equal(many["w"][0, 200], one["w"][0, 200])


@pytest.mark.parametrize("eta", [lambda x: x, Harmonic, lambda x: Warmup(Harmonic(x), 5)])
def test_a_hyperparameter_of_the_wrong_shape_is_named(objective: Any, eta: Any) -> None:
    with pytest.raises(UsageError, match=r"sgd's eta must have one value a row, shape \(6, 1\)"):
        run(objective, SGD(eta=eta(torch.ones(5, 1))), 10, replicas=6)


def test_state_norms_are_recorded(objective: Any) -> None:
    out = run(objective, RULES["sngm"], 30, replicas=6, record=("state.u",), at=range(31))
    assert (out["state.u"][0] == 0).all()
    assert (out["state.u"] <= 10 * (1 + 1e-12)).all()
    np.testing.assert_allclose(out["state.u"][1], 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": None}, "either steps or rounds"),
        ({"steps": 5, "rounds": 5}, "either steps or rounds"),
        ({"steps": -1}, "steps must be an integer of at least 0, got -1"),
        ({"steps": 5, "replicas": 0}, "replicas must be"),
        ({"steps": 5, "batch_size": 0}, "batch_size must be"),
        ({"steps": 5, "record": ("speed",)}, "cannot record 'speed'; known: value"),
        ({"steps": 5, "record": ("state.nope",)}, "cannot record 'state.nope'; known: value"),
        ({"steps": 5, "at": [6]}, "records must be integers between 0 and 5, got"),
        ({"steps": 5, "at": [2.5]}, "records must be integers between 0 and 5"),
        ({"steps": "abc"}, "steps must be an integer of at least 0, got 'abc'"),
        ({"steps": float("nan")}, "steps must be an integer of at least 0, got nan"),
        ({"steps": 5, "start": torch.zeros(3, 4, dtype=torch.float64)}, r"got torch.float64 \(3"),
        (
            {"steps": 5, "start": torch.zeros(4)},
            r"start must be a torch.float64 .* got torch.float",
        ),
        ({"steps": 5, "start": [0.0] * 4}, "got list"),
        ({"steps": 5, "remap": lambda s: s.draws * 0 - 1}, "remap gave the negative sample -1"),
        ({"steps": 5, "at": Stratified(2, 4)}, "does not fit"),
    ],
)
def test_bad_arguments_are_named(objective: Any, arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(objective, SGD(eta=0.1), **arguments)


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_hyperparameters_are_one_value_a_row(objective: Any, rows: int) -> None:
    with pytest.raises(UsageError, match=rf"sgd's eta must .* shape \(5, 1\), got \({rows}, 1\)"):
        run(objective, SGD(eta=torch.full((rows, 1), 0.1)), 3, replicas=5)


@pytest.mark.slow
@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_memory_stays_under_a_gigabyte_at_100_000_replicas(compile: bool) -> None:
    code = (
        "import synthetic, theorylab, resource\n"
        "from theorylab.method import SGD\n"
        "o = synthetic.robust_regression(n=1000, dim=20)\n"
        "theorylab.run(o, SGD(eta=0.05), 100, replicas=100_000, record=('gradient_norm',),\n"
        f"              at=theorylab.Stratified(8), compile={compile}, progress=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert peak < 1e9


def test_a_meter_counts_the_sample_gradients_of_every_row_and_the_steps() -> None:
    bowl = synthetic.quadratic(dim=2, noise="gaussian", sigma=1.0)
    with metered() as meter:
        run(bowl, SGD(eta=0.1), steps=10, batch_size=2, replicas=3, progress=False)
        with metered() as inner:
            run(bowl, SGD(eta=0.1), steps=1, progress=False)
    assert meter.work == 500 * (10 + 1) + 10 * 2 * 3
    assert inner.work == 500 * (1 + 1) + 1000


def test_wide_runs_are_the_same_rows_and_work() -> None:
    """Rows taken many at once are what they are in pieces, and are counted as that."""
    objective, rule = synthetic.quadratic(dim=2, noise="two_point", sigma=0.5), SGD(eta=0.1)
    found = []
    for chunk in (None, 1024, BLOCK):
        with metered() as meter:
            out = run(objective, rule, 3, replicas=2500, record=("w",), chunk=chunk, compile=False)
        found.append((out["w"], meter.work))
    for points, _ in found[1:]:
        np.testing.assert_array_equal(points, found[0][0])
    assert found[0][1] == found[1][1] == 3 * (3 + 1) * 500 + 3 * 2500


@pytest.mark.parametrize(
    ("rule", "at"),
    [
        (LRSGD_R(lam=2.0, theta=0.5), (4,)),
        (LRSGD_R(lam=2.0, theta=0.05, t0=2, eta=0.1), (1, 3, 12)),
        (SGD(eta=0.1), Stratified(2)),
    ],
)
def test_rows_that_end_apart_are_the_same_and_are_counted_alike(rule: Any, at: Any) -> None:
    """Rounds of random lengths, and records at random times: rows drop out as they end."""
    objective = synthetic.quadratic(dim=2, noise="two_point", sigma=0.5)
    rounds = max(at) if isinstance(at, tuple) else 4
    found = []
    for chunk in (None, 1024):
        with metered() as meter:
            out = run(objective, rule, rounds=rounds, replicas=2500, record=("value", "w"), at=at,
                      chunk=chunk, compile=False)  # fmt: skip
        found.append((out["w"], out["value"], meter.work))
    # A block of its own never shrinks to a part of itself.
    few = run(objective, rule, rounds=rounds, replicas=BLOCK, record=("value", "w"), at=at,
              compile=False)  # fmt: skip
    for wide, narrow, lone in zip(found[0][:2], found[1][:2], (few["w"], few["value"]),
                                  strict=True):  # fmt: skip
        np.testing.assert_array_equal(wide, narrow)
        np.testing.assert_array_equal(wide[:, :BLOCK], lone)
    assert found[0][2] == found[1][2]


def test_rows_that_have_ended_take_no_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest of many rounds costs little more than an average one."""
    objective, rule = synthetic.quadratic(dim=2), LRSGD_R(lam=2.0, theta=0.25)
    rows: list[int] = []
    plain = type(objective).sample_gradient

    def counted(self: Any, w: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        rows.append(len(w))
        return plain(self, w, draw)

    monkeypatch.setattr(type(objective), "sample_gradient", counted)
    run(objective, rule, rounds=1, replicas=4096, record=("w",), compile=False)
    steps = 1 / rule.ends_with  # in the mean
    assert sum(rows) < 2 * steps * 4096 < 0.5 * len(rows) * 4096
