"""Does the device compute what a CPU does? Optimizers, networks, precision, graphs, resume."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep.data import Dataset, seeded
from deep.gpu.record import Record
from deep.networks import NETWORKS, network
from deep.settings import METHODS, Settings
from deep.training import Trainer

__all__ = ["CheckPlan", "run_checks"]

Closure = Callable[[], Tensor]

_EXACT = 1e-6  # in float64; rounding alone is many orders below
_CLOSE = 0.05  # with bfloat16, of the way moved
_ROUGH = 0.3  # bfloat16 keeps 8 bits: on a CPU the gradient of a new resnet20 is 0.12 to 0.14 off
_SIDES = {"unet": 64, "patchgan": 64, "imagenet": 64, "resnet101": 16, "densenet121": 16}


@final
@dataclass(frozen=True)
class CheckPlan:
    """What is checked: optimizers on ``model``, networks, those resumed, steps, samples a step."""

    optimizers: tuple[str, ...] = tuple(METHODS)
    networks: tuple[str, ...] = tuple(NETWORKS)
    resumed: tuple[str, ...] = ("sngm", "lrsgd_r", "tradam", "entropy_sgd")
    model: str = "lenet"
    deep_model: str = "resnet20"
    steps: int = 12
    batch: int = 32


def run_checks(
    plan: CheckPlan, data: Dataset, device: torch.device, record: Record, seconds: float
) -> None:
    """Every check that fits in ``seconds``, each recorded as soon as it is known."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    end = time.perf_counter() + seconds
    for name, work in _all(plan, data, device):
        left = end - time.perf_counter()
        if left <= 1:
            record.write("checks", name, ok=False, seconds=0.0, error="OutOfTime: not started")
            continue
        record.attempt("checks", name, work, min(left, 45))


def _all(
    plan: CheckPlan, data: Dataset, device: torch.device
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for name in plan.optimizers:
        yield f"optimizer {name}", partial(_optimizer, name, plan, device)
    base = Settings(
        model=plan.model, data="synthetic-images", batch_size=plan.batch, steps=plan.steps,
        evaluations=1, evaluate_samples=256,
    )  # fmt: skip
    large = replace(base, model=plan.deep_model, optimizer="msgd", lr=0.05)
    fast = replace(large, amp=True, channels_last=True)
    yield "mixed precision", partial(_precision, large, fast, data, device)
    yield (
        "step graph, mixed precision, accumulation",
        partial(_graph, fast, data, device, accumulate=2),
    )
    for name in plan.optimizers:
        # A graph holds one mini-batch.
        if name not in METHODS or not (
            "memory" in METHODS[name].options or "full_gradient" in METHODS[name].factory.rule.needs
        ):
            yield f"step graph {name}", partial(_graph, base, data, device, optimizer=name)
    resumed = replace(base, model_options={"dropout": 0.2})
    for name in plan.resumed:
        yield f"resume {name}", partial(_resume, resumed, data, device, optimizer=name)
        yield (
            f"resume {name}, step graph",
            partial(_resume, resumed, data, device, optimizer=name, step_graph=True),
        )
    for name in plan.networks:
        yield f"network {name}", partial(_network, name, device)


def _flat(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1).double().cpu() for p in network.parameters()])


def _apart(a: Tensor, b: Tensor, start: Tensor) -> float:
    """How far apart two ends are, as a share of the way one of them moved."""
    return float((a - b).norm() / (a - start).norm())


def _optimizer(name: str, plan: CheckPlan, device: torch.device) -> dict[str, Any]:
    """The weights after some steps in float64, on the device and on the CPU."""
    ends = []
    start = _flat(network(plan.model).build(10, 3, image_size=32, seed=0))
    for where in (torch.device("cpu"), device):
        module = network(plan.model).build(10, 3, image_size=32, seed=0).double().to(where)
        optimizer = Settings(model=plan.model, optimizer=name).build_optimizer(module)
        optimizer.draw_on("cpu")
        draw = partial(_drawn, module, where, seeded(0, 11))
        full = draw(2 * plan.batch)
        for _ in range(plan.steps):
            optimizer.step(draw(plan.batch), full)
        ends.append(_flat(module))
    apart = _apart(ends[0], ends[1], start)
    return {"ok": apart < _EXACT, "apart": apart, "allowed": _EXACT, "steps": plan.steps}


def _drawn(
    module: nn.Module, where: torch.device, generator: torch.Generator, samples: int
) -> Closure:
    """A closure over a batch of random images and labels."""
    x = torch.randn(samples, 3, 32, 32, generator=generator, dtype=torch.float64)
    y = torch.randint(10, (samples,), generator=generator)
    return partial(_gradient, module, x.to(where), y.to(where))


def _gradient(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    module.zero_grad(set_to_none=True)
    loss = F.cross_entropy(module(x), y)
    loss.backward()
    return loss.detach()


def _network(name: str, device: torch.device) -> dict[str, Any]:
    """Output and gradient in float64, training mode without dropout, on the device and the CPU."""
    entry = network(name)
    side = next((s for key, s in _SIDES.items() if key in name), entry.input_size[1])
    options: dict[str, Any] = {"width": 8} if entry.kind != "classifier" else {}
    found = []
    x = torch.randn(2, entry.input_size[0], side, side, generator=seeded(0, 12),
                    dtype=torch.float64)  # fmt: skip
    for where in (torch.device("cpu"), device):
        module = entry.build(None, None, image_size=side, seed=0, **options).double().to(where)
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        out = module(x.to(where))
        weights = torch.randn(out.shape, generator=seeded(0, 13), dtype=torch.float64)
        (out * weights.to(where)).sum().backward()
        gradient = torch.cat([p.grad.reshape(-1).cpu() for p in module.parameters()
                              if p.grad is not None])  # fmt: skip
        found.append((out.detach().cpu().reshape(-1), gradient))
    apart = [float((a - b).norm() / a.norm()) for a, b in zip(*found, strict=True)]
    return {"ok": max(apart) < _EXACT, "output": apart[0], "gradient": apart[1], "allowed": _EXACT}


def _trained(settings: Settings, data: Dataset, device: torch.device, **options: Any) -> Trainer:
    trainer = Trainer(settings, data, device=device, folder=options.pop("folder", None))
    trainer.run(progress=False, **options)
    return trainer


def _precision(a: Settings, b: Settings, data: Dataset, device: torch.device) -> dict[str, Any]:
    """The first gradient, and the loss after some steps, in float32 and with bfloat16 autocast."""
    gradients = []
    for settings in (a, b):
        trainer = Trainer(settings, data, device=device)
        trainer.network.train()
        images, targets, _ = trainer.batches.draw()
        trainer.closure(images, targets, len(images))
        gradients.append(
            torch.cat(
                [
                    p.grad.reshape(-1).double()
                    for p in trainer.network.parameters()
                    if p.grad is not None
                ]
            )
        )
    full, mixed = (_trained(s, data, device).history[-1]["train_loss"] for s in (a, b))
    apart = float((gradients[0] - gradients[1]).norm() / gradients[0].norm())
    return {"ok": 0 < apart < _ROUGH, "gradient": apart, "allowed": _ROUGH,
            "float32_loss": full, "bfloat16_loss": mixed}  # fmt: skip


def _graph(base: Settings, data: Dataset, device: torch.device, **changes: Any) -> dict[str, Any]:
    """The weights after the same steps launched one by one and as one graph a step.

    In float64, except with autocast. In float32 the two differ in the last bit of Adam's step (a
    number over a tensor is rounded twice, a tensor over a tensor once), and so does the outcome of
    two runs without graphs whose steps differ by that bit: on a CPU by up to 0.4% of the way after
    12 steps of Adam, in float64 by less than 1e-13. What float32 gives is recorded, not judged.
    """
    settings = replace(base, **changes)
    start = _flat(Trainer(settings, data).network)

    def apart(double: bool) -> float:
        ends = []
        for on in (False, True):
            trainer = Trainer(replace(settings, step_graph=on), data, device=device)
            if double:
                trainer.network.double().register_forward_pre_hook(lambda _, x: (x[0].double(),))
            trainer.run(progress=False)
            ends.append(_flat(trainer.network))
        return _apart(ends[0], ends[1], start)

    single = apart(False)
    if settings.amp:
        return {"ok": single < _CLOSE, "apart": single, "allowed": _CLOSE, "steps": settings.steps}
    found = apart(True)
    return {"ok": found < _EXACT, "apart": found, "allowed": _EXACT, "steps": settings.steps,
            "float32": single}  # fmt: skip


def _resume(base: Settings, data: Dataset, device: torch.device, **changes: Any) -> dict[str, Any]:
    """A run stopped in the middle and continued, beside one that was not: the same bits."""
    settings = replace(base, **changes)
    assert settings.steps is not None
    whole = _flat(_trained(settings, data, device).network)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _trained(settings, data, device, folder=folder, until=settings.steps // 2,
                 checkpoint_every=0.0)  # fmt: skip
        again = _flat(_trained(settings, data, device, folder=folder).network)
    start = _flat(Trainer(settings, data).network)
    same = bool(torch.equal(whole, again))
    return {"ok": same, "same_bits": same, "apart": _apart(whole, again, start)}
