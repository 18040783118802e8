"""Command lines run in this process as a user meets them, all but the expensive computing real."""

from __future__ import annotations

import importlib
import io
import os
import re
import resource
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pkgutil import iter_modules
from types import FrameType
from typing import Any, get_type_hints

import pytest
import torch
import typer
from hypothesis import strategies as st

from theorylab import studies
from theorylab.cli import build, main
from theorylab.plugins.commands import commands

OWN = ("theorylab", "deep", "paper_figures")
# What takes long; whatever parses, checks and reads comes before it, and printing after.
COMPUTING = (
    "theorylab.studies.worst_case:worst_cases", "theorylab.studies.units:units",
    "theorylab.conformance.worker:conform_targets", "theorylab.conformance.worker:optimizers_of",
    "paper_figures.exhibits:produce_each", "deep.segmentation:train_segmenter",
    "deep.twins:train_twins",
)  # fmt: skip
SECONDS = 5.0
"""Of computing that a command may take to refuse its input, or to begin its work."""
WAIT = 60.0
ROOM = 2**20
"""KiB that a command may add to the most that was ever held (Linux's unit)."""

NUMBERS = (
    "0", "-1", "1", "2", "8", "100", "nan", "inf", "-inf", "1e400", "1e-400", "1e18",
    "99999999999999999999", "1000000000000", "9223372036854775808", "0.5", "0x10", "1_000", "", " ",
)  # fmt: skip
WORDS = (
    "", " ", "abc", "[bold]x[/]", "[/]", "[/x", "'\"", "\x1b[31mred", "a\nb", "../../x", "-",
    "\udcff", "\u202e", "2,3", ",", "0,-1", "a=b", "=", "a=", "x=nan", "ell=1e400", "eta=inf",
    "dim=99999999999", "n=1e9", "seed=-1", "S=0", "momentum=abc", "tcp://:0", "cuda:9", "meta",
    "poly:nan", "staircase:x", "constant", "cpu", "auto",
)  # fmt: skip
KEYS = (
    "sngm",
    "sngm.lemma_2",
    "sngm.theorem_1",
    "tralgo.descent",
    "lrsgd.theorem_4_9",
    "hardt_recht_singer.theorem_3_8",
    "sngm.table_2",
    "lrsgd.figure_2",
    "tralgo.claim",
    "zz",
)
# What may be meant, by the name of the parameter; all other names are tried there too.
MEANT: dict[str, tuple[str, ...]] = {
    "keys": KEYS, "statement": KEYS, "paper": ("sngm", "tralgo", "lrsgd", "stochastic_batch_size"),
    "objective": ("quadratic", "stability_twins", "lasso", "robust_regression", "data", "bilinear"),
    "data": ("digits", "breast_cancer", "diabetes", "cifar10", "cifar10-jpeg", "folder", "file",
             "generated-pairs", "synthetic-images", "cityscapes", "svhn", "stl10", "imagenet"),
    "model": ("lenet", "two_conv", "resnet20", "vgg11", "densenet40", "pix2pix"),
    "optimizer": ("sgd", "msgd", "adam", "tradam", "trsgd", "lrsgd_r", "svrg", "sam", "storm",
                  "lars", "entropy_sgd", "polyak_step", "stochastic_batch_size_2"),
    "rule": ("sgd", "lrsgd_r", "lrsgd_c,sgd", "trsgd", "adam"),
    "axis": ("T", "eta", "B", "n", "ell", "sigma", "dim"), "device": ("cpu", "auto"),
    "parameters": ("ell=2", "dim=3", "eta=0.1", "loss=welsch,scale=2", "sigma=0", "n=5,d=2"),
    "schedule_": ("constant", "poly:1", "staircase:0.5:0.1", "sigmoid:2", "exponential:0.1"),
    "given": ("momentum=0.5", "S=3", "lam=0.1", "variant=authors", "nesterov=true"),
    "of_network": ("width=4", "dropout=0.1", "depth=8", "growth=4"),
    "n": ("20", "10,20"), "steps": ("5", "1,2"), "c": ("0.5",), "theta": ("0.25",),
    "preset": ("laptop", "smoke", "paper"), "style_": ("neurips", "screen"),
    "formats": ("svg", "pdf,png", "pgf"), "targets": ("torch.optim:SGD", "torch.optim", "json"),
    "only": ("groups", "precision"), "settings": ("lr=0.1",), "claims": ("scale", "decay=coupled"),
    "values": ("L=1", "eta=0.5", "T=2"), "batch_sizes": ("8", "4,8"), "action": ("ls", "verify"),
    "backend": ("local",), "scheduler": ("tcp://127.0.0.1:1",),
    "name": ("mytheory", "cells", "verify", "falsify", "train"),
    "line": ("sngm.lemma_2", "--jobs=2"),
    "segmenter": ("deep.segmentation:SmallSegmenter", "os:system"), "word": ("step", "convex"),
    "train_samples": ("32",), "epochs": ("1", "0.1"), "dropout": ("0.1",), "momentum": ("0.9",),
}  # fmt: skip
FEW = ("0", "1", "2", "3", "8", "0.1", "0.5", "0.9")
PATHS = ("", " ", "out", "a/b/c", "../x", "[/]x[bold]", "\x1b[31m", "a\nb", "\udcff",
         "x" * 300, "file", "pipe", "page.md", "link", "/nonexistent/x", "/dev/null")  # fmt: skip


class Reached(BaseException):
    """The computing itself would begin; no handler of a command catches this."""


class Hang(BaseException):
    """The command computes for too long."""


@dataclass(frozen=True)
class Ended:
    """How a command line ended.

    Attributes
    ----------
    line : list of str
    code : int or None
        The exit code; ``None`` if the computing was reached.
    out, err : str
    """

    line: Sequence[str]
    code: int | None
    out: str
    err: str

    @property
    def outcome(self) -> str:
        """Computing was reached, it ended well, a check failed, or it was refused."""
        return {None: "computing reached", 0: "done", 1: "failed check", 2: "refused"}.get(
            self.code, f"exit {self.code}"
        )


def run(line: Sequence[str], seconds: float = SECONDS) -> Ended:
    """Run ``theorylab LINE``; a traceback, or computing for too long, fails the test."""
    # As a terminal's: what UTF-8 cannot say fails on stdout.
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    argv, streams = sys.argv, (sys.stdout, sys.stderr)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code: int | None = 0
    sys.argv = ["theorylab", *line]
    sys.stdout, sys.stderr = out, err
    try:
        with _limited(seconds):
            main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except Reached:
        code = None
    except Hang as error:
        raise AssertionError(f"{shlex.join(line)!a} computes over {seconds} s") from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise AssertionError(f"{shlex.join(line)!a}: {type(error).__name__}: {error}") from error
    finally:
        sys.argv = argv
        sys.stdout, sys.stderr = streams
    out.seek(0)
    err.seek(0)
    found = Ended(line, code, out.read(), err.read())
    check(found)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held
    assert more < ROOM, f"{shlex.join(line)!a} takes {more} KiB more than any before"
    return found


def check(found: Ended) -> None:
    """One line where it was refused, no traceback, and nothing that moves a terminal."""
    told = f"{shlex.join(found.line)!a}: {found.err!a}"
    assert "Traceback" not in found.out + found.err, told
    assert found.code in (None, 0, 1, 2), told
    assert not set(found.out + found.err) & FORBIDDEN, told
    if found.code == 2:
        assert found.err.strip(), told
        lines = [x for x in found.err.splitlines() if x.startswith("error:")]
        if lines:  # typer frames what it refuses itself
            assert len(lines) == 1, told
            assert found.err.splitlines()[-1] == lines[0], told
            assert len(lines[0]) > len("error: "), told


FORBIDDEN = {chr(c) for c in (*range(32), 127, *range(0x80, 0xA0)) if chr(c) not in "\n\t"}


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise Hang

    # Seconds of computing; and on the clock, however busy the machine: a pipe nobody writes to.
    timers = ((signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL,
                                                              WAIT))  # fmt: skip
    before = [signal.signal(number, late) for number, _, _ in timers]
    for _, timer, length in timers:
        signal.setitimer(timer, length)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def _reached(*arguments: Any, **options: Any) -> Any:
    raise Reached


def without_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands parse, read, check, plan, print and write; cells are left uncomputed."""
    from deep import training
    from deep.gan import GanTrainer
    from theorylab.studies import compute

    assert table()
    # All that takes these names is imported before they are replaced, or it would keep them.
    users = [f"{studies.__name__}.{found.name}" for found in iter_modules(studies.__path__)]
    users += ["deep.experiments", "deep.runs", "paper_figures.session"]
    for name in users:
        importlib.import_module(name)
    replaced: dict[str, Callable[..., Any]] = {
        "theorylab.studies.compute:compute": uncomputed,
        "deep.training:loss_and_accuracy": lambda *_: (1.0, 0.5),
    }
    for where in (*COMPUTING, *replaced):
        module, _, name = where.partition(":")
        real = getattr(importlib.import_module(module), name)
        put = replaced.get(where, _reached)
        for other in [m for n, m in sys.modules.items() if n.split(".")[0] in OWN]:
            for attribute in [a for a, value in vars(other).items() if value is real]:
                monkeypatch.setattr(other, attribute, put)
    whole = training.Trainer.run

    def one_step(self: Any, **options: Any) -> Any:
        """A run of one step that is shown as if it were whole."""
        return whole(self, **{**options, "until": 1})

    monkeypatch.setattr(training.Trainer, "run", one_step)
    monkeypatch.setattr(GanTrainer, "run", _reached)
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)  # it takes minutes
    assert compute.compute is uncomputed


def uncomputed(function: Any, cells: Sequence[Any], store: Any, **options: Any) -> Any:
    """No cell is begun, as if the budget had run out; what is stored is read."""
    from theorylab.plugins.code import code_of
    from theorylab.studies.compute import Computed

    if len(cells) > 3000:
        raise Reached
    codes = [code_of(function, cell) for cell in cells]
    found = store.finished(cells, codes, options.get("reads"))
    if "trial" in options and "budget" not in options and None in found:
        raise Reached  # networks that are trained have no budget, and end or fail
    return Computed(tuple(found))


@cache
def table() -> dict[str, list[Any]]:
    """Every parameter of every command, as typer declares it."""
    group: Any = typer.main.get_command(build())
    context = group.make_context("theorylab", ["statements"])
    found = {}
    for name in sorted(commands()):
        _, command, _ = group.resolve_command(context, [name])
        found[name] = [p for p in command.params if p.name != "help"]
    return found


@cache
def kinds(command: str) -> dict[str, str]:
    """The type of each parameter, as its function declares it."""
    hints = get_type_hints(commands()[command].load(), include_extras=True)
    return {name: str(hint).split("typer.models")[0] for name, hint in hints.items()}


def values(command: str, parameter: Any) -> st.SearchStrategy[str]:
    """What may be typed for a parameter: mostly what may be meant, else what does not fit."""
    kind = kinds(command)[parameter.name]
    junk = st.one_of(st.sampled_from(WORDS), st.sampled_from(NUMBERS), st.text(max_size=6),
                     st.sampled_from([x for some in MEANT.values() for x in some]))  # fmt: skip
    meant = list(MEANT.get(parameter.name, ()))
    if "Literal" in kind:
        meant = re.findall("'([^']+)'", kind)
    elif "Path" in kind:
        meant = [*meant, *PATHS]
    elif "int" in kind or "float" in kind:
        meant = [*meant, *FEW]
        junk = st.one_of(st.sampled_from(NUMBERS), junk)
    if not meant:
        return junk
    return st.integers(0, 3).flatmap(lambda k: junk if k == 0 else st.sampled_from(meant))


@st.composite
def command_lines(draw: Any, names: Sequence[str] = ()) -> list[str]:
    """A command, up to four of its options, often a key that fits."""
    every = table()
    name = draw(st.sampled_from(sorted(names or every)))
    line = [name]
    for parameter in draw(st.lists(st.sampled_from(every[name]), max_size=4)):
        option = "" if parameter.param_type_name == "argument" else parameter.opts[0]
        if "bool" in kinds(name)[parameter.name] and draw(st.integers(0, 9)):
            line.append(option)
            continue
        value = draw(values(name, parameter))
        line += [value] if not option else [f"{option}={value}"]
    return line


def furnished(folder: Path) -> None:
    """What the paths of :data:`PATHS` name: a file, a pipe, a page, a link to nowhere."""
    (folder / "file").write_text("a,b\n1,2\n")
    (folder / "page.md").write_text("".join(
        f"<!-- {name} -->\n<!-- end of {name} -->\n"
        for name in ("power", "calibration", "conformance", "checks", "worst cases")
    ))  # fmt: skip
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(folder / "nowhere")
