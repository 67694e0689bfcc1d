"""A user's image files: found in a folder, decoded, and converted to Omniglot's form.

`convert` documents how an image is converted. Must not know classes, splits or the cache.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hpsearch.data.resize import COLOUR_SIDE, SIDE
from hpsearch.errors import InputError
from hpsearch.pictures.looks import Look, look_at, paper_of

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm"),
}
MAX_PIXELS = 25_000_000
MAX_SIDE = 16_384
"""Pixels; an image is padded to a square of this side."""
MAX_FILE_BYTES = 50_000_000
MAX_IMAGES = 100_000


def folders_in(folder: Path) -> list[Path]:
    """Return the visible folders directly in a folder, by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith((".", "__MACOSX"))
    )


def images_in(folder: Path) -> list[Path]:
    """Return the visible image files directly in a folder, by name, without dangling links."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def convert(path: Path, *, paper: bool = True, colour_px: int = 0) -> NDArray[np.uint8]:
    """Convert one image to Omniglot's form.

    The first frame is turned as its EXIF says; transparent parts become white; colours become
    grey. Paper is the median grey of the border. Ink is darker than light paper (128 or more) or
    lighter than dark paper, scaled so that the strongest ink is 255. The image is padded with
    paper to a square and resized to 105 x 105, down by area averages, up bilinearly.

    A picture that is not on paper keeps its grey values; the padding is the median of the border.

    A picture in colour is laid on white, padded with white to a square, and resized.

    Args:
        path: An image of any size and mode.
        paper: Whether the data set holds drawings on paper (`Dataset.paper`).
        colour_px: Side of the picture in colour; 0 makes it grey.

    Returns:
        uint8 [105, 105], ink = 255, paper = 0; or grey values; or red, green and blue, [3, T, T].

    Raises:
        InputError: The file is missing, damaged or too large.
    """
    return convert_and_look(path, paper=paper, colour_px=colour_px)[0]


def convert_and_look(
    path: Path, *, paper: bool = True, colour_px: int = 0
) -> tuple[NDArray[np.uint8], Look]:
    """Convert one image, and report its oddities; see `convert`."""
    if not path.is_file():
        raise InputError(f"{path}: no such image file; check the name")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: more than {MAX_FILE_BYTES} bytes; make it smaller")
        with path.open("rb") as file:
            image, look = decode(file, str(path), paper=paper, colour=colour_px > 0)
            return (brought_to(image, colour_px) if colour_px else image), look
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def decode(
    file: IO[bytes], name: str, *, paper: bool, colour: bool = False
) -> tuple[NDArray[np.uint8], Look]:
    """Convert one opened image file, and report its oddities; see `convert`.

    Args:
        file: Opened for reading; can seek.
        name: For messages.
        paper: Whether the data set holds drawings on paper.
        colour: Keep the colours: [3, T, T] with the picture's own side, at most 224.

    Raises:
        InputError: The image is damaged or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
                    raise InputError(
                        f"{name}: {width} x {height} pixels; at most {MAX_PIXELS} in all and "
                        f"{MAX_SIDE} to a side"
                    )
                grey = _grey(image)
                look = look_at(image, grey, paper_of(grey), plain=colour or not paper)
                if colour:
                    return _colours(image), look
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name}: not a whole image of a known format; remove it") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: more than {MAX_PIXELS} pixels; make it smaller") from None
    except Exception as error:  # what a decoder raises on damaged files is open-ended
        raise InputError(f"{name}: not a whole image ({error}); repair or remove it") from None
    return _converted(grey, paper=paper), look


def convert_pixels(
    pixels: NDArray[Any], *, paper: bool = True, colour_px: int = 0
) -> NDArray[np.uint8]:
    """Convert an image in memory to Omniglot's form; see `convert` for the rule.

    Args:
        pixels: Grey [height, width], or colour [height, width, 3 or 4] in uint8. Types other than
            uint8 and bool are scaled by their own range.
        paper: Whether the model was trained on drawings on paper.
        colour_px: Side of the picture in colour; 0 makes it grey.

    Returns:
        uint8 [105, 105], ink = 255, paper = 0; or grey values; or colours, [3, T, T].

    Raises:
        InputError: The array has no shape of an image.
    """
    known = pixels
    if pixels.dtype == np.bool_:
        known = pixels.astype(np.uint8) * 255
    elif pixels.dtype != np.uint8 and pixels.dtype.kind in "iuf":
        known = pixels.astype(np.float32)
    try:
        if pixels.ndim not in (2, 3):
            raise ValueError("no such image")
        return convert_opened(
            Image.fromarray(np.ascontiguousarray(known)), paper=paper, colour_px=colour_px
        )
    except (TypeError, ValueError, InputError):
        raise InputError(
            f"an array of shape {pixels.shape} and type {pixels.dtype} is no image; give grey "
            f"[height, width] or uint8 colour [height, width, 3], 1 to {MAX_SIDE} to a side"
        ) from None


def convert_opened(
    image: Image.Image, *, paper: bool = True, colour_px: int = 0
) -> NDArray[np.uint8]:
    """Convert an opened image as a file is converted; see `convert`.

    Raises:
        InputError: It is empty, too large or damaged.
    """
    if not 1 <= min(image.size) <= max(image.size) <= MAX_SIDE:
        raise InputError(f"{image!r}: give an image of 1 to {MAX_SIDE} pixels to a side")
    try:
        if colour_px:
            return brought_to(_colours(image), colour_px)
        return _converted(_grey(image), paper=paper)
    except Exception as error:  # what a decoder raises on damaged files is open-ended
        raise InputError(f"{image!r}: not a whole image ({error})") from None


def _grey(image: Image.Image) -> NDArray[np.float64]:
    """Return grey values 0 to 255, [height, width]."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        # 16 bits or floats: by their own range
        values = np.nan_to_num(np.asarray(upright, np.float64), posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
        return (values - low) * (255.0 / max(high - low, 1e-9))
    return np.asarray(_on_white(upright).convert("L"), np.float64)


def _on_white(upright: Image.Image) -> Image.Image:
    """Lay a picture with transparent parts on white; of Lab colours only red, green, blue stay."""
    if upright.mode == "LAB":  # Pillow converts it to these only
        return upright.convert("RGB")
    if upright.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in upright.info:
        coloured = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
    return upright


def _colours(image: Image.Image) -> NDArray[np.uint8]:
    """Return red, green and blue, [3, T, T], padded with white; larger sides become 224."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        upright = Image.fromarray(np.floor(_grey(image) + 0.5).astype(np.uint8))
    shown = _on_white(upright).convert("RGB")
    side = max(shown.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(shown, ((side - shown.width) // 2, (side - shown.height) // 2))
    if side > COLOUR_SIDE:
        square = square.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX)
    return np.ascontiguousarray(np.asarray(square, np.uint8).transpose(2, 0, 1))


def brought_to(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Bring a picture [3, T, T] to a side: down by area averages, up bilinearly."""
    if picture.shape[-1] == side:
        return picture
    method = Image.Resampling.BOX if picture.shape[-1] > side else Image.Resampling.BILINEAR
    resized = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))).resize(
        (side, side), method
    )
    return np.ascontiguousarray(np.asarray(resized, np.uint8).transpose(2, 0, 1))


def _converted(grey: NDArray[np.float64], *, paper: bool) -> NDArray[np.uint8]:
    """Return [105, 105] from grey values [height, width]."""
    if paper:
        return _square(_ink(grey), 0)
    return _square(np.floor(grey + 0.5).astype(np.uint8), round(paper_of(grey)))


def _ink(grey: NDArray[np.float64]) -> NDArray[np.uint8]:
    paper = paper_of(grey)
    ink = np.clip(paper - grey if paper >= 128 else grey - paper, 0, None)
    strongest = float(ink.max())
    return np.asarray(
        np.floor(ink * (255.0 / strongest) + 0.5) if strongest >= 1 else ink * 0
    ).astype(np.uint8)


def _square(ink: NDArray[np.uint8], ground: int) -> NDArray[np.uint8]:
    height, width = ink.shape
    side = max(height, width)
    square = np.full((side, side), ground, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = ink
    if side == SIDE:
        return square
    method = Image.Resampling.BOX if side > SIDE else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), method), np.uint8).copy()
