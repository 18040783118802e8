"""Update rules: against plain loops in numpy, and laws every registered rule obeys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_references import (
    CASES,
    FIRST,
    Given,
    batched,
    every_case,
)
from torch import Tensor

from theorylab.method import (
    SNGD,
    SNGM,
    sngm,
)
from theorylab.method.rule import Drawn, Stateless, UpdateRule, entries, map_state
from theorylab.problem.oracle import FunctionOracle


def several_steps(rule: UpdateRule, steps: int = 4) -> Iterator[tuple[Any, ...]]:
    """Inputs and outputs of some batched steps, restarts differing between runs."""
    w, g, draw = batched(rule)
    state = rule.init(w, Given(g))
    for s in range(steps):
        draw = draw._replace(t=draw.t + (s > 0))
        if s:
            draw = draw._replace(restart=torch.rand(w.shape[0], 1) < 0.5)
        moved, new = rule.update(w, Given(g), state, draw)
        yield w, g, state, draw, moved, new
        w, state = moved, new


def one(x: Tensor, run: int) -> Tensor:
    return x[run] if x.ndim >= 2 else x


def rows_of(cut: Callable[[Tensor], Tensor], w: Tensor, g: Tensor, state: Any, draw: Drawn) -> Any:
    """The arguments of an update for some of the runs."""
    fewer = Drawn(draw.t, cut(draw.restart), {n: cut(x) for n, x in draw.own.items()})  # type: ignore[arg-type]
    fed = Given(torch.stack([cut(x) for x in g]))
    return cut(w), fed, map_state(cut, state), fewer


@every_case
def test_batched_is_one_by_one(case: str) -> None:
    rule = CASES[case]
    for w, g, state, draw, moved, new in several_steps(rule):
        for run in range(w.shape[0]):
            alone, kept = rule.update(*rows_of(lambda x, run=run: one(x, run), w, g, state, draw))
            torch.testing.assert_close(moved[run], alone, rtol=1e-14, atol=1e-14)
            for name, x in entries(kept).items():
                torch.testing.assert_close(one(getattr(new, name), run), x, rtol=1e-14, atol=1e-14)


@every_case
def test_a_row_does_not_depend_on_how_many_there_are(case: str) -> None:
    rule = CASES[case]
    for w, g, state, draw, moved, new in several_steps(rule):
        for rows in (slice(0, 2), slice(3, 4)):
            cut = lambda x, rows=rows: x[rows] if x.ndim >= 2 else x
            some, kept = rule.update(*rows_of(cut, w, g, state, draw))
            assert torch.equal(some, moved[rows])
            assert all(torch.equal(cut(getattr(new, n)), x) for n, x in entries(kept).items())


@every_case
def test_inputs_are_left_alone(case: str) -> None:
    rule = CASES[case]
    w, g, draw = batched(rule)
    state = rule.init(w, Given(g))
    for _ in range(3):
        given = (w, g, draw.t, draw.restart, *draw.own.values())
        before = [x.clone() for x in (*given, *entries(state).values())]  # type: ignore[union-attr]
        moved, new = rule.update(w, Given(g), state, draw)
        after = (*given, *entries(state).values())
        assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
        assert moved.data_ptr() not in {x.data_ptr() for x in after}
        w, state = moved, new


@every_case
def test_no_branch_on_values(case: str) -> None:
    rule = CASES[case]
    for w, g, state, draw, moved, _ in several_steps(rule):
        parts = tuple(None if part is None else 0 for part in state)
        over = (0, 1, type(state)(*parts), Drawn(None, 0, dict.fromkeys(draw.own, 0)))  # type: ignore[arg-type]
        step = lambda w, g, state, draw: rule.update(w, Given(g), state, draw)[0]
        mapped = torch.func.vmap(step, in_dims=over)(w, g, state, draw)
        torch.testing.assert_close(mapped, moved, rtol=1e-12, atol=1e-14)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_and_tiny_gradients_give_no_nan(case: str, dtype: torch.dtype) -> None:
    rule = CASES[case]
    for size in (0.0, 1e-30, 1e-42):
        w, g, draw = batched(rule)
        w, g = torch.zeros_like(w).to(dtype), torch.full_like(g, size).to(dtype)
        own = {n: x.to(dtype) for n, x in draw.own.items()}
        draw = Drawn(draw.t.to(dtype), draw.restart, own)
        state = rule.init(w, Given(g))
        for _ in range(3):
            w, state = rule.update(w, Given(g), state, draw)
            assert torch.isfinite(w).all()
            assert all(torch.isfinite(x).all() for x in entries(state).values())


def test_without_the_guard_sngm_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sngm, "guarded_norm", sngm.norm)
    w = torch.ones(3)
    moved, _ = SNGD(0.1).update(w, FunctionOracle(torch.zeros_like), Stateless(), FIRST)
    assert torch.isnan(moved).all()


@given(st.floats(-44, 18), st.floats(0, 0.99))
@settings(deadline=None, max_examples=50)
def test_sngm_keeps_lemma_2_at_any_scale(exponent: float, beta: float) -> None:
    rule, w = SNGM(0.1, beta), torch.zeros(8)
    g = torch.linspace(-1, 1, 8) * 10.0**exponent
    state = rule.init(w, Given(g[None]))
    for t in range(1, 6):
        w, state = rule.update(w, Given(g[None]), state, Drawn(torch.tensor(float(t))))
        length = state.u.norm().item()
        assert length <= (1 - beta**t) / (1 - beta) * (1 + 1e-5)
        if exponent > -15:
            assert length >= (1 - beta**t) / (1 - beta) * (1 - 1e-4)


@every_case
def test_one_value_a_replica(case: str) -> None:
    """A table of step sizes is as good as one run for each."""
    rule = CASES[case]
    numbers = [n for n in ("inner", "eta", "lam") if isinstance(getattr(rule, n, None), float)]
    name = next((n for n in numbers if getattr(rule, n) != 0), None)
    if name is None:
        pytest.skip("no number to vary")
    table = getattr(rule, name) * torch.linspace(1, 2, 5, dtype=torch.float64)[:, None]
    wide = dataclasses.replace(rule, **{name: table})
    assert torch.equal(getattr(wide.rows(slice(1, 3)), name), table[1:3])
    for w, g, state, draw, moved, _ in several_steps(wide):
        for run in range(5):
            single = dataclasses.replace(rule, **{name: table[run].item()})
            alone, _ = single.update(*rows_of(lambda x, run=run: one(x, run), w, g, state, draw))
            torch.testing.assert_close(moved[run], alone, rtol=1e-12, atol=1e-14)
