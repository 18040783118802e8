"""Known optimizers: arguments where the class has no sane default, claims, documented limits.

What is not here gets its class's defaults and claims nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from theorylab.conformance.claims import Claims, Decay, Invariance, Reference

__all__ = ["PRESETS", "Preset"]


@final
@dataclass(frozen=True)
class Preset:
    """What is known of an optimizer.

    Attributes
    ----------
    settings : mapping
        Arguments of every build.
    claims : Claims
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    claims: Claims = field(default_factory=Claims)


def _known(
    decay: Decay | None = None,
    *invariances: Invariance,
    reference: Reference | str | None = None,
    limits: Mapping[str, str] | None = None,
    step: Any = None,
    **settings: Any,
) -> Preset:
    claims = Claims(decay, frozenset(invariances), reference, step, limits or {})
    return Preset(settings, claims)


_ASGD = "the lr is read at the end of a step, for the next one"
_RPROP = "lr is the first step's size alone; later sizes lie between step_sizes"
_ADAGRAD = "the constructor's initial_accumulator_value fills the state, a group's does not"
_ONE_STEP = "one step can be differentiated, not two"
_LBFGS = "gradients are put end to end by view, which takes entries in order alone"
_COPY = "copies lack what the constructor put beside the state"

_TORCH: Mapping[str, Preset | None] = {
    "Optimizer": None,
    "ASGD": _known("coupled", limits={
        "zero_learning_rate": _ASGD, "learning_rate_edits_act": _ASGD,
    }),
    "Adadelta": _known("coupled", "translation"),
    "Adafactor": _known("decoupled", "scale", limits={
        "weight_decay_order": "the step's length is that of the weights before decay",
        "empty_parameter": "divides by the number of entries",
        "state_dict_without_flags": "its state dicts had maximize from the first version on",
    }),
    "Adagrad": _known("coupled", "scale", "translation", limits={
        "group_arguments_act": _ADAGRAD, "argument_edits_act": _ADAGRAD,
    }),
    "Adam": _known("coupled", "scale", "translation", reference="adam"),
    "AdamW": _known("decoupled", "scale", reference="adamw"),
    "Adamax": _known("coupled", "scale", "translation", limits={"differentiable": _ONE_STEP}),
    "LBFGS": _known(None, "translation", max_iter=2, max_eval=10, limits={
        "absent_gradient": "moves all parameters along one direction, those without a gradient too",
        "strided_parameter": _LBFGS, "strided_gradient": _LBFGS,
        "deep_copies": _COPY, "pickles": _COPY,
    }),
    "Muon": _known("decoupled", limits={
        "nonsense_values": "eps is not looked at",
        "float64_parameters": "the orthogonal step is computed in bfloat16",
    }),
    "NAdam": _known("coupled", "scale", "translation"),
    "RAdam": _known("coupled", "translation"),
    "RMSprop": _known("coupled", "scale", "translation", reference="rmsprop"),
    "Rprop": _known(None, "scale", "translation", limits={
        "zero_learning_rate": _RPROP, "zero_learning_rate_of_a_group": _RPROP,
        "learning_rate_edits_act": _RPROP,
        "differentiable": _ONE_STEP,
    }),
    "SGD": _known("coupled", "rotation", "translation", reference="sgd"),
    "SparseAdam": _known(None, "scale", "translation"),
}  # fmt: skip


def _with_all_data(optimizer: Any, closure: Any) -> Any:
    return optimizer.step(closure, closure)


_OURS: Mapping[str, Preset | None] = {
    "RuleOptimizer": None,
    "AcceleratedSGD": _known(None, reference="accelerated_sgd", lr=0.02, kappa=50.0, xi=5.0),
    "AdaGradNorm": _known(None, "rotation", reference="adagrad_norm", lr=0.1),
    "Adam": _known("coupled", "scale", "translation", reference="adam"),
    "AdamW": _known("decoupled", "scale", reference="adamw"),
    "AMSGrad": _known("coupled", "scale", "translation", reference="amsgrad"),
    "AveragedSGD": _known(None, "rotation", "translation", reference="averaged_sgd", lr=0.1),
    "ClippedSGD": _known(None, "rotation", "translation", reference="clipped_sgd", lr=0.1),
    "EntropySGD": _known(None, lr=0.5, S=4, momentum=0.5, inner=0.1, gamma0=0.01, gamma1=0.01,
        eps=1e-3, seed=0, limits={
        "learning_rate_edits_act": "lr is the step between rounds: only a round's last step reads "
                                   "it, and the check takes another one",
        "zero_gradients": "Langevin steps: noise of size eps moves the weights by itself",
    }),
    "Extragradient": _known(None, "rotation", "translation", reference="extragradient", lr=0.1),
    "LARS": _known(None, reference="lars", lr=1.0, trust=0.05),
    "LRSGD_C": _known(None, reference="lrsgd_c", lr=0.2, lam=0.5, S=4, momentum=0.5),
    "LRSGD_R": _known(None, lr=0.1, lam=0.5, theta=0.2, momentum=0.5, seed=0),
    "MSGD": _known("coupled", "rotation", "translation", reference="msgd", lr=0.1),
    "Nesterov": _known("coupled", "rotation", "translation", reference="nesterov", lr=0.1),
    "Alternating": _known(None, lr=0.1),
    "OptimizedGradient": _known(None, lr=0.05, T=100),
    "PolyakStep": _known(None, "rotation", "translation", lr=0.1, lowest=-1.0),
    "RMSprop": _known("coupled", "scale", "translation", reference="rmsprop"),
    "ReshuffledSGD": _known("coupled", "rotation", "translation", lr=0.1),
    "SAM": _known(None, "rotation", "translation", reference="sam", lr=0.1),
    "SGD": _known("coupled", "rotation", "translation", reference="sgd", lr=0.1),
    "SignSGD": _known(None, "scale", "translation", reference="sign_sgd", lr=0.01),
    "SNGD": _known(None, "scale", "rotation", "translation", reference="sngd", lr=0.1),
    "SNGM": _known(None, "scale", "rotation", "translation", reference="sngm", lr=0.1),
    "STORM": _known(None, "rotation", "translation", reference="storm", lr=0.1),
    # With the default lambda_ = -4 a layer whose gradients are its kind's largest waits for
    # thousands of steps, by equations (19)-(21): a check takes ten.
    "StochasticBatchSize1": _known(
        None, lr=0.1, momentum=0.5, memory=3, lambda_=-0.5, across="all", seed=0, limits={
        "closure_takes_the_step": "with closures a step takes the last memory mini-batches again, "
                                  "without them this step's alone",
    }),
    "StochasticBatchSize2": _known(
        None, lr=0.1, momentum=0.5, lambda_=-0.5, across="all", seed=0
    ),
    "SVRG": _known(None, "rotation", "translation", step=_with_all_data, lr=0.1),
    "TRAdam": _known(None, reference="tradam", lr=0.01, lam=0.1, S=4),
    "TRSGD": _known(None, reference="trsgd", lr=0.2, lam=0.5, S=4, momentum=0.5),
    "TopKSGD": _known(None, lr=0.02),
    "TwoPointZerothOrder": _known(None, lr=0.01, seed=0, limits={
        "arguments_act": "of a quadratic the symmetric difference is exact for every mu",
        "zero_gradients": "it reads values alone, and the check sets gradients to zero",
    }),
}  # fmt: skip

PRESETS: Mapping[str, Preset | None] = {
    **{f"torch.optim:{name}": known for name, known in _TORCH.items()},
    **{f"theorylab.torch.optim:{name}": known for name, known in _OURS.items()},
}
"""By ``module:name``; ``None`` for a class that is nobody's to build."""
