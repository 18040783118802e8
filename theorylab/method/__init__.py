"""Update rules, one file a family; ``RULES`` is every rule imported here, for the registry."""

from theorylab.method.accelerated_sgd import AcceleratedSGD
from theorylab.method.adagrad_norm import AdaGradNorm
from theorylab.method.adamw import AdamW
from theorylab.method.adaptive import Adam, AMSGrad, RMSprop, TRAdam
from theorylab.method.alternating import Alternating
from theorylab.method.averaged_sgd import AveragedSGD
from theorylab.method.clipped_sgd import ClippedSGD
from theorylab.method.constrained import FrankWolfe, MirrorDescent, ProjectedSubgradient
from theorylab.method.decentralized_sgd import DecentralizedSGD
from theorylab.method.distributed_topk_sgd import DistributedTopKSGD
from theorylab.method.entropy_sgd import EntropySGD
from theorylab.method.extragradient import Extragradient
from theorylab.method.lars import LARS
from theorylab.method.local_sgd import LocalSGD
from theorylab.method.majority_vote import MajorityVote
from theorylab.method.optimized_gradient import OptimizedGradient
from theorylab.method.polyak_step import PolyakStep
from theorylab.method.proximal import LRSGD_C, LRSGD_R, TRSGD
from theorylab.method.proximal_gradient import FISTA, ProximalGradient
from theorylab.method.reshuffled_sgd import ReshuffledSGD
from theorylab.method.rule import UpdateRule
from theorylab.method.saga import SAGA
from theorylab.method.sam import SAM
from theorylab.method.sgd import MSGD, SGD, Nesterov
from theorylab.method.sign_sgd import SignSGD
from theorylab.method.sngm import SNGD, SNGM
from theorylab.method.stochastic_batch_size import StochasticBatchSize1, StochasticBatchSize2
from theorylab.method.storm import STORM
from theorylab.method.svrg import SVRG
from theorylab.method.topk_sgd import TopKSGD
from theorylab.method.zeroth_order import TwoPointZerothOrder

RULES: tuple[type[UpdateRule], ...] = tuple(
    found
    for found in list(globals().values())
    if isinstance(found, type) and issubclass(found, UpdateRule) and found is not UpdateRule
)

__all__ = ["RULES", *(rule.__name__ for rule in RULES)]
