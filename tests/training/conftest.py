"""A few drawn alphabets, packed once for all tests of training."""

from __future__ import annotations

import pytest

from hpsearch.data import Dataset
from hpsearch.data.pack import pack
from hpsearch.sources import glyphs
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import tiny_config


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return glyphs of four background alphabets and two of validation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glyphs, "_ALPHABETS", {"background": 4, "validation": 2, "test": 1})
        contents = glyphs.draw_glyphs()
    return pack(contents, tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="session")
def data(dataset: Dataset) -> TrainingData:
    """Return the training data of every `tiny_config`."""
    return TrainingData.from_dataset(dataset, tiny_config(), study_seed=0)
