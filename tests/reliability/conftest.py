"""What the cases share; `tests.support.reliability_table` writes the table of their run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpsearch.paths import StudyFolder
from hpsearch.sources.find import find_dataset
from tests.support.cases import images_folder, search


@pytest.fixture
def see(record_property: Callable[[str, object], None]) -> Callable[[object], None]:
    """Return what notes, in the table, what a case was seen to do."""
    return lambda text: record_property("seen", " ".join(str(text).split())[:300])


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of own images, the smallest that is taken."""
    return images_folder(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="session")
def packed(images: Path, session_cache: Path) -> Path:
    """Return those images packed."""
    return find_dataset("folder", images).folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into an empty folder and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of four trials, ended well."""
    output = tmp_path_factory.mktemp("finished") / "study"
    search(output)
    return output


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> StudyFolder:
    """Return a copy of it."""
    shutil.copytree(finished, tmp_path / "study")
    return StudyFolder(tmp_path / "study")
