"""Known theorems of methods in true form, each with a false neighbour; one module a method.

``STATEMENTS`` are registered. A false neighbour (a constant or an exponent off) is not: it shows
that the checks can tell the two apart. Every module of this package is read.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from bounds.statement import Statement

_MODULES = [
    import_module(f"{__name__}.{found.name}")
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name)
]

STATEMENTS: tuple[Statement, ...] = tuple(s for m in _MODULES for s in m.STATEMENTS)
FALSE_NEIGHBOURS: tuple[Statement, ...] = tuple(s for m in _MODULES for s in m.FALSE_NEIGHBOURS)
