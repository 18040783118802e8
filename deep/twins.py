"""Stability twins on networks: two runs that differ in one training sample, and in nothing else.

Twins share initial weights, the order of the data, augmentation, dropout and the optimizer's
draws. So every gap is exactly 0 until the replaced sample is first drawn. Gaps found with
finitely many twins are lower estimates of uniform stability: they refute nothing and prove
nothing about a bound.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep import checkpoint
from deep.data import Dataset, TensorSplit, seeded
from deep.settings import Settings
from deep.training import Trainer
from theorylab.errors import DataError, UsageError
from theorylab.progress import track

__all__ = ["TwinPair", "gaps", "train_twins"]

_CHOICE = 4
_BATCH = 1000


@final
@dataclass(frozen=True)
class TwinPair:
    """One twin beside the common run.

    Attributes
    ----------
    sample : int
        The row of the training set that the twin has replaced (by a test sample).
    first_drawn : int or None
        The step that first drew it.
    rows : tuple of dict
        At each measured step: ``steps``, ``rounds``, ``gradients``, ``largest_loss_gap`` and
        ``mean_loss_gap`` over test samples, ``distance`` between the weights (Euclidean) and
        ``disagreement``, the share of test samples predicted differently.
    """

    sample: int
    first_drawn: int | None
    rows: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"sample": self.sample, "first_drawn": self.first_drawn, "rows": list(self.rows)}


@torch.no_grad()
def gaps(network: nn.Module, twin: nn.Module, scores: tuple[Tensor, Tensor], targets: Tensor
         ) -> dict[str, float]:  # fmt: skip
    """How far apart two networks are, in weights and on samples with the given scores."""
    losses = [F.cross_entropy(s.float(), targets, reduction="none") for s in scores]
    gap = (losses[0] - losses[1]).abs()
    squares = [
        (p.double() - q.double()).square().sum()
        for p, q in zip(network.parameters(), twin.parameters(), strict=True)
    ]
    return {
        "largest_loss_gap": float(gap.max()),
        "mean_loss_gap": float(gap.mean()),
        "distance": float(torch.stack(squares).sum().sqrt()),
        "disagreement": float((scores[0].argmax(1) != scores[1].argmax(1)).double().mean()),
    }


def train_twins(
    settings: Settings,
    data: Dataset,
    *,
    count: int = 1,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    checkpoint_every: float = 30.0,
    until: int | None = None,
    progress: bool | None = None,
) -> list[TwinPair]:
    """Train a network and ``count`` twins of it in lockstep; what keeps them apart.

    Replaced rows and the test samples that take their place are drawn from the seed. Memory and
    time are those of ``count + 1`` runs. With a ``folder`` a checkpoint of all of them is kept
    there, every ``checkpoint_every`` seconds and at measurements, and the same call goes on from
    it; ``until`` stops after that many steps, as an interruption would.

    Raises
    ------
    UsageError
        If the images are not held in memory, or ``count`` is not positive.
    """
    train, test = data.train, data.test
    if not isinstance(train, TensorSplit) or not isinstance(test, TensorSplit):
        raise UsageError("twins need a data set that fits in memory")
    if not 1 <= count <= len(train):
        raise UsageError(f"twins: between 1 and {len(train)} required, got {count}")
    generator = seeded(settings.seed, _CHOICE)
    rows = torch.randperm(len(train), generator=generator)[:count].tolist()
    donors = torch.randint(len(test), (count,), generator=generator).tolist()
    common = Trainer(settings, data, device=device)
    others = []
    for row, donor in zip(rows, donors, strict=True):
        image, target = test.take(torch.tensor([donor]))
        twin = replace(data, train=train.replaced(row, image[0], target[0]))
        others.append(Trainer(settings, twin, device=device))
    first: list[int | None] = [None] * count
    found: list[list[dict[str, Any]]] = [[] for _ in rows]
    devices = [common.device] if common.device.type == "cuda" else []
    path = None if folder is None else folder / "checkpoint.pt"
    made = dict(common.made)

    def save() -> None:
        if path is not None:
            states = [trainer.state_dict() for trainer in (common, *others)]
            checkpoint.save(path, {"made": made, "runs": states, "first": first, "rows": found,
                                   "count": count})  # fmt: skip

    if path is not None and (state := checkpoint.resume(path, made)) is not None:
        try:
            if state["count"] != count:
                raise UsageError(f"{folder} holds {state['count']} twins: choose another --out")
            for trainer, kept in zip((common, *others), state["runs"], strict=True):
                trainer.load_state_dict(kept)
            first, found = list(state["first"]), [list(r) for r in state["rows"]]
        except UsageError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise DataError(f"{path} is not a checkpoint of these twins: {error}") from error
    end = common.total if until is None else min(until, common.total)
    saved = time.perf_counter()
    with torch.random.fork_rng(devices):
        for step in track(range(common.steps + 1, end + 1), "twins", progress):
            batch, whole = common.draw()
            drawn = set(batch.rows.tolist())
            common.step_on(batch, whole)
            for i, (row, other) in enumerate(zip(rows, others, strict=True)):
                other.step()
                # A full gradient has every sample in it.
                if first[i] is None and (row in drawn or common.passes):
                    first[i] = step
            if common.due:
                common.measured()
                for i, values in enumerate(_apart(common, others)):
                    place = {"steps": step, "rounds": common.optimizer.rounds,
                             "gradients": common.gradients}  # fmt: skip
                    found[i].append({**place, **values})
            if common.steps == end or time.perf_counter() - saved >= checkpoint_every:
                save()
                saved = time.perf_counter()
    return [TwinPair(r, f, tuple(rows_)) for r, f, rows_ in zip(rows, first, found, strict=True)]


def _apart(common: Trainer, others: list[Trainer]) -> list[dict[str, float]]:
    def scores(trainer: Trainer) -> Tensor:
        trainer.network.eval()
        with torch.no_grad():
            found = torch.cat([trainer.network(batch.images) for batch in
                               common.data.in_order(common.data.test, _BATCH)])  # fmt: skip
        trainer.network.train()
        return found

    base, targets = scores(common), common.data.test.targets
    return [gaps(common.network, o.network, (base, scores(o)), targets) for o in others]
