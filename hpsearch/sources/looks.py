"""What a person should know of own images: what the conversion cannot keep, and odd layouts.

Only counts and names; refuses nothing and changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NAMED = 3
"""Files or classes named in a line; the rest is counted."""
TINY_PX = 8
"""Images that are smaller both ways hold no drawing."""
FAR = 40.0
"""Grey values, of 255, that tell a part from its paper."""
LOST_SHARE = 0.05
"""An image that loses more than this share of its pixels is no drawing on plain paper."""
UNEVEN_SHARE = 0.25
"""Paper is uneven where more than this share of the border is far from its median."""
COLOUR_SHARE = 0.02
SPLITS = {
    *("train", "training", "trn", "val", "valid", "validation", "dev"),
    *("test", "testing", "tst", "eval", "evaluation", "holdout"),
}
"""Names of folders that hold splits, not alphabets."""
NUMBERED = re.compile(r"(?:char|character|class|letter|sign|symbol)?[-_ ]*\d+")
"""Names that say nothing of a class: those of another alphabet are other classes."""


@dataclass(frozen=True)
class Look:
    """What is odd about one image as it lies on the disk."""

    blank: bool
    """Nothing stands out of its paper: empty, of one colour, or wholly transparent."""
    tiny: bool
    dark: bool
    """Bright ink on dark ground."""
    coloured: bool
    no_drawing: bool
    """Its ground is not plain, or much of it lies on the other side of the ground."""
    moving: bool
    """Several frames."""


def paper_of(grey: NDArray[np.float64]) -> float:
    """Return the paper of a grey image [height, width]: the median of its border."""
    return float(np.median(_border(grey)))


def _border(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def look_at(image: Image.Image, grey: NDArray[np.float64], paper: float) -> Look:
    """Say what is odd about an image.

    Args:
        image: As opened.
        grey: Its grey values 0 to 255, [height, width].
        paper: What is taken for its paper.
    """
    dark = paper < 128
    above = grey - paper
    lost = float(((-above if dark else above) > FAR).mean())
    uneven = float((np.abs(_border(grey) - paper) > FAR).mean())
    blank = float((above if dark else -above).max(initial=0)) < 1
    tiny = max(image.size) < TINY_PX
    return Look(
        blank=blank,
        tiny=tiny,
        dark=dark and not blank,
        coloured=_coloured(image),
        no_drawing=not tiny and (lost > LOST_SHARE or uneven > UNEVEN_SHARE),
        moving=bool(getattr(image, "is_animated", False)),
    )


def _coloured(image: Image.Image) -> bool:
    """Say whether a visible part of an image is in colour."""
    if image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16"):
        return False
    small = image.convert("RGBA")
    small.thumbnail((64, 64), Image.Resampling.BOX)
    pixels = np.asarray(small, np.int64)
    spread = np.ptp(pixels[..., :3], axis=2)
    return bool(((spread > FAR) & (pixels[..., 3] > 32)).mean() > COLOUR_SHARE)


def named(names: Iterable[str], most: int = NAMED) -> str:
    """Return the first few names and how many more there are."""
    shown = ["".join(c if c.isprintable() else "?" for c in name) for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


@dataclass
class Looks:
    """Images, looked at while they are read."""

    count: int = 0
    _odd: dict[str, list[str]] = field(default_factory=dict)
    _places: dict[bytes, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, character: str, name: str, image: NDArray[np.uint8], look: Look) -> None:
        """Note one image of a character, as it is converted."""
        self.count += 1
        for key, odd in vars(look).items():
            if odd:
                self._odd.setdefault(key, []).append(name)
        if not look.blank:
            mark = hashlib.sha256(image.data).digest()[:16]
            self._places.setdefault(mark, []).append((character, name))

    def notices(self, *, copies: bool = True) -> list[str]:
        """Return one line for each kind of oddness; `copies` tells of equal images too."""
        lines = []
        for key, words in _WORDS.items():
            if found := self._odd.get(key):
                lines.append(f"{words}: {len(found)} of {self.count} images ({named(found)})")
        across, within = [], []
        for places in self._places.values() if copies else ():
            (first, name), *others = sorted(places)
            other = next((n for c, n in others if c != first), None)
            if other is not None:
                across.append(f"{name} = {other}")
            elif others:
                within.append(f"{name} = {others[0][1]}")
        if across:
            lines.append(f"pictures that lie in two classes: {len(across)} ({named(across)})")
        if within:
            lines.append(f"pictures that lie twice in a class: {len(within)} ({named(within)})")
        return lines


_WORDS = {
    "blank": "no ink (blank, of one colour, or wholly transparent)",
    "tiny": f"smaller than {TINY_PX} x {TINY_PX} pixels",
    "no_drawing": "no drawing on a plain ground, such as a photograph: the middle grey of the "
    "border is taken for paper, what is darker than light paper or lighter than dark paper for "
    "ink, the rest vanishes (`hpsearch data show` draws what is left)",
    "dark": "bright on dark ground, so what is bright is taken for ink",
    "coloured": "in colour, of which the grey values are kept",
    "moving": "several frames, of which the first is taken",
}


def layout_notices(alphabets: Mapping[str, Collection[str]]) -> list[str]:
    """Say where folders look like splits, or alphabets hold the same classes.

    Args:
        alphabets: Each with its classes, named ALPHABET/CLASS.
    """
    if len(alphabets) < 2:
        return []
    classes = {a: {name.partition("/")[2] for name in names} for a, names in alphabets.items()}
    shared = set.intersection(*classes.values())
    largest = max(len(names) for names in classes.values())
    splits = all(name.lower() in SPLITS for name in alphabets)
    telling = splits or not all(NUMBERED.fullmatch(name.lower()) for name in shared)
    if shared and telling and 2 * len(shared) >= largest:
        return [
            f"the same classes lie in every alphabet ({named(alphabets)}: {len(shared)} of "
            f"{largest}, such as {named(sorted(shared), 1).split(' and ')[0]}): each counts as "
            "another class in each; if these are splits of one set, put all pictures of a class "
            "into one folder, for the program splits by class"
        ]
    if splits:
        return [
            f"{named(alphabets)} are taken for alphabets: which classes are trained on, validated "
            "on and tested on is drawn by a fixed seed, not by these folders"
        ]
    return []


def left_out(
    folder: Path, used: Collection[Path], single: Collection[str], suffixes: Collection[str]
) -> list[str]:
    """Name the classes and images of a folder that are not taken, and what else lies among them.

    Args:
        folder: What was named.
        used: The image files of all its classes.
        single: Classes with one image only.
        suffixes: Those of images.
    """
    others: list[str] = []
    astray: list[str] = []
    classes = {path.parent for path in used}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        if hidden or path in used or not path.is_file():
            continue
        if path.suffix.lower() in suffixes:
            astray.append(str(path.relative_to(folder)))
        elif path.parent in classes:
            others.append(str(path.relative_to(folder)))
    lines = []
    if single:
        lines.append(f"left out, classes with one image only: {len(single)} ({named(single)})")
    if astray:
        lines.append(
            f"left out, images that lie not in CLASS/ or ALPHABET/CLASS/: {len(astray)} "
            f"({named(astray)})"
        )
    if others:
        lines.append(f"left out, no images by their suffix: {len(others)} ({named(others)})")
    return lines
