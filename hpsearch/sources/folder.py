"""A user's own images, ALPHABET/CHARACTER/* or CHARACTER/*, converted to Omniglot's form.

`convert` documents how an image is converted, `read_folder` how a folder is read. Must not know
the cache.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from hpsearch.data.dataset import Characters, Progress, flatten
from hpsearch.data.pack import Contents
from hpsearch.data.resize import SIDE
from hpsearch.data.tasks import OneShotTasks, split_drawers, validation_tasks
from hpsearch.errors import InputError
from hpsearch.seeding import generator
from hpsearch.sources.looks import Look, Looks, layout_notices, left_out, look_at, paper_of

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

RULE = 2
"""Version of the rule for reading own images; see `read_folder`."""
RULES = (2, 1)
"""All versions, the newest first; a study keeps the rule it was started with."""

MIN_ROLE = 5
"""Smallest number of characters in validation and in test."""
MIN_CHARACTERS = 15
MAX_WAYS = 20
TEST_RUNS = 20
_SPLIT_SEED = 0
"""Fixed: the split belongs to the data set, not to a study."""

Drawings = dict[str, list[Path]]
"""Character name to its files, ordered by name."""


def looks_like_images(folder: Path) -> bool:
    """Return whether images lie one or two folders below."""
    return any(
        path.suffix.lower() in SUFFIXES
        for pattern in ("*/*", "*/*/*")
        for path in folder.glob(pattern)
    )


def read_folder(folder: Path, progress: Progress | None = None, rule: int = RULE) -> Contents:
    """Read, convert and split a user's own images.

    Characters with only one image are left out. The rest is split 60/20/20 by a fixed seed. If
    there are three or more alphabets, two of them with five characters, the alphabets are split.
    Otherwise, or if fewer than five characters would be left to train on, the characters are
    split.

    By rule 2 images have no drawers. By rule 1 an image's rank by name within its character is its
    drawer, and with 16 ranks or more some images are not shown.

    Args:
        folder: Holds ALPHABET/CHARACTER/* or CHARACTER/*.
        progress: Called after every 50 images.
        rule: 1 for studies of version 0.1.0.

    Raises:
        InputError: Another layout, fewer than 15 characters, or an image that cannot be used.
    """
    # Rule 1 took `.` for a folder without a name.
    title = folder.name if rule == 1 else folder.resolve().name
    alphabets = _scan(folder, title)
    used = {path for one in alphabets.values() for files in one.values() for path in files}
    single = [n for one in alphabets.values() for n, files in one.items() if len(files) < 2]
    usable = {
        alphabet: {name: files for name, files in one.items() if len(files) >= 2}
        for alphabet, one in alphabets.items()
    }
    usable = {alphabet: one for alphabet, one in usable.items() if one}
    count = sum(len(one) for one in usable.values())
    if count < MIN_CHARACTERS:
        raise InputError(
            f"{folder}: {count} characters with two images or more; at least {MIN_CHARACTERS} "
            f"are needed to train, validate and test on different ones"
        )
    roles = _split(usable)
    total = sum(len(files) for one in usable.values() for files in one.values())
    if total > MAX_IMAGES:
        raise InputError(f"{folder}: {total} images; at most {MAX_IMAGES} are taken")
    looks = Looks()

    def read(name: str, path: Path) -> NDArray[np.uint8]:
        image, look = convert_and_look(path)
        looks.add(name, str(path.relative_to(folder)), image, look)
        if progress is not None and looks.count % 50 == 0:
            progress("reading your images", looks.count, total)
        return image

    background, validation, test = (
        flatten(
            {
                alphabet: {
                    name: [read(name, path) for path in files] for name, files in one.items()
                }
                for alphabet, one in role.items()
            },
            people=rule == 1,
        )
        for role in roles
    )
    ways = min(MAX_WAYS, _smallest(validation))
    alone = f"; {len(single)} characters with a single image left out" if single else ""
    return Contents(
        kind="folder",
        background=background,
        validation=validation,
        test=test,
        runs=_test_runs(test, min(ways, _smallest(test))),
        ways=ways,
        turns=False,
        description=(
            f"own images in {title}: {len(background.names)} background, "
            f"{len(validation.names)} validation and {len(test.names)} test characters, "
            f"{ways} ways{alone}"
        ),
        rule=rule,
        notices=(
            *layout_notices(usable),
            *left_out(folder, used, single, SUFFIXES),
            *looks.notices(),
        ),
    )


def _scan(folder: Path, title: str) -> dict[str, Drawings]:
    """Return the files by alphabet and character; without alphabets all belong to `title`."""
    flat: Drawings = {}
    deep: dict[str, Drawings] = {}
    for first in folders_in(folder):
        files = images_in(first)
        if files:
            flat[first.name] = files
        for second in folders_in(first):
            if files := images_in(second):
                deep.setdefault(first.name, {})[f"{first.name}/{second.name}"] = files
    if flat and deep:
        raise InputError(
            f"{folder}: images both as CHARACTER/* (in {next(iter(flat))}) and as "
            f"ALPHABET/CHARACTER/* (in {next(iter(deep))}); keep to one layout"
        )
    return deep or {title: {f"{title}/{name}": files for name, files in flat.items()}}


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


def _split(alphabets: dict[str, Drawings]) -> list[dict[str, Drawings]]:
    """Return background, validation and test; see `read_folder` for the rule."""
    rng = generator(_SPLIT_SEED, "own images")
    large = sorted(name for name, one in alphabets.items() if len(one) >= MIN_ROLE)
    if len(alphabets) >= 3 and len(large) >= 2:
        held = max(1, round(0.2 * len(alphabets)))
        held = min(held, len(large) // 2)
        order = rng.permutation(large).tolist()
        names = [set(alphabets) - set(order[: 2 * held]), order[:held], order[held : 2 * held]]
        roles = [{name: alphabets[name] for name in sorted(part)} for part in names]
        if sum(len(one) for one in roles[0].values()) >= MIN_ROLE:
            return roles
    # Too few alphabets to hold some out: one pool of characters.
    pool = {name: files for one in alphabets.values() for name, files in one.items()}
    order = rng.permutation(sorted(pool)).tolist()
    held = max(MIN_ROLE, round(0.2 * len(pool)))
    parts = [order[2 * held :], order[:held], order[held : 2 * held]]
    label = "+".join(sorted(alphabets))
    return [{label: {name: pool[name] for name in sorted(part)}} for part in parts]


def _smallest(role: Characters) -> int:
    return int(np.bincount(role.alphabet_of).min())


def _test_runs(test: Characters, ways: int) -> OneShotTasks:
    drawers = split_drawers(test.n_drawers, 0, _SPLIT_SEED, people=test.people)[1]
    return validation_tasks(test, ways=ways, n_runs=TEST_RUNS, drawers=drawers, seed=_SPLIT_SEED)


def convert(path: Path) -> NDArray[np.uint8]:
    """Convert one image to Omniglot's form.

    The first frame is turned as its EXIF says; transparent parts become white; colours become
    grey. Paper is the median grey of the border. Ink is darker than light paper (128 or more) or
    lighter than dark paper, scaled so that the strongest ink is 255. The image is padded with
    paper to a square and resized to 105 x 105, down by area averages, up bilinearly.

    Args:
        path: An image of any size and mode.

    Returns:
        uint8 [105, 105], ink = 255, paper = 0.

    Raises:
        InputError: The file is missing, damaged or too large.
    """
    return convert_and_look(path)[0]


def convert_and_look(path: Path) -> tuple[NDArray[np.uint8], Look]:
    """Convert one image, and report its oddities; see `convert`."""
    if not path.is_file():
        raise InputError(f"{path}: no such image file; check the name")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: more than {MAX_FILE_BYTES} bytes; make it smaller")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
                    raise InputError(
                        f"{path}: {width} x {height} pixels; at most {MAX_PIXELS} in all and "
                        f"{MAX_SIDE} to a side"
                    )
                grey = _grey(image)
                look = look_at(image, grey, paper_of(grey))
    except InputError:
        raise
    except Exception as error:  # what a decoder raises on damaged files is open-ended
        raise InputError(f"{path}: not a whole image ({error}); repair or remove it") from None
    return _square(_ink(grey)), look


def convert_pixels(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an image in memory to Omniglot's form; see `convert` for the rule.

    Args:
        pixels: Grey [height, width], or colour [height, width, 3 or 4] in uint8. Types other than
            uint8 and bool are scaled by their own range.

    Returns:
        uint8 [105, 105], ink = 255, paper = 0.

    Raises:
        InputError: The array has no shape of an image.
    """
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype != np.uint8 and pixels.dtype.kind in "iuf":
        pixels = pixels.astype(np.float32)
    try:
        if pixels.ndim not in (2, 3) or max(pixels.shape) > MAX_SIDE:
            raise ValueError("no such image")
        return _square(_ink(_grey(Image.fromarray(np.ascontiguousarray(pixels)))))
    except (TypeError, ValueError, IndexError):
        raise InputError(
            f"an array of shape {pixels.shape} and type {pixels.dtype} is no image; give grey "
            f"[height, width] or uint8 colour [height, width, 3], at most {MAX_SIDE} to a side"
        ) from None


def _grey(image: Image.Image) -> NDArray[np.float64]:
    """Return grey values 0 to 255, [height, width]."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        # 16 bits or floats: by their own range
        values = np.nan_to_num(np.asarray(upright, np.float64), posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
        return (values - low) * (255.0 / max(high - low, 1e-9))
    if upright.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in upright.info:
        coloured = upright.convert("RGBA")
        paper = Image.new("RGBA", coloured.size, "white")
        upright = Image.alpha_composite(paper, coloured)
    return np.asarray(upright.convert("L"), np.float64)


def _ink(grey: NDArray[np.float64]) -> NDArray[np.uint8]:
    paper = paper_of(grey)
    ink = np.clip(paper - grey if paper >= 128 else grey - paper, 0, None)
    strongest = float(ink.max())
    return np.asarray(
        np.floor(ink * (255.0 / strongest) + 0.5) if strongest >= 1 else ink * 0
    ).astype(np.uint8)


def _square(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = ink.shape
    side = max(height, width)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = ink
    if side == SIDE:
        return square
    method = Image.Resampling.BOX if side > SIDE else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), method), np.uint8).copy()
