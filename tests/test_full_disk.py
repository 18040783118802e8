"""A full, read-only or vanished disk in the middle of every command that writes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from full_disks import Disk, Shell, disk, shell, written

from theorylab.plugins.store import Store

__all__ = ["disk", "shell"]

FEW = ("--instances", "2", "--replicas", "8")
RUN = ("--data", "digits", "--model", "two_conv", "--train-samples", "64", "--batch-size", "16",
       "--steps", "6", "--device", "cpu", "--checkpoint-every", "0")  # fmt: skip
PIXELS = ("--epochs", "1", "--image-size", "32", "--device", "cpu")
MARKS = "before\n<!-- {0} -->\nold\n<!-- end of {0} -->\nafter\n"

# By name: the command; {out} is its folder, {page} a page of marks, {found} a hunt's results.
COMMANDS: dict[str, tuple[str, ...]] = {
    "verify": ("verify", "sngm.lemma_1", *FEW, "--out", "{out}"),
    "falsify": ("falsify", "lrsgd.definition_4_8", "--instances", "3", "--out", "{out}"),
    "stability": ("stability", "--rule", "sgd", "--objective", "stability_twins", "--set", "n=10",
                  "--steps", "4,8", "--pairs", "2", "--seeds", "8", "--out", "{out}"),
    "power": ("power", "sngm.lemma_1", "--budget", "1", "--page", "{page}", "--out", "{out}"),
    "calibration": ("calibration", "--repetitions", "1", "--replicas", "64", "--page", "{page}",
                    "--out", "{out}"),
    "units": ("units", "--paper", "sngm", "--out", "{out}"),
    "curves": ("figure", "sngm.lemma_2", "--axis", "T", "--replicas", "4", "--out", "{out}"),
    "exhibit": ("figure", "sngm.figure_1", "--preset", "smoke", "--formats", "pdf,svg,png",
                "--device", "cpu", "--out", "{out}"),
    "errata": ("errata", "--results", "{found}/results.json", "--out", "{out}/errata.md"),
    "report": ("report", "{found}", "--out", "{out}/report.html"),
    "verdicts": ("figure-verdicts", "{found}/checked", "--out", "{out}"),
    "export": ("results", "export", "{found}", "--to", "{out}/cells.csv"),
    "train": ("train", *RUN, "--out", "{out}"),
    "twins": ("train", *RUN, "--twins", "1", "--out", "{out}"),
    "compare": ("compare", "--data", "digits", "--share", "0.01", "--batch-sizes", "16",
                "--seeds", "1", "--out", "{out}"),
    "gan": ("gan", *PIXELS, "--samples", "2", "--width", "4", "--out", "{out}"),
    "segment": ("segment", *PIXELS, "--out", "{out}/segmenter.pt"),
}  # fmt: skip


class Bench:
    """Where one command is run, with what it needs beside it."""

    def __init__(self, name: str, found: Path, base: Path) -> None:
        self.name, self.found, self.base = name, found, base
        self.fresh()

    def fresh(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        (self.base / "out").mkdir(parents=True)
        (self.base / "page.md").write_text(MARKS.format(self.name))

    @property
    def command(self) -> list[str]:
        return [
            part.format(out=self.base / "out", page=self.base / "page.md", found=self.found)
            for part in COMMANDS[self.name]
        ]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a hunt, and of checks inside, which some commands take."""
    from theorylab.studies.falsify import falsify
    from theorylab.studies.selection import select
    from theorylab.studies.verify import verify

    folder = tmp_path_factory.mktemp("found")
    falsify(select(["lrsgd.definition_4_8"], None, "both"), limit=3, out=folder, write=True,
            progress=False).keep(folder / "results.json")  # fmt: skip
    inner = folder / "checked"
    verify(select(["sngm.lemma_1"], None, "both"), replicas=8, instances=2, out=inner,
           progress=False).keep(inner / "results.json")  # fmt: skip
    return folder


def timeless(content: dict[str, tuple[int, bytes]]) -> dict[str, Any]:
    """What is the same for a run that was stopped: names, and JSON but for times."""
    kept: dict[str, Any] = {}
    for name, (_, data) in content.items():
        # What a run is named by, beside it, and what holds a time in its bytes.
        if name.endswith((".pt", ".npz")) or "tfevents" in name:
            kept[re.sub(r"tfevents.*", "tfevents", name)] = None
        elif name.endswith(".json"):
            kept[name] = without_times(json.loads(data))
        else:
            kept[name] = name
    return kept


def without_times(table: Any) -> Any:
    if isinstance(table, dict):
        return {k: without_times(v) for k, v in table.items()
                if k not in ("seconds", "provenance", "sha256", "budget")}  # fmt: skip
    return [without_times(v) for v in table] if isinstance(table, list) else table


def refused(code: int, said: str, base: Path, error: int) -> None:
    """Exit code 2, one line that names a path of the command's, nothing half-written."""
    assert code == 2, said
    (line,) = said.splitlines()
    path = re.fullmatch(f"error: cannot write (.*): {os.strerror(error)}", line)
    assert path, line
    assert Path(path[1]).is_relative_to(base)
    assert [p for p in base.rglob("*") if p.name.endswith(".tmp")] == []


def goes_on(
    name: str, shares: tuple[float, ...], bench: Bench, disk: Disk, shell: Shell
) -> tuple[int, int]:
    """Fill the disk at each share of what the command writes; how often, with how many cells."""
    code, said = shell(*bench.command)
    assert code == 0, said
    whole, total = timeless(written(bench.base)), disk.written
    kept = 0
    for share in shares:
        bench.fresh()
        disk.room = int(share * total)
        refused(*shell(*bench.command), bench.base, errno.ENOSPC)
        before = written(bench.base)
        if name in ("power", "calibration"):  # a page is as it was, or whole
            assert before["page.md"][1].decode() == MARKS.format(name)
        disk.room = None
        code, said = shell(*bench.command)
        assert code == 0, said
        after = written(bench.base)
        cells = {n for n in before if n.startswith("out/cells/")}
        assert {n: before[n] for n in cells} == {n: after[n] for n in cells}  # not written again
        if name != "power":  # its budget is in seconds
            assert timeless(after) == whole
        kept += len(cells)
    return len(shares), kept


@pytest.mark.parametrize("name", ["verify", "errata"])
def test_on_a_full_disk_a_line_names_the_path_and_the_command_goes_on(
    name: str, found: Path, tmp_path: Path, disk: Disk, shell: Shell
) -> None:
    goes_on(name, (0.5,), Bench(name, found, tmp_path / "bench"), disk, shell)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_outlives_a_full_disk(
    name: str, found: Path, tmp_path: Path, disk: Disk, shell: Shell
) -> None:
    times, cells = goes_on(name, (0.0, 0.3, 0.6, 0.99), Bench(name, found, tmp_path / "bench"),
                           disk, shell)  # fmt: skip
    print(f"{name}: full {times} times, {cells} finished cells kept")


def test_a_disk_that_becomes_read_only_is_a_line_too(
    found: Path, tmp_path: Path, disk: Disk, shell: Shell
) -> None:
    bench = Bench("verify", found, tmp_path / "bench")
    disk.room, disk.error = 3000, errno.EROFS
    refused(*shell(*bench.command), bench.base, errno.EROFS)


@pytest.mark.parametrize("returns", [True, False])
def test_a_folder_that_vanishes(
    returns: bool, found: Path, tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made anew; where it cannot be, a line says so."""
    bench = Bench("verify", found, tmp_path / "bench")
    out = bench.base / "out"
    put, count = Store.put, [0]

    def vanishing(self: Store, *arguments: Any) -> None:
        count[0] += 1
        if count[0] == 3:
            shutil.rmtree(out)
            if not returns:
                out.write_text("another thing")
        put(self, *arguments)

    monkeypatch.setattr(Store, "put", vanishing)
    code, said = shell(*bench.command)
    if returns:
        assert (code, said) == (0, "")
        assert json.loads((out / "results.json").read_bytes())["failed"] == []
    else:
        refused(code, said, bench.base, errno.ENOTDIR)


# What makes another run of each command.
OTHER: dict[str, tuple[str, ...]] = {
    "verify": ("--seed", "1"), "falsify": ("--seed", "1"), "stability": ("--seed", "1"),
    "power": ("--seed", "1"), "calibration": ("--seed", "1"), "units": ("--form", "repaired"),
    "curves": ("--seed", "1"), "exhibit": ("--seed", "1"), "train": ("--seed", "1", "--lr", "0.5"),
    "twins": ("--seed", "1"), "compare": ("--batch-sizes", "8"), "gan": ("--seed", "1"),
    "segment": ("--seed", "1"),
}  # fmt: skip


@pytest.mark.parametrize("name", [
    "units", *(pytest.param(n, marks=pytest.mark.slow) for n in OTHER if n != "units"),
])  # fmt: skip
def test_two_runs_of_different_settings_in_one_folder_keep_both(
    name: str, found: Path, tmp_path: Path, shell: Shell
) -> None:
    bench = Bench(name, found, tmp_path / "bench")
    assert shell(*bench.command)[0] == 0
    first = {data for _, data in written(bench.base / "out").values()}
    assert shell(*bench.command, *OTHER[name])[0] == 0
    both = written(bench.base / "out")
    lost = first - {data for _, data in both.values()}
    assert {n for n, (_, data) in both.items() if data in lost} == set()
    assert not lost
    print(f"{name}: {len(first)} files of the first run, {len(both)} of both")
