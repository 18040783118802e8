"""Objectives with certified constants; ``FAMILIES`` lists them for the registry."""

from theorylab.objective import Family

FAMILIES: tuple[Family, ...] = ()
