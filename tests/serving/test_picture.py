"""What somebody sends is decoded within limits, or refused in one line with the right status."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hpsearch.pictures.folder import convert
from hpsearch.serving import picture
from hpsearch.serving.picture import MAX_SCANS, SCAN, Refused, read_picture
from tests.support.models import draw

from .conftest import png


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image as a file of a kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_it_is_converted_as_a_file_is(kind: str, tmp_path: Path) -> None:
    content = saved(draw("roof", 3, (300, 210)), kind)
    path = tmp_path / "a.png"
    path.write_bytes(content)
    image, odd = read_picture(content, paper=True)
    np.testing.assert_array_equal(image, convert(path))
    assert odd == []


def test_what_is_odd_is_said() -> None:
    def said(image: Image.Image, *, paper: bool = True) -> str:
        return " ".join(read_picture(png(image), paper=paper)[1])

    rng = np.random.default_rng(0)
    photograph = Image.fromarray(rng.integers(0, 256, (60, 60), np.uint8))
    assert "holds nothing" in said(Image.new("L", (30, 30), 255))
    assert "smaller than 8 x 8" in said(draw("bar", size=(6, 6)))
    assert "drawings on a plain ground" in said(photograph)
    assert said(photograph, paper=False) == ""


BOMB = png(Image.new("1", (20_000, 20_000)))
WIDE = png(Image.new("1", (16_400, 8)))
LARGE = png(Image.new("1", (5001, 5000)))
JPEG = saved(draw("roof"), "JPEG", progressive=True)
LAST = JPEG.rindex(SCAN)
SCANS = JPEG[:-2] + JPEG[LAST:-2] * MAX_SCANS + JPEG[-2:]
TWO = saved(draw("roof"), "MPO", progressive=True, save_all=True, append_images=[draw("bar")])
FIRST = TWO.index(b"\xff\xd9\xff\xd8")
TWO_SCANS = TWO[:FIRST] + JPEG[LAST:-2] * MAX_SCANS + TWO[FIRST:]


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "send an image file"),
        (b"hello", 415, "no picture of a known format (PNG, "),
        (b"%PDF-1.4", 415, "no picture of a known format"),
        (BOMB, 413, "at most 25000000 pixels"),
        (LARGE, 413, "the picture is 5001 x 5000 pixels; at most"),
        (WIDE, 413, "16384 to a side"),
        (SCANS, 422, "scans; at most 100"),
        (TWO_SCANS, 422, "scans; at most 100"),
        (JPEG[: len(JPEG) // 2], 422, "not a whole image"),
        (png(draw("roof"))[:90], 422, "not a whole image"),
    ],
    ids=["empty", "text", "pdf", "bomb", "large", "wide", "scans", "mpo", "half jpeg", "half png"],
)
def test_it_is_refused_at_once_in_one_line(content: bytes, status: int, words: str) -> None:
    began = time.monotonic()
    with pytest.raises(Refused) as refused:
        read_picture(content, paper=True)
    assert time.monotonic() - began < 2
    assert refused.value.status.startswith(f"{status} ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_jpeg_of_as_many_scans_as_are_accepted_is_read() -> None:
    usual = JPEG.count(SCAN)
    fewer = JPEG[:-2] + JPEG[LAST:-2] * (MAX_SCANS - usual) + JPEG[-2:]
    assert read_picture(fewer, paper=True)[0].any()


def test_a_picture_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "DECODE_S", 0.2)
    side = 3000  # Pillow reads numbers in text in Python, about a second for a million
    text = b"P2 %d %d 255\n" % (side, side) + b"7 " * side**2
    began = time.monotonic()
    with pytest.raises(Refused, match=r"takes more than 0\.2 s to read"):
        read_picture(text, paper=True)
    assert time.monotonic() - began < 30
