"""Update rules, one file a family; ``RULES`` lists them for the registry."""

from theorylab.method.accelerated_sgd import AcceleratedSGD
from theorylab.method.adaptive import Adam, AMSGrad, RMSprop, TRAdam
from theorylab.method.alternating import Alternating
from theorylab.method.entropy_sgd import EntropySGD
from theorylab.method.lars import LARS
from theorylab.method.proximal import LRSGD_C, LRSGD_R, TRSGD
from theorylab.method.rule import UpdateRule
from theorylab.method.sgd import MSGD, SGD, Nesterov
from theorylab.method.sngm import SNGD, SNGM
from theorylab.method.stochastic_batch_size import StochasticBatchSize1, StochasticBatchSize2

RULES: tuple[type[UpdateRule], ...] = (
    SGD,
    MSGD,
    Nesterov,
    SNGD,
    SNGM,
    TRSGD,
    LRSGD_R,
    LRSGD_C,
    StochasticBatchSize1,
    StochasticBatchSize2,
    Alternating,
    Adam,
    AMSGrad,
    RMSprop,
    TRAdam,
    LARS,
    EntropySGD,
    AcceleratedSGD,
)

__all__ = ["RULES", *(rule.__name__ for rule in RULES)]
