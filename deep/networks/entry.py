"""``Network``: a registered architecture, and how to build it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import nn

from theorylab.errors import UsageError

__all__ = ["Network", "parameter_count"]


def parameter_count(module: nn.Module) -> int:
    """How many trainable numbers a module holds.

    >>> parameter_count(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@final
@dataclass(frozen=True)
class Network:
    """A registered architecture.

    Attributes
    ----------
    name : str
        The registered name.
    factory : callable
        ``factory(num_classes, in_channels, **options) -> torch.nn.Module``.
    input_size : (channels, height, width)
        One input of the canonical setting.
    outputs : int
        ``num_classes`` of the canonical setting; image channels for a generator, 1 for a
        discriminator.
    parameters : int
        Trainable numbers in the canonical setting (pinned by the tests).
    source : str
        Paper the architecture is from, and the form taken where several go by the name.
    kind : str
        ``classifier``, ``generator`` or ``discriminator``.
    smallest : int
        Smallest image side the network accepts.
    """

    name: str
    factory: Callable[..., nn.Module]
    input_size: tuple[int, int, int]
    outputs: int
    parameters: int
    source: str
    kind: Literal["classifier", "generator", "discriminator"] = "classifier"
    smallest: int = 1

    def build(
        self,
        num_classes: int | None = None,
        in_channels: int | None = None,
        *,
        image_size: int | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> nn.Module:
        """A new module, initialised as its source says.

        ``image_size`` is the side of the images to come: it is checked against ``smallest`` and
        handed to the factories that depend on it. With ``seed`` the initial weights depend on
        the seed alone and the global generator is left as it was; without, they are drawn from
        torch's global generator. Every classifier takes ``dropout``; the other options are
        those of the factory.

        Raises
        ------
        UsageError
            If the factory does not know an option or refuses its value, or the images are too
            small.

        >>> from deep.networks import NETWORKS
        >>> twin, other = (NETWORKS["lenet"].build(seed=1) for _ in range(2))
        >>> parameter_count(twin), bool((twin.fc1.weight == other.fc1.weight).all())
        (62006, True)
        """
        known = inspect.signature(self.factory).parameters
        for option in options:
            if option not in known:
                offered = ", ".join(sorted(set(known) - {"num_classes", "in_channels"}))
                raise UsageError(
                    f"network {self.name!r} has no option {option!r}; it has {offered}"
                )
        if image_size is not None:
            if image_size < self.smallest:
                raise UsageError(
                    f"network {self.name!r} needs images of side {self.smallest} or more, "
                    f"got {image_size}"
                )
            if "image_size" in known:
                options["image_size"] = image_size
        classes = self.outputs if num_classes is None else num_classes
        channels = self.input_size[0] if in_channels is None else in_channels
        try:
            if seed is None:
                return self.factory(classes, channels, **options)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return self.factory(classes, channels, **options)
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            if isinstance(error, UsageError) or not options:
                raise
            given = ", ".join(f"{name}={value}" for name, value in options.items())
            reason = " ".join(str(error).split())
            raise UsageError(f"network {self.name!r} with {given}: {reason}") from error

    @property
    def depth_option(self) -> str | None:
        """The factory's option for stochastic depth, or what stands for it; ``None`` without one.

        >>> from deep.networks import NETWORKS
        >>> NETWORKS["resnet18"].depth_option, NETWORKS["vgg11"].depth_option
        ('stochastic_depth', 'depth_dropout')
        """
        known = inspect.signature(self.factory).parameters
        return next((n for n in ("stochastic_depth", "depth_dropout") if n in known), None)

    def canonical(self) -> nn.Module:
        """The canonical setting on the meta device: shapes and counts without memory."""
        with torch.device("meta"):
            return self.build()
