"""Fixtures that a room's conftest.py imports: they apply to every test of that room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.trees import small_files, write_zips


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one core, as the weights of two runs are compared bit for bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the cache into the test's folder; forbid downloads; forget the user's data."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HPSEARCH_CACHE", str(folder))
    monkeypatch.setenv("HPSEARCH_OFFLINE", "1")
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a folder with a small data set in Omniglot's form, as zips."""
    return write_zips(tmp_path / "small", small_files())
