"""``theorylab train`` and ``theorylab compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from deep import experiments
from deep.comparison import Comparison, Plan
from deep.networks import network
from deep.schedules import SCHEDULES
from deep.settings import MAX_EPOCHS, MAX_SEED, MAX_STEPS, METHODS, Option, Settings, method
from deep.study import TrainReport, TwinsReport, train_study, twin_study
from theorylab.console import console, say_where
from theorylab.errors import UsageError, require_finite
from theorylab.options import BackendName, Jobs, Scheduler, counted, typed
from theorylab.studies.pages import held
from theorylab.studies.report import Report
from theorylab.studies.scale import Scale

__all__ = ["command", "compare"]

Out = Annotated[Path, typer.Option(help="Where results are kept; the same command goes on there.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
DataDir = Annotated[Path | None, typer.Option(help="The data's folder or archive.")]


def _optimizers(incomplete: str) -> list[str]:
    return [name for name in METHODS if name.startswith(incomplete)]


def command(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A registered network.")] = "lenet",
    data: Annotated[str, typer.Option(help="A registered data set.")] = "digits",
    data_dir: DataDir = None,
    optimizer: Annotated[
        str, typer.Option(help=", ".join(METHODS), autocompletion=_optimizers)
    ] = "msgd",
    lr: Annotated[float | None, typer.Option(help="Step; the method's own by default.")] = None,
    momentum: Annotated[float | None, typer.Option()] = None,
    weight_decay: Annotated[float | None, typer.Option()] = None,
    lam: Annotated[float | None, typer.Option(help="Proximal weight.")] = None,
    lam_over_lr: Annotated[
        float | None, typer.Option(help="lam = this / lr at every step, as LRSGD's 0.01/alpha.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any argument of the optimizer."),
    ] = None,
    batch_size: Annotated[int, counted(1, "Samples a step.")] = 32,
    accumulate: Annotated[int, counted(1, "Parts a batch is computed in.")] = 1,
    epochs: Annotated[
        float, typer.Option(max=MAX_EPOCHS, help="Passes over the data; plan says the time.")
    ] = 30.0,
    steps: Annotated[int | None, counted(1, "Steps, in place of epochs.", most=MAX_STEPS)] = None,
    schedule_: Annotated[
        str, typer.Option("--schedule", help="; ".join(SCHEDULES.values()))
    ] = "poly:1",
    warmup: Annotated[float, typer.Option(min=0.0, help="Epochs of rising step.")] = 0.0,
    warmup_from: Annotated[
        float | None, typer.Option(help="The step it rises from; a share of one by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="The first seed.")] = 0,
    seeds: Annotated[str, typer.Option(help="How many, or which: 0,1,2.")] = "1",
    jobs: Annotated[
        int,
        typer.Option(
            min=1, help="Workers, each with one thread, that take a run at a time; 1 trains here."
        ),
    ] = 1,
    backend: BackendName = "local",
    scheduler: Scheduler = None,
    dropout: Annotated[float | None, typer.Option(help="The network's dropout.")] = None,
    stochastic_depth: Annotated[
        float | None, typer.Option(help="Drop rate of the last block, growing with depth.")
    ] = None,
    of_network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="NAME=VALUE", help="Any argument of the network."),
    ] = None,
    train_samples: Annotated[int | None, counted(1, "Use at most so many samples.")] = None,
    augment: Annotated[bool, typer.Option(help="Augment the training images.")] = True,
    evaluations: Annotated[int, counted(1, "Measurements in a run.")] = 20,
    measures: Annotated[
        int, counted(0, "Samples for gradient norm, noise and curvature; 0: none.")
    ] = 0,
    threshold: Annotated[
        float | None, typer.Option(help="Report when the training loss reaches this.")
    ] = None,
    amp: Annotated[bool, typer.Option("--amp", help="bfloat16 autocast.")] = False,
    channels_last: Annotated[bool, typer.Option("--channels-last")] = False,
    compile_: Annotated[bool, typer.Option("--compile", help="torch.compile.")] = False,
    cuda_graphs: Annotated[bool, typer.Option("--cuda-graphs", help="And CUDA graphs.")] = False,
    step_graph: Annotated[
        bool, typer.Option("--step-graph", help="One CUDA graph of the whole step.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    with_arms: Annotated[bool, typer.Option("--arms", help="Control arms beside it.")] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose each arm's step on held-out samples.")
    ] = False,
    twins: Annotated[int, counted(0, "Train so many twins that differ in one sample.")] = 0,
    checkpoint_every: Annotated[float, typer.Option(min=0.0, help="Seconds.")] = 30.0,
    out: Out = Path("results/train"),
    as_json: Json = False,
) -> None:
    """Train a network; stopped anywhere, the same command goes on bit for bit.

    Example: theorylab train --optimizer sngm --seeds 0,1,2 --jobs 3
    """
    several = _seeds(seeds)
    scale = Scale.asked(jobs, backend, scheduler)
    options = _options(optimizer, given or [], momentum=momentum, weight_decay=weight_decay,
                       lam=lam)  # fmt: skip
    settings = Settings(
        model=model, data=data, optimizer=optimizer, lr=lr, options=options,
        lam_over_lr=lam_over_lr, batch_size=batch_size, accumulate=accumulate, epochs=epochs,
        steps=steps, schedule=schedule_, warmup=warmup, warmup_from=warmup_from, seed=seed,
        train_samples=train_samples, augment=augment,
        model_options=_network_options(model, of_network or [], dropout, stochastic_depth),
        evaluations=evaluations, measures=measures, amp=amp, channels_last=channels_last,
        compile=compile_, cuda_graphs=cuda_graphs, step_graph=step_graph,
    )  # fmt: skip
    if steps is not None and typed(context, {"epochs"}):
        raise UsageError("train: --steps takes the place of --epochs; give one of them")
    if warmup_from is not None and not warmup:
        raise UsageError("train: --warmup-from is where a --warmup rises from, and none is given")
    if lam_over_lr is not None and "lam" in options:
        raise UsageError("train: --lam-over-lr sets lam at every step; leave lam out")
    if threshold is not None:
        require_finite("train", {"threshold": threshold})
    if twins:
        if with_arms or tune or several != 1 or scale != Scale() or threshold is not None:
            raise UsageError("--twins compares a run with its twins: leave out --arms, --tune, "
                             "--seeds, --jobs, --threshold")  # fmt: skip
        pairs = twin_study(settings, data_dir, count=twins, device=device,
                           checkpoint_every=checkpoint_every, out=out)  # fmt: skip
        if as_json:
            _print_json(pairs)
        else:
            _print_twins(pairs, out)
        return
    study = train_study(settings, data_dir, arms=with_arms, tune=tune, seeds=several,
                        threshold=threshold, device=device, jobs=scale,
                        checkpoint_every=checkpoint_every, out=out)  # fmt: skip
    if not len(study):  # of several processes, the first one speaks
        return
    if as_json:
        _print_json(study)
    else:
        _print(study, out)


def _print_json(study: Report) -> None:
    table = study.to_json()
    shown = {name: table[name] for name in table if name not in ("schema", "provenance")}
    print(json.dumps(shown, indent=1, allow_nan=False))


def _options(name: str, items: Sequence[str], **named: float | None) -> dict[str, Option]:
    known = method(name).options
    table: dict[str, Option] = {}
    for key, value in named.items():
        if value is not None:
            if key not in known:
                flag = key.replace("_", "-")
                raise UsageError(f"optimizer {name!r} has no {flag}; it has "
                                 f"{', '.join(sorted(known))}")  # fmt: skip
            table[key] = value
    _add(table, items, "--set")
    return table


def _add(table: dict[str, Option], items: Sequence[str], option: str) -> None:
    """What the items name, once each, into the table of what other options named."""
    for item in items:
        key, equals, text = (x.strip() for x in item.partition("="))
        if not equals:
            raise UsageError(f"{option} expects NAME=VALUE, got {item!r}")
        if key in table:
            raise UsageError(f"{option} {item}: {key} is given already, as {table[key]}")
        table[key] = _parsed(text)


def _network_options(
    model: str, items: Sequence[str], dropout: float | None, depth: float | None
) -> dict[str, Option]:
    table: dict[str, Option] = {}
    _add(table, items, "--network")
    if dropout is not None:
        table["dropout"] = dropout
    if depth is not None:
        name = network(model).depth_option
        if name is None:
            raise UsageError(f"network {model!r} has no stochastic depth")
        table[name] = depth
    return table


def _parsed(text: str) -> Option:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _print(study: TrainReport, out: Path) -> None:
    terminal = console()
    # Two-line heads keep the table within 80 columns.
    shown = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column("arm", overflow="fold", min_width=14)
    for name in ("lr", "rounds", "gradients", "time\ns", "train\nloss", "test\nloss", "gap",
                 "accuracy\n%", "last tenth\n%", "most\n%"):  # fmt: skip
        shown.add_column(name, justify="right", no_wrap=True)
    for line in study.summaries:
        ends = [
            "diverged" if value is None else format(value, digits)
            for value, digits in (
                (line.rounds, ".0f"), (line.gradients, ".0f"), (line.seconds, ".3g"),
                (line.train_loss, ".4f"), (line.test_loss, ".4f"), (line.gap, ".3f"),
            )
        ]  # fmt: skip
        accuracy = _percent(line.accuracy)
        if line.spread is not None:
            accuracy += f" ± {100 * line.spread:.2f}"
        shown.add_row(escape(line.arm), f"{line.lr:.3g}", *ends, accuracy,
                      _percent(line.last_tenth), _percent(line.most))  # fmt: skip
    terminal.print(shown)
    for arm in study:
        for place in arm.hitting or ():
            reached = "never" if place is None else ", ".join(
                f"{axis} {value:.4g}" for axis, value in place.items())  # fmt: skip
            terminal.print(f"{escape(arm.name)} reaches the threshold: {reached}")
        if fit := arm.smoothness:
            terminal.print(f"{escape(arm.name)}: ||Hessian|| ~ {fit.L:.3g} + {fit.lambda_:.3g} "
                          f"||gradient||, R^2 = {fit.explained:.2f} (an estimate)")  # fmt: skip
    if study.gains:
        terminal.print(study.words, highlight=False, markup=False)
    say_where("results", out / "results.json")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _print_twins(study: TwinsReport, out: Path) -> None:
    shown = Table(title="Twins that differ in one training sample", title_justify="left")
    for name in ("sample", "first drawn at", "largest loss gap", "mean loss gap", "distance",
                 "disagreement"):  # fmt: skip
        shown.add_column(name, justify="right")
    for pair in study:
        row = pair.rows[-1]
        shown.add_row(str(pair.sample), str(pair.first_drawn), f"{row['largest_loss_gap']:.4g}",
                      f"{row['mean_loss_gap']:.4g}", f"{row['distance']:.4g}",
                      f"{100 * row['disagreement']:.2f}%")  # fmt: skip
    console().print(shown)
    say_where("results", out / "twins.json")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(x) for x in text.split(","))
    except ValueError:
        raise UsageError(f"--batch-sizes expects numbers like 4,8,16, got {text!r}") from None


def _seeds(text: str) -> int | list[int]:
    """How many seeds, or which."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--seeds expects how many, 3, or which, 0,1,2; got {text!r}")
    found = [int(part) for part in parts]
    return found if len(found) > 1 else found[0]


def compare(
    data_dir: DataDir = None,
    share: Annotated[
        float, typer.Option(help="Outer iterations, in epochs; the paper's Figure 3 is 1.")
    ] = 1.0,
    batch_sizes: Annotated[str, typer.Option()] = "4,8,16,32,64",
    seeds: Annotated[int, counted(1, "How many.")] = 3,
    gamma: Annotated[bool, typer.Option(help="Figure 2's comparison over gamma too.")] = True,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose each arm's step on held-out samples.")
    ] = False,
    data: Annotated[str, typer.Option(help="A registered data set.")] = "cifar10-jpeg",
    jobs: Jobs = 1,
    backend: BackendName = "local",
    scheduler: Scheduler = None,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds after which no new run starts.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="A page to write the tables into, between its markers.")
    ] = None,
    out: Out = Path("results/compare"),
    as_json: Json = False,
) -> None:
    """LRSGD against SGD and control arms on LeNet, at equal iterations and at equal gradients."""
    scale = Scale.asked(jobs, backend, scheduler)
    plan = Plan(share=share, batch_sizes=_numbers(batch_sizes), seeds=seeds, data=data,
                            tune=tune)  # fmt: skip
    if not gamma:
        plan = replace(plan, gammas=())
    if page is not None:
        held(page, plan.section)  # refused before anything is trained
    found = experiments.compare(plan, out, data_dir, jobs=scale, budget=budget)
    if page is not None:
        found.write_tables(page)
    if as_json:
        print(json.dumps(found.to_json(), indent=1, allow_nan=False))
    else:
        _print_comparison(found, out)
    if found.lost:
        raise typer.Exit(1)


def _print_comparison(found: Comparison, out: Path) -> None:
    terminal = console()
    for group in found:
        if group.name == "gamma":
            continue
        terminal.print(f"[bold]{escape(f'{found.label}, {group.name}')}[/]")
        for arm in group.arms:
            terminal.print(f"  {escape(arm.name)}: {100 * mean(arm.scores):.2f}% at step "
                           f"{arm.lr:.3g}, {arm.steps} steps, {len(arm.runs)} seeds")  # fmt: skip
        for first, each in group.gains.items():
            for gain in each:
                terminal.print(f"  {escape(f'{first} - {gain.arm}')}: {100 * gain.mean:+.2f} "
                              f"[{100 * gain.low:+.2f}, {100 * gain.high:+.2f}] points: "
                              f"gain {gain.survives}", highlight=False)  # fmt: skip
    if found.missing:
        terminal.print(f"{found.missing} runs are missing; the same command goes on")
    say_where("results", out / "results.json")
