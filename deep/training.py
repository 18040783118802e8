"""``Trainer``: one run of one optimizer on one network, stopped and continued bit for bit."""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from deep import checkpoint
from deep.data import AsIs, Batch, Dataset, dataset, seeded
from deep.graphs import StepGraph
from deep.loss import Loss
from deep.measures import gradient_noise, hessian_norm, loss_and_accuracy
from deep.networks import network
from deep.schedules import schedule
from deep.settings import Settings, method
from theorylab.errors import DataError, UsageError
from theorylab.plugins.code import code_behind
from theorylab.plugins.files import clear_leftovers
from theorylab.plugins.store import write_json
from theorylab.progress import bar

__all__ = ["Trainer", "load_data"]

_EVALUATION_BATCH = 1000
_reseed = torch.default_generator.manual_seed
# What loading a state that is of something else may raise.
_ODD = (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError)
# Purposes of a seed; different ones give unrelated streams.
_ORDER, _SUBSET, _LAYERS, _PROBE = 1, 2, 3, 6


def load_data(settings: Settings, directory: Path | str | None = None) -> Dataset:
    """The run's data: enlarged if too small for the network, cut to size, part of it held out.

    Its ``origin`` is the digest of all that was read.
    """
    source, architecture = dataset(settings.data), network(settings.model)
    data = source.load(directory)
    if data.paired:
        raise UsageError(f"{settings.data} holds pairs of images: train on it with theorylab gan")
    origin = data.digest
    side = min(data.input_size[1:])
    if side < architecture.smallest:
        larger = 2 ** math.ceil(math.log2(architecture.smallest))
        data = source.load(directory, image_size=larger)
    order = torch.randperm(len(data.train), generator=seeded(0, _SUBSET))
    held = math.ceil(settings.holdout * len(order))
    parts: dict[str, Any] = {"origin": origin}
    if held:
        parts["test"] = data.train.subset(order[:held])
    kept = order[held:]
    if settings.train_samples is not None:
        kept = kept[: settings.train_samples]
    if len(kept) < len(data.train):
        parts["train"] = data.train.subset(kept)
    if not settings.augment:
        parts["training"] = data.evaluation if data.input_size != data.train.shape else AsIs()
    return replace(data, **parts)


@final
class Trainer:
    """Trains a classifier; every measurement is a row of :attr:`history`.

    A step draws a batch, sets the scheduled step size, and calls the optimizer with a closure; for
    methods that ask for full gradients, with one over the training samples too (as they are, not
    augmented). :attr:`gradients` counts the samples of every closure that was evaluated, so two a
    sample for SAM, and :attr:`passes` the full gradients, which are in it.
    Dropout and the like are reseeded at every step from ``(seed, process, step)``, so there is no
    hidden generator state: what is saved is weights and buffers, the optimizer's state (inner
    index and its generators included), the data order's position, and the history.

    Several processes each take their share of every batch; their weighted mean gradient is that
    of the whole batch. Batch normalization uses each process's (and, with ``accumulate``, each
    part's) own statistics.

    Parameters
    ----------
    settings : Settings
    data : Dataset
        As :func:`load_data` gives it.
    folder : Path, optional
        Where checkpoint and history are kept; without one, nothing is written.
    device : torch.device
    process : (rank, world)

    Raises
    ------
    UsageError
        If the settings do not fit the network or data, or the folder holds another run.

    >>> settings = Settings(model="two_conv", steps=3, evaluations=1, batch_size=8)
    >>> history = Trainer(settings, load_data(settings)).run(progress=False)
    >>> [(row["steps"], row["rounds"], row["gradients"]) for row in history]
    [(0, 0, 0), (3, 3, 24)]
    """

    def __init__(
        self,
        settings: Settings,
        data: Dataset,
        *,
        folder: Path | None = None,
        device: torch.device | str = "cpu",
        process: tuple[int, int] = (0, 1),
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.device = torch.device(device)
        self._on_cuda = self.device.type == "cuda"
        self.rank, self.world = process
        self._given, self.data = data, data.to(self.device)
        self._samples = len(data.train)
        channels, height, _ = data.input_size
        self.network: nn.Module = network(settings.model).build(
            len(data.classes), channels, image_size=height, seed=settings.seed,
            **settings.model_options,
        ).to(self.device)  # fmt: skip
        if settings.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = settings.build_optimizer(self.network)
        self.batches = self.data.batches(
            settings.batch_size, int(np.random.SeedSequence([settings.seed, _ORDER])
                                     .generate_state(1)[0]), shard=process,
        )  # fmt: skip
        per_epoch = len(self.batches)
        # What epochs decide ends with a round: within one, weights are no outcome of the method.
        self.total = settings.steps or self._whole_rounds(
            max(1, round(settings.epochs * per_epoch))
        )
        self.schedule = schedule(
            settings.schedule, settings.step_size, self.total,
            round(settings.warmup * per_epoch), settings.warmup_from,
        )  # fmt: skip
        self.steps = 0
        self.gradients = self.passes = 0
        self.seconds = 0.0
        self.history: list[dict[str, Any]] = []
        self._recent: deque[tuple[Tensor, Tensor, int]] = deque(
            maxlen=int(self.optimizer.defaults.get("memory", 1))
        )
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._loss = Loss(self.network, parameters, settings, self.device, self.world)
        self._graph = StepGraph(self) if settings.step_graph else None
        evaluations = min(settings.evaluations, self.total)
        every = self.total / evaluations
        self._due = sorted({round(i * every) for i in range(1, evaluations)} - {0})
        self._due.append(self.total)
        self._measured = 0
        self._layer_seeds: tuple[int, list[int]] = (-1, [])

    # --- rounds ------------------------------------------------------------------------------
    @property
    def _anew_every_epoch(self) -> bool:
        """Whether the inner index starts anew at every epoch, as in the authors' code."""
        arguments = self.settings.arguments
        return arguments.get("variant") == "authors" and "lam" in arguments

    @property
    def between_rounds(self) -> bool:
        """Whether the next step begins a round."""
        if self._anew_every_epoch and self.batches.position >= len(self.batches):
            return True
        return self.optimizer.between_rounds

    def _whole_rounds(self, steps: int) -> int:
        """The first end of a round at or after ``steps``, where rounds have a fixed length."""
        if self._anew_every_epoch:
            return steps
        begins = self.optimizer.begins(steps, 1000)
        return steps if begins is None or not begins.any() else steps + int(begins.argmax())

    @property
    def due(self) -> bool:
        """Whether it is time to measure: at the first end of a round since it was, or the end."""
        if self.steps == self.total:
            return True
        passed = self._due[bisect_right(self._due, self._measured)] <= self.steps
        return passed and self.between_rounds

    def measured(self) -> None:
        """Note that this step was measured, so that :attr:`due` waits for the next one."""
        self._measured = self.steps

    # --- a step ------------------------------------------------------------------------------
    def step(self) -> Tensor:
        """One optimizer step; the mini-batch's mean loss (this process's part of it)."""
        return self.step_on(*self.draw())

    def draw(self) -> tuple[Batch, int]:
        """The next batch (this process's part), and its samples over all processes."""
        batch = self.batches.draw()
        before = (self.batches.position - 1) * self.settings.batch_size
        if before == 0 and self._anew_every_epoch:
            self.optimizer.restart()
        return batch, min(self.settings.batch_size, self._samples - before)

    def step_on(self, batch: Batch, whole: int) -> Tensor:
        """One step on a given batch, of ``whole`` samples over all processes."""
        self.steps += 1
        lr = float(self.schedule(self.steps))
        if self._graph is not None:
            return self._graph.step(batch.images, batch.targets, whole, lr)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
            if self.settings.lam_over_lr is not None:
                group["lam"] = self.settings.lam_over_lr / lr if lr > 0 else 0.0
        self.seed_layers()
        if self._recent.maxlen == 1:
            closure = partial(self.closure, batch.images, batch.targets, whole)
            return self.optimizer.step(closure, self.full_closure)
        self._recent.appendleft((batch.images, batch.targets, whole))
        closures = [partial(self.closure, *held) for held in self._recent]
        return self.optimizer.step(closures, self.full_closure)

    def seed_layers(self) -> None:
        """Seed dropout and the like from ``(seed, process, step)``, for many steps at a time."""
        block, seeds = self._layer_seeds
        if self.steps // 1024 != block:
            block = self.steps // 1024
            key = np.random.SeedSequence([self.settings.seed, _LAYERS, self.rank, block])
            self._layer_seeds = block, (seeds := key.generate_state(1024).tolist())
        _reseed(seed := seeds[self.steps % 1024])
        if self._on_cuda:
            index = self.device.index
            torch.cuda.default_generators[
                torch.cuda.current_device() if index is None else index
            ].manual_seed(seed)

    def closure(self, images: Tensor, targets: Tensor, whole: int) -> Tensor:
        """The mean loss of a batch, with its gradient left in the parameters."""
        self.gradients += whole
        return self._loss.of_batch(images, targets, whole)

    def full_closure(self) -> Tensor:
        """The mean loss over all training samples, with its gradient left in the parameters."""
        train = self.data.train
        self.passes += 1
        self.gradients += len(train)
        batches = self.data.in_order(train, _EVALUATION_BATCH)
        # Each process goes over all of them, so nothing is averaged.
        return self._loss.of_parts(((b.images, b.targets) for b in batches), 1 / len(train))

    # --- a run -------------------------------------------------------------------------------
    def run(
        self,
        *,
        checkpoint_every: float = 30.0,
        progress: bool | None = None,
        label: str = "",
        until: int | None = None,
        logs: bool = True,
    ) -> list[dict[str, Any]]:
        """Go on from the folder's checkpoint, or from the start, to the end; the history.

        ``checkpoint_every`` is in seconds (under ``torchrun``, checkpoints are taken at
        evaluations alone). ``until`` stops after that many steps, as an interruption would.
        ``logs`` are TensorBoard's, where it is installed.
        """
        self._resume()
        if not self.history:
            self.evaluate()
        writer = self._writer() if logs else None
        end = self.total if until is None else min(until, self.total)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices), bar(progress) as display:
            task = display.add_task(label or self.settings.optimizer, total=self.total,
                                    completed=self.steps)  # fmt: skip
            self.network.train()
            started = saved = shown = time.perf_counter()
            before = self.seconds
            while self.steps < end:
                self.step()
                now = time.perf_counter()
                if now - shown > 0.1:
                    display.update(task, completed=self.steps)
                    shown = now
                if self.due:
                    if self.device.type == "cuda":
                        torch.cuda.synchronize()
                    self.seconds = before + time.perf_counter() - started
                    self.evaluate()
                    self._log(writer)
                    self._save()
                    saved = started = time.perf_counter()
                    before = self.seconds
                elif self.world == 1 and now - saved >= checkpoint_every:
                    self.seconds = before + now - started
                    self._save()
                    saved = time.perf_counter()
                    before, started = self.seconds, saved
        if writer is not None:
            writer.close()
        return self.history

    def evaluate(self) -> None:
        """Append a row: losses, accuracies, gap and, if asked for, gradient and curvature."""
        self.measured()
        if self.rank:
            return
        data, limit = self.data, self.settings.evaluate_samples
        train = data.train
        if limit < len(train):
            # At random: many data sets are ordered by class.
            train = train.subset(torch.randperm(len(train), generator=seeded(0, _PROBE))[:limit])
        row: dict[str, Any] = {
            "steps": self.steps, "rounds": self.optimizer.rounds,
            "between_rounds": self.between_rounds, "gradients": self.gradients,
            "seconds": self.seconds,
            "epoch": self.steps / len(self.batches),
            "lr": float(self.schedule(max(self.steps, 1))),
        }  # fmt: skip
        for name, split in (("train", train), ("test", data.test)):
            loss, accuracy = loss_and_accuracy(
                self.network, data.in_order(split, _EVALUATION_BATCH)
            )
            row |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
        row["gap"] = row["test_loss"] - row["train_loss"]
        if self.settings.measures and math.isfinite(row["train_loss"]):
            mixed = torch.randperm(len(train), generator=seeded(0, _PROBE, 1))
            probe = train.subset(mixed[: self.settings.measures])
            few = list(data.in_order(probe, max(1, len(probe) // 16)))
            noise = gradient_noise(self.network, few)
            whole = next(data.in_order(probe, len(probe)))
            row |= {
                "gradient_norm": noise.norm, "noise_variance": noise.variance,
                "hessian_norm": hessian_norm(self.network, whole.images, whole.targets),
            }  # fmt: skip
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                row[name] = None  # diverged; JSON has no NaN
        self.history.append(row)

    # --- what is kept ------------------------------------------------------------------------
    @cached_property
    def made(self) -> Mapping[str, str]:
        """Digests of all but the settings that decides the result: the data, and the code."""
        modules = {__name__, method(self.settings.optimizer).factory.rule.__module__,
                   network(self.settings.model).build.__module__}  # fmt: skip
        return {"data": self._given.digest, "code or libraries": code_behind(frozenset(modules))}

    def state_dict(self) -> dict[str, Any]:
        """All that decides how the run goes on: tensors, numbers and strings."""
        if self._graph is not None:
            self._graph.put_back()
        return {
            "settings": json.dumps(self.settings.to_json(), sort_keys=True),
            "made": dict(self.made),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches.state_dict(),
            "recent": [list(held) for held in self._recent] if self._recent.maxlen != 1 else [],
            "steps": self.steps,
            "gradients": self.gradients,
            "passes": self.passes,
            "seconds": self.seconds,
            "history": self.history,
            "measured": self._measured,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where the state was taken.

        Raises
        ------
        UsageError
            If it is of a run with other settings.
        """
        theirs, mine = json.loads(state["settings"]), json.loads(
            json.dumps(self.settings.to_json())
        )  # fmt: skip
        for name, value in mine.items():
            if theirs.get(name) != value:
                raise UsageError(
                    f"the run kept in {self.folder} has {name} {theirs.get(name)!r}, here it is "
                    f"{value!r}: choose another --out"
                )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.load_state_dict(state["batches"])
        self._recent.clear()
        self._recent.extend((x.to(self.device), y.to(self.device), n) for x, y, n in
                            state["recent"])  # fmt: skip
        self.steps, self.gradients = state["steps"], state["gradients"]
        self.passes = state["passes"]
        self.seconds, self.history = state["seconds"], list(state["history"])
        self._measured = state["measured"]
        if self._graph is not None:
            self._graph = StepGraph(self)  # the one before acts on another state

    def _resume(self) -> None:
        if self.folder is None:
            return
        if self.rank == 0:
            clear_leftovers(self.folder)
        path = self.folder / "checkpoint.pt"
        state = self._state(path)
        if state is None:
            return
        try:
            self.load_state_dict(state)
        except UsageError:
            raise
        except _ODD as error:
            raise DataError(f"{path} is not a checkpoint of this run: {error}") from error

    def _state(self, path: Path) -> Mapping[str, Any] | None:
        """The checkpoint's; of several processes the first judges it for all."""
        if self.world == 1:
            return checkpoint.resume(path, self.made)
        state = checkpoint.resume(path, self.made) if self.rank == 0 else None
        told = [state is not None]
        dist.broadcast_object_list(told, src=0)
        return checkpoint.load(path) if self.rank and told[0] else state

    def _save(self) -> None:
        if self.folder is None or self.rank:
            return
        checkpoint.save(self.folder / "checkpoint.pt", self.state_dict())
        write_json(self.folder / "history.json", self.history)

    def _writer(self) -> Any:
        """TensorBoard's, if it is installed (the extra ``logs``)."""
        if self.folder is None or self.rank:
            return None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        # What a killed run logged after its last checkpoint is dropped.
        return SummaryWriter(str(self.folder), purge_step=self.steps + 1)

    def _log(self, writer: Any) -> None:
        if writer is None:
            return
        row = self.history[-1]
        for name, value in row.items():
            if name != "steps" and value is not None:
                writer.add_scalar(name, value, row["steps"])
        writer.flush()
