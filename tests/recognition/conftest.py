"""A model made by hand, five classes for it, and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.models import draw, write_model, write_support


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model that compares pixel with pixel."""
    return write_model(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="session")
def support(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return five classes of one to three images."""
    kinds = {"bar": 3, "cross": 1, "roof": 2, "box": 1, "dash": 2}
    folder = tmp_path_factory.mktemp("support")
    return write_support(folder, {kind: (kind, count) for kind, count in kinds.items()})


@pytest.fixture(scope="session")
def queries(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a cross of another size, a shifted roof in colour, and a dash."""
    folder = tmp_path_factory.mktemp("queries")
    paths = [folder / name for name in ("cross.png", "roof.jpg", "dash.bmp")]
    draw("cross", 2, (210, 210)).save(paths[0])
    draw("roof", 3).convert("RGB").save(paths[1])
    draw("dash", 1, (50, 50)).save(paths[2])
    return paths
