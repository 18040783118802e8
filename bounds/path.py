"""``PathOf``: what a quantity of a whole run is made of, for every way of measuring it to read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

__all__ = ["PathOf", "Reduction", "Times"]

Reduction = Literal["at", "mean", "sum", "min", "max"]
Times = Literal["0", "T-1", "T", "0..T-1", "1..T", "0..T"]


@dataclass(frozen=True)
class PathOf:
    """A number of one run: what is recorded at some rounds, and how they are put together.

    Parameters
    ----------
    reduce : "at", "mean", "sum", "min" or "max"
        Over ``times``; ``"at"`` for a single one.
    record : str
        What is recorded of the iterate at each round, by the name of its recorder
        (``"gradient_norm"``); ``"output.NAME"`` of the point that the method would return
        there, ``"state.NAME"`` for the norm of an entry of its state.
    times : "0", "T-1", "T", "0..T-1", "1..T" or "0..T"
        Rounds of the algorithm, of which it runs T.
    power : int
        To which the record is raised first.
    minus : PathOf, optional
        Subtracted, from the same run.

    Raises
    ------
    ValueError
        If a part is unknown, or several times are not reduced.

    Examples
    --------
    >>> mean = PathOf("mean", "gradient_norm", "0..T-1", power=2)
    >>> print(mean, "|", PathOf("at", "value", "0") - PathOf("at", "value", "T"))
    mean of gradient_norm^2 at 0..T-1 | value at 0 - value at T
    >>> list(mean.rounds(3)), list(PathOf("min", "suboptimality", "0..T").rounds(3))
    ([0, 1, 2], [0, 1, 2, 3])
    """

    reduce: Reduction
    record: str
    times: Times
    power: int = 1
    minus: PathOf | None = None

    def __post_init__(self) -> None:
        for value, known in ((self.reduce, get_args(Reduction)), (self.times, get_args(Times))):
            if value not in known:
                raise ValueError(f"PathOf: {value!r} is none of {', '.join(known)}")
        if (self.reduce == "at") != (self.times in ("0", "T-1", "T")):
            raise ValueError(f"PathOf: {self.reduce!r} does not go with the times {self.times}")
        if self.power < 1:
            raise ValueError(f"PathOf: the power must be at least 1, got {self.power}")

    def __sub__(self, other: PathOf) -> PathOf:
        if self.minus is not None or other.minus is not None:
            raise ValueError("PathOf: a difference has two parts")
        return replace(self, minus=other)

    @property
    def parts(self) -> tuple[PathOf, ...]:
        """The path itself, and what is subtracted where something is."""
        return (self,) if self.minus is None else (replace(self, minus=None), self.minus)

    @property
    def atom(self) -> str:
        """Name of the record raised to its power: ``gradient_norm_squared``."""
        return {1: self.record, 2: f"{self.record}_squared"}.get(
            self.power, f"{self.record}^{self.power}"
        )

    def rounds(self, horizon: int) -> range:
        """The rounds themselves, of ``0 .. horizon``."""
        if self.times in ("T-1", "T"):
            at = horizon - (self.times == "T-1")
            return range(at, at + 1)
        last = {"0": 0, "0..T-1": horizon - 1}.get(self.times, horizon)
        return range(int(self.times[0]), last + 1)

    def __str__(self) -> str:
        raised = self.record if self.power == 1 else f"{self.record}^{self.power}"
        said = f"{raised} at {self.times}"
        if self.reduce != "at":
            said = f"{self.reduce} of {said}"
        return said if self.minus is None else f"{said} - {self.minus}"
