"""Reads support images and queries and converts them to Omniglot's format.

Must not know the network.

Letters: M images, Q queries, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hpsearch.errors import InputError
from hpsearch.paths import user_path
from hpsearch.pictures.folder import (
    MAX_IMAGES,
    SUFFIXES,
    convert_and_look,
    convert_opened,
    convert_pixels,
    folders_in,
    images_in,
)
from hpsearch.pictures.looks import Looks, counted
from hpsearch.pictures.tree import files_below, split_folders

Picture = Path | str | NDArray[Any] | Image.Image
"""A file, an array [height, width] or [height, width, 3], or an image of Pillow."""


@dataclass(frozen=True, eq=False)
class Support:
    """The images of the classes to recognise."""

    names: tuple[str, ...]
    """C names, ascending."""
    images: NDArray[np.uint8]
    """[M, 105, 105], ink = 255, or grey values; or [M, 3, T, T]; grouped by class."""
    class_of: NDArray[np.int64]
    """[M] index into `names`, ascending; every class has an image."""
    paper: bool = True
    """Whether the images are ink on paper, or pictures as they are."""
    left_out: tuple[str, ...] = ()
    """What is no image of a class, in lines."""

    @property
    def colour_px(self) -> int:
        """The side of pictures in colour; 0 where they are grey."""
        return int(self.images.shape[-1]) if self.images.ndim == 4 else 0


def read_support(
    folder: Path,
    looks: Looks | None = None,
    *,
    paper: bool = True,
    inside: bool = False,
    colour_px: int = 0,
) -> Support:
    """Read a folder of classes.

    Each folder is a class, and so is an image directly in the folder, named without its suffix;
    images of the same name are one class. Where no folder holds images, they are groups of
    classes: GROUP/CLASS/*. Either may lie below train, val and test, as for a search; a class has
    the images of all of them. Hidden files are skipped.

    Args:
        folder: The folder of the classes.
        looks: Collects oddities of the images.
        paper: Whether the model was trained on drawings on paper (`Model.paper`).
        inside: Whether links that lead out of the folder are left out.
        colour_px: Side of the colour pictures that it was trained on (`Model.colour_px`).

    Raises:
        InputError: The folder is missing, it has fewer than two classes, or an image is unusable.
    """
    if folder.is_file():
        raise InputError(f"{folder}: a file; name a folder of support images (unpack a zip)")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of support images; check --support")
    try:
        classes, left_out = _classes_in(folder)
        if inside:
            classes, outside = _inside(folder, classes)
            left_out = (*left_out, *outside)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: cannot be read ({error.strerror}); fix the permission"
        ) from error
    names = tuple(sorted(classes))
    files = [path for name in names for path in classes[name]]
    if len(names) < 2:
        found = f"images of one class only ({names[0]})" if names else "no images"
        raise InputError(
            f"{folder}: {found}; put at least two classes in it, each a folder of images or one "
            "image"
        )
    class_of = [number for number, name in enumerate(names) for _ in classes[name]]
    named = [names[number] for number in class_of]
    images = read_images(files, looks, named, paper=paper, colour_px=colour_px)
    return Support(names, images, np.array(class_of, np.int64), paper, left_out)


def _classes_in(folder: Path) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Return the images of each class, and what is left out, in lines."""
    splits = split_folders(folder)
    tops = splits or [folder]
    places = [(place, top) for top in tops for place in folders_in(top)]
    if not any(images_in(place) for place, _ in places):
        places = [(inner, top) for place, top in places for inner in folders_in(place)]
    classes: dict[str, list[Path]] = {}
    empty, others, deeper = [], [], []
    for place, top in places:
        if not (files := images_in(place)):
            empty.append(_name(place, folder))
            continue
        classes.setdefault(_name(place, top), []).extend(files)
        for name in files_below(place):
            image = Path(name).suffix.lower() in SUFFIXES
            if "/" not in name and not image:
                others.append(f"{_name(place, folder)}/{name}")
            elif "/" in name and (image or name.endswith("/")):
                deeper.append(f"{_name(place, folder)}/{name}")
    for path in () if splits else images_in(folder):
        classes.setdefault(path.stem, []).append(path)
    beside = (*folders_in(folder), *images_in(folder)) if splits else ()
    left_out = {
        "left out, folders without images": empty,
        "left out, not an image by the suffix": others,
        "left out, images in folders below a class": deeper,
        "left out, not below a split": [p.name for p in beside if p not in splits],
    }
    return classes, tuple(counted(left_out))


def _inside(
    folder: Path, classes: dict[str, list[Path]]
) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Return the images that lie in the folder, and the links to others, in lines."""
    root = folder.resolve()
    every = (path for files in classes.values() for path in files)
    astray = {path for path in every if not path.resolve().is_relative_to(root)}
    kept = {
        name: [path for path in files if path not in astray] for name, files in classes.items()
    }
    named = sorted(_name(path, folder) for path in astray)
    outside = counted({"left out, links that lead out of the folder": named})
    return {name: files for name, files in kept.items() if files}, tuple(outside)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def read_images(
    sources: Iterable[Picture],
    looks: Looks | None = None,
    classes: Sequence[str] = (),
    *,
    paper: bool = True,
    colour_px: int = 0,
) -> NDArray[np.uint8]:
    """Convert images of any size and mode.

    Args:
        sources: Files, arrays [height, width] or [height, width, 3], or images of Pillow.
        looks: Collects oddities of the files.
        classes: Classes of the files, for notices about copies.
        paper: Whether the model was trained on drawings on paper (`Model.paper`).
        colour_px: Side of the colour pictures that it was trained on (`Model.colour_px`).

    Returns:
        uint8 [Q, 105, 105], ink = 255, paper = 0; or grey values; or colours, [Q, 3, T, T].

    Raises:
        InputError: There are no or too many images, or one of them is incomplete.
    """
    held = list(sources)
    if not 1 <= len(held) <= MAX_IMAGES:
        raise InputError(f"{len(held)} images; give 1 to {MAX_IMAGES}")
    named = zip_longest(held, classes, fillvalue="")
    return np.stack(
        [_converted(one, looks, name, paper=paper, colour_px=colour_px) for one, name in named]
    )


def _converted(
    source: Picture, looks: Looks | None, name: str, *, paper: bool, colour_px: int
) -> NDArray[np.uint8]:
    if isinstance(source, Image.Image):
        return convert_opened(source, paper=paper, colour_px=colour_px)
    if not isinstance(source, str | Path):
        return convert_pixels(np.asarray(source), paper=paper, colour_px=colour_px)
    image, look = convert_and_look(user_path(source), paper=paper, colour_px=colour_px)
    if looks is not None:
        looks.add(name, str(source), image, look)
    return image


def printable(text: str) -> str:
    """Return a name with its unprintable characters (controls, overrides) replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
