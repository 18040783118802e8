"""Segmentation networks for FCN-scores: one of the user's, or a small one trained on the pairs."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, final

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from deep import checkpoint
from deep.data import Dataset, dataset, denormalise, label_map
from deep.devices import device_named
from deep.metrics import Segmentation, confusion, segmentation
from deep.settings import MAX_SEED
from theorylab.console import console
from theorylab.errors import DataError, UsageError, printable
from theorylab.options import counted
from theorylab.plugins.files import keep_beside
from theorylab.plugins.store import writable
from theorylab.progress import track

__all__ = ["Segmenter", "SmallSegmenter", "command", "keep_segmenter", "load_segmenter",
           "on_truth", "segmenter", "train_segmenter"]  # fmt: skip

Segmenter = Callable[[Tensor], Tensor]
"""Photos, uint8 (n, 3, h, w), to classes, int64 (n, h, w)."""


@final
class SmallSegmenter(nn.Module):
    """Four convolutions, two of them dilated, that see 19 pixels: enough for the generated street.

    Shapes: photos on the scale 0 to 1, ``(n, 3, h, w)``, to scores ``(n, num_classes, h, w)``.

    >>> SmallSegmenter(8)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 8, 16, 16])
    """

    def __init__(self, num_classes: int, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for dilation in (1, 2, 4):
            layers += [
                nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=False),
                nn.BatchNorm2d(width), nn.ReLU(),
            ]  # fmt: skip
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, num_classes, 5, padding=2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(2 * x - 1)


def segmenter(module: nn.Module) -> Segmenter:
    """Photos to classes by a network that takes values from 0 to 1 and gives scores a class."""
    module.eval()

    @torch.no_grad()
    def classes(photos: Tensor) -> Tensor:
        scores = module(photos.float() / 255)
        if scores.ndim != 4 or scores.shape[2:] != photos.shape[2:]:
            raise UsageError(
                "the segmentation network must give scores of shape (n, classes, "
                f"{photos.shape[2]}, {photos.shape[3]}), got {tuple(scores.shape)}"
            )
        return scores.argmax(1)

    return classes


def train_segmenter(
    data: Dataset, *, epochs: int = 5, batch_size: int = 16, lr: float = 3e-3, width: int = 32,
    seed: int = 0, device: torch.device | str = "cpu", progress: bool | None = None,
) -> SmallSegmenter:  # fmt: skip
    """A small network that reads the classes of the training photos, by Adam.

    Raises
    ------
    UsageError
        If the data are not pairs.
    """
    if not data.paired:
        raise UsageError(f"segment: pairs of images required, {data.label} has class labels")
    data = data.to(device)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        module = SmallSegmenter(len(data.classes), width).to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=lr)
    batches = data.batches(min(batch_size, len(data.train)), seed)
    for _ in track(range(epochs * len(batches)), "segmentation network", progress):
        label, photo, _ = batches.draw()
        wanted = label_map(denormalise(label, data.mean, data.std), data.palette)
        photos = denormalise(photo, data.mean, data.std).float() / 255
        loss = F.cross_entropy(module(photos), wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return module.eval()


def on_truth(data: Dataset, read: Segmenter) -> Segmentation:
    """A segmenter's scores on the true test photos: what no generator can be expected to exceed."""
    counts = torch.zeros(len(data.classes), len(data.classes), dtype=torch.int64)
    for label, photo, _ in data.in_order(data.test, 1):
        wanted = label_map(denormalise(label, data.mean, data.std), data.palette)
        found = read(denormalise(photo, data.mean, data.std))
        counts += confusion(found, wanted, len(data.classes)).cpu()
    return segmentation(counts)


def load_segmenter(
    spec: str, weights: Path, classes: int, device: torch.device | str = "cpu"
) -> Segmenter:
    """A network of the user's from ``module:factory`` (or ``file.py:factory``) and its weights.

    The factory is called with the number of classes if it takes an argument, else without. It
    gives a ``torch.nn.Module`` from photos on the scale 0 to 1, ``(n, 3, h, w)``, to scores
    ``(n, classes, h, w)``, classes in the order of the data's. The weights are a ``state_dict``,
    loaded with ``weights_only=True``: the file cannot run code. The module is code of the user's.

    Raises
    ------
    UsageError
        If there is no such module or factory, or it gives something else.
    DataError
        If the weights cannot be read or do not fit.
    """
    factory = _factory(spec)
    try:
        known = [p for p in inspect.signature(factory).parameters.values()
                 if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]  # fmt: skip
        module = factory(classes) if known else factory()
    except Exception as error:  # code of the user's may raise anything
        raise UsageError(f"--segmenter {spec} gives no network: {type(error).__name__}: "
                         f"{error}") from error  # fmt: skip
    if not isinstance(module, nn.Module):
        raise UsageError(f"--segmenter {spec}: a torch.nn.Module is required, got "
                         f"{type(module).__name__}")  # fmt: skip
    if not weights.is_file():
        raise DataError(f"--weights: there is no file {weights}")
    state: Any = checkpoint.load_weights(weights)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"--weights {weights} do not fit {spec}: {reason}") from None
    return segmenter(module.to(device))


def _factory(spec: str) -> Callable[..., Any]:
    where, colon, name = spec.rpartition(":")
    if not colon or not where or not name:
        raise UsageError(f"--segmenter expects MODULE:FACTORY or FILE.py:FACTORY, got {spec!r}")
    try:
        if where.endswith(".py"):
            found = importlib.util.spec_from_file_location("theorylab_segmenter", where)
            if found is None or found.loader is None or not Path(where).is_file():
                raise UsageError(f"--segmenter: there is no file {where}")
            module = importlib.util.module_from_spec(found)
            sys.modules[found.name] = module
            found.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
    except UsageError:
        raise
    except Exception as error:  # the user's module may fail in any way
        raise UsageError(
            f"--segmenter: {where} does not load: {type(error).__name__}: {error}"
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        raise UsageError(f"--segmenter: {where} has no factory {name!r}")
    return factory


def keep_segmenter(
    out: Path,
    data: str = "generated-pairs",
    data_dir: Path | None = None,
    *,
    image_size: int = 64,
    epochs: int = 5,
    seed: int = 0,
    device: str = "auto",
) -> Segmentation:
    """:func:`train_segmenter` on a registered set of pairs; its weights are kept at ``out``.

    Other weights that lie there stay, under a name such as ``segmenter-1f0c3a9b.pt``.

    Returns
    -------
    Segmentation
        Its scores on the true test photos.
    """
    target = writable(out)
    where = device_named(device)
    dataset(data).require_pairs("segment")
    content = dataset(data).load(data_dir, image_size=image_size)
    module = train_segmenter(content, epochs=epochs, seed=seed, device=where)
    state = {name: value.cpu() for name, value in module.state_dict().items()}
    if target.is_file() and not _same(target, state):
        keep_beside(target)
    checkpoint.save(target, state)
    return on_truth(content.to(where), segmenter(module))


def _same(path: Path, state: Mapping[str, Tensor]) -> bool:
    """Whether the file holds these weights, bit for bit."""
    try:
        kept = checkpoint.load_weights(path)
    except DataError:
        return False
    return isinstance(kept, Mapping) and kept.keys() == state.keys() and all(
        isinstance(kept[name], Tensor) and torch.equal(kept[name], value)
        for name, value in state.items()
    )  # fmt: skip


def command(
    data: Annotated[str, typer.Option(help="A registered set of pairs.")] = "generated-pairs",
    data_dir: Annotated[Path | None, typer.Option(help="The data's folder.")] = None,
    image_size: Annotated[int, counted(16, "Side of the images.", most=4096)] = 64,
    epochs: Annotated[int, counted(1, "Passes over the data.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED)] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    out: Annotated[Path, typer.Option(help="The weights file.")] = Path("results/segmenter.pt"),
) -> None:
    """Train a small segmentation network on a set of pairs, for the FCN-score of theorylab gan."""
    scores = keep_segmenter(out, data, data_dir, image_size=image_size, epochs=epochs, seed=seed,
                            device=device)  # fmt: skip
    terminal = console()
    terminal.print(
        f"on the true test photos: per pixel {scores.per_pixel:.4f}, per class "
        f"{scores.per_class:.4f}, class IoU {scores.class_iou:.4f}", highlight=False,
    )  # fmt: skip
    terminal.print("use it: theorylab gan --segmenter deep.segmentation:SmallSegmenter --weights "
                   f"{printable(out, 5000)}", highlight=False, markup=False)  # fmt: skip
