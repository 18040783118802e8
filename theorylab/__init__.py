"""theorylab: a wind tunnel for optimization theory.

>>> import theorylab
>>> theorylab.__version__
'0.1.0'
"""

__version__ = "0.1.0"

from theorylab.check import check
from theorylab.engine import Stratified, Trajectory, run
from theorylab.objective import Constant, Family, FiniteSum, Objective, Parameter
from theorylab.rule import UpdateRule
from theorylab.verdict import Verdict

__all__ = [
    "Constant", "Family", "FiniteSum", "Objective", "Parameter", "Stratified", "Trajectory",
    "UpdateRule", "Verdict", "check", "run",
]  # fmt: skip
