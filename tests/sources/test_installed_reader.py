"""Data in a format of their own, read by an installed package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import InputError
from hpsearch.sources.find import find_dataset
from hpsearch.study.config import StudyConfig
from tests.pages import blocks

ABOUT = "Metadata-Version: 2.1\nName: drawings-package\nVersion: 1.0\n"


@pytest.fixture
def drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with drawings, and the reader of the page on adding a data set, installed."""
    (reader,) = (b.text for b in blocks("howto/add-a-data-set.md") if b.language == "python")
    (tmp_path / "drawings_package.py").write_text(reader)
    about = tmp_path / "drawings_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(ABOUT)
    points = "[hpsearch.datasets]\nink = drawings_package:read_drawings\n"
    (about / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    folder = tmp_path / "my_drawings"
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = [(a, c, d) for a in "ABCDEF" for c in range(6) for d in range(4)]
    np.savez(
        folder / "drawings.npz",
        images=rng.integers(0, 256, (len(labels), 105, 105), np.uint8),
        alphabet=np.array([a for a, _, _ in labels]),
        character=np.array([f"{c:02}" for _, c, _ in labels]),
        drawer=np.array([d for _, _, d in labels]),
    )
    return folder


def test_an_installed_reader_is_found_by_its_name(drawings: Path) -> None:
    found = find_dataset("ink", drawings)
    assert (found.kind, found.ways) == ("ink", 6)
    assert found.description == "drawings: 24 background characters, 6 ways"
    (drawings.parent / "drawings_package.py").write_text("raise SystemExit('read again')\n")
    again = find_dataset("ink", drawings, fingerprint=found.fingerprint)  # from the cache
    assert again.fingerprint == found.fingerprint
    values = {"name": "x", "space": "quickstart", "trial": {}, "dataset": "ink"}
    with pytest.raises(InputError) as wrong:
        StudyConfig.from_values({**values, "dataset": "oil"}, "study.yaml")
    assert "installed by a package: ink" in str(wrong.value)


def test_what_an_installed_reader_needs_is_said(drawings: Path) -> None:
    with pytest.raises(InputError, match="dataset: ink needs a path; name it with --data PATH"):
        find_dataset("ink")
    with pytest.raises(InputError, match="no such folder or file"):
        find_dataset("ink", drawings / "gone")
    with pytest.raises(InputError, match="dataset: 'oil' is not one of"):
        find_dataset("oil", drawings)
