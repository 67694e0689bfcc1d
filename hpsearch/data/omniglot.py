"""Omniglot from the authors' three zips or unpacked folders, checked by content.

Must not know the cache, nor how a source was found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpsearch.data.archive import decode_drawing, read_files
from hpsearch.data.dataset import Characters, Progress
from hpsearch.data.pack import Contents
from hpsearch.data.runs import read_runs
from hpsearch.errors import InputError

PARTS = ("images_background", "images_evaluation", "all_runs")


@dataclass(frozen=True)
class Layout:
    """What a complete source must hold; the defaults are Omniglot's own numbers."""

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


def find_parts(folder: Path) -> dict[str, Path] | None:
    """Find the three parts below a folder, each a zip or unpacked.

    Looks in the folder itself, then where a clone of the authors' repository ("python") and
    torchvision ("omniglot-py") put them.

    Returns:
        Part name to path; None when neither image part is there; fewer than three when some are.
    """
    for place in (folder, folder / "python", folder / "omniglot-py"):
        parts = {}
        for name in PARTS:
            for candidate in (place / name, place / f"{name}.zip"):
                if candidate.is_dir() or (candidate.suffix == ".zip" and candidate.is_file()):
                    parts[name] = candidate
                    break
        if PARTS[0] in parts or PARTS[1] in parts:
            return parts
    return None


def read_omniglot(
    folder: Path, *, layout: Layout = OMNIGLOT, progress: Progress | None = None
) -> Contents:
    """Read and check Omniglot.

    Args:
        folder: Holds images_background, images_evaluation and all_runs, as zips or unpacked.
        layout: What must be found.
        progress: Called now and then.

    Raises:
        InputError: A part is missing, damaged, or its content is not Omniglot's.
    """
    parts = find_parts(folder) or {}
    missing = [name for name in PARTS if name not in parts]
    if missing:
        raise InputError(
            f"{folder}: {missing[0]}.zip (or the folder {missing[0]}) is missing; put the "
            "authors' images_background.zip, images_evaluation.zip and all_runs.zip there"
        )
    background = _read_images(parts[PARTS[0]], layout.background, layout.drawers, progress)
    evaluation = _read_images(parts[PARTS[1]], layout.evaluation, layout.drawers, progress)
    common = sorted(set(background.alphabets) & set(evaluation.alphabets))
    if common:
        raise InputError(
            f"{folder}: alphabet {common[0]} is in both image parts; fetch them again"
        )
    lost = [name for name in layout.validation if name not in evaluation.alphabets]
    if lost:
        raise InputError(f"{parts[PARTS[1]]}: alphabet {lost[0]} is missing; fetch it again")
    test = _select(evaluation, [a for a in evaluation.alphabets if a not in layout.validation])
    return Contents(
        kind="omniglot",
        background=background,
        validation=_select(evaluation, list(layout.validation)),
        test=test,
        runs=read_runs(parts[PARTS[2]], test, layout.runs, layout.ways),
        ways=layout.ways,
        turns=True,
        description=(
            f"Omniglot: {len(background.alphabets)} background alphabets with "
            f"{layout.background} characters, {len(layout.validation)} validation alphabets, "
            f"{len(test.alphabets)} sealed test alphabets"
        ),
    )


_DRAWING = re.compile(r"(?:[^/]+/)??([^/]+)/(character\d+)/\d+_(\d\d)\.png")


def _read_images(
    source: Path, n_characters: int, n_drawers: int, progress: Progress | None
) -> Characters:
    """Read one image part into the stored form."""
    total = n_characters * n_drawers
    drawings: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for count, (name, content) in enumerate(read_files(source)):
        match = _DRAWING.fullmatch(name)
        if match is None:
            if name.endswith(".png"):
                raise InputError(
                    f"{source}: {name} is not ALPHABET/characterNN/DDDD_KK.png; "
                    "this is not Omniglot"
                )
            continue
        alphabet, character, drawer = match.groups()
        of_character = drawings.setdefault((alphabet, character), {})
        if int(drawer) in of_character:
            raise InputError(f"{source}: {name}: a second drawing by drawer {drawer}")
        of_character[int(drawer)] = decode_drawing(content, f"{source}: {name}")
        if progress is not None and count % 100 == 0:
            progress(f"reading {source.name}", min(count, total), total)
    _check_counts(source, drawings, n_characters, n_drawers)
    if progress is not None:
        progress(f"reading {source.name}", total, total)
    return _flat(drawings, n_drawers)


def _check_counts(
    source: Path,
    drawings: dict[tuple[str, str], dict[int, np.ndarray]],
    n_characters: int,
    n_drawers: int,
) -> None:
    if len(drawings) != n_characters:
        raise InputError(
            f"{source}: {len(drawings)} characters instead of {n_characters}; fetch it again"
        )
    for (alphabet, character), of_character in drawings.items():
        if sorted(of_character) != list(range(1, n_drawers + 1)):
            raise InputError(
                f"{source}: {alphabet}/{character} has {len(of_character)} drawings instead of "
                f"those by drawers 01 to {n_drawers:02}; fetch it again"
            )


def _flat(drawings: dict[tuple[str, str], dict[int, np.ndarray]], n_drawers: int) -> Characters:
    keys = sorted(drawings)
    alphabets = tuple(sorted({alphabet for alphabet, _ in keys}))
    return Characters(
        images=np.stack([drawings[key][d] for key in keys for d in range(1, n_drawers + 1)]),
        character=np.repeat(np.arange(len(keys)), n_drawers),
        drawer=np.tile(np.arange(n_drawers), len(keys)),
        alphabet_of=np.array([alphabets.index(alphabet) for alphabet, _ in keys], np.int64),
        names=tuple("/".join(key) for key in keys),
        alphabets=alphabets,
    )


def _select(role: Characters, alphabets: list[str]) -> Characters:
    """Return the characters of some alphabets, in the alphabets' sorted order."""
    wanted = [index for index, name in enumerate(role.alphabets) if name in alphabets]
    characters = np.flatnonzero(np.isin(role.alphabet_of, wanted))
    rows = np.flatnonzero(np.isin(role.character, characters))
    return Characters(
        images=role.images[rows],
        character=np.searchsorted(characters, role.character[rows]),
        drawer=role.drawer[rows],
        alphabet_of=np.searchsorted(wanted, role.alphabet_of[characters]),
        names=tuple(role.names[index] for index in characters),
        alphabets=tuple(role.alphabets[index] for index in wanted),
    )
