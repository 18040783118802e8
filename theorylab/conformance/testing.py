"""The suite in somebody else's tests: one parametrised test, one case a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from theorylab.conformance.check import Check, Finding
from theorylab.conformance.claims import Claims
from theorylab.conformance.registry import select
from theorylab.conformance.run import LIMIT, finding_of, probe
from theorylab.conformance.study import subject_of
from theorylab.conformance.subject import Factory, Subject

__all__ = ["conformance_test"]


def conformance_test(
    optimizer: Factory,
    claims: Claims | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
    limit: float | None = LIMIT,
) -> Callable[[Check], None]:
    """A test for pytest, parametrised over the checks.

    A failed check fails its case; one that does not apply, or that the optimizer declines in so
    many words, skips it; a declared limitation is an expected failure.

    Parameters
    ----------
    optimizer, claims, settings, only, limit
        As :func:`~theorylab.conformance.conform` takes them.

    Examples
    --------
    In a file of tests::

        from theorylab.conformance import conformance_test
        from mypackage import MyOptimizer

        test_my_optimizer = conformance_test(MyOptimizer, settings={"lr": 0.1})
    """
    import pytest

    subject = subject_of(optimizer, claims, settings)

    @cache
    def probed() -> Subject:
        return probe(subject, limit)

    @pytest.mark.parametrize("check", [pytest.param(c, id=c.name) for c in select(only)])
    def test(check: Check) -> None:
        __tracebackhide__ = True
        judge(finding_of(probed(), check, limit))

    return test


def judge(found: Finding) -> None:
    """Fail, skip or expect the failure of the test that runs, as the finding says."""
    import pytest

    __tracebackhide__ = True
    if found.outcome == "failed":
        pytest.fail(f"{found.check}: {found.requires}\n{found.detail}", pytrace=False)
    if found.outcome == "limited":
        pytest.xfail(found.detail)
    if found.outcome in ("refused", "not applicable"):
        pytest.skip(f"{found.outcome}: {found.detail}")
