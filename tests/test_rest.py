"""Runs without randomness that come to rest: the same bits as if each step were taken."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from synthetic.deterministic import Deterministic
from theorylab import UpdateRule, run
from theorylab.engine import walk as walks
from theorylab.engine.rest import Rest
from theorylab.method import LRSGD_C, MSGD, SGD, SNGM, TRSGD, Adam
from theorylab.method.rule import Drawn, Stateless
from theorylab.method.schedules import Harmonic

LONG = 700


class _Bowl(Deterministic):
    """A quadratic whose minimizer is not 0, so that steps towards it come to an end."""

    name = "bowl"
    start = torch.zeros(2, dtype=torch.float64)
    curvature = torch.tensor([1.0, 0.5], dtype=torch.float64)

    def value(self, w: Tensor) -> Tensor:
        return (0.5 * self.curvature * (w - 0.3).square()).sum(-1)

    def gradient(self, w: Tensor) -> Tensor:
        return self.curvature * (w - 0.3)

    def deterministic_constants(self) -> dict[str, Any]:
        return {}

    def minimum(self) -> float:
        return 0.0


BOWL = _Bowl()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that are taken, one entry each."""
    taken: list[int] = []
    real = walks.eager_step

    def counted(*arguments: Any) -> Any:
        step = real(*arguments)

        def once(w: Tensor, *rest: Any) -> Any:
            taken.append(len(w))
            return step(w, *rest)

        return once

    monkeypatch.setattr(walks, "eager_step", counted)
    return taken


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes no run come to rest any more."""
    return lambda: monkeypatch.setattr(Rest, "reached", lambda *_: False)


def _alike(found: Any, whole: Any) -> None:
    for name, table in whole.quantities.items():
        assert table.tobytes() == found.quantities[name].tobytes(), name


@dataclass(frozen=True)
class _Late(UpdateRule[Stateless]):
    """Gradient steps, from the 300th on."""

    name = "late"

    def update(
        self, w: Tensor, oracle: Any, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        return w - 0.1 * (draw.t >= 300) * oracle.gradient(w), state


RULES = {
    "sgd": SGD(eta=0.5),
    "momentum": MSGD(eta=0.5, beta=0.25),
    "overflow": SGD(eta=1e3),
    "rounds": TRSGD(lam=2.0, S=7),
    "shrinking": LRSGD_C(lam=2.0, delta=0.0, S=5),
    "adam": Adam(eta=0.1),  # its bias corrections ask for the time
    "schedule": SGD(eta=Harmonic(0.5)),
    "late": _Late(),
    "cycle": SNGM(eta=0.3, beta=0.0),
}


@pytest.mark.parametrize("at", [range(LONG + 1), (0, 450, LONG)], ids=["every round", "a few"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_run_at_rest_is_the_run_of_all_its_steps(
    rule: UpdateRule, at: Any, every_step: Callable[[], None]
) -> None:
    def whole() -> Any:
        return run(BOWL, rule, rounds=LONG, record=("w", "value", "output.w"), at=at,
                   replicas=2, compile=False, progress=False)  # fmt: skip

    found = whole()
    every_step()
    _alike(found, whole())


@pytest.mark.parametrize(("rule", "most"), [
    (RULES["sgd"], 250), (RULES["momentum"], 620), (RULES["rounds"], 7 * 300),
    (RULES["overflow"], 200),
])  # fmt: skip
def test_no_step_is_taken_at_rest(rule: UpdateRule, most: int, steps: list[int]) -> None:
    run(BOWL, rule, rounds=LONG, at=range(LONG), replicas=2, compile=False, progress=False)
    assert len(steps) < most, len(steps)


def test_steps_within_a_round_are_recorded_as_they_are(every_step: Callable[[], None]) -> None:
    """By steps, a run whose rounds change nothing is still on its way within them."""

    def whole() -> Any:
        return run(BOWL, TRSGD(lam=2.0, S=7), steps=4 * LONG, record=("w",), replicas=2,
                   at=range(3 * LONG, 4 * LONG), compile=False, progress=False)  # fmt: skip

    found = whole()
    every_step()
    _alike(found, whole())


@dataclass(frozen=True)
class _Uneven(UpdateRule[Stateless]):
    """Gradient steps, and the start again in the first step of a round; later rounds are longer."""

    name = "uneven"

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        k = np.arange(first, first + steps)
        return np.where(k < 601, k % 3 == 0, (k - 598) % 5 == 0)[:, None]

    def update(
        self, w: Tensor, oracle: Any, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        w = torch.ones_like(w) if draw.restart else w
        return w - 0.1 * oracle.gradient(w), state


def test_rounds_that_grow_end_the_rest(every_step: Callable[[], None], steps: list[int]) -> None:
    def whole() -> Any:
        return run(BOWL, _Uneven(), rounds=300, record=("w",), at=range(301), replicas=2,
                   compile=False, progress=False)  # fmt: skip

    found, few = whole(), len(steps)
    assert len(np.unique(found["w"], axis=0)) == 3  # the start, and the ends of both kinds
    every_step()
    steps.clear()
    _alike(found, whole())
    assert few < 0.6 * len(steps)
