"""Registries: a name is registered once, and a broken plug-in breaks nothing but itself."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from plugin_site import install, theorylab

import theorylab.quantities as measuring
from bounds import Claim, Statement
from bounds.notation import beta
from deep.data import datasets
from deep.networks import networks
from theorylab.engine.recorders import recorders
from theorylab.plugins import isolation, registry, specs
from theorylab.plugins.commands import commands
from theorylab.problem.objective import Family

# Group, what reads it afresh, the items of which one is registered again, and its shown name.
GROUPS: dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]] = {
    "statements": ("statements", registry.statements.__wrapped__, registry.statements),
    "rules": ("rules", registry.rules.__wrapped__, registry.rules),
    "objectives": ("objectives", registry.families.__wrapped__, registry.families),
    "recorders": ("quantities", recorders.__wrapped__, recorders),
    "quantities": ("quantities", measuring.quantities.__wrapped__, measuring.quantities),
    "networks": ("networks", networks.__wrapped__, networks),
    "datasets": ("datasets", datasets.__wrapped__, datasets),
    "commands": ("commands", commands.__wrapped__, commands),
}


@dataclass(frozen=True)
class Point:
    """An entry point that gives an object, or raises it."""

    name: str
    value: str
    gives: Any

    def load(self) -> Any:
        if isinstance(self.gives, BaseException):
            raise self.gives
        return self.gives


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds entry points to one group."""
    real = registry.entry_points
    registry.leave_out.cache_clear()

    def add(kind: str, *points: Point) -> None:
        monkeypatch.setattr(
            registry, "entry_points",
            lambda group: [*real(group=group), *(points if group == f"theorylab.{kind}" else ())],
        )  # fmt: skip

    return add


@pytest.mark.parametrize("what", GROUPS)
def test_a_name_that_exists_stays_whose_it_is(
    what: str, plugged: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    kind, fresh, known = GROUPS[what]
    name, item = next(iter(known().items()))
    # It sorts before ours by name.
    point = (
        Point(name, "elsewhere:thing", item.load())
        if what == "commands"
        else (Point("aa", "elsewhere:thing", item))
    )
    plugged(kind, point)
    assert dict(fresh()) == dict(known())
    shown = " ".join(name) if isinstance(name, tuple) else name
    said = capsys.readouterr().err
    origin = f"plug-in {point.name} = elsewhere:thing (theorylab.{kind})"
    assert said.startswith(f"{origin} is left out: {shown} is registered already, by ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("key", [
    "../../x", "no_dot", "a.b'; import os", 'a."', "a.b\nc", "a.[red]", "a..b", "/a.b", "a.b.", "",
    "a." + "x" * 300,
])  # fmt: skip
def test_a_key_that_is_no_name_is_left_out(
    key: str, plugged: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    class Made(Point):
        def load(self) -> Any:
            return Statement(key, "Remark", "printed", Claim(beta, "<=", 1))

    plugged("statements", Made("zz", "elsewhere:thing", None))
    assert list(registry.statements.__wrapped__()) == list(registry.statements())
    assert re.search(r"is left out: .*key is PAPER\.", capsys.readouterr().err)


def test_a_plugin_that_hangs_is_left_out(
    plugged: Callable[..., None], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    class Hangs(Point):
        def load(self) -> Any:
            while True:
                try:
                    time.sleep(60)
                except Exception:
                    continue

    monkeypatch.setattr(isolation, "LOAD_SECONDS", 0.05)
    plugged("rules", Hangs("zz", "elsewhere:thing", None))
    assert list(registry.rules.__wrapped__()) == list(registry.rules())
    assert "it took longer than 0.05 s to load" in capsys.readouterr().err


def test_a_list_without_an_end_is_left_out(
    plugged: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    module: Any = ModuleType("endless")
    module.RULES = itertools.count()
    plugged("rules", Point("zz", "endless", module))
    assert list(registry.rules.__wrapped__()) == list(registry.rules())
    assert "has no end" in capsys.readouterr().err


def test_a_family_that_cannot_be_built_is_left_out(
    plugged: Callable[..., None], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def raises() -> Any:
        raise RuntimeError("no such thing")

    def builds_a_number() -> Any:
        return 7

    families = [Family("zz_raises", raises), Family("zz_number", builds_a_number)]
    known = specs.objective_specs()
    plugged("objectives", *(Point(f.name, "elsewhere:thing", f) for f in families))
    monkeypatch.setattr(registry, "families", registry.families.__wrapped__)
    assert specs.objective_specs() == known
    said = capsys.readouterr().err
    assert "plug-in zz_raises (theorylab.objectives) is left out: RuntimeError" in said
    assert "it builds a int, no Objective" in said


def test_a_protocol_of_a_quantity_that_has_one_is_left_out(
    plugged: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    class Again(measuring.Protocol):
        provides = frozenset({"decrease"})

        def measure(self, experiment: Any) -> Any:
            raise NotImplementedError

    plugged("quantities", Point("zz", "elsewhere:thing", Again()))
    found = measuring._protocols.__wrapped__()
    assert not any(isinstance(protocol, Again) for protocol in found)
    assert len(found) == len(measuring._protocols())
    said = capsys.readouterr().err
    assert "is left out: decrease is measured already, by " in said


@pytest.mark.parametrize("what", GROUPS)
@pytest.mark.parametrize(("gives", "said"), [
    (ImportError("no module\nof that name"), "ImportError: no module of that name"),
    (SystemExit(3), "SystemExit: 3"),
    (pytest, "the module has no "),
    (7, "got int"),
])  # fmt: skip
def test_a_broken_plugin_is_named_and_left_out(
    what: str, gives: Any, said: str, plugged: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    kind, fresh, known = GROUPS[what]
    plugged(kind, Point("zz", "elsewhere:thing", gives))
    assert list(fresh()) == list(known())
    fresh()
    if what == "recorders" and gives == 7:  # said where all lists of the group are known
        return
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 1
    assert shown[0].startswith(f"plug-in zz = elsewhere:thing (theorylab.{kind}) is left out: ")
    if not (what == "commands" and gives is pytest):
        assert said in shown[0]


BROKEN = {
    "raises": "raise RuntimeError('first line\\nsecond line')",
    "leaves": "import sys\nsys.exit(3)",
    "empty": "",
    "wrong": "STATEMENTS = RULES = FAMILIES = QUANTITIES = NETWORKS = DATASETS = (7,)",
    "unparsed": "def (:",
    "odd": "def command(x: 'Nowhere') -> None: ...\nnone = 7",
}
KINDS = ("statements", "rules", "objectives", "quantities", "networks", "datasets", "commands")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    names = ("raises", "leaves", "empty", "wrong", "unparsed")
    points = {kind: {f"zz_{name}": f"broken.{name}" for name in names} for kind in KINDS}
    points["commands"] |= {"zz_odd": "broken.odd:command", "zz_none": "broken.odd:none"}
    del points["commands"]["zz_wrong"]
    return install(tmp_path_factory.mktemp("site"), "broken", "", points, BROKEN)


@pytest.mark.parametrize("arguments", [
    ("statements", "--paper", "sngm", "--json"),
    ("verify", "sngm.lemma_2", "--objective", "quadratic", "--replicas", "16", "--json"),
    ("train", "--help"),
])  # fmt: skip
def test_with_broken_plugins_of_every_group_the_rest_works(
    arguments: tuple[str, ...], broken: dict[str, str], tmp_path: Path
) -> None:
    done = theorylab(broken, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("plug-in ") and " is left out: " in line for line in lines)
    assert len(set(lines)) == len(lines)
    assert sum("zz-odd (theorylab.commands)" in line for line in lines) == 1
    for name in ("raises", "leaves", "unparsed", "none"):
        assert sum(f"zz_{name} = broken" in x and "theorylab.commands" in x for x in lines) == 1
    if arguments[0] == "verify":
        said = [x for x in lines if "zz_wrong" in x]
        assert {x.split("(")[1].split(")")[0] for x in said} >= {
            f"theorylab.{kind}" for kind in ("statements", "rules", "objectives", "quantities")
        }


def test_a_statement_that_exists_is_left_out_in_one_line(tmp_path: Path) -> None:
    environment = install(tmp_path / "site", "again", "from bounds.sngm import lemma_2 as again\n",
                          {"statements": {"again": "again:again"}})  # fmt: skip
    done = theorylab(environment, "statements", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "plug-in again = again:again (theorylab.statements) is left out: "
        "sngm.lemma_2 printed is registered already, by sngm = bounds.sngm"
    ]
