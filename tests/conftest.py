"""Fixtures that several test files ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from exhibit_session import TINY, invented
from hypothesis import settings

from paper_figures import session as session_module
from paper_figures.session import Session
from theorylab.plugins.store import Store
from theorylab.studies.compute import Computed

settings.register_profile("any machine", deadline=None)  # no test times anything
settings.load_profile("any machine")


@pytest.fixture
def session(tmp_path: Path) -> Any:
    return Session(Store(tmp_path / "store"), TINY, progress=False)


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(function: Any, cells: Any, store: Any, **options: Any) -> Any:
        return Computed(tuple(invented(cell) for cell in cells))

    monkeypatch.setattr(session_module, "compute", compute)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: small networks are no faster on more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
