"""Control arms: what else a method differs in from SGD, run beside it.

A method with an inner loop takes several gradients an outer iteration and, in TRSGD, TRAdam and
LRSGD-C, smaller and smaller steps. So every comparison carries

- ``lambda=0``: the method without its pull, its step schedule alone;
- ``mean step``: SGD (Adam for TRAdam) at the method's mean step, as many gradients;
- ``same gradients``: SGD at the method's step, as many gradients (so twice SAM's steps);
- ``same rounds``: SGD at the method's step, as many steps as the method has outer iterations.

A method that takes full gradients has ``same steps`` in the place of ``same gradients``: what the
full gradients cost depends on the data, and is not matched.

``same rounds`` is how such methods are usually published; it gives SGD a fraction of the
work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import final

import torch
from scipy.stats import t as student
from torch import Tensor, nn

from deep.settings import Settings, method

__all__ = ["Gain", "arms", "gains", "mean_step", "per_round", "per_step", "report"]

_STEP_KEPT = ("momentum", "weight_decay", "beta1", "beta2", "eps")
_BASES = {"tradam": "adam", "amsgrad": "adam"}
_DECAYING = ("trsgd", "lrsgd_c", "tradam")
_PROBED = 10
_PROXIMAL = (*_DECAYING, "lrsgd_r")


def per_round(settings: Settings) -> float:
    """Steps of the optimizer an outer iteration takes, on average.

    >>> per_round(Settings(optimizer="lrsgd_r", options={"gamma": 0.1}))
    10.0
    """
    given = settings.arguments
    if settings.optimizer == "lrsgd_r":
        theta = float(given.get("theta", 0.25))
        gamma = given.get("gamma")
        return 1 / (math.log1p(-theta) / math.log(theta) if gamma is None else float(gamma))
    rounds = settings.optimizer in (*_DECAYING, "entropy_sgd")
    default = 20 if settings.optimizer == "entropy_sgd" else 10
    return float(given.get("S", default)) if rounds else 1.0


def per_step(settings: Settings) -> float:
    """Evaluations of a mini-batch that a step of the optimizer takes, counted on one number.

    >>> per_step(Settings(optimizer="msgd")), per_step(Settings(optimizer="sam"))
    (1.0, 2.0)
    """
    probe = nn.ParameterList([torch.ones(1)])
    optimizer = settings.build_optimizer(probe)
    counts = [0]

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = probe[0].square().sum()
        found.backward()
        return found

    def closure() -> Tensor:
        counts[-1] += 1
        return loss()

    first = int(optimizer.defaults.get("memory", 1))  # earlier mini-batches to look back at
    for _ in range(first + _PROBED):
        optimizer.step(closure, loss)
        counts.append(0)
    return sum(counts[first:]) / _PROBED


def mean_step(settings: Settings) -> float:
    """The mean of the steps within a round: ``lr H_S / S`` where they fall as 1/k.

    >>> round(mean_step(Settings(optimizer="trsgd", lr=1.0)), 3)
    0.293
    """
    if not _falls(settings):
        return settings.step_size
    length = round(per_round(settings))
    return settings.step_size * sum(1 / k for k in range(1, length + 1)) / length


def _falls(settings: Settings) -> bool:
    """Whether steps fall as 1/k within a round."""
    return settings.optimizer in _DECAYING and bool(settings.options.get("falling", True))


def arms(settings: Settings) -> dict[str, Settings]:
    """The method and its control arms, by name; the method first.

    A method without an inner loop is compared with SGD (with momentum) at its step alone.
    """
    given = settings.arguments
    base = _BASES.get(settings.optimizer) or ("msgd" if given.get("momentum", 0) else "sgd")
    kept = {k: v for k, v in settings.options.items() if k in _STEP_KEPT}
    if "momentum" in given and base == "msgd":
        kept["momentum"] = given["momentum"]
    kept = {k: v for k, v in kept.items() if k in method(base).options}
    plain = replace(settings, optimizer=base, options=kept, lr=settings.step_size, lam_over_lr=None)
    found = {settings.optimizer: settings}
    if settings.optimizer in _PROXIMAL:
        without = replace(settings, options={**settings.options, "lam": 0.0}, lam_over_lr=None)
        # With a constant inner step and no pull what is left is SGD itself.
        if _falls(settings):
            found["lambda=0"] = without
            found["mean step"] = replace(plain, lr=mean_step(settings))
    if "full_gradient" in method(settings.optimizer).factory.rule.needs:
        found["same steps"] = plain
    elif base != settings.optimizer:
        found["same gradients"] = _longer(plain, per_step(settings))
    length = per_round(settings)
    if length > 1 and settings.optimizer in _PROXIMAL:
        found["same rounds"] = _longer(plain, 1 / length)
    return found


def _longer(settings: Settings, factor: float) -> Settings:
    if settings.steps is not None:
        return replace(settings, steps=max(1, round(settings.steps * factor)))
    return replace(settings, epochs=settings.epochs * factor)


@final
@dataclass(frozen=True)
class Gain:
    """How much better the method did than one arm: mean over seeds, and its 95% interval.

    Seeds share initial weights and data order between the arms, so differences are paired.
    """

    arm: str
    mean: float
    low: float
    high: float
    seeds: int

    @property
    def survives(self) -> str:
        """``yes`` if the interval is above 0, ``no`` if below, else ``undecided``."""
        if self.seeds < 2 or self.low <= 0 <= self.high:
            return "undecided"
        return "yes" if self.low > 0 else "no"


def gains(scores: Mapping[str, Sequence[float]]) -> list[Gain]:
    """The first arm's score less each other's, from scores by arm and seed.

    >>> [(g.arm, round(g.mean, 3), g.survives) for g in gains({"a": [3, 4, 5], "b": [1, 2, 3.1]})]
    [('b', 1.967, 'yes')]
    """
    names = list(scores)
    found = []
    for name in names[1:]:
        differences = [a - b for a, b in zip(scores[names[0]], scores[name], strict=True)]
        middle, half = mean(differences), math.inf
        if len(differences) > 1:
            quantile = float(student.ppf(0.975, len(differences) - 1))
            half = quantile * stdev(differences) / math.sqrt(len(differences))
        found.append(Gain(name, middle, middle - half, middle + half, len(differences)))
    return found


def report(found: Sequence[Gain]) -> str:
    """One sentence an arm: which part of the method's gain survives it."""
    what = {
        "lambda=0": "its step schedule without the pull",
        "mean step": "SGD at its mean step, as many gradients",
        "same gradients": "SGD at its step, as many gradients",
        "same steps": "SGD at its step, as many steps, a fraction of the gradients",
        "same rounds": "SGD at its step, as many outer iterations, a fraction of the gradients",
    }
    lines = []
    for gain in found:
        verdict = {
            "yes": "the gain survives", "no": "the arm is better",
            "undecided": "no difference is shown",
        }[gain.survives]  # fmt: skip
        interval = f" [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]" if gain.seeds > 1 else ""
        lines.append(
            f"against {gain.arm} ({what.get(gain.arm, 'a control arm')}): {100 * gain.mean:+.2f} "
            f"points of test accuracy{interval}, {gain.seeds} seeds: {verdict}"
        )
    return "\n".join(lines)
