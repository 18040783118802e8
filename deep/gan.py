"""pix2pix: from label images to photos, with Adam and TRAdam."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, final

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from deep import checkpoint
from deep.data import PHOTO_PALETTE, Dataset, dataset, denormalise, label_map
from deep.devices import device_named
from deep.images import made_in_order, shown_pairs, write_images
from deep.metrics import confusion, l1, psnr, segmentation, ssim
from deep.networks import network
from deep.segmentation import Segmentation, Segmenter, load_segmenter, on_truth
from deep.settings import AUTHORS_PULL, MAX_SEED
from theorylab.console import console, say_where
from theorylab.errors import DataError, UsageError, require_finite
from theorylab.options import counted
from theorylab.plugins.code import code_behind
from theorylab.plugins.provenance import provenance
from theorylab.plugins.store import writable
from theorylab.progress import bar
from theorylab.studies.report import Report
from theorylab.torch.optim import Adam, RuleOptimizer, TRAdam

__all__ = [
    "GanReport", "GanSettings", "GanTrainer", "Segmenter", "command", "nearest_colour", "score",
    "train_gan",
]  # fmt: skip

_LAYERS = 5


@final
@dataclass(frozen=True)
class GanSettings:
    """A pix2pix run; the defaults are the paper's but for the length.

    ``optimizer`` is used for both networks, with ``betas = (0.5, 0.999)``; TRAdam adds ``lam``
    and ``S``; ``lam`` is 0.1, in the authors' variant 0.1 ``lr``, unless given. The step is
    constant for the first half of the run, then falls linearly to 0.
    """

    optimizer: Literal["adam", "tradam"] = "adam"
    lr: float = 2e-4
    beta1: float = 0.5
    lam: float | None = None
    S: int = 10
    variant: Literal["paper", "authors"] = "paper"
    l1_weight: float = 100.0
    batch_size: int = 1
    epochs: float = 200.0
    image_size: int = 64
    width: int = 64
    data: str = "generated-pairs"
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in ("adam", "tradam"):
            raise UsageError(f"gan: optimizer must be adam or tradam, got {self.optimizer!r}")
        require_finite("gan", vars(self))
        for name in ("lr", "batch_size", "epochs", "width"):
            if not getattr(self, name) > 0:
                raise UsageError(f"gan: {name} must be positive, got {getattr(self, name)}")

    @property
    def pull(self) -> float:
        """``lam``, or the one that belongs to the variant."""
        if self.lam is not None:
            return self.lam
        return AUTHORS_PULL * self.lr if self.variant == "authors" else 0.1

    def build_optimizer(self, module: nn.Module) -> RuleOptimizer:
        """The optimizer of one of the two networks."""
        betas = (self.beta1, 0.999)
        try:
            if self.optimizer == "adam":
                return Adam(module.parameters(), lr=self.lr, betas=betas)
            return TRAdam(module.parameters(), lr=self.lr, lam=self.pull, S=self.S, betas=betas,
                          variant=self.variant)  # fmt: skip
        except ValueError as error:
            raise UsageError(f"gan: {error}") from error


@final
class GanTrainer:
    """Trains generator and discriminator; resumes bit for bit, as :class:`deep.training.Trainer`.

    One step: the discriminator on the real and the generated pair, its loss halved; then the
    generator on ``adversarial + l1_weight * L1``.

    Source: Isola et al. (2017), Section 3; TRAlgo's experiments for TRAdam.

    >>> from deep.data import load
    >>> settings = GanSettings(epochs=1, image_size=32, width=4)
    >>> trainer = GanTrainer(settings, load("generated-pairs", image_size=32, train=2, test=2))
    >>> trainer.run(progress=False)["steps"]
    2
    """

    def __init__(
        self, settings: GanSettings, data: Dataset, *, folder: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        if not data.paired:
            raise UsageError(f"gan: pairs of images required, {data.label} has class labels")
        self.settings = settings
        self.folder = folder
        self.device = torch.device(device)
        self._given, self.data = data, data.to(self.device)
        side = data.input_size[1]
        self.generator = network("pix2pix_unet256").build(
            3, 3, image_size=side, width=settings.width, seed=settings.seed
        ).to(self.device)  # fmt: skip
        self.discriminator = network("pix2pix_patchgan").build(
            1, 6, image_size=side, width=settings.width, seed=settings.seed + 1
        ).to(self.device)  # fmt: skip
        self.optimizers = {
            "generator": settings.build_optimizer(self.generator),
            "discriminator": settings.build_optimizer(self.discriminator),
        }
        self.batches = self.data.batches(settings.batch_size, settings.seed)
        self.total = max(1, round(settings.epochs * len(self.batches)))
        self.steps = 0
        self.losses: dict[str, float] = {}

    def step(self) -> None:
        """One step of the discriminator, then one of the generator."""
        label, photo, _ = self.batches.draw()
        self.steps += 1
        half = self.total / 2
        lr = self.settings.lr * min(1.0, (self.total - self.steps + 1) / half)
        key = np.random.SeedSequence([self.settings.seed, _LAYERS, self.steps])
        torch.manual_seed(int(key.generate_state(1)[0]))
        fake = self.generator(label)
        real_score = self.discriminator(torch.cat([label, photo], 1))
        fake_score = self.discriminator(torch.cat([label, fake.detach()], 1))
        judged = 0.5 * (_adversarial(real_score, True) + _adversarial(fake_score, False))
        self._update("discriminator", judged, lr)
        # The generator's gradient passes through the discriminator, which must not keep it.
        self.discriminator.requires_grad_(False)
        fooled = _adversarial(self.discriminator(torch.cat([label, fake], 1)), True)
        apart = F.l1_loss(fake, photo)
        self._update("generator", fooled + self.settings.l1_weight * apart, lr)
        self.discriminator.requires_grad_(True)
        self.losses = {"discriminator": float(judged.detach()), "generator": float(fooled.detach()),
                       "l1": float(apart.detach())}  # fmt: skip

    def _update(self, name: str, loss: Tensor, lr: float) -> None:
        optimizer = self.optimizers[name]
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def run(
        self, *, checkpoint_every: int = 200, progress: bool | None = None,
        until: int | None = None, segmenter: Segmenter | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Go on to the end (or step ``until``), then :func:`score` the generator."""
        path = None if self.folder is None else self.folder / "checkpoint.pt"
        if path is not None and (state := checkpoint.resume(path, self.made)) is not None:
            try:
                self.load_state_dict(state)
            except UsageError:
                raise
            except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
                raise DataError(f"{path} is not a checkpoint of this run: {error}") from error
        devices = [self.device] if self.device.type == "cuda" else []
        end = self.total if until is None else min(until, self.total)
        with torch.random.fork_rng(devices), bar(progress) as display:
            task = display.add_task(f"pix2pix {self.settings.optimizer}", total=self.total,
                                    completed=self.steps)  # fmt: skip
            while self.steps < end:
                self.step()
                display.advance(task)
                if path is not None and (self.steps % checkpoint_every == 0 or self.steps == end):
                    checkpoint.save(path, self.state_dict())
            measured = score(self.generator, self.data, segmenter, seed=self.settings.seed)
        return {"steps": self.steps, "losses": self.losses, **measured}

    @cached_property
    def made(self) -> Mapping[str, str]:
        """Digests of all but the settings that decides the result: the data, and the code."""
        return {"data": self._given.digest, "code or libraries": code_behind(frozenset({__name__}))}

    def state_dict(self) -> dict[str, Any]:
        """All that decides how the run goes on."""
        return {
            "settings": json.dumps(asdict(self.settings), sort_keys=True),
            "made": dict(self.made),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "batches": self.batches.state_dict(),
            "steps": self.steps,
            "losses": self.losses,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where the state was taken.

        Raises
        ------
        UsageError
            If it is of a run with other settings.
        """
        if json.loads(state["settings"]) != asdict(self.settings):
            raise UsageError(f"{self.folder} holds a run with other settings: choose another --out")
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.batches.load_state_dict(state["batches"])
        self.steps, self.losses = state["steps"], dict(state["losses"])


def _adversarial(scores: Tensor, real: bool) -> Tensor:
    target = torch.ones_like(scores) if real else torch.zeros_like(scores)
    return F.binary_cross_entropy_with_logits(scores, target)


def nearest_colour(photos: Tensor) -> Tensor:
    """Classes of a generated street's photo by colour: stands in for a segmentation network."""
    return label_map(photos, tuple(PHOTO_PALETTE.values()))


@torch.no_grad()
def score(
    generator: nn.Module, data: Dataset, segmenter: Segmenter | None = None, seed: int = 0
) -> dict[str, float]:
    """L1, PSNR and SSIM on the test pairs; with a segmenter, its scores on the photos made.

    The generator is run as :func:`deep.images.made_in_order` does. ``segmenter``
    maps photos (uint8) to classes in the order of ``data.classes``; its classes on the generated
    photos are compared with the label images, as in the FCN-score. All values are on the scale
    of the networks, [-1, 1], but PSNR (decibels) and the shares.
    """
    sums = {"l1": 0.0, "psnr": 0.0, "ssim": 0.0}
    counts = torch.zeros(len(data.classes), len(data.classes), dtype=torch.int64)
    for label, photo, made in made_in_order(generator, data, seed):
        sums["l1"] += float(l1(made, photo))
        sums["psnr"] += float(psnr(made, photo, 2.0))
        sums["ssim"] += float(ssim(made, photo, 2.0))
        if segmenter is not None:
            found = segmenter(denormalise(made, data.mean, data.std))
            wanted = label_map(denormalise(label, data.mean, data.std), data.palette)
            counts += confusion(found, wanted, len(data.classes)).cpu()
    result = {name: value / len(data.test) for name, value in sums.items()}
    if segmenter is not None:
        result |= vars(segmentation(counts))
    return result


@final
@dataclass(frozen=True)
class GanReport(Report):
    """What a pix2pix run reached.

    Attributes
    ----------
    settings : GanSettings
    steps : int
    losses : mapping of str to float
        Of the last step.
    scores : mapping of str to float
        As :func:`score` gives them.
    segmenter : str
        What read the classes: ``module:factory``, ``colour``, or empty if nothing did.
    ground_truth : Segmentation, optional
        The segmenter's scores on the true photos.
    data : str
        The digest of the data.
    """

    settings: GanSettings
    steps: int
    losses: Mapping[str, float]
    scores: Mapping[str, float]
    segmenter: str = ""
    ground_truth: Segmentation | None = None
    data: str = ""

    def to_pandas(self) -> pd.DataFrame:
        """One row: the run, and another for the true photos where they were read."""
        rows = [{"photos": f"made with {self.settings.optimizer}", **self.scores}]
        if self.ground_truth is not None:
            rows.append({"photos": "true", **asdict(self.ground_truth)})
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        table: dict[str, Any] = {
            "schema": 1,
            "provenance": provenance(seed=self.settings.seed, data=[self.data] * bool(self.data),
                                     threads=torch.get_num_threads()),
            "settings": asdict(self.settings),
            "result": {"steps": self.steps, "losses": dict(self.losses), **self.scores},
        }  # fmt: skip
        if self.ground_truth is not None:
            table |= {"segmenter": self.segmenter, "ground_truth": asdict(self.ground_truth)}
        return table


def train_gan(
    settings: GanSettings,
    data_dir: Path | None = None,
    *,
    segmenter: str | None = None,
    weights: Path | None = None,
    images: int = 4,
    device: str = "auto",
    out: Path | str = "results/gan",
    progress: bool | None = None,
) -> GanReport:
    """Train pix2pix and score it on the test pairs; the report is kept as ``out/results.json``.

    Stopped anywhere, the same call goes on.

    Parameters
    ----------
    settings : GanSettings
    data_dir : Path, optional
        The data's folder.
    segmenter, weights : str, Path, optional
        A segmentation network for the FCN-scores; see :func:`deep.segmentation.load_segmenter`.
        Without one, classes of generated streets are read off by colour.
    images : int
        Test pairs to show in ``out/images.png``.
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    out : path

    Raises
    ------
    UsageError
        If settings, segmenter or ``out`` do not fit.
    DataError
        If the data or the weights cannot be read.
    """
    out = Path(out)
    target = writable(out / "results.json")
    dataset(settings.data).require_pairs("gan")
    content = dataset(settings.data).load(data_dir, image_size=settings.image_size)
    if settings.samples is not None:
        content = _shortened(content, settings.samples)
    where = device_named(device)
    if (segmenter is None) != (weights is None):
        raise UsageError("gan: --segmenter and --weights go together")
    read: Segmenter | None = None
    by = ""
    if segmenter is not None and weights is not None:
        read, by = load_segmenter(segmenter, weights, len(content.classes), where), segmenter
    elif settings.data == "generated-pairs":
        read, by = nearest_colour, "colour"
    trainer = GanTrainer(settings, content, device=where)
    trainer.folder = checkpoint.own_folder(out, asdict(settings), trainer.made, inside=True)
    result = trainer.run(segmenter=read, progress=progress)
    if images:
        write_images(
            trainer.folder, shown_pairs(trainer.generator, trainer.data, images, seed=settings.seed)
        )
    found = GanReport(
        settings, result.pop("steps"), result.pop("losses"), result, by,
        None if read is None else on_truth(trainer.data, read), trainer.made["data"],
    )  # fmt: skip
    found.keep(target)
    return found


def command(
    optimizer: Annotated[str, typer.Option(help="adam or tradam")] = "adam",
    data: Annotated[str, typer.Option(help="A registered set of pairs.")] = "generated-pairs",
    data_dir: Annotated[Path | None, typer.Option(help="The data's folder.")] = None,
    lr: Annotated[float, typer.Option()] = 2e-4,
    lam: Annotated[
        float | None, typer.Option(help="TRAdam's proximal weight; the variant's own by default.")
    ] = None,
    inner: Annotated[int, counted(1, "TRAdam's inner steps.", "--S")] = 10,
    variant: Annotated[Literal["paper", "authors"], typer.Option()] = "paper",
    epochs: Annotated[float, typer.Option()] = 200.0,
    batch_size: Annotated[int, counted(1, "Pairs a step.")] = 1,
    image_size: Annotated[int, counted(32, "Side of the images.", most=4096)] = 64,
    width: Annotated[int, counted(1, "Channels of the first layer.", most=4096)] = 64,
    samples: Annotated[int | None, counted(1, "Use so many pairs.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED)] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    segmenter: Annotated[
        str | None, typer.Option(metavar="MODULE:FACTORY", help="For FCN-scores, with --weights.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The segmentation network's state_dict.")
    ] = None,
    images: Annotated[int, counted(0, "Test pairs to show in images.png.")] = 4,
    out: Annotated[Path, typer.Option(help="Where the run is kept.")] = Path("results/gan"),
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Train pix2pix from label images to photos; stopped anywhere, the same command goes on."""
    settings = GanSettings(
        optimizer=optimizer,  # type: ignore[arg-type]  # checked there
        lr=lr, lam=lam, S=inner, variant=variant, epochs=epochs, batch_size=batch_size,
        image_size=image_size, width=width, data=data, samples=samples, seed=seed,
    )  # fmt: skip
    found = train_gan(settings, data_dir, segmenter=segmenter, weights=weights, images=images,
                      device=device, out=out)  # fmt: skip
    if as_json:
        table = found.to_json()
        shown = {name: table[name] for name in table if name not in ("schema", "provenance")}
        print(json.dumps(shown, indent=1, allow_nan=False))
        return
    terminal = console()
    names = ("l1", "psnr", "ssim", "per_pixel", "per_class", "class_iou")
    scores = ", ".join(f"{n} {found.scores[n]:.4g}" for n in names if n in found.scores)
    terminal.print(scores, highlight=False)
    if found.ground_truth is not None:
        truth = ", ".join(f"{n} {v:.4g}" for n, v in vars(found.ground_truth).items())
        terminal.print(f"the true photos: {truth}", highlight=False)
    if found.segmenter == "colour":
        terminal.print("classes are read off by colour, in place of a segmentation network")
    say_where("results", out / "results.json")


def _shortened(data: Dataset, samples: int) -> Dataset:
    return replace(data, train=data.train.subset(torch.arange(min(samples, len(data.train)))))
