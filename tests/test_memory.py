"""What a run holds stays under what it is allowed, and no bit depends on how much that is."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import synthetic
from theorylab import Stratified, run
from theorylab.engine import memory
from theorylab.errors import UsageError
from theorylab.method import LRSGD_R, SAGA, SGD, TRSGD
from theorylab.stability.twins import run_twins

RULES = {
    "sgd": SGD(eta=0.05),
    "trsgd": TRSGD(lam=4.0, delta=0.5, S=3),
    "lrsgd_r": LRSGD_R(lam=4.0, theta=0.25),
    "saga": SAGA(eta=0.02),
}
NAMES = ("w", "value", "gradient_norm", "output.value")
WAYS = {
    "end": None, "listed": [3, 0, 12, 3], "every": range(13), "strata": Stratified(4),
}  # fmt: skip


@pytest.fixture(scope="module")
def objective() -> Any:
    return synthetic.robust_regression(n=50, dim=4)


_PEAK = """
def peak():  # getrusage would count what the parent held
    import pathlib, resource, sys
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
"""


def peak(code: str) -> tuple[int, int]:
    """Bytes that a fresh process held before the last line of the code, and at most."""
    *setup, last = code.strip().splitlines()
    text = "\n".join(
        [_PEAK, "import synthetic, theorylab", "from theorylab.method import SGD",
         "theorylab.run(synthetic.quadratic(dim=2), SGD(eta=0.1), 3, replicas=3, progress=False)",
         *setup, "print(peak())", last, "print(peak())"]
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split()[-2:])
    return before, after


@pytest.mark.parametrize("at", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("horizon", [{"steps": 40}, {"rounds": 12}], ids=["steps", "rounds"])
def test_no_bit_depends_on_the_memory(
    objective: Any, rule: Any, horizon: Any, at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"replicas": 300, "record": NAMES, "at": at, **horizon}
    plenty = run(objective, rule, **asked)
    # Room for the record and one block of rows; points wait for no others.
    for hold in (1, 2**28):
        with monkeypatch.context() as tight:
            tight.setattr("theorylab.engine.sizes.Sizes.fit", lambda self: self.block * self.row)
            tight.setattr("theorylab.engine.driver._HELD", hold)
            scarce = run(objective, rule, **asked)
        for name in NAMES:
            np.testing.assert_array_equal(plenty[name], scarce[name])
        np.testing.assert_array_equal(plenty.rounds, scarce.rounds)
        np.testing.assert_array_equal(plenty.evaluations, scarce.evaluations)


def test_records_of_every_step_are_not_kept_as_states() -> None:
    """Ten thousand states of 128 rows were 205 MB, and as much again in tables of times."""
    before, after = peak(
        "bowl = synthetic.quadratic(dim=20)\n"
        "theorylab.run(bowl, SGD(eta=0.1), 10_000, replicas=128, record=('gradient_norm',), "
        "at=range(10_001), progress=False)"
    )
    print(f"{(after - before) / 2**20:.0f} MB for 10 MB of numbers")
    assert after - before < 64e6


def test_a_run_that_is_reduced_keeps_one_number_a_row() -> None:
    before, after = peak(
        "bowl = synthetic.quadratic(dim=2)\n"
        "theorylab.run(bowl, SGD(eta=0.1), 1000, replicas=20_000, record=('gradient_norm',), "
        "at=range(1001), reduce='mean', progress=False)"
    )
    print(f"{(after - before) / 2**20:.0f} MB; the record itself is 160 MB")
    assert after - before < 64e6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "replicas", "dim", "at"),
    [(10, 1_000_000, 200, "None"), (100_000, 128, 20, "range(100_001)"),
     (200_000, 128, 20, "range(200_001)")],
    ids=["a million replicas", "every step", "every step of 200,000"],
)  # fmt: skip
def test_two_gigabytes_are_enough(steps: int, replicas: int, dim: int, at: str) -> None:
    before, after = peak(
        f"bowl = synthetic.robust_regression(n=100, dim={dim})\n"
        f"theorylab.run(bowl, SGD(eta=0.05), {steps}, replicas={replicas}, at={at}, "
        "record=('value', 'gradient_norm'), memory='2G', progress=False)"
    )
    print(f"peak {after / 2**20:.0f} MB, {(after - before) / 2**20:.0f} MB of it by the run")
    assert after < 2**31


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"steps": 10**6, "record": ("w",), "at": range(10**6 + 1), "replicas": 10**4},
         r"run: 'w' at 1,000,001 times of 10,000 rows take 298G, and 600M of memory leave .*M: "
         r"record at fewer times \(at=Stratified\(32\)\), ask for what is needed of them over "
         r"time \(reduce='mean'\), or allow more"),
        ({"steps": 1, "at": Stratified(1), "replicas": 10**9}, r"rows take \d+"),
        ({"steps": 1, "batch_size": 10**7}, r"run: 128 rows at once take 9.54G, and 600M"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(
    objective: Any, asked: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "resident", lambda: 400 * 2**20)  # whatever ran before
    with memory.limited(600 * 2**20), pytest.raises(UsageError, match=message) as caught:
        run(objective, SGD(eta=0.1), **asked)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=message):
        run(objective, SGD(eta=0.1), memory="600M", **asked)


def test_a_process_that_holds_more_than_half_of_the_machine_runs_what_is_small(
    objective: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "resident", lambda: 2 * memory.limit())
    assert run(objective, SGD(eta=0.1), 3)["value"].shape == (1, 1000)
    with memory.limited(600 * 2**20), pytest.raises(UsageError, match="leave 0"):
        run(objective, SGD(eta=0.1), 3)


def test_twins_that_do_not_fit_are_refused(objective: Any) -> None:
    with (
        memory.limited(600 * 2**20),
        pytest.raises(UsageError, match=r"run_twins: 100,001 times of 64 repetitions of 17 runs"),
    ):
        run_twins(objective, SGD(eta=0.1), 10**5, at=range(10**5 + 1))


@pytest.mark.parametrize("size", ["lots", "2X", "-1G", "100M", "", "nan", "1e9", True, 10**5])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(UsageError, match="memory"):
        memory.parse(size)


def test_half_of_the_machine_is_the_default() -> None:
    assert memory.limit() >= memory.LEAST
    with memory.limited(memory.LEAST):
        assert memory.limit() == memory.LEAST
        assert memory.room() <= memory.LEAST - min(memory.resident(), memory.LEAST)
    assert memory.resident() > 10 * 2**20
