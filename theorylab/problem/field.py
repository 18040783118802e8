"""``Field``: a monotone field in a gradient's place, such as a game's."""

from __future__ import annotations

import abc

from torch import Tensor

from theorylab.errors import UsageError
from theorylab.problem.objective import Objective

__all__ = ["Field"]


class Field(Objective, abc.ABC):
    """A monotone field g that need be no function's gradient.

    :meth:`gradient` is g, of a game each player's gradient in the player's own variables;
    :meth:`minimizer` is where g vanishes. There are no values: what needs some refuses, and only
    statements that assume a monotone field, or a strongly monotone one where it certifies its
    ``mu``, speak of it (:attr:`setting`).
    """

    def value(self, w: Tensor) -> Tensor:
        """Refused.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(f"{self.name} has no values: its field is no function's gradient")

    @property
    def setting(self) -> frozenset[str]:
        return frozenset({"monotone", "strongly_monotone"})

    @property
    def declared(self) -> frozenset[str]:
        return frozenset({"monotone"})
