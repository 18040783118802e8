"""Update rules, one file a family; ``RULES`` lists them for the registry."""

from theorylab.optimizers.accelerated_sgd import AcceleratedSGD
from theorylab.optimizers.adaptive import Adam, AMSGrad, RMSprop, TRAdam
from theorylab.optimizers.entropy_sgd import EntropySGD
from theorylab.optimizers.lars import LARS
from theorylab.optimizers.proximal import LRSGD_C, LRSGD_R, TRSGD
from theorylab.optimizers.sgd import MSGD, SGD, Nesterov
from theorylab.optimizers.sngm import SNGD, SNGM
from theorylab.optimizers.stochastic_batch_size import StochasticBatchSize1, StochasticBatchSize2
from theorylab.rule import UpdateRule

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
    Adam,
    AMSGrad,
    RMSprop,
    TRAdam,
    LARS,
    EntropySGD,
    AcceleratedSGD,
)

__all__ = ["RULES", *(rule.__name__ for rule in RULES)]
