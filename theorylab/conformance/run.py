"""``examine``: checks of one optimizer, whatever it does: raise, hang or exit."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from theorylab.conformance.check import (
    Check,
    Finding,
    NotApplicable,
    Outcome,
    Refused,
    Unmet,
    one_line,
    refusable,
)
from theorylab.conformance.limits import OutOfTime, time_limit
from theorylab.conformance.subject import Subject, Traits
from theorylab.conformance.trial import begin

__all__ = ["LIMIT", "examine", "finding_of", "findings_of", "probe"]

LIMIT = 20.0
"""Seconds of computing that a check may take."""


def probe(subject: Subject, limit: float | None = LIMIT) -> Subject:
    """What parameters the optimizer takes, and how a step of it is taken: tried, and noted.

    An optimizer of which no step can be taken keeps what was raised, for the checks to report.
    """
    raised: list[Exception] = []
    for traits in Traits.tried():
        candidate = subject.with_traits(traits)
        try:
            with _apart(limit):
                begin(candidate).step(2)
        except OutOfTime:
            raised.append(TimeoutError(_late(limit)))
            break
        except (Exception, SystemExit) as error:
            raised.append(error if isinstance(error, Exception) else _exited(error))
            continue
        if traits.shapes == Traits().shapes or _rightly(raised[0]):
            return candidate
        return subject.with_traits(
            Traits(traits.shapes, traits.sparse, traits.closure, (raised[0],))
        )
    return subject.with_traits(Traits(refusals=(raised[0],), steps=False))


def _rightly(error: Exception) -> bool:
    try:
        with refusable(""):
            raise error
    except Refused:
        return True
    except Exception:
        return False


def examine(
    subject: Subject, checks: Sequence[Check], limit: float | None = LIMIT
) -> Iterator[Finding]:
    """What each check finds of the optimizer; of one that takes no step, the first fails alone."""
    yield from findings_of(probe(subject, limit), checks, limit)


def findings_of(
    probed: Subject, checks: Sequence[Check], limit: float | None = LIMIT
) -> Iterator[Finding]:
    """What each check finds of an optimizer that was probed."""
    for k, one in enumerate(checks):
        if probed.traits.steps or k == 0:
            yield finding_of(probed, one, limit)
        else:
            yield Finding(one.name, one.concept, one.requires, "not applicable",
                          "no step of it can be taken")  # fmt: skip


def finding_of(subject: Subject, check: Check, limit: float | None = LIMIT) -> Finding:
    """What one check finds of an optimizer that was probed."""
    if subject.traits.steps:
        outcome, detail = _outcome(subject, check, limit)
    else:
        error = subject.traits.refusals[0]
        outcome, detail = "failed", f"no step of it can be taken: {one_line(error)}"
    reason = subject.claims.limitations.get(check.name)
    if reason is not None:
        if outcome == "failed":
            outcome, detail = "limited", f"{reason} ({detail})"
        elif outcome == "passed":
            outcome, detail = "failed", f"passes, though declared a limitation: {reason}"
    return Finding(check.name, check.concept, check.requires, outcome, detail)


def _outcome(subject: Subject, check: Check, limit: float | None) -> tuple[Outcome, str]:
    try:
        with _apart(limit):
            check.run(subject)
    except Unmet as unmet:
        return "failed", str(unmet)
    except NotApplicable as reason:
        return "not applicable", str(reason)
    except Refused as refusal:
        return "refused", str(refusal)
    except OutOfTime:
        return "failed", _late(limit)
    except SystemExit as error:
        return "failed", f"required that it returns; {_exited(error)}"
    except Exception as error:
        return "failed", f"raised {one_line(error)}"
    return "passed", ""


@contextmanager
def _apart(limit: float | None) -> Iterator[None]:
    """What an optimizer does to torch's generator and modes, or warns and logs, stays here."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        graded, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
        logged = logging.root.manager.disable
        logging.disable(logging.CRITICAL)  # torch logs what it cannot compile
        try:
            with time_limit(limit):
                yield
        finally:
            logging.disable(logged)
            torch.set_grad_enabled(graded)
            torch.set_default_dtype(dtype)


def _late(limit: float | None) -> str:
    return f"required an end; none came in {limit:g} s of computing"


def _exited(error: SystemExit) -> RuntimeError:
    return RuntimeError(f"it exited with {error.code!r}")
