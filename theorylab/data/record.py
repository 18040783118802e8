"""What a reader is asked, what it decided, and the data set it made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar, final

import numpy as np

from theorylab.errors import UsageError, printable

__all__ = [
    "BUNDLED", "Choices", "Dataset", "Reading", "by_name", "few_values", "flat", "listed", "unit",
    "with_note",
]  # fmt: skip

Result = TypeVar("Result")

BUNDLED = ("breast_cancer", "digits", "diabetes")
"""The data sets that come with scikit-learn."""

_LABELS, _TIMES = 10, 5  # whole numbers are labels if there are so few, each so often on average
_WORDS = {
    "header": ("yes", "no"),
    "delimiter": ("comma", "semicolon", "tab", "pipe", "space"),
    "decimal": ("point", "comma"),
    "text": ("one_hot",),
    "impute": ("mean", "median"),
    "labels": ("numbers",),
}


def listed(items: Iterable[object], most: int = 5) -> str:
    """The first few, and how many more.

    >>> listed("abc", 2)
    'a, b and 1 more'
    """
    shown = [printable(item) for item in items]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


@final
@dataclass(frozen=True)
class Choices:
    """What a user decides about a table, where the reader's own choice is not wanted.

    Attributes
    ----------
    target : str, optional
        The target's column: its name, ``first`` or ``last``, or without header its number, from 1.
    header : "yes" or "no", optional
        Whether the first row names the columns.
    index : str, optional
        The column that numbers or names the rows and is set aside; ``no`` for none.
    delimiter : "comma", "semicolon", "tab", "pipe" or "space", optional
    decimal : "point" or "comma", optional
    text : "one_hot", optional
        One column of 0 and 1 for each value of a feature that is text; refused otherwise.
    impute : "mean" or "median", optional
        Fills a missing feature from its column; refused otherwise.
    positive : str, optional
        The label that counts as +1; every other one is -1.
    labels : "numbers", optional
        A target of a few whole numbers is a quantity, no class.

    Raises
    ------
    UsageError
        If a choice is none of these.
    """

    target: str | None = None
    header: str | None = None
    index: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    text: str | None = None
    impute: str | None = None
    positive: str | None = None
    labels: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            known = _WORDS.get(field.name)
            if value is not None and known and value not in known:
                raise UsageError(
                    f"{field.name} must be {' or '.join(known)}, got {printable(value)!r}"
                )

    @classmethod
    def of(cls, **values: str | float | bool | None) -> Choices:
        """Choices by name, numbers and truth values as the text that they stand for.

        >>> Choices.of(target=2, header=False) == Choices(target="2", header="no")
        True
        """
        words = {True: "yes", False: "no"}
        return cls(**{
            name: words[value] if isinstance(value, bool) else str(value)
            for name, value in values.items() if value is not None
        })  # fmt: skip


def by_name(function: Callable[..., Result]) -> Callable[..., Result]:
    """The function with every one of :class:`Choices` as a keyword, in place of ``choices``.

    So they stand in one place, and whoever reads data takes them all.

    >>> @by_name
    ... def read(path, *, choices):
    ...     return choices.target
    >>> read("mine.csv", target="y"), "impute" in signature(read).parameters
    ('y', True)
    """
    names = [field.name for field in fields(Choices)]

    @wraps(function)
    def named(*arguments: Any, **given: Any) -> Result:
        chosen = {name: given.pop(name) for name in names if name in given}
        return function(*arguments, choices=Choices.of(**chosen), **given)

    own = signature(function)
    kept = [p for p in own.parameters.values() if p.name != "choices"]
    kept += [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation="str | None")
             for name in names]  # fmt: skip
    named.__signature__ = own.replace(parameters=kept)  # type: ignore[attr-defined]
    return named


@final
@dataclass(frozen=True)
class Reading:
    """What a reader decided, and of which bytes.

    Attributes
    ----------
    name, form : str
        The data's name and format.
    rows, features : int
    target : str
    sha256 : str
        Of the file's bytes; of ``X`` and ``y`` where there is no file.
    classes : tuple of (str, float)
        The value that each label became.
    delimiter, decimal, index : str
        Empty where there is none.
    said : tuple of str
        What else a user should know: constant columns, duplicates, what was filled.
    """

    name: str
    form: str
    rows: int
    features: int
    target: str
    sha256: str
    classes: tuple[tuple[str, float], ...] = ()
    delimiter: str = ""
    decimal: str = ""
    index: str = ""
    said: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line.

        >>> print(Reading("mine.csv", "CSV", 9, 2, "y", "0f" * 32, (("no", -1.0), ("yes", 1.0))))
        mine.csv: CSV, 9 rows, 2 features, target y (no = -1, yes = +1); sha256 0f0f0f0f0f0f
        """
        plural = "" if self.features == 1 else "s"
        target = f"target {self.target}"
        if self.classes:
            target += f" ({', '.join(f'{label} = {value:+g}' for label, value in self.classes)})"
        first = [self.form, f"{self.rows} rows", f"{self.features} feature{plural}", target]
        rest = [
            self.delimiter and f"delimiter {self.delimiter}",
            self.decimal == "comma" and "decimal comma",
            self.index and f"index {self.index} set aside",
            *self.said,
            f"sha256 {self.sha256[:12]}",
        ]
        return f"{self.name}: " + "; ".join([", ".join(first), *(part for part in rest if part)])

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, without what is empty."""
        table = {k: v for k, v in asdict(self).items() if v != "" and v != ()}
        if self.classes:
            table["classes"] = dict(self.classes)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in table.items()}


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """A table of numbers and a target.

    Parameters
    ----------
    name : str
    X : ndarray, shape (n, d)
    y : ndarray, shape (n,)
    reading : Reading, optional
        How it was read.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    reading: Reading | None = None

    def standardised(self) -> Dataset:
        """Columns and target with mean 0 and variance 1; constant columns become 0.

        >>> Dataset("toy", np.array([[1.0], [3.0]]), np.array([0.0, 2.0])).standardised().y
        array([-1.,  1.])
        """

        def standard(x: np.ndarray) -> np.ndarray:
            x = unit(x)
            centred = x - x.mean(0)
            still = flat(x)
            return np.where(still, 0.0, centred / np.where(still, 1.0, centred.std(0)))

        return Dataset(self.name, standard(self.X), standard(self.y), self.reading)

    def signs(self) -> np.ndarray:
        """The target as +1 (above its mean) or -1: its two values, where it has two."""
        return np.where(self.y > self.y.mean(), 1.0, -1.0)


def unit(x: np.ndarray) -> np.ndarray:
    """Each column over a power of two of its size: exact, and no square over- or underflows."""
    return np.ldexp(x, -np.frexp(np.abs(x).max(0))[1])


def flat(scaled: np.ndarray) -> np.ndarray:
    """Which columns vary by no more than rounding of their largest entry."""
    return scaled.std(0) <= 1e-12 * np.abs(scaled).max(0)


def few_values(values: np.ndarray) -> bool:
    """Whether numbers look like labels: few different ones, whole, each of them often.

    >>> few_values(np.array([0.0, 1.0, 2.0] * 5)), few_values(np.arange(15.0))
    (True, False)
    """
    different = np.unique(values)
    return bool(
        2 <= len(different) <= _LABELS and (different == np.floor(different)).all()
        and len(values) >= _TIMES * len(different)
    )  # fmt: skip


def with_note(data: Dataset, note: str) -> Dataset:
    """The data set with one more thing said of how it is used."""
    if data.reading is None:
        return data
    return replace(data, reading=replace(data.reading, said=(*data.reading.said, note)))
