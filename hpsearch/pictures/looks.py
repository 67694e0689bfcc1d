"""Notices about own images: what the conversion loses, and unusual layouts.

Counts and names only; refuses and changes nothing.
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
"""Files or classes named in a line; the others are counted."""
TINY_PX = 8
"""An image that is smaller in width and height holds no drawing."""
FAR = 40.0
"""Difference in grey, of 255, that separates a pixel from paper."""
LOST_SHARE = 0.05
"""An image that loses a larger share of its pixels is no drawing on plain paper."""
UNEVEN_SHARE = 0.25
"""Paper is uneven if a larger share of the border is far from its median."""
COLOUR_SHARE = 0.02
SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "background"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
}
"""Names of folders that hold splits, not alphabets, and the role that each is for."""
NUMBERED = re.compile(r"(?:char|character|class|letter|sign|symbol)?[-_ ]*\d+")
"""Generic names; the same name in another alphabet is another class."""


@dataclass(frozen=True)
class Look:
    """The oddities of one image file."""

    blank: bool
    """Whether it has no ink: empty, of one colour, or fully transparent."""
    tiny: bool
    dark: bool
    """Bright ink on dark ground."""
    coloured: bool
    no_drawing: bool
    """Whether its ground is not plain, or the conversion loses much of it."""
    moving: bool
    """Several frames."""


def paper_of(grey: NDArray[np.float64]) -> float:
    """Return the paper of a grey image [height, width]: the median of its border."""
    return float(np.median(_border(grey)))


def _border(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def look_at(
    image: Image.Image, grey: NDArray[np.float64], paper: float, *, plain: bool = False
) -> Look:
    """Return the oddities of an image.

    Args:
        image: The opened image.
        grey: Its grey values 0 to 255, [height, width].
        paper: The grey value of its paper.
        plain: Whether its grey values are kept, so that it needs no ink.
    """
    dark = paper < 128
    above = grey - paper
    lost = float(((-above if dark else above) > FAR).mean())
    uneven = float((np.abs(_border(grey) - paper) > FAR).mean())
    blank = float(np.ptp(grey) if plain else (above if dark else -above).max(initial=0)) < 1
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
    """Return whether a visible part of an image is in colour."""
    if image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16"):
        return False
    small = image.convert("RGBA")
    small.thumbnail((64, 64), Image.Resampling.BOX)
    pixels = np.asarray(small, np.int64)
    spread = np.ptp(pixels[..., :3], axis=2)
    return bool(((spread > FAR) & (pixels[..., 3] > 32)).mean() > COLOUR_SHARE)


def named(names: Iterable[str], most: int = NAMED) -> str:
    """Return the first names, and the number of the others."""
    shown = ["".join(c if c.isprintable() else "?" for c in name) for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


@dataclass
class Looks:
    """Collects the oddities of images while they are read."""

    count: int = 0
    _odd: dict[str, list[str]] = field(default_factory=dict)
    _places: dict[bytes, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, character: str, name: str, image: NDArray[np.uint8], look: Look) -> None:
        """Record one converted image of a character."""
        self.count += 1
        for key, odd in vars(look).items():
            if odd:
                self._odd.setdefault(key, []).append(name)
        if not look.blank:
            mark = hashlib.sha256(image.data).digest()[:16]
            self._places.setdefault(mark, []).append((character, name))

    def blank(self, *, paper: bool) -> list[str]:
        """Return a line that names the images without content, none where all have some."""
        found = self._odd.get("blank")
        words = _WORDS["blank"] if paper else _ONE_GREY
        return [f"{words}: {len(found)} of {self.count} images ({named(found)})"] if found else []

    def notices(
        self,
        *,
        copies: bool = True,
        paper: bool = True,
        left_out: bool = False,
        colour: bool = False,
    ) -> list[str]:
        """Return one line for each kind of oddity.

        Args:
            copies: Also name equal images.
            paper: Whether the images are converted as drawings on paper.
            left_out: Whether images without content are left out.
            colour: Whether colours are kept.
        """
        lines = [f"{'left out, ' if left_out else ''}{line}" for line in self.blank(paper=paper)]
        for key, words in _WORDS.items():
            found = self._odd.get(key)
            kept = (not paper and key in _OF_PAPER) or (colour and key == "coloured")
            if not found or kept or key == "blank":
                continue
            lines.append(f"{words}: {len(found)} of {self.count} images ({named(found)})")
        across, within = [], []
        for places in self._places.values() if copies else ():
            (first, name), *others = sorted(places)
            other = next((n for c, n in others if c != first), None)
            if other is not None:
                across.append(f"{name} = {other}")
            elif others:
                within.append(f"{name} = {others[0][1]}")
        copied = {
            "pictures that are in two classes": across,
            "pictures that are twice in a class": within,
        }
        return [*lines, *counted(copied)]


def counted(found: Mapping[str, Collection[str]]) -> list[str]:
    """Return a line for each kind of oddity that has names."""
    return [f"{what}: {len(names)} ({named(names)})" for what, names in found.items() if names]


_WORDS = {
    "blank": "no ink (blank, of one colour, or wholly transparent)",
    "tiny": f"smaller than {TINY_PX} x {TINY_PX} pixels",
    "no_drawing": "no drawing on a plain ground, such as a photograph: the median grey of the "
    "border counts as paper, parts darker than light paper or lighter than dark paper count as "
    "ink, the rest is lost (`hpsearch data show` draws what is left)",
    "dark": "bright on dark ground: the bright parts count as ink",
    "coloured": "in colour: only the grey values are kept",
    "moving": "several frames: only the first is taken",
}
_OF_PAPER = {"no_drawing", "dark"}
"""Oddities only of drawings on paper."""
_ONE_GREY = "nothing to see (blank, of one colour, or wholly transparent)"


def layout_notices(alphabets: Mapping[str, Collection[str]]) -> list[str]:
    """Return a notice if folders look like splits, or if alphabets hold the same classes.

    Args:
        alphabets: Alphabets with their classes, named ALPHABET/CLASS.
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
            f"the same classes are in every alphabet ({named(alphabets)}: {len(shared)} of "
            f"{largest}, such as {named(sorted(shared), 1).split(' and ')[0]}): they count as "
            "different classes; if these are splits of one set, put all pictures of a class into "
            "one folder, because the program splits by class"
        ]
    if splits:
        return [
            f"{named(alphabets)} are taken for alphabets: a fixed seed, and not these folders, "
            "decides which classes are for training, validation and test"
        ]
    return []


def left_out(
    folder: Path, used: Collection[Path], single: Collection[str], suffixes: Collection[str]
) -> list[str]:
    """Return notices about classes and files of a folder that are left out.

    Args:
        folder: The folder that the user named.
        used: The image files of all its classes.
        single: Classes with only one image.
        suffixes: File suffixes of images.
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
    return counted(
        {
            "left out, classes with only one image": single,
            "left out, images outside CLASS/ and ALPHABET/CLASS/": astray,
            "left out, not an image by the suffix": others,
        }
    )
