"""Counterexamples that were found are tried first by the next hunt, and believed no sooner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fuzzing import run

from bounds import Claim, Condition, Statement
from bounds.notation import beta
from theorylab.hunt.database import Database
from theorylab.hunt.instance import Instance
from theorylab.hunt.search import Evaluation, Hunt, hunt
from theorylab.plugins.store import Store
from theorylab.studies.falsify import falsify

# False near beta = 0.9 alone, which takes a search some instances to find.
FALSE = Statement(
    "demo.narrow", "Remark", "printed", Claim(1 / (1 - beta), "<=", 9.5),
    conditions=(Condition(beta, "<=", 0.9),),
)  # fmt: skip
TRUE = replace(FALSE, claim=Claim(1 / (1 - beta), "<=", 10.001))


@pytest.fixture
def kept(tmp_path: Path) -> Database:
    database = Database(tmp_path / "database")
    database.keep(hunt(FALSE, limit=40))
    assert len(database.starts(FALSE)) == 1
    return database


def test_the_next_hunt_tries_it_first_and_confirms_it(kept: Database) -> None:
    seen: list[Evaluation] = []
    found = hunt(FALSE, limit=40, seed=5, start=kept.starts(FALSE), watch=seen.append)
    assert (found.verdict, found.how, found.evaluations) == ("violated", "kept", 1)
    assert seen[0].instance == kept.starts(FALSE)[0]
    assert found.best is not None
    assert found.best.evidence == "exact arithmetic"


def test_an_edited_statement_is_tried_at_the_same_place(kept: Database) -> None:
    tighter = replace(FALSE, claim=Claim(1 / (1 - beta), "<=", 9))
    found = hunt(tighter, limit=40, start=kept.starts(tighter))
    assert (found.verdict, found.how) == ("violated", "kept")
    repaired = replace(TRUE, form="repaired")
    assert kept.starts(repaired) == kept.starts(FALSE)  # the other form's is tried too


def test_a_start_is_no_verdict(kept: Database) -> None:
    """A true statement stands, whatever is kept against it, and its search is the same."""
    alone = hunt(TRUE, limit=40)
    found = hunt(TRUE, limit=40, start=kept.starts(TRUE))
    assert (found.verdict, alone.verdict) == ("not refuted", "not refuted")
    assert found.evaluations == alone.evaluations + 1
    assert found.ratio >= alone.ratio


def test_a_study_keeps_what_it_finds_and_what_is_finished_stays(tmp_path: Path) -> None:
    options: dict[str, Any] = {"limit": 40, "database": tmp_path / "kept", "progress": False}
    first = falsify([FALSE], out=tmp_path / "one", **options)
    assert first[0].how != "kept"
    again = falsify([FALSE], out=tmp_path / "one", **options)
    assert again[0] == first[0]  # finished: nothing is hunted, whatever is known
    new = falsify([FALSE], out=tmp_path / "two", **options)
    assert (new[0].verdict, new[0].how, new[0].evaluations) == ("violated", "kept", 1)
    none = falsify([FALSE], out=tmp_path / "three", limit=40, progress=False)
    assert none[0].to_json() | {"seconds": 0} == first[0].to_json() | {"seconds": 0}


def test_only_the_objectives_that_are_asked_about_are_tried(tmp_path: Path) -> None:
    database = Database(tmp_path)
    for family, parameters in (("quadratic", {"dim": 1}), ("data", {"source": "digits"})):
        instance = Instance({"family": family, "parameters": parameters}, {"beta": 0.5})
        found = hunt(FALSE, limit=40)
        database.keep(replace(found, instance=instance))
    assert len(database.starts(FALSE)) == 2
    assert len(database.starts(FALSE, [{"family": "quadratic"}])) == 1
    mine = {"family": "data", "parameters": {"source": "mine.csv", "digest": "a"}}
    assert database.starts(FALSE, [mine]) == ()


@pytest.mark.parametrize(
    "instance",
    [
        None, [], {"values": []}, {"values": {"beta": "0.5"}}, {"values": {"beta": True}},
        {"values": {"beta": 10**400}}, {"values": {"beta": 0.5}, "a": 0.0},
        {"values": {"beta": 0.5}, "seed": -1}, {"values": {"beta": 0.5}, "spec": "quadratic"},
        {"values": {"beta": 0.5}, "spec": {"family": 3}},
        {"values": {"beta": 0.5}, "spec": {"family": "quadratic", "parameters": {"dim": 10**9}}},
        {"values": {"beta": 0.5}, "spec": {"family": "no such family", "parameters": {}}},
        {"values": {"beta": 0.5}, "spec": {"family": "quadratic", "parameters": {"dim": "x"}}},
    ],
)  # fmt: skip
def test_what_is_no_instance_is_passed_over(tmp_path: Path, instance: Any) -> None:
    store = Store(tmp_path / FALSE.key)
    store.put({"kind": "counterexample", "key": FALSE.key, "form": "printed",
               "instance": instance}, None)  # fmt: skip
    assert Database(tmp_path).starts(FALSE) == ()


@pytest.mark.parametrize(
    "instance",
    [
        {"values": {}}, {"values": {"other": 0.5}}, {"values": {"beta": 5.0}},
    ],
)  # fmt: skip
def test_an_instance_of_something_else_harms_nothing(
    tmp_path: Path, instance: Mapping[str, Any]
) -> None:
    store = Store(tmp_path / FALSE.key)
    store.put({"kind": "counterexample", "key": FALSE.key, "form": "printed",
               "instance": instance}, None)  # fmt: skip
    starts = Database(tmp_path).starts(FALSE)
    assert len(starts) == 1
    assert hunt(FALSE, limit=40, start=starts).verdict == "violated"
    assert hunt(TRUE, limit=40, start=starts).verdict == "not refuted"


def test_a_damaged_file_is_set_aside(kept: Database, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(kept.folder.rglob("*.json"))
    path.write_bytes(path.read_bytes().replace(b"0.9", b"0.1"))
    assert kept.starts(FALSE) == ()
    assert "is set aside" in capsys.readouterr().err
    assert not path.exists()


def test_a_hunt_without_an_instance_adds_nothing(tmp_path: Path) -> None:
    Database(tmp_path).keep(Hunt("demo.narrow", "printed", "not refuted"))
    assert list(tmp_path.iterdir()) == []


def test_the_command_keeps_them_under_out_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing outside --out is read or written, so no user's cache decides a test."""
    monkeypatch.chdir(tmp_path)
    line = ["falsify", "tralgo.claim_small_batch", "--form", "printed", "--instances", "12",
            "--no-write", "--json"]  # fmt: skip
    first = json.loads(run([*line, "--out", "a"], 300).out)["results"][0]
    assert first["verdict"] == "violated"
    kept = sorted(p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("database"))
    assert kept == ["a"]
    run([*line, "--out", "b", "--database", "none"], 300)
    assert not (tmp_path / "b" / "database").exists()
    found = json.loads(run([*line, "--out", "b", "--seed", "1", "--database", "a/database"], 300)
                       .out)["results"][0]  # fmt: skip
    assert (found["verdict"], found["how"]) == ("violated", "kept")
    assert run(["results", "verify", "a/database"]).code == 0
