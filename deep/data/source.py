"""``Source``: a registered data set, and how to load it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from deep.data.dataset import Dataset
from deep.data.splits import TensorSplit
from theorylab.errors import DataError, UsageError

__all__ = ["Source"]

_MOST = 2**33  # bytes of images that are resampled in memory


@final
@dataclass(frozen=True)
class Source:
    """A registered data set.

    Attributes
    ----------
    name : str
        The registered name.
    reader : callable
        ``reader(directory, **options) -> Dataset``; without ``directory`` where none is needed.
    layout : str
        What the directory must hold; empty for data that needs none.
    paired : bool, optional
        Whether the targets are images, as ``gan`` and ``segment`` need them; ``None`` where that
        is known only once the data are read.
    """

    name: str
    reader: Callable[..., Dataset]
    layout: str = ""
    paired: bool | None = None

    def require_pairs(self, who: str) -> None:
        """Refuse class labels before anything is read.

        Raises
        ------
        UsageError
        """
        if self.paired is False:
            raise UsageError(f"{who}: pairs of images required, {self.name} has class labels")

    @property
    def options(self) -> frozenset[str]:
        """Names of the options :meth:`load` takes, ``image_size`` included."""
        return frozenset(inspect.signature(self.reader).parameters) - {"directory"} | {"image_size"}

    def load(self, directory: Path | str | None = None, **options: Any) -> Dataset:
        """Read the data.

        ``image_size`` resamples images of any set to that side; the other options are those of
        the reader.

        Raises
        ------
        DataError
            If the directory is missing or does not hold what ``layout`` says, or the images would
            take more than 8 GiB at that side.
        UsageError
            If the reader does not know an option.
        """
        for option in options:
            if option not in self.options:
                raise UsageError(
                    f"data set {self.name!r} has no option {option!r}; it has "
                    f"{', '.join(sorted(self.options))}"
                )
        known = inspect.signature(self.reader).parameters
        side = None if "image_size" in known else options.pop("image_size", None)
        if not self.layout:
            if directory is not None:
                raise DataError(f"{self.name}: no directory is read, got {directory}")
            data = self.reader(**options)
        else:
            if directory is None:
                raise DataError(f"{self.name}: a directory with {self.layout} required, got none")
            data = self.reader(Path(directory).expanduser(), **options)
        if side is None:
            return data
        train, test = data.train, data.test
        assert isinstance(train, TensorSplit)
        assert isinstance(test, TensorSplit)
        size = (len(train) + len(test)) * data.train.shape[0] * side**2
        if size > _MOST:
            raise DataError(
                f"{self.name}: {len(train) + len(test):,} images of side {side} would take "
                f"{size / 2**30:,.0f} GiB, more than the 8 GiB allowed"
            )
        return replace(data, train=train.resized(side), test=test.resized(side))
