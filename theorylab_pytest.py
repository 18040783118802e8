"""The pytest plug-in of theorylab's conformance suite: the fixture ``conformance``.

It stands outside of the package, and imports it when the fixture is asked for: whoever does not
ask pays nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["conformance"]


@pytest.fixture
def conformance() -> Any:
    """Put an optimizer to every check: ``conformance(MyOptimizer, settings={"lr": 0.1})``.

    It takes what :func:`theorylab.conformance.conform` takes and returns its report; the test
    fails with one line for each failed check.
    """
    from theorylab.conformance import conform

    def run(*arguments: Any, **keywords: Any) -> Any:
        __tracebackhide__ = True
        report = conform(*arguments, **{"progress": False, **keywords})
        if not report.passed:
            lines = [f"{found.check}: {found.detail}" for found in report.of("failed")]
            pytest.fail("\n".join([f"{report.subject} fails {len(lines)} checks", *lines]),
                        pytrace=False)  # fmt: skip
        return report

    return run
