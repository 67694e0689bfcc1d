"""One core, and a cache of its own, for every test of the results; a model that guesses."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.data import Dataset
from tests.support.isolation import cache, one_thread
from tests.support.made_study import write_model

__all__ = ["cache", "one_thread"]


@pytest.fixture
def model(tmp_path: Path, dataset: Dataset) -> Path:
    return write_model(tmp_path / "model", dataset)
