"""Read Omniglot from the authors' three zips or unpacked folders, and check the content.

Must not know the cache, nor how a source was found.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Characters, Progress, flatten, reported
from hpsearch.data.pack import Contents, fingerprint
from hpsearch.errors import InputError
from hpsearch.pictures.archive import decode_drawing, read_files
from hpsearch.sources.runs import RUN_FOLDERS, holds_runs, read_runs

Drawings = dict[str, dict[str, dict[int, NDArray[np.uint8]]]]
"""The drawings of an image part by alphabet, character and drawer, in the stored form."""
RUNS = "all_runs"
PARTS = ("images_background", "images_evaluation", RUNS)
WHOLE = {
    "57edcd459f74d556258950f855ac7fab6805c6dac930516d851902423a906d89": (
        "bd5e9d2db11cab9dfa3eca8de5bde3d96d7ea74983dde2861789fd0d3afeb0cd"
    ),
    "616f5331baf9b1bfa3e9d0cd9ba77e0bb0bff546794ca365a5b19827fc72c358": (
        "7e24eb7b5a008023b94298cf4963e0a03418adb4f7350a0125d1d12b14694426"
    ),
    "478652a4d5e80dcd3e0675745dd70017f9fb25a2ac7c0725c286d1328e06b1b3": (
        "f90594dfa776d38ce4e74cef4636c12aca6bcea254c2dac06f6c1599a31c264f"
    ),
}
"""Fingerprint of the authors' images without runs to the fingerprint with them, for the whole
background and the two smaller ones.

Both count as the same data. So a study that was started without the runs can be continued and
evaluated with them, and vice versa.
"""


@dataclass(frozen=True)
class Layout:
    """The content of a complete source; the defaults are Omniglot's numbers."""

    background: int = 964
    """Characters in images_background."""
    evaluation: int = 659
    """Characters in images_evaluation."""
    drawers: int = 20
    """Drawings of every character."""
    runs: int = 20
    """Runs in all_runs."""
    ways: int = 20
    """Candidates of every run."""
    validation: tuple[str, ...] = (
        "Angelic",
        "Atemayar_Qelisayer",
        "Aurek-Besh",
        "Avesta",
        "Keble",
        "Mongolian",
        "Oriya",
        "Sylheti",
        "Syriac_(Serto)",
        "ULOG",
    )
    """Evaluation alphabets that are not sealed (Koch et al. 2015, section 4.2)."""


OMNIGLOT = Layout()


@dataclass(frozen=True)
class FewAlphabets:
    """A smaller background: some alphabets of images_background."""

    alphabets: tuple[str, ...]
    characters: int
    """Characters in these alphabets."""


FEW_ALPHABETS = {
    "omniglot_small1": FewAlphabets(
        ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"), characters=136
    ),
    "omniglot_small2": FewAlphabets(
        ("Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"), characters=156
    ),
}
"""The authors' smaller backgrounds, by the kind of the data set that trains on one."""


PLACES = (
    ".",
    "python",
    "python/one-shot-classification",
    "one-shot-classification",
    "omniglot-py",
)
"""Where the parts may lie below a folder: in it, as in the authors' repository, or as torchvision
puts them."""


def find_parts(folder: Path) -> dict[str, Path] | None:
    """Find the three parts in or below a folder, each as a zip or unpacked.

    Returns:
        Part name to path, for the parts that exist; None if both image parts are missing. For runs
        that were unpacked directly into a folder, the path is this folder.
    """
    places = [folder / place for place in PLACES if (folder / place).is_dir()]
    parts = {}
    for name in PARTS:
        candidates = [place / f"{name}{end}" for place in places for end in ("", ".zip")]
        if name == RUNS:
            candidates += [place for place in places if holds_runs(place)]
        found = next(filter(_holds_something, candidates), None)
        if found is not None:
            parts[name] = found
    return parts if parts.keys() - {RUNS} else None


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.suffix == ".zip" and path.is_file()


def files_of(part: Path) -> list[Path]:
    """Return the zip or the folders of a part."""
    return sorted(part.glob(RUN_FOLDERS)) if holds_runs(part) else [part]


def read_omniglot(
    folder: Path,
    kind: str = "omniglot",
    *,
    layout: Layout = OMNIGLOT,
    progress: Progress | None = None,
) -> Contents:
    """Read and check Omniglot; the runs may be missing, as a search does not need them.

    Args:
        folder: Holds images_background, images_evaluation and all_runs, as zips or unpacked.
        kind: omniglot, or one of `FEW_ALPHABETS`, which keeps fewer background alphabets.
        layout: The required content.
        progress: Called after every 100 files.

    Raises:
        InputError: An image part is missing, a part is damaged, or its content is not Omniglot's.
    """
    parts = find_parts(folder) or {}
    missing = [name for name in PARTS if name not in parts and name != RUNS]
    if missing:
        raise InputError(
            f"{folder}: {missing[0]}.zip (or the folder {missing[0]}) is missing; put the "
            "authors' images_background.zip, images_evaluation.zip and all_runs.zip there"
        )
    background = _read_images(parts[PARTS[0]], layout.background, layout.drawers, progress)
    evaluation = _read_images(parts[PARTS[1]], layout.evaluation, layout.drawers, progress)
    common = sorted(background.keys() & evaluation.keys())
    if common:
        raise InputError(
            f"{folder}: alphabet {common[0]} is in both image parts; fetch them again"
        )
    validation = _role(evaluation, layout.validation, parts[PARTS[1]])
    test = _role(evaluation, evaluation.keys() - {*layout.validation}, parts[PARTS[1]])
    few = FEW_ALPHABETS.get(kind, FewAlphabets(tuple(background), layout.background))
    trained = _role(background, few.alphabets, parts[PARTS[0]])
    _check_count(parts[PARTS[0]], len(trained.names), few.characters)
    contents = Contents(
        kind=kind,
        background=trained,
        validation=validation,
        test=test,
        runs=read_runs(parts[RUNS], test, layout.runs, layout.ways) if RUNS in parts else None,
        ways=layout.ways,
        turns=True,
        description=_describe(kind, trained, validation, test),
    )
    if contents.runs is None:
        return replace(contents, known_as=WHOLE.get(fingerprint(contents), ""))
    return contents


def _describe(kind: str, background: Characters, validation: Characters, test: Characters) -> str:
    sealed = f"{len(test.alphabets)} sealed test alphabets"
    if kind in FEW_ALPHABETS:
        return (
            f"{kind}: {len(background.alphabets)} background alphabets "
            f"({', '.join(background.alphabets)}) with {len(background.names)} characters; "
            f"validation as always on {len(validation.alphabets)} alphabets of the evaluation "
            f"archive; {sealed}"
        )
    return (
        f"Omniglot: {len(background.alphabets)} background alphabets with "
        f"{len(background.names)} characters, {len(validation.alphabets)} validation alphabets, "
        f"{sealed}"
    )


_DRAWING = re.compile(r"(?:[^/]+/)??([^/]+)/(character\d+)/\d+_(\d\d)\.png")


def _read_images(
    source: Path, n_characters: int, n_drawers: int, progress: Progress | None
) -> Drawings:
    """Read and check one image part."""
    files, task = read_files(source), f"reading {source.name}"
    drawings: Drawings = {}
    for name, content in reported(files, task, n_characters * n_drawers, progress, every=100):
        match = _DRAWING.fullmatch(name)
        if match is None:
            if name.endswith(".png"):
                raise InputError(
                    f"{source}: {name} is not ALPHABET/characterNN/DDDD_KK.png; "
                    "this is not Omniglot"
                )
            continue
        alphabet, character, drawer = match.groups()
        characters = drawings.setdefault(alphabet, {})
        of_character = characters.setdefault(f"{alphabet}/{character}", {})
        if int(drawer) in of_character:
            raise InputError(f"{source}: {name}: a second drawing by drawer {drawer}")
        of_character[int(drawer)] = decode_drawing(content, f"{source}: {name}")
    count = sum(len(characters) for characters in drawings.values())
    _check_count(source, count, n_characters)
    for name, found in (item for one in drawings.values() for item in one.items()):
        if sorted(found) != list(range(1, n_drawers + 1)):
            raise InputError(
                f"{source}: {name} has {len(found)} drawings instead of "
                f"those by drawers 01 to {n_drawers:02}; fetch it again"
            )
    return drawings


def _check_count(source: Path, count: int, expected: int) -> None:
    if count != expected:
        raise InputError(f"{source}: {count} characters instead of {expected}; fetch it again")


def _role(part: Drawings, alphabets: Collection[str], source: Path) -> Characters:
    """Return the characters of some alphabets of a part, in the stored form, all by name."""
    for alphabet in alphabets:
        if alphabet not in part:
            raise InputError(f"{source}: alphabet {alphabet} is missing; fetch it again")
    return flatten(
        {
            alphabet: {
                name: [drawing for _, drawing in sorted(drawers.items())]
                for name, drawers in sorted(part[alphabet].items())
            }
            for alphabet in sorted(alphabets)
        }
    )
