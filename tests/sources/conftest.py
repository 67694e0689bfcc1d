"""A cache of its own and no network for every test of the sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.trees import small_files, write_zips


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
