"""The hunt: maximise measured/bound over objectives and over the statement's whole domain.

A search moves what objective families declare movable and every free symbol of the statement,
corners of the domain included. It knows statements only through their claims, so it treats one
it never met like any other. What it finds is believed only if it repeats: the winner is measured
again with fresh randomness, with a confidence corrected for every winner of the whole hunt.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any, final

from bounds.statement import Statement
from theorylab.errors import require_kind
from theorylab.hunt.instance import FAILURES, Evaluation, Instance, guess, score
from theorylab.hunt.stages import Search
from theorylab.hunt.worst_cases import worst_instance
from theorylab.judge.verdict import Verdict
from theorylab.plugins.shape import require
from theorylab.plugins.specs import Spec, require_specs
from theorylab.progress import bar

__all__ = ["CONFIDENCE", "Evaluation", "Hunt", "Instance", "hunt", "score"]

CONFIDENCE = 0.999
"""Of a whole hunt: the chance that it calls any true statement violated is at most 0.1%."""

_VERDICTS = ("violated", "not refuted", "not applicable")
_TRIES = 3  # violations that may be confirmed before a statement is left alone
_GUESSES = 3  # promising samples, likewise
_STARTS = 3  # kept counterexamples, likewise
_REPLICAS = 4096  # of a confirmation
_ORDER_REPLICAS = 1024  # of one of an order, at each of its sizes
_BLIND = ("random", "cma")  # stages that know nothing of where a claim is tight
# Shares of the seconds for the search, and for programs; the rest is to measure its best afresh.
_SEARCH, _PROGRAMS = 0.8, 0.15


@dataclass(frozen=True)
class Hunt:
    """What a hunt concluded about one statement.

    Attributes
    ----------
    verdict : str
        ``"violated"``: a winner repeated on fresh randomness. ``"not refuted"``: none did,
        which is no proof. ``"not applicable"``: no registered objective satisfies its
        assumptions, or nothing measures it.
    best : Verdict, optional
        At the winner, as last measured.
    instance : Instance, optional
        The winner.
    how : str
        Which search found it: ``"kept"`` (it was found before), ``"orders"``, ``"courses"`` (a
        function that moves with the size of an O(.) claim, within its class), ``"units"``,
        ``"corners"``, ``"terms"``, ``"random"``, ``"cma"``, or ``"worst case"`` (a semidefinite
        program; there is an instance where its function was rebuilt).
    evaluations, seconds : int, float
        What it cost.
    reason : str
    """

    key: str
    form: str
    verdict: str
    best: Verdict | None = None
    instance: Instance | None = None
    how: str = ""
    evaluations: int = 0
    seconds: float = 0.0
    reason: str = ""

    def __repr__(self) -> str:
        told = f"{self.key} ({self.form}): {self.verdict}, {self.evaluations} evaluations"
        if self.best is not None:
            told += f", best ratio {self.ratio:.3g}"
            told += "" if self.best.objective == "-" else f" on {self.best.objective}"
        return f"<{told}>" if self.best or not self.reason else f"<{told}: {self.reason}>"

    def _repr_html_(self) -> str:
        shown = f"<div>{escape(repr(self)[1:-1])}</div>"
        return shown if self.best is None else f"{shown}{self.best._repr_html_()}"

    @property
    def ratio(self) -> float:
        """The best measured/bound, a sampled one down by what luck may give it; 0 if none."""
        best = self.best
        if best is None or math.isnan(best.ratio):
            return 0.0
        if best.exact or not best.bound > 0:
            return best.ratio
        return max(0.0, guess(best) / best.bound)

    @property
    def measured_at(self) -> Mapping[str, float]:
        """The hyperparameters that were measured; for an order those of the largest size."""
        if self.instance is None:
            return {} if self.best is None else self.best.hyperparameters
        best = self.best
        if best is None or best.growth is None:
            return self.instance.values
        sizes = {k: best.constants[k] for k in ("n",) if k in best.constants}
        return {**sizes, **best.hyperparameters}

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "key": self.key, "form": self.form, "verdict": self.verdict, "how": self.how,
            "evaluations": self.evaluations, "seconds": round(self.seconds, 3),
            "reason": self.reason,
            "ratio": self.ratio if math.isfinite(self.ratio) else None,
            "best": None if self.best is None else self.best.to_json(),
            "instance": None if self.instance is None else self.instance.to_json(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Hunt:
        """The inverse of :meth:`to_json`.

        Raises
        ------
        ValueError, KeyError, TypeError
            If an entry is of another type.
        """
        kept = {k: table[k] for k in cls.__dataclass_fields__ if k in table}
        if kept.get("best") is not None:
            kept["best"] = Verdict.from_json(kept["best"])
        if kept.get("instance") is not None:
            kept["instance"] = Instance.from_json(kept["instance"])
        require(cls, {k: v for k, v in kept.items() if k not in ("best", "instance")})
        if kept["verdict"] not in _VERDICTS:
            raise ValueError(f"a hunt's verdict is one of {_VERDICTS}, got {kept['verdict']!r}")
        if kept["verdict"] == "violated" and kept.get("best") is None:
            raise ValueError("a violation has a verdict, got none")
        return cls(**kept)


def hunt(
    statement: Statement,
    specs: Sequence[Spec] | None = None,
    *,
    budget: float = 10.0,
    seed: int = 0,
    family: int = 1,
    confidence: float = CONFIDENCE,
    replicas: int = 128,
    watch: Callable[[Evaluation], None] | None = None,
    stop: bool = True,
    limit: int | None = None,
    work: float = math.inf,
    programs: int = 12,
    start: Sequence[Instance] = (),
    progress: bool | None = None,
) -> Hunt:
    """Search for an instance on which the statement fails.

    Parameters
    ----------
    statement : Statement
    specs : sequence of mapping, optional
        Objectives to start from; every registered family's default instances otherwise. A
        family's declared parameters are moved.
    budget : float
        Seconds, confirmation included. Building the objectives, once in a process, and what was
        begun in time come on top: one measurement, or one semidefinite program.
    seed : int
    family : int
        How many statements are hunted together: the confidence is corrected for all.
    confidence : float
        Of the whole hunt.
    replicas : int
        Repetitions of a sampled measurement during the search; a confirmation takes many more.
    watch : callable, optional
        Sees every evaluation.
    stop : bool
        Whether to stop at the first confirmed violation.
    limit : int, optional
        Instances to try, in place of ``budget``: the hunt is then the same, bit for bit, on any
        machine.
    work : float
        With ``limit``: sample gradients after which no further instance is tried, each step and
        each record of a run counted as 500; confirmations come on top.
    programs : int
        Semidefinite programs to solve, at most, where nothing else refutes.
    start : sequence of Instance
        Tried before any other, as those a :class:`.database.Database` kept. They are places to
        look at: each is measured, and confirmed in full. The search after them is the same with
        or without.
    progress : bool, optional
        Whether to show progress; by default on a terminal or in a notebook.

    Returns
    -------
    Hunt

    Examples
    --------
    >>> from bounds import Claim, Condition
    >>> from bounds.notation import beta
    >>> false = Statement("demo.false", "Remark", "printed", Claim(1 / (1 - beta), "<=", 3),
    ...                   conditions=(Condition(beta, "<=", 0.7),))
    >>> found = hunt(false, budget=5.0, progress=False)
    >>> found.verdict, round(found.instance.values["beta"], 6)
    ('violated', 0.7)
    """
    require_kind("hunt", "statement", statement, Statement)
    require_specs("hunt", specs)
    begun = time.monotonic()
    search = Search(statement, specs, _SEARCH * budget, limit, seed, replicas, watch, work,
                    tuple(start))  # fmt: skip
    search.prepare()
    ends = math.inf if limit is not None else search.begun + budget
    looks = _TRIES + _GUESSES + 1 + (_STARTS if start else 0)
    confirm = partial(_confirm, statement, risk=(1 - confidence) / max(1, family) / looks,
                      seed=seed, ends=ends, least=replicas)  # fmt: skip
    share = math.inf if limit is not None else _PROGRAMS * budget
    ask = partial(worst_instance, statement, seed, programs)
    chase = _Chase(statement, search, confirm, ask, share, ends, stop)
    with bar(progress) as display:
        shown = display.add_task(f"{statement.key}", total=limit or round(budget))
        for candidate in search.candidates():
            spent = time.monotonic() - search.begun if limit is None else search.asked
            display.update(shown, completed=round(spent))
            if chase.ended_by(candidate):
                break
        chase.settle(4 * replicas)
    return chase.concluded(time.monotonic() - begun)


@final
class _Chase:
    """What a hunt has seen and confirmed so far.

    A sample that failed is confirmed on fresh randomness, a few times in all; what promises to
    fail, likewise. Programs are asked once, before the first instances taken at random.
    """

    def __init__(
        self, statement: Statement, search: Search, confirm: Callable[..., Verdict | None],
        ask: Callable[[float], tuple[Verdict, Instance | None] | None], share: float, ends: float,
        stop: bool,
    ) -> None:  # fmt: skip
        self.statement, self.search, self.confirm, self.ask = statement, search, confirm, ask
        self.share, self.ends, self.stop = share, ends, stop
        self.tries = self.guesses = self.starts = 0
        self.promise, self.how, self.asked = 0.0, "", False
        self.confirmed: Evaluation | None = None
        self.winner: Evaluation | None = None
        self.worst: tuple[Verdict, Instance | None] | None = None

    def ended_by(self, candidate: Evaluation) -> bool:
        """Take a candidate in; whether the hunt is over."""
        search = self.search
        if not self.asked and search.how in _BLIND:
            # A few programs say at once what thousands of random instances may miss.
            self.asked = True
            until = min(self.ends, time.monotonic() + self.share)
            self.worst = search.aside(partial(self.ask, until))
            if self.worst is not None and self.stop:
                return True
        found = search.score(candidate)
        if self.winner is None or found > search.score(self.winner):
            self.winner = candidate
        if self.confirmed is not None:
            return False
        attempt = self._attempt(candidate, found)
        if attempt is None:
            return False
        return self._confirms(self._afresh(candidate, attempt), search.how) and self.stop

    def settle(self, replicas: int) -> None:
        """Confirm what is left once no candidate comes; programs, where none were asked."""
        how, winner, confirmed = self.search.how_best, self.winner, self.confirmed
        if confirmed is not None:
            if winner is not None and winner.instance != confirmed.instance:
                # Searching went on (stop=False): the best instance counts, if it repeats as well.
                self._confirms(self._afresh(winner, _TRIES + _GUESSES), how)
        elif self.worst is None and winner is not None and not winner.verdict.exact:
            # The winner's own number is the luckiest of many: report it as measured afresh. That
            # is one of the confirmations that the risk was shared among. An order needs the full
            # sizes to show that it grows; what stays beyond the bound, so many that it may be seen.
            look, big_o = _TRIES + _GUESSES + 1, self.statement.claim.big_o
            again = self._afresh(winner, look, None if big_o else replicas)
            if not big_o and _beyond(winner) and again is not None and _beyond(again):
                again = self._afresh(winner, look)
            self.winner = winner if again is None else again
            self._confirms(again, how)
        if self.confirmed is None and not self.asked:
            self.worst = self.ask(self.ends)

    def concluded(self, seconds: float) -> Hunt:
        """What it all comes to."""
        search, winner = self.search, self.winner
        names = (self.statement.key, self.statement.form)
        common: dict[str, Any] = {"evaluations": search.evaluations, "seconds": seconds}
        if self.confirmed is not None:
            found = self.confirmed
            return Hunt(*names, "violated", found.verdict, found.instance, self.how, **common)
        if self.worst is not None:
            return Hunt(*names, "violated", *self.worst, "worst case", **common)
        if winner is None and search.evaluations == 0 and search.applicable:
            reason = "the budget ended before an instance was measured"
            return Hunt(*names, "not refuted", reason=reason, **common)
        if winner is None and search.outside:
            reason = f"nothing could be measured: {search.outside.removeprefix('check: ')}"
            return Hunt(*names, "not refuted", reason=reason, **common)
        if winner is None:
            return Hunt(*names, "not applicable", reason=search.reason, **common)
        reason = f"{self.tries} winners did not repeat" if self.tries else ""
        return Hunt(*names, "not refuted", winner.verdict, winner.instance, search.how_best,
                    reason=reason, **common)  # fmt: skip

    def _attempt(self, candidate: Evaluation, found: float) -> int | None:
        """The number of the confirmation that a candidate is worth; ``None`` if of none."""
        violated = candidate.verdict.verdict == "violated"
        if self.search.how == "kept":
            # On randomness of its own: what it was kept for was seen on that of the attempts.
            if not violated or self.starts == _STARTS:
                return None
            self.starts += 1
            return _TRIES + _GUESSES + 1 + self.starts
        if violated and self.tries < _TRIES:
            self.tries += 1
        elif self.guesses < _GUESSES and _promises(candidate, self.statement, found, self.promise):
            self.guesses, self.promise = self.guesses + 1, 1.5 * found
        else:
            return None
        return self.tries + self.guesses

    def _afresh(
        self, candidate: Evaluation, attempt: int, replicas: int | None = None
    ) -> Evaluation | None:
        again = self.confirm(candidate, attempt, replicas=replicas)
        return None if again is None else Evaluation(candidate.instance, again)

    def _confirms(self, again: Evaluation | None, how: str) -> bool:
        if again is None or again.verdict.verdict != "violated":
            return False
        self.confirmed, self.how = again, how
        return True


def _beyond(found: Evaluation) -> bool:
    """Whether the measured side exceeds the bound by three of its standard errors: no evidence."""
    verdict = found.verdict
    return verdict.measured - 3 * verdict.standard_error > verdict.bound


def _promises(candidate: Evaluation, statement: Statement, found: float, before: float) -> bool:
    """Whether few samples say that many might refute: beyond the bound by three deviations."""
    if statement.claim.big_o or candidate.verdict.exact:
        return False
    return found > max(before, 1e-6)


def _confirm(
    statement: Statement,
    found: Evaluation,
    attempt: int,
    *,
    risk: float,
    seed: int,
    ends: float,
    least: int,
    replicas: int | None = None,
) -> Verdict | None:
    """What was found, on randomness that no search has seen."""
    order = statement.claim.big_o
    replicas = replicas or (_ORDER_REPLICAS if order else _REPLICAS)
    if math.isfinite(ends) and found.seconds > 0 and not found.verdict.exact:
        # As many as the seconds left allow: fewer decide less, and what they decide is as valid.
        afford = (ends - time.monotonic()) / found.seconds * max(least, found.verdict.replicas)
        replicas = min(replicas, max(least, int(afford)))
    instance = found.instance
    fresh = replace(instance, seed=instance.seed + 1) if order else instance
    try:
        return fresh.check(
            statement, replicas=replicas, effort=1e3 * replicas, confidence=1 - risk,
            repeat=1_000_000 + 1000 * attempt + seed,
        )  # fmt: skip
    except FAILURES:
        return None
