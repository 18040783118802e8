"""theorylab: a wind tunnel for optimization theory.

>>> import theorylab
>>> theorylab.__version__
'0.1.0'
"""

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
