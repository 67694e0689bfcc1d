"""Folders of own images for tests: drawings of lines, so many of each class."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw

UNEVEN = {f"c{c:02}": random.Random(c).randint(5, 60) for c in range(20)}
"""Twenty classes of 5 to 60 drawings."""
ONE_LARGE = {f"c{c:02}": 100 if c == 7 else 4 for c in range(20)}
TWO_EACH = {f"c{c:02}": 2 for c in range(20)}
SIXTY = {f"c{c:02}": 60 for c in range(20)}


def draw(character: int, drawing: int) -> Image.Image:
    """Draw one character by an unsteady hand, ink on white, 24 x 24."""
    shape, hand = random.Random(character), random.Random(1000 * character + drawing + 1)
    image = Image.new("L", (24, 24), 255)
    points = [
        (shape.randint(4, 20) + hand.randint(-1, 1), shape.randint(4, 20) + hand.randint(-1, 1))
        for _ in range(4)
    ]
    ImageDraw.Draw(image).line(points, fill=0, width=2)
    return image


def write_drawings(folder: Path, counts: Mapping[str, int]) -> Path:
    """Write so many drawings of each class, a path below the folder."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for drawing in range(count):
            image = draw(number, drawing)
            image.putpixel((drawing % 24, 23 - drawing // 24), 250)  # no two are equal
            image.save(folder / name / f"{drawing:03}.png")
    return folder
