"""A rule beside SGD on the same batches: equal where a paper says so, apart everywhere else."""

from dataclasses import replace
from typing import Any

import pytest
import sympy as sp

import synthetic
from bounds import lrsgd, stochastic_batch_size
from bounds.notation import eta
from bounds.statement import Statement
from theorylab import check

CLAIMS = (
    lrsgd.claim_sgd_case,
    stochastic_batch_size.claim_p_1_algorithm_1,
    stochastic_batch_size.claim_p_1_algorithm_2,
)


def with_settings(statement: Statement, **settings: Any) -> Any:
    fields = {name: sp.sympify(value) for name, value in settings.items()}
    algorithm = statement.algorithm
    return replace(
        statement, algorithm=replace(algorithm, settings={**algorithm.settings, **fields})
    )


@pytest.mark.parametrize("statement", CLAIMS, ids=lambda s: s.key)
def test_the_rule_is_sgd(statement: Statement) -> None:
    verdict = check(statement, synthetic.quadratic(noise="gaussian", sigma=1.0))
    assert verdict.verdict == "holds"
    assert verdict.measured == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("statement", CLAIMS, ids=lambda s: s.key)
def test_the_rule_is_sgd_at_every_seed_where_sgd_leaves_the_numbers(
    statement: Statement, seed: int
) -> None:
    steep = synthetic.relaxed_smooth(dim=2, shape="cosh", noise="shifts", sigma=0.5, n=6)
    assert check(statement, steep, seed=seed).verdict == "holds"


@pytest.mark.parametrize("statement", CLAIMS, ids=lambda s: s.key)
def test_another_step_size_is_not(statement: Statement) -> None:
    name = "inner" if statement is lrsgd.claim_sgd_case else "eta"
    other = with_settings(statement, **{name: eta / 2})
    assert check(other, synthetic.quadratic()).verdict == "violated"


@pytest.mark.parametrize("steps", [2, 3])
def test_a_longer_round_is_not(steps: int) -> None:
    """With no pull, the second step of a round is half as long as SGD's."""
    other = with_settings(lrsgd.claim_sgd_case, S=steps)
    assert check(other, synthetic.quadratic()).verdict == "violated"


def test_a_round_of_one_step_is_sgd_whatever_the_pull() -> None:
    other = with_settings(lrsgd.claim_sgd_case, lam=3)
    assert check(other, synthetic.quadratic()).verdict == "holds"
