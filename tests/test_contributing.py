"""CONTRIBUTING.md names files, packages and identifiers that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([^`\s]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
PLACES = sorted({name for name in NAMED if re.search(r"/|\.(py|md|toml|txt)$", name)})
BESIDE = re.findall(r"`(\w+)`[^`]*?\(`([^`]+\.py)`\)", TEXT)


@pytest.mark.parametrize("name", PLACES)
def test_a_named_place_exists(name: str) -> None:
    if "/" in name:
        assert (ROOT / name).exists() or (ROOT / "hpsearch" / name).is_dir()
    else:
        assert (ROOT / name).is_file() or list((ROOT / "tests").rglob(name))


def test_every_package_is_named() -> None:
    packages = {path.parent.name for path in ROOT.glob("hpsearch/*/__init__.py")}
    assert {f"{name}/" for name in packages} <= set(NAMED)


@pytest.mark.parametrize(("identifier", "path"), BESIDE)
def test_an_identifier_is_in_the_file_beside_it(identifier: str, path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^(class |def )?{identifier}\b", text, re.MULTILINE)
