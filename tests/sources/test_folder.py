"""A user's own images: layouts, split, conversion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.data import open_test_set
from hpsearch.errors import InputError
from hpsearch.sources.find import find_dataset
from hpsearch.sources.folder import convert, read_folder


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


def test_drawer_is_the_rank_of_the_file_name(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own", {"": 15}, drawings=4)
    background = read_folder(folder).background
    first = background.index()[0]
    assert first.tolist() == [0, 1, 2, 3]


def test_the_whole_way_with_uneven_drawings(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own", {"": 20}, drawings=4)
    for character in range(0, 20, 2):
        (folder / f"c{character:02}" / "3.png").unlink()
        (folder / f"c{character:02}" / "2.png").unlink()
    dataset = find_dataset("auto", folder)
    assert dataset.kind == "folder"
    opened = open_test_set(dataset, "a test", log=None, input_size=35)
    tasks, test = opened.tasks, opened.characters
    assert tasks.query.shape == (20, 5)
    matched = np.take_along_axis(tasks.support, tasks.target, axis=1)
    assert (test.character[matched] == test.character[tasks.query]).all()
    assert (test.drawer[matched] != test.drawer[tasks.query]).all()
    (folder / "c01" / "9.png").write_bytes((folder / "c01" / "0.png").read_bytes())
    assert find_dataset("auto", folder).fingerprint != dataset.fingerprint


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own", {"": 15})
    (folder / "c03" / "1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"c03/1\.png: not a whole image"):
        read_folder(folder)


def bar(mode: str) -> Image.Image:
    """Return a 40 x 20 image with a vertical bar at x = 10 to 15, light paper."""
    grey = np.full((20, 40), 230, np.uint8)
    grey[4:16, 10:15] = 30
    if mode == "dark":
        return Image.fromarray(255 - grey)
    if mode == "RGBA":
        clear = np.zeros((20, 40, 4), np.uint8)
        clear[4:16, 10:15, 3] = 255  # black ink on transparent black
        return Image.fromarray(clear)
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 200)
    return Image.fromarray(grey).convert(mode, dither=Image.Dither.NONE)


@pytest.mark.parametrize("mode", ["L", "dark", "RGB", "RGBA", "P", "1", "I;16", "LA", "CMYK"])
def test_every_mode_gives_white_ink_on_black_paper(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    bar(mode).save(path)
    image = convert(path)
    assert image.shape == (105, 105)
    assert image.dtype == np.uint8
    assert image[0].max() == 0
    # x = 12.5 of 40, y = 20 of 40 after padding to a square
    assert image[52, 33] == 255
    assert image[52, 70] == 0
    assert 0.5 < image.astype(bool).sum() / (5 * 12 / 1600 * 105**2) < 2


def test_a_blank_image_has_no_ink(tmp_path: Path) -> None:
    Image.new("L", (300, 200), 200).save(tmp_path / "x.png")
    assert convert(tmp_path / "x.png").max() == 0


def test_large_images_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    Image.new("1", (6000, 5000)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="6000 x 5000 pixels"):
        convert(tmp_path / "x.png")
