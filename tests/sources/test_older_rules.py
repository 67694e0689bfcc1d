"""Own images by older rules: a study that was begun with them keeps its data."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.data.pack import fingerprint
from hpsearch.errors import InputError
from hpsearch.pictures.older_rules import read_folder
from hpsearch.pictures.own_images import read_own_images
from hpsearch.sources.find import find_dataset
from tests.reliability.make_asset import ASSETS

BEGUN = {
    1: "d2c10ce5316b0ab6090fdd34f21cccad3f9a11e483c9b7af039f7d3479ee4220",
    3: "48e0d5dc2207ec0f8baaa792988b0ca2dead4e2e8e702f840c0883dddd1fc703",
    2: "caafde68b09eb58b0ab046ba998fa0d29cf43a674d316bc7659ebb20ff1d91e5",
}
"""Fingerprints of the asset's drawings when each rule was the newest."""


@pytest.mark.parametrize("rule", BEGUN)
def test_a_study_that_was_begun_keeps_its_data(tmp_path: Path, rule: int) -> None:
    with zipfile.ZipFile(ASSETS / "images-0.1.0/drawings.zip") as archive:
        archive.extractall(tmp_path)
    read = read_own_images if rule == 3 else read_folder
    assert fingerprint(read(tmp_path / "drawings", rule=rule)) == BEGUN[rule]
    found = find_dataset("folder", tmp_path / "drawings", fingerprint=BEGUN[rule])
    assert found.fingerprint == BEGUN[rule]
    assert found.paper
    assert (found.rule, found.size.many) == (rule, False)
    assert find_dataset("folder", tmp_path / "drawings").fingerprint not in BEGUN.values()


def write_images(folder: Path, shape: dict[str, int], drawings: int = 3) -> Path:
    """Write so many characters per alphabet; an empty alphabet name means no alphabet level."""
    rng = np.random.default_rng(0)
    for alphabet, count in shape.items():
        for character in range(count):
            place = folder / alphabet / f"c{character:02}"
            place.mkdir(parents=True)
            for drawing in range(drawings):
                grey = np.where(rng.random((20, 30)) < 0.2, 0, 255).astype(np.uint8)
                grey[[0, -1]] = 255
                Image.fromarray(grey).save(place / f"{drawing}.png")
    return folder


def test_three_alphabets_are_split_by_alphabet(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own", {"A": 6, "B": 7, "C": 8, "D": 9, "E": 10})
    contents = read_folder(folder)
    roles = contents.background, contents.validation, contents.test
    assert [len(role.alphabets) for role in roles] == [3, 1, 1]
    assert sorted(name for role in roles for name in role.alphabets) == list("ABCDE")
    assert contents.ways == len(contents.validation.names)
    assert contents.turns is False
    assert read_folder(folder).test.names == contents.test.names


def test_characters_alone_are_split_by_character(tmp_path: Path) -> None:
    contents = read_folder(write_images(tmp_path / "own", {"": 40}))
    roles = contents.background, contents.validation, contents.test
    assert [len(role.names) for role in roles] == [24, 8, 8]
    assert len({name for role in roles for name in role.names}) == 40
    assert contents.ways == 8
    assert contents.background.names[0].startswith("own/c")


def test_two_alphabets_and_tiny_ones_become_one_pool(tmp_path: Path) -> None:
    two = read_folder(write_images(tmp_path / "two", {"A": 8, "B": 8}))
    assert [len(r.names) for r in (two.background, two.validation, two.test)] == [6, 5, 5]
    tiny = read_folder(write_images(tmp_path / "tiny", {"A": 4, "B": 4, "C": 4, "D": 4}))
    assert tiny.ways == 5


def test_too_few_characters_are_refused_with_the_count(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own", {"": 14})
    write_images(folder, {"single": 0})
    (folder / "z").mkdir()
    Image.new("L", (9, 9), "white").save(folder / "z" / "only.png")
    with pytest.raises(InputError, match="14 characters with two images or more; at least 15"):
        read_folder(folder)


def test_single_images_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own", {"": 15})
    (folder / "z").mkdir()
    Image.new("L", (9, 9), "white").save(folder / "z" / "only.png")
    contents = read_folder(folder)
    assert "1 characters with a single image left out" in contents.description
    assert len(contents.background.names) == 5


def test_mixed_layouts_are_refused(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own", {"": 15, "A": 3})
    with pytest.raises(InputError, match="keep to one layout"):
        read_folder(folder)
