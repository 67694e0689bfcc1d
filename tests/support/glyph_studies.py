"""Fixtures: a few drawn alphabets, packed once, studies on them, and the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.data import Dataset
from hpsearch.data.pack import Contents, pack
from hpsearch.paths import StudyFolder
from hpsearch.sources import glyphs

from .made_search import Made, write_search
from .made_study import write_study


@pytest.fixture(scope="session")
def contents() -> Contents:
    """Return glyphs of three background, two validation and two test alphabets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glyphs, "_ALPHABETS", {"background": 3, "validation": 2, "test": 2})
        return glyphs.draw_glyphs()


@pytest.fixture(scope="session")
def dataset(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return the packed glyphs."""
    return pack(contents, tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="session")
def named_omniglot(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return the same drawings, packed as what calls itself Omniglot."""
    return pack(replace(contents, kind="omniglot"), tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="session")
def other(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return other data: the same drawings without their last validation alphabet's name."""
    names = ("Renamed", contents.validation.alphabets[1])
    validation = replace(contents.validation, alphabets=names)
    return pack(replace(contents, validation=validation), tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="session")
def study(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study of five trials, to be read only."""
    return write_study(tmp_path_factory.mktemp("runs") / "tiny", dataset).root


@pytest.fixture(scope="session")
def thousands(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """Return a study of 2,000 trials of 50 reports, to be read only."""
    return write_search(tmp_path_factory.mktemp("runs") / "thousands", Made(2000, epochs=50))
