"""What counts as a class, and images that would harm: strips, broken headers, pipes, links."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hpsearch.errors import InputError
from hpsearch.pictures.folder import convert
from hpsearch.recognition.support import printable, read_images, read_support
from tests.support.models import ESCAPES, draw, write_support


def test_folders_and_loose_images_are_classes(tmp_path: Path) -> None:
    folder = write_support(tmp_path / "s", {"roof": ("roof", 2), "bar": ("bar", 1)})
    draw("box").save(folder / "box.PNG")
    draw("bar", 5).save(folder / "bar.bmp")
    support = read_support(folder)
    assert support.names == ("bar", "box", "roof")
    assert support.class_of.tolist() == [0, 0, 1, 2, 2]
    expected = [folder / "bar/0.png", folder / "bar.bmp", folder / "box.PNG"]
    expected += [folder / "roof/0.png", folder / "roof/1.png"]
    assert (support.images == np.stack([convert(path) for path in expected])).all()


def test_hidden_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    folder = write_support(tmp_path / "s", {"roof": ("roof", 1), "bar": ("bar", 1)})
    for hidden in (".git", "__MACOSX", "empty"):
        (folder / hidden).mkdir()
    draw("box").save(folder / ".git" / "0.png")
    draw("box").save(folder / "__MACOSX" / "0.png")
    draw("box").save(folder / "bar" / "._0.png")
    draw("box").save(folder / ".hidden.png")
    (folder / "notes.txt").write_text("no image")
    (folder / "bar" / "Thumbs.db").write_bytes(b"\0")
    (folder / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    support = read_support(folder)
    assert support.names == ("bar", "roof")
    assert len(support.images) == 2
    assert support.left_out == (  # said, except what is hidden
        "left out, folders without images: 2 (empty, loop)",
        "left out, not an image by the suffix: 1 (bar/Thumbs.db)",
    )


def test_a_folder_far_below_a_class_is_named(tmp_path: Path) -> None:
    folder = write_support(tmp_path / "s", {"roof": ("roof", 1), "bar": ("bar", 1)})
    (folder / "bar/1/2/3/4/5/6").mkdir(parents=True)
    lost = "left out, images in folders below a class: 1 (bar/1/2/3/4/5/6/)"
    assert read_support(folder).left_out == (lost,)


def test_classes_may_lie_in_groups_as_for_a_search(tmp_path: Path) -> None:
    for group in ("signs", "marks"):
        write_support(tmp_path / "s" / group, {"roof": ("roof", 1), "bar": ("bar", 2)})
    support = read_support(tmp_path / "s")
    assert support.names == ("marks/bar", "marks/roof", "signs/bar", "signs/roof")
    assert support.class_of.tolist() == [0, 0, 1, 2, 2, 3]


@pytest.mark.parametrize("group", ["", "signs/"])
def test_splits_are_no_groups(tmp_path: Path, group: str) -> None:
    for split, count in (("train", 2), ("Val", 1), ("test", 1)):
        write_support(
            tmp_path / "s" / split, {f"{group}roof": ("roof", count), f"{group}bar": ("bar", 1)}
        )
    draw("box").save(tmp_path / "s" / "preview.png")
    support = read_support(tmp_path / "s")
    assert support.names == (f"{group}bar", f"{group}roof")
    assert support.class_of.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert support.left_out == ("left out, not below a split: 1 (preview.png)",)


def test_images_below_a_class_are_named(tmp_path: Path) -> None:
    kinds = {"roof": ("roof", 1), "bar": ("bar", 1), "bar/old": ("bar", 2)}
    support = read_support(write_support(tmp_path / "s", kinds))
    assert support.names == ("bar", "roof")
    assert support.left_out == (
        "left out, images in folders below a class: 2 (bar/old/0.png, bar/old/1.png)",
    )


def test_a_link_to_an_image_is_that_image(tmp_path: Path) -> None:
    folder = write_support(tmp_path / "s", {"roof": ("roof", 1), "bar": ("bar", 1)})
    (folder / "linked.png").symlink_to(folder / "bar" / "0.png")
    support = read_support(folder)
    assert support.names == ("bar", "linked", "roof")
    assert (support.images[0] == support.images[1]).all()


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({}, "no images"),
        ({"roof": ("roof", 3)}, r"one class only \(roof\)"),
    ],
)
def test_fewer_than_two_classes_are_refused(
    tmp_path: Path, kinds: dict[str, tuple[str, int]], message: str
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    with pytest.raises(InputError, match=message):
        read_support(write_support(folder, kinds))


def test_a_missing_folder_and_a_broken_image_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        read_support(tmp_path / "nowhere")
    folder = write_support(tmp_path / "s", {"roof": ("roof", 2), "bar": ("bar", 1)})
    whole = (folder / "roof" / "1.png").read_bytes()
    (folder / "roof" / "1.png").write_bytes(whole[:-40])
    with pytest.raises(InputError, match=r"roof/1\.png: not a whole image"):
        read_support(folder)


def test_a_long_strip_is_refused_before_it_becomes_a_square(tmp_path: Path) -> None:
    """Padded to a square, 24 million pixels of 20 x 1,200,000 would be 1.4 TB."""
    Image.new("1", (1_200_000, 20)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="1200000 x 20 pixels"):
        convert(tmp_path / "x.png")


@pytest.mark.filterwarnings("error")
def test_floats_that_are_no_numbers_are_no_ink(tmp_path: Path) -> None:
    values = np.ones((105, 105), np.float32)
    values[40:60, 40:60] = 0
    clean = convert_float(tmp_path, values)
    values[0, 0], values[5, 5], values[6, 6] = np.nan, np.inf, -np.inf
    image = convert_float(tmp_path, values)
    assert image[50, 50] == 255
    assert clean[50, 50] == 255
    assert image[80, 80] == 0


def convert_float(folder: Path, values: np.ndarray) -> np.ndarray:
    Image.fromarray(values).save(folder / "f.tif")
    return convert(folder / "f.tif")


def test_an_impossible_header_is_an_input_error(tmp_path: Path) -> None:
    """Pillow raises struct.error on a turned JPEG whose EXIF holds text where a number belongs."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "hello", 6
    path = tmp_path / "x.jpg"
    draw("bar").save(path, exif=exif)
    path.write_bytes(path.read_bytes().replace(b"\x01\x0e\x00\x02", b"\x01\x00\x00\x02"))
    with pytest.raises(InputError, match=r"x\.jpg: not a whole image"):
        convert(path)


@pytest.mark.timeout(300)
def test_pipes_and_folders_are_no_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path, tmp_path / "nowhere.png"):
        with pytest.raises(InputError, match="no such image file"):
            read_images([path])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "I;16"])
def test_arrays_are_converted_like_files(tmp_path: Path, mode: str) -> None:
    image = draw("roof", size=(90, 130))
    wide = np.asarray(image, np.uint16) * 257
    shown = Image.fromarray(wide) if mode == "I;16" else image.convert(mode)
    shown.save(tmp_path / "x.png")
    both = read_images([str(tmp_path / "x.png"), np.asarray(shown)])
    assert (both[0] == both[1]).all()
    assert both[0].max() == 255
    assert 0.01 < (both[0] > 0).mean() < 0.3


def test_converted_images_stay_what_they_are(tmp_path: Path) -> None:
    draw("box").save(tmp_path / "x.png")
    once = read_images([tmp_path / "x.png"])
    assert (read_images(once) == once).all()
    assert (read_images(once / 255) == once).all()


@pytest.mark.parametrize(
    "array",
    [np.zeros(5), np.zeros((0, 5)), np.zeros((4, 4, 5), np.uint8), np.zeros((2, 2), complex),
     np.zeros((4, 4, 3)),
     np.zeros((1, 20_000), np.uint8), np.array(3), np.array([["a"]])],
    ids=str,
)  # fmt: skip
def test_arrays_that_are_no_images_are_refused(array: np.ndarray[Any, Any]) -> None:
    for colour_px in (0, 64):
        with pytest.raises(InputError, match=f"type {array.dtype} is no image"):
            read_images([array], colour_px=colour_px)


def test_no_images_are_refused() -> None:
    with pytest.raises(InputError, match="0 images"):
        read_images([])


def test_printable_keeps_letters_and_drops_controls() -> None:
    assert printable("गामा ε 漢字 <b>") == "गामा ε 漢字 <b>"
    shown = printable(ESCAPES + "\udc80")
    assert shown == "red\ufffd[31m\ufffd\ufffd\ufffd\ufffd2Jbell\ufffd\ufffd"
