"""``Settings``: all that determines a training run; and the optimizers by name."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, final

from torch import nn

from theorylab.errors import UnknownNameError, UsageError, require_finite
from theorylab.method import RULES
from theorylab.plugins import registry
from theorylab.torch import optim as torch_optim
from theorylab.torch.arguments import FLAGS
from theorylab.torch.optim import RuleOptimizer
from theorylab.torch.oracle import ANSWERS

__all__ = [
    "AUTHORS_PULL",
    "MAX_EPOCHS",
    "MAX_SEED",
    "MAX_STEPS",
    "METHODS",
    "Method",
    "Settings",
    "method",
]

MAX_STEPS, MAX_EPOCHS = 10**12, 1e9
"""Of a run; at a microsecond a step the first takes twelve days."""
MAX_SEED = 2**63 - 1  # torch keeps seeds in 64 bits, with a sign
AUTHORS_PULL = 0.1  # lambda_w over the first step size, in the TRAlgo and LRSGD authors' code
_BETAS = (0.9, 0.999)

Option = float | int | str | bool


@final
@dataclass(frozen=True)
class Method:
    """An optimizer the command line offers.

    Attributes
    ----------
    factory : type
        The ``torch.optim`` optimizer.
    lr : float
        A sensible step for a small network on normalised images, at batch sizes around 32.
    defaults : mapping
        Further arguments, where the factory's own defaults do not suit a network.
    """

    factory: type[RuleOptimizer]
    lr: float
    defaults: Mapping[str, Option] = field(default_factory=dict)

    @property
    def options(self) -> frozenset[str]:
        """Names of the arguments the factory takes, besides parameters, step and flags.

        Adam's pair of decays goes by ``beta1`` and ``beta2``.
        """
        known = frozenset(inspect.signature(self.factory).parameters)
        pair = {"beta1", "beta2"} if "betas" in known else set()
        return (known | pair) - {"params", "lr", "betas", "eta"} - set(FLAGS)

    def check(self, name: str, value: Option) -> None:
        """Refuse a value of the wrong kind: a share where a count is wanted, a word for a switch.

        The kind is that of the rule's default: ``S=2.5`` or ``decoupled=maybe`` are refused.

        Raises
        ------
        UsageError
            Naming the optimizer, the argument and what it must be.
        """
        rule = self.factory.rule
        field = self.factory.fields.get(name, name)
        default = next((f.default for f in dataclasses.fields(rule) if f.name == field), None)
        wanted = "a number"
        kinds: tuple[type, ...] = (int, float)
        if isinstance(default, bool):
            wanted, kinds = "true or false", (bool,)
        elif isinstance(default, int):
            wanted, kinds = "a whole number", (int,)
        elif isinstance(default, str):
            wanted, kinds = "a word", (str,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UsageError(f"optimizer {rule.name!r}: {name} must be {wanted}, got {value!r}")


# What suits a small network on normalised images: the step, and arguments beside it.
_SUITED: Mapping[str, tuple[float, Mapping[str, Option]]] = {
    "sgd": (0.1, {}),
    "msgd": (0.02, {}),
    "nesterov": (0.02, {}),
    "sngd": (0.2, {}),
    "sngm": (0.03, {}),
    "trsgd": (0.1, {"lam": 0.1, "momentum": 0.9}),
    "lrsgd_r": (0.02, {"lam": 0.1, "gamma": 0.1, "momentum": 0.9}),
    "lrsgd_c": (0.1, {"lam": 0.1, "momentum": 0.9}),
    "stochastic_batch_size_1": (0.8, {}),
    "stochastic_batch_size_2": (0.8, {}),
    "adam": (0.002, {}),
    "amsgrad": (0.002, {}),
    "rmsprop": (0.001, {}),
    "tradam": (0.004, {"lam": 0.1}),
    "lars": (0.5, {"trust": 0.01}),
    "entropy_sgd": (
        1.0,
        {"S": 5, "momentum": 0.9, "inner": 0.02, "gamma0": 0.01, "variant": "authors"},
    ),
    "accelerated_sgd": (0.05, {}),
    # Its step must fall with the number of parameters; so must what a step can gain.
    "two_point_zeroth_order": (1e-3, {}),
    # It adds up the noise of all its steps: made for exact gradients.
    "optimized_gradient": (0.002, {}),
    "adagrad_norm": (2.0, {}),
    "clipped_sgd": (0.2, {}),
    "alternating": (0.2, {}),
    "topk_sgd": (0.1, {"k": 300}),
    "sign_sgd": (0.002, {}),
    "adamw": (0.002, {}),
    "polyak_step": (1.0, {}),
}
_STEP = 0.05  # of other methods, unless told


@final
class _Methods(Mapping[str, Method]):
    """Every registered rule that can run on closures, plug-ins included."""

    @cached_property
    def _table(self) -> dict[str, Method]:
        found = {}
        # The own rules are there in a checkout that is not installed, too.
        known = {rule.name: rule for rule in RULES} | dict(registry.rules())
        for name, rule in known.items():
            if rule.needs <= ANSWERS:
                lr, defaults = _SUITED.get(name, (_STEP, {}))
                found[name] = Method(torch_optim.optimizer(rule), lr, defaults)
        return found

    def __getitem__(self, name: str) -> Method:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


METHODS: Mapping[str, Method] = _Methods()
"""Every registered rule that trains networks, with the step it takes unless told otherwise."""


def method(name: str) -> Method:
    """The optimizer registered under ``name``.

    >>> method("sngm").lr
    0.03
    """
    if name in registry.rules() and name not in METHODS:
        needs = ", ".join(sorted(registry.rules()[name].needs - ANSWERS))
        raise UsageError(f"optimizer {name!r} needs what no network offers: {needs}")
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(METHODS)}"
        raise UnknownNameError(f"unknown optimizer {name!r}; {hint}")
    return METHODS[name]


@final
@dataclass(frozen=True)
class Settings:
    """A training run. Two runs with equal settings on one CPU end with the same bits.

    Attributes
    ----------
    model, data, optimizer : str
        Registered names.
    lr : float, optional
        Step size (the step at k = 1 for methods with an inner loop); by default the method's own.
    options : mapping
        The optimizer's further arguments: ``momentum``, ``weight_decay``, ``lam``, ``S``, ...
        With ``variant="authors"``, ``lam`` is ``0.1 lr`` unless given, as in the authors' code.
    lam_over_lr : float, optional
        Makes ``lam = lam_over_lr / lr`` at every step, as the LRSGD paper's ``lambda_t = 0.01/
        alpha``: the pull grows whenever the step drops.
    batch_size, accumulate : int
        Samples a step, and the parts they are computed in.
    epochs : float
        Passes over the training data (gradient evaluations, whatever the method).
    steps : int, optional
        Steps of the optimizer, in place of ``epochs``.
    schedule, warmup, warmup_from
        See :func:`deep.schedules.schedule`; ``warmup`` in epochs.
    seed : int
        Decides initial weights, data order, augmentation, dropout and the optimizer's draws.
    train_samples : int, optional
        Use the first so many training samples of a fixed random order.
    holdout : float
        Share of the training samples held out, to be tested on in place of the test set.
    augment : bool
        Use the data set's augmentation in training.
    model_options : mapping
        Arguments of the network's factory, such as ``dropout``.
    evaluations : int
        How often train and test loss are measured, at equal distances; also at the end.
    evaluate_samples : int
        Training samples the training loss is measured on.
    measures : int
        Training samples for gradient norm, gradient noise and Hessian norm; 0 leaves them out.
    amp, channels_last, compile, cuda_graphs, step_graph : bool
        bfloat16 autocast; memory format; ``torch.compile``, with CUDA graphs; one CUDA graph of
        the whole step, see :class:`deep.graphs.StepGraph`.

    >>> Settings(optimizer="sngm").step_size
    0.03
    """

    model: str = "lenet"
    data: str = "digits"
    optimizer: str = "msgd"
    lr: float | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    lam_over_lr: float | None = None
    batch_size: int = 32
    accumulate: int = 1
    epochs: float = 30.0
    steps: int | None = None
    schedule: str = "poly:1"
    warmup: float = 0.0
    warmup_from: float | None = None
    seed: int = 0
    train_samples: int | None = None
    holdout: float = 0.0
    augment: bool = True
    model_options: Mapping[str, Option] = field(default_factory=dict)
    evaluations: int = 20
    evaluate_samples: int = 10_000
    measures: int = 0
    amp: bool = False
    channels_last: bool = False
    compile: bool = False
    cuda_graphs: bool = False
    step_graph: bool = False

    def __post_init__(self) -> None:
        chosen = method(self.optimizer)
        for name, option in self.options.items():
            if name not in chosen.options:
                raise UsageError(
                    f"optimizer {self.optimizer!r} has no argument {name!r}; it has "
                    f"{', '.join(sorted(chosen.options))}"
                )
            chosen.check(name, option)
        if self.lam_over_lr is not None and "lam" not in chosen.options:
            raise UsageError(f"--lam-over-lr needs an optimizer with lam, not {self.optimizer!r}")
        require_finite("train", {**vars(self), **self.options, **self.model_options})
        positive: Iterable[tuple[str, float | None]] = (
            ("batch_size", self.batch_size), ("accumulate", self.accumulate),
            ("epochs", self.epochs), ("steps", self.steps),
            ("lr", self.lr), ("evaluations", self.evaluations),
            ("evaluate_samples", self.evaluate_samples), ("train_samples", self.train_samples),
        )  # fmt: skip
        for name, value in positive:
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be positive, got {value}")
        for name, value, most in (("steps", self.steps, MAX_STEPS),
                                  ("epochs", self.epochs, MAX_EPOCHS)):  # fmt: skip
            if value is not None and value > most:
                raise UsageError(f"{name} must be at most {most:g}, got {value}: no run of that "
                                 "length ends")  # fmt: skip
        if self.measures < 0 or self.measures == 1:
            raise UsageError(f"measures must be 0 or at least 2, got {self.measures}")
        if not 0 <= self.holdout < 1:
            raise UsageError(f"holdout must lie in [0, 1), got {self.holdout}")

    @property
    def step_size(self) -> float:
        """``lr``, or the method's own."""
        return method(self.optimizer).lr if self.lr is None else self.lr

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments of the optimizer but the parameters."""
        chosen = method(self.optimizer)
        given = {**chosen.defaults, **self.options, "lr": self.step_size}
        if given.get("variant") == "authors" and {"lam"} & chosen.options - set(self.options):
            given["lam"] = AUTHORS_PULL * self.step_size
        return given

    def build_optimizer(self, network: nn.Module) -> RuleOptimizer:
        """The optimizer for a network's parameters."""
        arguments = {**self.arguments, "seed": self.seed}
        if {"beta1", "beta2"} & set(arguments):
            betas = {f"beta{i}": b for i, b in enumerate(_BETAS, 1)}
            arguments["betas"] = tuple(arguments.pop(n, b) for n, b in betas.items())
        try:
            return method(self.optimizer).factory(list(network.named_parameters()), **arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)
