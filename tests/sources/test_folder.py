"""Conversion of a user's image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.errors import InputError
from hpsearch.pictures.folder import convert, convert_pixels


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


def test_a_picture_that_is_not_on_paper_keeps_its_grey_values(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    grey = np.full((105, 60), 40, np.uint8)
    grey[20:30, 20:30] = 250
    Image.fromarray(grey).save(path)
    image = convert(path, paper=False)
    assert (image[:, 22:82] == grey).all()
    assert (image[:, :22] == 40).all()  # the padding
    assert (convert_pixels(grey, paper=False) == image).all()
    assert convert(path).max() == 255
