"""A few drawn alphabets, packed once, as glyphs and under Omniglot's name; the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hpsearch.data import Dataset
from hpsearch.data.pack import Contents, pack
from hpsearch.paths import StudyFolder
from hpsearch.sources import glyphs
from tests.recognition.made import CommandLine

from .made import write_study
from .made_search import Made, write_search


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one core, as the weights of two runs are compared bit for bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache and data out of it."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HPSEARCH_OFFLINE", "1")
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)


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


@pytest.fixture
def hpsearch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Return the command line."""
    return CommandLine(monkeypatch, capsys)
