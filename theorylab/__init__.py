"""theorylab: a wind tunnel for optimization theory.

>>> import theorylab
>>> theorylab.__version__
'0.1.0'
"""

import os

# MKL's fastest kernels round a row of a product by where it stands in the matrix. Read at MKL's
# first call, so before any product of this process.
os.environ.setdefault("MKL_CBWR", "AVX2")

__version__ = "0.1.0"

from theorylab.engine.driver import Stratified, Trajectory, run
from theorylab.judge.check import check
from theorylab.judge.verdict import Verdict
from theorylab.method.rule import UpdateRule
from theorylab.problem.objective import Constant, Family, FiniteSum, Objective, Parameter

__all__ = [
    "Constant", "Family", "FiniteSum", "Objective", "Parameter", "Stratified", "Trajectory",
    "UpdateRule", "Verdict", "check", "run",
]  # fmt: skip
