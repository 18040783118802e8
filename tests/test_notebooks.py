"""Every notebook of the documentation runs from an empty folder, and what it keeps is small."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_MOST = 60_000  # bytes


def test_the_index_lists_them_all() -> None:
    listed = (FOLDER / "index.md").read_text()
    assert len(NOTEBOOKS) >= 6
    for path in NOTEBOOKS:
        assert f"\n{path.stem}\n" in listed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_as_it_is_kept(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert path.stat().st_size < _MOST
    kept = nbformat.read(path, as_version=4)
    for cell in kept.cells:
        assert "/home/" not in cell.source
        assert all(output.output_type != "error" for output in cell.get("outputs", ()))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    root = str(FOLDER.parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    resources = {"metadata": {"path": str(tmp_path)}}
    done = NotebookClient(kept, timeout=600, kernel_name="python3", resources=resources).execute()
    assert any(cell.get("outputs") for cell in done.cells)
