"""What each of two processes does in tests/test_sharding.py; run by ``torch.multiprocessing``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from networks_for_optimizers import CASES
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from theorylab.torch import optim as torch_optim

STEPS, WORLD = 6, 2
CONTROLS: dict[str, Any] = {
    "torch SGD": lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.01),
    "torch Adam": lambda p: torch.optim.Adam(p, 0.01),
}
SEEDED = {"LRSGD_R unseeded": lambda p: torch_optim.LRSGD_R(p, 0.1, 0.5)}
EVERY: dict[str, Any] = {
    **CASES, **CONTROLS, **SEEDED, "SVRG": lambda p: torch_optim.SVRG(p, 0.1, 3),
    "LARS plain": lambda p: torch_optim.LARS(p, 1.0, trust=0.05, vectors="plain"),
}  # fmt: skip


def network() -> nn.Module:
    torch.manual_seed(0)
    # Seven rows over two processes are cut unevenly; of one row a process has none.
    layers = nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 1))
    return layers.double()


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    return x, torch.randn(8, 1, generator=generator, dtype=torch.float64)


def train(model: nn.Module, optimizer: Any, first: int, steps: int, part: slice) -> None:
    def closure_of(step: int) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            model.zero_grad()
            x, y = batch(step)
            loss = (model(x[part]) - y[part]).square().mean()
            loss.backward()
            return loss

        return closure

    for step in range(first, first + steps):
        full = [closure_of(99)] if type(optimizer).__name__ == "SVRG" else []
        optimizer.step(closure_of(step), *full)


def alone(case: str) -> Tensor:
    """The weights of one process."""
    model = network()
    train(model, EVERY[case](model.parameters()), 0, STEPS, slice(None))
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def _whole(model: nn.Module) -> Tensor:
    return torch.cat([
        (p.full_tensor() if hasattr(p, "full_tensor") else p).detach().reshape(-1)
        for p in model.parameters()
    ])  # fmt: skip


def _sharded(case: str, part: slice) -> dict[str, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    def cut() -> nn.Module:
        model = network()
        fully_shard(model, mesh=init_device_mesh("cpu", (WORLD,)))
        return model

    model = cut()
    try:
        optimizer = EVERY[case](model.parameters())
    except ValueError as error:
        return {"refused": str(error)}
    train(model, optimizer, 0, STEPS, part)
    found: dict[str, Any] = {"weights": _whole(model)}
    # Half way, through a distributed checkpoint, sharded and whole.
    for full in (False, True):
        options = StateDictOptions(full_state_dict=full)
        one, other = cut(), cut()
        first, second = EVERY[case](one.parameters()), EVERY[case](other.parameters())
        train(one, first, 0, 4, part)
        tensors = [x for held in first.state.values() for x in held.values() if x.ndim]
        if full and not tensors:  # torch cannot load a whole state of numbers alone
            continue
        state = get_optimizer_state_dict(one, first, options=options)
        set_optimizer_state_dict(other, second, state, options=options)
        with torch.no_grad():
            for mine, theirs in zip(other.parameters(), one.parameters(), strict=True):
                mine.copy_(theirs)
        train(other, second, 4, STEPS - 4, part)
        found[f"resumed {full}"] = _whole(other)
    return found


def _partitioned(case: str, part: slice) -> dict[str, Any]:
    from torch.distributed.optim import ZeroRedundancyOptimizer
    from torch.nn.parallel import DistributedDataParallel

    model = network()
    try:
        build = EVERY[case]
        optimizer = ZeroRedundancyOptimizer(model.parameters(), _Class(build))  # type: ignore[arg-type]
    except ValueError as error:
        return {"refused": str(error)}
    train(DistributedDataParallel(model), optimizer, 0, STEPS, part)
    return {"weights": _whole(model)}


class _Class:
    """A function that makes an optimizer, for those who ask for a class."""

    def __init__(self, build: Callable[[Any], Any]) -> None:
        self._build = build

    def __call__(self, params: Any, **_: Any) -> Any:
        return self._build(params)


def work(rank: int, kind: str, names: list[str], folder: str) -> None:
    """One process: every optimizer in turn; the first one keeps what was found."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD)
    part = slice(4 * rank, 4 * rank + 4)
    run = {"fully_shard": _sharded, "zero": _partitioned}[kind]
    found = {case: run(case, part) for case in names}
    if rank == 0:
        torch.save(found, Path(folder) / "found.pt")
    dist.barrier()
    dist.destroy_process_group()
