"""Whatever a user types, or a file holds: no traceback, no hang, no answer that is silently wrong.

Ten thousand inputs in all where they are asked for (``pytest -m slow``), some hundred by default.
"""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import shutil
import signal
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import Ended, command_lines, furnished, run, without_computing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deep import checkpoint
from deep.settings import Settings
from deep.training import Trainer, load_data
from theorylab.plugins.sealed import Damaged
from theorylab.plugins.store import Store, read_cell, sealed_table, write_sealed

TINY = (
    "--model two_conv --batch-size 8 --steps 2 --evaluations 1 --train-samples 32".split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what commands wrote, tables and images: what is damaged below."""
    folder = tmp_path_factory.mktemp("kept")
    before = Path.cwd()
    os.chdir(folder)
    try:
        furnished(folder)
        written(*STORED.values(), f"train {' '.join(TINY)} --device cpu --out results/train")
        (folder / "results" / "figures").mkdir()
        (folder / "gpu.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in RECORDED))
        tables(folder / "tables")
        images(folder / "images")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="module")
def kept_of_more(kept: Path) -> Path:
    """Stored cells of further commands beside them."""
    before = Path.cwd()
    os.chdir(kept)
    try:
        written(*STORED_TOO.values())
    finally:
        os.chdir(before)
    return kept


def written(*lines: str) -> None:
    for line in lines:
        ended = run(line.split(), seconds=300.0)
        assert ended.code == 0, ended


# Commands by the folder of results that keeps their cells.
STORED = {
    "verify": "verify sngm.lemma_2 --objective quadratic --replicas 8 --instances 1",
    "falsify": "falsify sngm.lemma_2 sngm.table_1_msgd --instances 4 --form printed",
    "stability": "stability --rule sgd --steps 2,4 --pairs 1 --seeds 8",
}
STORED_TOO = {
    "power": "power sngm.lemma_2 --budget 3 --seeds 1",
    "calibration": "calibration --repetitions 1 --replicas 64",
    "figures": "figure sngm.lemma_2 --axis T --replicas 4",
    "compare": "compare --data digits --share 0.01 --batch-sizes 16 --seeds 1",
    "train/cells": f"train {' '.join(TINY)} --device cpu --seeds 2 --jobs 2",
    "exhibits": "figure sngm.figure_1 --preset smoke --device cpu --out results/exhibits",
}


RECORDED = [
    {"part": "cells", "name": "a", "ok": True, "result": {
        "exhibit": "sngm.table_2", "row": "SGD", "column": "64", "seed": 0, "share": 0.1,
        "data": "digits", "settings": {"data": "cifar10", "optimizer": "sgd", "batch_size": 64,
                                       "lr": 0.1},
        "history": [{"steps": 1, "train_loss": 1.0, "test_accuracy": 0.5}]}},
]  # fmt: skip


def tables(folder: Path) -> None:
    """A data file of each kind that is read."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 3)).round(3), rng.integers(0, 2, 12)
    rows = list(zip(X.tolist(), y.tolist(), strict=True))
    lines = [",".join(map(str, [*row, label])) for row, label in rows]
    (folder / "a.csv").write_text("\n".join(["a,b,c,target", *lines]))
    sparse = [f"{label} 1:{row[0]} 3:{row[2]}\n" for row, label in rows]
    (folder / "a.svm").write_text("".join(sparse))
    np.savez(folder / "a.npz", X=X, y=y)
    head = "@relation a\n@attribute x numeric\n@attribute y {0,1}\n@data\n"
    (folder / "a.arff").write_text(head + "".join(f"{row[0]},{label}\n" for row, label in rows))


def images(folder: Path) -> None:
    """A data set of images in each layout that is read."""
    rng = np.random.default_rng(0)
    batches = folder / "cifar" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        content = {b"data": rng.integers(0, 256, (2, 3072), dtype=np.uint8), b"labels": [1, 2]}
        (batches / name).write_bytes(pickle.dumps(content, protocol=2))
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as packed:
        packed.add(batches, arcname="cifar-10-batches-py")
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            place = folder / "folder" / part / label
            place.mkdir(parents=True)
            for number, kind in enumerate(("png", "ppm", "jpg", "bmp", "webp")):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.{kind}")
    with tarfile.open(folder / "folder.tar", "w") as packed:
        packed.add(folder / "folder", arcname=".")


# --- damage ---------------------------------------------------------------------------------------
@st.composite
def damage(draw: Any) -> Callable[[bytes], bytes]:
    """Bytes cut off, flipped, overwritten, put in twice or taken out."""
    kind = draw(st.sampled_from(("cut", "flip", "flip", "write", "insert", "remove")))
    at = draw(st.floats(0, 1, exclude_max=True))
    many, piece = draw(st.integers(1, 40)), draw(st.binary(min_size=1, max_size=8))

    def done(data: bytes) -> bytes:
        place = int(at * len(data))
        if kind == "cut":
            return data[:place]
        if kind == "flip":
            changed = bytearray(data)
            changed[place] ^= 1 << (many % 8)
            return bytes(changed)
        if kind == "write":
            return data[:place] + piece + data[place + len(piece) :]
        if kind == "insert":
            return data[:place] + data[place : place + many] + data[place:]
        return data[:place] + data[place + many :]

    return done


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e308, "", "x", "[/]", "../../x", "<script>x</script>", "\x1b[31m",
    [], {}, [1], [None], {"a": 1}, [[[[1]]]], "holds", "violated", "9" * 400,
)  # fmt: skip


@st.composite
def retyped(draw: Any, table: Any) -> Any:
    """The table with some of its values replaced by others, of other types."""
    changed = copy.deepcopy(table)
    for _ in range(draw(st.integers(1, 3))):
        at: Any = changed
        while True:
            places = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            inside = isinstance(at[place], dict | list) and at[place]
            if inside and draw(st.integers(0, 4)):
                at = at[place]
                continue
            if isinstance(at, dict) and not draw(st.integers(0, 4)):
                del at[place]
            else:
                at[place] = copy.deepcopy(draw(st.sampled_from(ODD)))
            break
    return changed


def counted(
    what: st.SearchStrategy[Any], act: Callable[[Any], str], examples: int, counts: Counter[str]
) -> None:
    """``act`` on so many inputs; what came of each is counted."""

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(what)
    def attack(drawn: Any) -> None:
        counts[act(drawn)] += 1

    attack()


# --- the attacks ----------------------------------------------------------------------------------
def fuzzed_commands(folder: Path, examples: int) -> Counter[str]:
    """Command lines, among what a folder holds."""
    run(["verify", "--instances", "0", "--out", "warm"], 60.0)  # objectives are built once
    counts: Counter[str] = Counter()
    counted(command_lines(), lambda line: f"{line[0]}: {run(line).outcome}", examples, counts)
    return counts


def fuzzed_tables(folder: Path, examples: int) -> Counter[str]:
    """Data files, damaged: read whole and used, or refused in a line."""
    counts: Counter[str] = Counter()
    for path in sorted((folder / "tables").iterdir()):
        data = path.read_bytes()

        def act(change: Callable[[bytes], bytes], path: Path = path, data: bytes = data) -> str:
            target = Path(f"damaged{path.suffix}")
            target.write_bytes(change(data))
            line = ["verify", "sngm.lemma_2", "--data", str(target), "--instances", "0"]
            return f"{path.suffix}: {run(line).outcome}"

        counted(damage(), act, examples // 4, counts)
    return counts


def fuzzed_cells(folder: Path, examples: int) -> Counter[str]:
    """Stored cells, damaged or retyped: what is given back is what was stored, or nothing."""
    counts: Counter[str] = Counter()
    originals = sorted((folder / "results" / "verify" / "cells").glob("*.json"))
    whole = {path.name: path.read_bytes() for path in originals}
    known = {path.name: read_cell(path) for path in originals}
    names = st.sampled_from(sorted(whole))
    changed = names.flatmap(lambda name: st.tuples(st.just(name), st.one_of(
        damage().map(lambda change: change(whole[name])),
        retyped(json.loads(whole[name])).map(lambda t: json.dumps(t, indent=1).encode()),
        st.sampled_from(sorted(whole)).map(lambda other: whole[other]),
    )))  # fmt: skip
    store = Store("damaged")

    def act(drawn: tuple[str, bytes]) -> str:
        name, data = drawn
        cell = known[name]
        path = store.path(cell.cell, cell.code)
        assert path.name == name
        path.write_bytes(data)
        shown = run(["results", "verify", "damaged"])
        found = store.get(cell.cell, cell.code)
        for left in store.root.rglob("*.damaged*"):
            left.unlink()
        path.unlink(missing_ok=True)
        if found is None:
            assert shown.code == 1, data
            return "cell: set aside"
        assert found == cell.result, data
        return "cell: as it was"

    counted(changed, act, examples, counts)
    return counts


def resealed(folder: Path, examples: int) -> Counter[str]:
    """Cells whose result is retyped under a checksum that fits: set aside, or used in the end."""
    counts: Counter[str] = Counter()
    places = {
        place: line for place, line in {**STORED, **STORED_TOO}.items()
        if list(Path("results", place).glob("cells/*.json"))
    }  # fmt: skip
    for place, line in places.items():
        store = Store(Path("results", place))
        whole = {p: p.read_bytes() for p in sorted((store.root / "cells").glob("*.json"))}

        def act(
            drawn: tuple[Path, dict[str, Any]], line: str = line, place: str = place,
            store: Store = store, whole: dict[Path, bytes] = whole,
        ) -> str:  # fmt: skip
            path, table = drawn
            kept = read_cell(path)
            store.put(kept.cell, table["result"], kept.code)
            assert read_cell(path).result == json.loads(json.dumps(table["result"]))
            try:
                ended = run(line.split(), seconds=15.0)
            finally:
                path.write_bytes(whole[path])
            aside = list((store.root / "cells").glob("*.damaged*"))
            for left in aside:
                left.unlink()
            return f"{place}: {'set aside' if aside else ended.outcome}"

        changed = st.sampled_from(sorted(whole)).flatmap(lambda path: st.tuples(
            st.just(path), retyped({"result": read_cell(path).result}).filter(
                lambda table: table.get("result") is not None)))  # fmt: skip
        counted(changed, act, examples // len(places), counts)
    return counts


def fuzzed_checkpoints(folder: Path, examples: int) -> Counter[str]:
    """Checkpoints, damaged: set aside; the run starts anew."""
    counts: Counter[str] = Counter()
    chosen = Settings(model="two_conv", steps=2, batch_size=8, evaluations=1, train_samples=32)
    trainer = Trainer(chosen, load_data(chosen))
    path = Path("run/checkpoint.pt")
    checkpoint.save(path, trainer.state_dict())
    data = path.read_bytes()

    def act(change: Callable[[bytes], bytes]) -> str:
        path.write_bytes(change(data))
        try:
            state = checkpoint.load(path)
        except Damaged:
            assert checkpoint.resume(path, trainer.made) is None
            for left in path.parent.glob("*.damaged*"):
                left.unlink()
            return "checkpoint: set aside"
        assert change(data) == data
        trainer.load_state_dict(state)
        return "checkpoint: as it was"

    counted(damage(), act, examples - examples // 5, counts)

    def bare(change: Callable[[bytes], bytes]) -> str:
        """Weights without a checksum, as a user's own program saves them."""
        stream = io.BytesIO()
        torch.save(trainer.network.state_dict(), stream)
        Path("weights.pt").write_bytes(change(stream.getvalue()))
        line = ["gan", "--segmenter", "deep.segmentation:SmallSegmenter", "--weights", "weights.pt",
                "--samples", "1", "--image-size", "32", "--width", "1"]  # fmt: skip
        return f"weights: {run(line).outcome}"

    counted(damage(), bare, examples // 5, counts)
    return counts


def fuzzed_images(folder: Path, examples: int) -> Counter[str]:
    """Image data, damaged: trained on as read, or refused in a line."""
    counts: Counter[str] = Counter()
    os.environ["THEORYLAB_CACHE"] = str(Path.cwd() / "cache")
    source = folder / "images"
    files = sorted(p.relative_to(source) for p in source.rglob("*") if p.is_file())
    drawn = st.tuples(st.sampled_from(files), damage())

    def act(pair: tuple[Path, Callable[[bytes], bytes]]) -> str:
        name, change = pair
        data = "cifar10" if "cifar" in str(name) else "folder"
        place = Path("images")
        shutil.rmtree(place, ignore_errors=True)
        (place / name).parent.mkdir(parents=True)
        if len(name.parts) > 1:
            shutil.copytree(source / name.parts[0], place / name.parts[0], dirs_exist_ok=True)
        (place / name).write_bytes(change((source / name).read_bytes()))
        line = ["train", *TINY, "--data", data, "--data-dir", str(place / name.parts[0]),
                "--out", "images/out"]  # fmt: skip
        ended = run(line)
        return f"{data}{name.suffix}: {ended.outcome}"

    counted(drawn, act, examples, counts)
    return counts


def fuzzed_results(folder: Path, examples: int) -> Counter[str]:
    """Results of others: edited or damaged refused in a line; sealed anew shown, or refused."""
    counts: Counter[str] = Counter()
    every = {
        "report": ("verify/results.json", ["report", "foreign"]),
        "report of a hunt": ("falsify/results.json", ["report", "foreign"]),
        "figure-verdicts": ("verify/results.json", ["figure-verdicts", "foreign"]),
        "errata": ("falsify/results.json", ["errata", "--results", "foreign/results.json",
                                            "--out", "foreign/out/errata.md"]),
        "figure-stability": ("stability/stability.json",
                             ["figure-stability", "foreign/results.json"]),
        "results": ("verify/results.json", ["results", "ls", "foreign"]),
        "report of twins": ("stability/stability.json", ["report", "foreign"]),
    }  # fmt: skip
    for name, (place, line) in every.items():
        text = (folder / "results" / place).read_bytes()
        table, sealed = sealed_table(text)
        assert sealed
        shown = st.one_of(retyped(table), retyped(table),
                          retyped(json.loads(text)).map(lambda t: json.dumps(t, indent=1).encode()),
                          damage().map(lambda change, text=text: change(text)))  # fmt: skip

        def act(data: Any, name: str = name, line: list[str] = line, text: bytes = text) -> str:
            shutil.rmtree("foreign", ignore_errors=True)
            Path("foreign").mkdir()
            if isinstance(data, bytes):
                Path("foreign/results.json").write_bytes(data)
            else:
                write_sealed(Path("foreign/results.json"), data)
            if "twins" in name:
                shutil.copy(folder / "results" / "verify" / "results.json", "foreign/verify.json")
            before = set(Path().iterdir())
            ended = run(line, seconds=15.0)
            assert set(Path().iterdir()) == before, data
            if isinstance(data, bytes) and b"sha256" in data and name != "results":
                assert ended.code == (0 if data == text else 2), data
            assert b"<script>x" not in b"".join(
                p.read_bytes() for p in Path("foreign").glob("*.html")
            )
            return f"{name}: {ended.outcome}"

        counted(shown, act, examples // (len(every) + 1), counts)

    def recorded(data: bytes) -> str:
        Path("gpu.jsonl").write_bytes(data)
        return f"recorded: {run(['figure', 'sngm.table_2', '--recorded', 'gpu.jsonl']).outcome}"

    lines = st.one_of(
        retyped(RECORDED).map(lambda t: "".join(f"{json.dumps(r)}\n" for r in t).encode()),
        damage().map(lambda change: change((folder / "gpu.jsonl").read_bytes())),
    )
    counted(lines, recorded, examples // (len(every) + 1), counts)
    return counts


ATTACKS: dict[str, tuple[Callable[[Path, int], Counter[str]], int, int]] = {
    "command lines": (fuzzed_commands, 60, 6000),
    "tables": (fuzzed_tables, 20, 1000),
    "cells": (fuzzed_cells, 30, 1000),
    "resealed": (resealed, 12, 900),
    "checkpoints": (fuzzed_checkpoints, 10, 400),
    "images": (fuzzed_images, 10, 600),
    "results": (fuzzed_results, 24, 1000),
}


def attack(
    name: str, slow: bool, folder: Path, there: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shutil.copytree(folder / "results", there / "results")
    furnished(there)
    monkeypatch.chdir(there)
    monkeypatch.setenv("THEORYLAB_CACHE", str(there / "cache"))
    without_computing(monkeypatch)
    act, few, many = ATTACKS[name]
    counts = act(folder, many if slow else few)
    with capsys.disabled():
        print(f"\n{name}: {counts.total()} inputs")
        for outcome in sorted(counts):
            print(f"  {outcome}: {counts[outcome]}")
    assert counts.total() >= 0.8 * (many if slow else few)  # hypothesis draws none twice


@pytest.mark.parametrize("name", ATTACKS)
def test_some_hundred_inputs(
    name: str, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    attack(name, False, kept, tmp_path, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_ten_thousand_inputs(
    name: str, kept_of_more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    attack(name, True, kept_of_more, tmp_path, monkeypatch, capsys)


def test_a_run_is_judged_as_a_user_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run(["statements", "no.such_key"])
    assert isinstance(ended, Ended)
    assert (ended.code, ended.outcome) == (2, "refused")

    def without_end() -> None:
        # The time ends here: a real command may be cut between opening a file and closing it.
        left, _ = signal.setitimer(signal.ITIMER_PROF, 0.001)
        assert left > 0
        while True:
            pass

    monkeypatch.setattr("fuzzing.main", without_end)
    with pytest.raises(AssertionError, match="computes over"):
        run(["statements"])
