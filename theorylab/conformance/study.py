"""``conform``: every check of one optimizer, as a report."""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from theorylab.conformance.check import Finding
from theorylab.conformance.claims import Claims
from theorylab.conformance.registry import select
from theorylab.conformance.report import Conformance
from theorylab.conformance.run import LIMIT, examine
from theorylab.conformance.subject import Factory, Subject
from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.progress import bar

__all__ = ["assemble", "conform", "subject_of"]


def conform(
    optimizer: Factory,
    claims: Claims | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
    limit: float | None = LIMIT,
    name: str | None = None,
    progress: bool | None = None,
) -> Conformance:
    """Put an optimizer to the checks, whatever it does: raise, hang or exit.

    Parameters
    ----------
    optimizer : callable
        A class, or a function of the parameters that makes an optimizer. Checks that change an
        argument (``maximize=True``) pass it by keyword, so a class says more than a
        ``lambda params: ...`` that takes no others; those checks do not apply to it.
    claims : Claims, optional
        What it promises of itself: decay order, invariances, a plain reference.
    settings : mapping, optional
        Arguments of every build; the class's defaults otherwise.
    only : sequence of str, optional
        Checks, or concepts (files of checks), to run.
    limit : float, optional
        Seconds of computing that a check may take; waiting may take thirty times as long. It needs
        the main thread of a POSIX system; ``None`` for none.
    name : str, optional
        For the report.

    Returns
    -------
    Conformance

    Raises
    ------
    UsageError
        If there is no such check, rule or argument.

    Examples
    --------
    >>> import torch
    >>> report = conform(torch.optim.SGD, settings={"lr": 0.1}, only=["hooks_run", "maximize"])
    >>> report.passed, [found.outcome for found in report]
    (True, ['passed', 'passed'])
    >>> sgd = lambda params: torch.optim.SGD(params, lr=0.1)
    >>> conform(sgd, only=["maximize"]).findings[0].detail
    'takes no maximize'
    """
    checks = select(only)
    subject = subject_of(optimizer, claims, settings, name)
    findings = []
    with bar(progress) as display:
        task = display.add_task(subject.name, total=len(checks))
        for found in examine(subject, checks, limit):
            findings.append(found)
            display.advance(task)
    return assemble(subject, findings)


def subject_of(
    optimizer: Factory,
    claims: Claims | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Subject:
    """The optimizer under test, its settings and claims looked over.

    Raises
    ------
    UsageError
        If it cannot be called, the reference is no registered rule, a limitation is of no check,
        or a setting is no argument.
    """
    claims = claims or Claims()
    if not callable(optimizer):
        raise UsageError(f"conform: expected an optimizer's class or a function that makes one, "
                         f"got {type(optimizer).__name__}")  # fmt: skip
    if isinstance(claims.reference, str):
        registry.rule(claims.reference)
    if claims.limitations:
        select(list(claims.limitations))
    label = name or str(getattr(optimizer, "__qualname__", type(optimizer).__name__))
    subject = Subject(label, optimizer, dict(settings or {}), claims)
    _refuse_unknown(subject)
    lacking = [name for name, p in subject.arguments.items()
               if p.default is p.empty and name not in subject.settings]  # fmt: skip
    if lacking:
        raise UsageError(f"{subject.name} needs {', '.join(lacking)}: give the settings "
                         f"(--set {lacking[0]}=...)")  # fmt: skip
    return subject


def _refuse_unknown(subject: Subject) -> None:
    try:
        found = inspect.signature(subject.factory).parameters.values()
    except (TypeError, ValueError):
        return
    if any(p.kind is p.VAR_KEYWORD for p in found):
        return
    for name in subject.settings:
        if name not in subject.arguments:
            known = ", ".join(subject.arguments) or "none"
            raise UsageError(f"{subject.name} takes no argument {name!r}; it takes {known}")


def assemble(subject: Subject, findings: Sequence[Finding]) -> Conformance:
    """The report of findings."""
    shown = {name: reprlib.repr(value) for name, value in subject.settings.items()}
    module = getattr(_innermost(subject.factory), "__module__", "") or ""
    return Conformance(subject.name, shown, tuple(findings), _version(module.split(".")[0]))


def _innermost(factory: Any) -> Any:
    return factory.func if isinstance(factory, functools.partial) else factory


def _version(package: str) -> str:
    for distribution in packages_distributions().get(package, [package]):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return ""
