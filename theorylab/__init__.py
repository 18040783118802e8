"""theorylab: a wind tunnel for optimization theory.

>>> import theorylab
>>> theorylab.__version__
'0.1.0'
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# MKL's fastest kernels round a row of a product by where it stands in the matrix. Read at MKL's
# first call, so before any product of this process.
os.environ.setdefault("MKL_CBWR", "AVX2")

__version__ = "0.1.0"

__all__ = [
    "Constant", "Family", "FiniteSum", "Objective", "Parameter", "Stratified", "Trajectory",
    "UpdateRule", "Verdict", "check", "run",
]  # fmt: skip

if TYPE_CHECKING:
    from theorylab.engine.driver import Stratified, Trajectory, run
    from theorylab.judge.check import check
    from theorylab.judge.verdict import Verdict
    from theorylab.method.rule import UpdateRule
    from theorylab.problem.objective import Constant, Family, FiniteSum, Objective, Parameter
else:
    # Imported when they are asked for: the command line lists itself without torch and sympy.
    _HOMES = {
        "theorylab.engine.driver": ("Stratified", "Trajectory", "run"),
        "theorylab.judge.check": ("check",),
        "theorylab.judge.verdict": ("Verdict",),
        "theorylab.method.rule": ("UpdateRule",),
        "theorylab.problem.objective": (
            "Constant", "Family", "FiniteSum", "Objective", "Parameter",
        ),
    }  # fmt: skip

    def __getattr__(name: str) -> Any:
        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(importlib.import_module(home), name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
