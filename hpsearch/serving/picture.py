"""A picture that somebody sends: decoded within limits of bytes, pixels and time.

Letters: S side in pixels of a converted picture.
"""

from __future__ import annotations

import io
import time
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hpsearch.errors import HpsearchError, InputError
from hpsearch.pictures.folder import FORMATS, MAX_PIXELS, MAX_SIDE, brought_to, decode
from hpsearch.pictures.looks import TINY_PX

LARGEST_BODY = 20_000_000
"""Maximum bytes of a request."""
DECODE_S = 5.0
"""Seconds after which a decoder gets no more to read."""
MAX_SCANS = 100
"""Scans of a JPEG. Each takes few bytes and the time of all pixels: 3 MB could take half an
hour."""
JPEGS = ("JPEG", "MPO")
"""Formats of Pillow that hold JPEGs; an MPO file is one with more pictures behind it."""
SCAN = b"\xff\xda"
"""Begins a scan; elsewhere in a JPEG's data no such pair occurs."""
ODD = {
    "blank": "the picture holds nothing: it is blank, of one colour or transparent",
    "tiny": f"the picture is smaller than {TINY_PX} x {TINY_PX} pixels",
    "moving": "of a moving picture the first frame counts",
}
NO_DRAWING = (
    "the model reads drawings on a plain ground: of this picture, only what is darker than light "
    "paper or lighter than dark paper is left"
)


class Refused(HpsearchError):
    """A request that is not answered.

    Args:
        status: Status code and reason of HTTP.
        message: One line.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Timed(io.BytesIO):
    """A file that cannot be read any more once its time is over."""

    def __init__(self, content: bytes, seconds: float) -> None:
        super().__init__(content)
        self._end = time.monotonic() + seconds

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() > self._end

    def read(self, size: int | None = -1) -> bytes:
        """Read as a file does."""
        if self.late:
            raise TimeoutError
        return super().read(size)


def read_picture(
    content: bytes, *, paper: bool, colour_px: int = 0
) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode and convert a picture.

    Args:
        content: An image file.
        paper: Whether the model was trained on drawings on paper.
        colour_px: Side of the colour pictures that it was trained on; 0 for grey.

    Returns:
        uint8 [S, S] or [3, S, S] as the network's support images are, and what is odd, in lines.

    Raises:
        Refused: It is empty, no image, damaged, or above a limit.
    """
    if not content:
        raise Refused("400 Bad Request", "no picture: send an image file as the body")
    _check_head(content)
    file = _Timed(content, DECODE_S)
    try:
        image, look = decode(file, "the picture", paper=paper, colour=colour_px > 0)
    except InputError as error:
        if file.late:
            late = f"the picture takes more than {DECODE_S:g} s to read; save it again"
            raise Refused("422 Unprocessable Content", late) from None
        raise Refused("422 Unprocessable Content", str(error)) from None
    image = brought_to(image, colour_px) if colour_px else image
    odd = [words for key, words in ODD.items() if getattr(look, key)]
    if paper and not colour_px and look.no_drawing and not look.blank:
        odd.append(NO_DRAWING)
    return image, odd


def _check_head(content: bytes) -> None:
    """Refuse what is no image, or costs too much to decode, without decoding it."""
    most = f"at most {MAX_PIXELS} pixels, and {MAX_SIDE} to a side"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                scans = content.count(SCAN) if image.format in JPEGS else 0
    except Image.DecompressionBombError:
        raise Refused("413 Content Too Large", f"the picture is too large; {most}") from None
    except Exception:  # what a decoder raises on damaged files is open-ended
        known = ", ".join(FORMATS)
        raise Refused(
            "415 Unsupported Media Type", f"no picture of a known format ({known})"
        ) from None
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise Refused("413 Content Too Large", f"the picture is {width} x {height} pixels; {most}")
    if scans > MAX_SCANS:
        raise Refused(
            "422 Unprocessable Content", f"the picture has {scans} scans; at most {MAX_SCANS}"
        )
