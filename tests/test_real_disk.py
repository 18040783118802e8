"""A real disk that runs full: a small tmpfs, in a mount namespace of its own, that then grows."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from killing import timeless

from theorylab.plugins.store import read_cell

RUN = (sys.executable, "-m", "theorylab")
SWEEP = ("verify", "sngm.lemma_1", "sngm.lemma_2", "--instances", "2", "--replicas", "8")
TRAINING = ("train", "--data", "digits", "--model", "two_conv", "--train-samples", "64",
            "--batch-size", "16", "--steps", "6", "--device", "cpu", "--checkpoint-every",
            "0")  # fmt: skip


def mounts() -> bool:
    """Whether this user may mount in a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"],
                           capture_output=True, check=False)  # fmt: skip
    return tried.returncode == 0


# A full disk, one look at it, room, and the same command again; what is left is copied out.
SCRIPT = """
mount -t tmpfs -o size={size} tmpfs {disk} || exit 99
{command} > {kept}/out1 2> {kept}/err1
echo $? > {kept}/rc1
cp -r {disk}/out {kept}/full
mount -o remount,size=256m {disk} || exit 98
{command} > {kept}/out2 2> {kept}/err2
echo $? > {kept}/rc2
cp -r {disk}/out {kept}/whole
"""


def filled(line: tuple[str, ...], size: int, folder: Path) -> Path:
    """The command on a disk of so many bytes, then on a large one; what it said and left."""
    disk, kept = folder / "disk", folder / "kept"
    disk.mkdir()
    kept.mkdir()
    command = shlex.join([*RUN, *line, "--out", str(disk / "out")])
    script = SCRIPT.format(size=size, disk=shlex.quote(str(disk)), kept=shlex.quote(str(kept)),
                           command=command)  # fmt: skip
    ended = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True,
                           check=False, cwd=folder)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    code, said = (kept / "rc1").read_text().strip(), (kept / "err1").read_text()
    assert code == "2", said
    path = re.fullmatch(f"error: cannot write (.*): {os.strerror(errno.ENOSPC)}\n", said)
    assert path, said
    assert Path(path[1]).is_relative_to(disk)
    assert not [p for p in (kept / "full").rglob("*") if p.suffix == ".tmp"]
    assert (kept / "rc2").read_text().strip() == "0", (kept / "err2").read_text()
    return kept


def undisturbed(line: tuple[str, ...], folder: Path) -> Path:
    out = folder / "whole"
    subprocess.run([*RUN, *line, "--out", str(out)], check=True, capture_output=True, cwd=folder)
    return out


@pytest.mark.slow
@pytest.mark.skipif(not mounts(), reason="no mount namespace for this user")
def test_a_sweep_outlives_a_real_full_disk(tmp_path: Path) -> None:
    whole = undisturbed(SWEEP, tmp_path)
    cells = sorted((whole / "cells").iterdir())
    page = os.sysconf("SC_PAGESIZE")
    kept = filled(SWEEP, len(cells) // 2 * page, tmp_path)  # a page for each cell, at the least
    first = {p.name: p.read_bytes() for p in (kept / "full" / "cells").iterdir()}
    assert 0 < len(first) < len(cells)
    left = {p.name: p for p in (kept / "whole" / "cells").iterdir()}
    assert sorted(left) == [p.name for p in cells]
    assert {name: left[name].read_bytes() for name in first} == first  # not computed again
    for path in cells:
        assert timeless(read_cell(left[path.name]).result) == timeless(read_cell(path).result)
    tables = [timeless(json.loads((f / "results.json").read_bytes()))["results"]
              for f in (whole, kept / "whole")]  # fmt: skip
    assert tables[0] == tables[1]
    print(f"a sweep: full after {len(first)} of {len(cells)} cells, then the same results")


@pytest.mark.slow
@pytest.mark.skipif(not mounts(), reason="no mount namespace for this user")
def test_training_outlives_a_real_full_disk(tmp_path: Path) -> None:
    whole = undisturbed(TRAINING, tmp_path)
    (checkpoint,) = whole.rglob("checkpoint.pt")
    # Room for one checkpoint, not for the next one beside it.
    kept = filled(TRAINING, checkpoint.stat().st_size * 3 // 2, tmp_path)
    (first,) = (kept / "full").rglob("checkpoint.pt")
    assert first.stat().st_size > 0
    histories = []
    for folder in (whole, kept / "whole"):
        (found,) = folder.rglob("history.json")
        histories.append(timeless(json.loads(found.read_bytes())))
    assert histories[0] == histories[1]
    print(f"training: full at the second checkpoint of {checkpoint.stat().st_size:,} bytes, "
          f"then the same {len(histories[0])} measurements")  # fmt: skip
