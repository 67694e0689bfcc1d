"""A contact sheet of a data set's classes as the network sees them, one class a row."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hpsearch.data.dataset import Characters

MOST_CLASSES = 40
MOST_PICTURES = 12
SIDE_PX = 64
GAP_PX = 4
NAME_PX = 190
LETTERS = 28
"""Letters of a name that fit, in the default font."""


def contact_sheet(characters: Characters, *, paper: bool = True) -> tuple[bytes, str]:
    """Draw up to 40 evenly chosen classes with up to 12 images each.

    Args:
        characters: A role with its images.
        paper: Whether the images are ink, drawn dark on light; other grey values are kept.

    Returns:
        A PNG, and a description of the part shown.
    """
    rows = characters.index()  # [C, D]
    count = len(rows)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_CLASSES)).round().astype(int))
    pictures = [_some(row[row >= 0]) for row in rows[chosen]]
    columns = max(len(row) for row in pictures)
    step = SIDE_PX + GAP_PX
    sheet = Image.new(
        "RGB" if characters.images.ndim == 4 else "L",
        (NAME_PX + columns * step, GAP_PX + len(chosen) * step),
    )
    sheet.paste(Image.new("L", sheet.size, 208))
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for line, (character, images) in enumerate(zip(chosen.tolist(), pictures, strict=True)):
        top = GAP_PX + line * step
        name, total = characters.names[character], int((rows[character] >= 0).sum())
        canvas.text((GAP_PX, top + 18), _printed(name), fill=0, font=font)
        canvas.text((GAP_PX, top + 34), f"{total} pictures", fill=96, font=font)
        for column, row in enumerate(images.tolist()):
            image = np.asarray(characters.images[row])
            seen = drawn(image, paper=paper)
            small = seen.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
            sheet.paste(small, (NAME_PX + column * step, top))
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    shown = sum(len(row) for row in pictures)
    words = f"{len(chosen)} of {count} classes, {shown} of {len(characters.images)} pictures"
    return file.getvalue(), words


def drawn(image: NDArray[np.uint8], *, paper: bool) -> Image.Image:
    """Return a picture [S, S] or [3, S, S] as people look at it: ink is dark."""
    if image.ndim == 3:
        return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    return Image.fromarray(255 - image if paper else image)


def _some(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return up to 12 evenly chosen rows."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), MOST_PICTURES)).round().astype(int)
    return np.asarray(rows[np.unique(places)])


def _printed(name: str) -> str:
    """Return the end of a name, in ASCII."""
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in name)
    return plain if len(plain) <= LETTERS else "..." + plain[-LETTERS + 3 :]
