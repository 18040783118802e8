"""One part of ``python -m deep.gpu`` in its process: device, data, plan."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from deep.data import Dataset, load
from deep.devices import device_named
from deep.gpu.cells import Cell, CellPlan, run_cells
from deep.gpu.checks import CheckPlan, run_checks
from deep.gpu.record import Record
from deep.gpu.throughput import ThroughputPlan, run_throughput
from deep.recipes import lrsgd_table_1
from theorylab.errors import UsageError
from theorylab.plugins.provenance import provenance

__all__ = ["child", "data_of", "described"]

_TINY_CHECKS = CheckPlan(("msgd", "lrsgd_r", "tradam"), ("lenet", "resnet20"), deep_model="lenet",
                         resumed=("lrsgd_r",), steps=4, batch=8)  # fmt: skip
_TINY_SPEED = ThroughputPlan("lenet", (4,), window=2, warm=1, compiled=False)


def described(options: argparse.Namespace) -> Mapping[str, Any]:
    """Command, time, versions, code, machine: what this run is a result of."""
    device = device_named(options.device)
    details: dict[str, Any] = {"device": "cpu", "cuda": None}
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        details = {"device": found.name, "cuda": torch.version.cuda,
                   "memory_mib": found.total_memory // 2**20,
                   "cudnn": torch.backends.cudnn.version()}  # fmt: skip
    kind, path = _source(options)
    if path is not None and not path.exists():
        raise UsageError(f"there is no data at {path}")
    details["command"] = _command(options)
    return provenance(
        seed=options.seed, preset=options.preset, minutes=options.minutes, data=kind,
        threads=torch.get_num_threads(), **details,
    )  # fmt: skip


def _command(options: argparse.Namespace) -> str:
    """The command without this machine's paths."""
    words = ["python -m deep.gpu"]
    for name, value in sorted(vars(options).items()):
        if name not in ("child", "seconds") and value not in (None, ""):
            shown = name.upper() if isinstance(value, Path) else value
            words.append(f"--{name.replace('_', '-')} {shown}")
    return " ".join(words)


def _source(options: argparse.Namespace) -> tuple[str, Path | None]:
    if options.data_dir is not None:
        return "cifar10", options.data_dir
    if options.jpeg is not None:
        return "cifar10-jpeg", options.jpeg
    return "synthetic-images", None


def data_of(options: argparse.Namespace) -> tuple[str, Dataset]:
    """CIFAR-10 where its place is given, else the JPEG files, else generated images, by name."""
    kind, path = _source(options)
    if options.preset == "tiny":
        sizes = {"train": 256, "test": 64} if path is None else {}
        data = load(kind, path, **sizes)
        few = torch.arange(256), torch.arange(64)
        return kind, replace(data, train=data.train.subset(few[0]), test=data.test.subset(few[1]))
    if kind == "cifar10-jpeg":
        return kind, load(kind, path, jobs=16)
    return kind, load(kind, path)


def child(options: argparse.Namespace) -> int:
    """Run one part within its seconds."""
    end = time.perf_counter() + options.seconds
    device = device_named(options.device)
    record = Record(options.out / "gpu.jsonl")
    tiny = options.preset == "tiny"
    if options.child == "cells":
        kind, data = data_of(options)
        plan = CellPlan.named(options.plan)
        if tiny:
            few = [*lrsgd_table_1(("lenet",))][:2]
            plan = CellPlan([Cell(r) for r in few], evaluate_samples=64, steps=4, fast=False)
        chosen = [cell for cell in plan.cells if options.only in cell.name]
        run_cells(replace(plan, cells=chosen), data, device, record, end - time.perf_counter(),
                  options.work, options.seed, kind)  # fmt: skip
        return 0
    # Speed and agreement do not depend on what the images show.
    sizes = (256, 64) if tiny else (4096, 1024)
    images = load("synthetic-images", train=sizes[0], test=sizes[1])
    if options.child == "checks":
        run_checks(_TINY_CHECKS if tiny else CheckPlan(), images, device, record,
                   end - time.perf_counter())  # fmt: skip
    else:
        run_throughput(_TINY_SPEED if tiny else ThroughputPlan(), images, device, record,
                       end - time.perf_counter())  # fmt: skip
    return 0
