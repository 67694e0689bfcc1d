"""One core, and a cache of its own, for every test of the results; a model that guesses."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.data import Dataset
from hpsearch.scoring import validation, verification
from tests.support.isolation import cache, one_thread
from tests.support.made_study import write_model

__all__ = ["cache", "one_thread"]


@pytest.fixture
def few_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure models on few pairs and without strangers, where nobody looks at the figures."""
    for module in (validation, verification):
        monkeypatch.setattr(module, "N_PAIRS", 200)
    monkeypatch.setattr(validation, "measure_rejection", lambda *_: None)


@pytest.fixture
def model(tmp_path: Path, dataset: Dataset) -> Path:
    return write_model(tmp_path / "model", dataset)
