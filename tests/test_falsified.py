"""Every false claim on the list falls to a hunt of a minute, whatever its seed."""

import time

import pytest
from falsified import FALSE, MENDED, NOISE_BY_BATCH, NOISE_TOO_SMALL

from bounds.statement import Statement
from theorylab.hunt.search import hunt
from theorylab.plugins import registry


@pytest.fixture
def processor_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget in seconds of this process: what else the machine does is no matter then."""
    monkeypatch.setattr(time, "monotonic", time.process_time)


@pytest.mark.slow
@pytest.mark.usefixtures("processor_seconds")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("key", FALSE)
def test_a_minute_refutes_it(key: str, seed: int) -> None:
    found = hunt(FALSE[key], budget=60.0, seed=seed)
    assert found.verdict == "violated"
    assert found.best is not None
    assert found.instance is not None
    assert found.best.evidence not in ("", "samples")
    again = found.instance.check(FALSE[key], replicas=4096, effort=4e6, repeat=77)
    assert again.verdict == "violated"


@pytest.mark.slow
@pytest.mark.usefixtures("processor_seconds")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("statement", [NOISE_TOO_SMALL, NOISE_BY_BATCH], ids=lambda s: s.key)
def test_half_a_minute_refutes_a_noise_term_that_is_too_small(
    statement: Statement, seed: int
) -> None:
    found = hunt(statement, budget=30.0, seed=seed)
    assert found.best is not None
    assert found.instance is not None
    assert (found.verdict, found.best.evidence) == ("violated", "valid interval")
    true = registry.statement("sngm.theorem_1", "repaired")
    assert found.instance.check(true).verdict != "violated"


@pytest.mark.parametrize("seed", range(2))
def test_a_chain_of_dips_is_found_without_a_change_of_units(seed: int) -> None:
    found = hunt(MENDED, limit=400, seed=seed)
    assert (found.verdict, found.how) == ("violated", "terms")
    assert found.best is not None
    assert found.instance is not None
    assert found.instance.spec is not None
    assert found.best.evidence == "exact arithmetic"
    assert found.instance.spec["family"] == "dip_chain"
    assert (found.instance.a, found.instance.b) == (1.0, 1.0)


def test_a_function_that_only_a_program_knows_is_asked_for_early() -> None:
    """Random instances never come near 16/15 for five steps of gradient descent."""
    found = hunt(FALSE["demo.fourth"], limit=2000)
    assert (found.verdict, found.how) == ("violated", "worst case")
    assert found.best is not None
    assert found.best.evidence == "exact arithmetic"
    assert found.evaluations < 200
