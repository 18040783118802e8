"""Errors a user can cause: one clear line, no traceback on the command line."""

from __future__ import annotations

__all__ = ["AssumptionError", "DataError", "UnknownNameError", "UsageError"]


class UsageError(ValueError):
    """What was asked for cannot be done; the message says who, what was required, what came."""


class UnknownNameError(UsageError):
    """A key or name that is not registered."""


class DataError(UsageError):
    """A data file that cannot be used."""


class AssumptionError(UsageError):
    """An objective lacks an assumption of the statement it should be checked against."""
