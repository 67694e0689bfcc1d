"""A packed data set: what workers open. Must not know where it came from, nor the sealed images.

Letters: N images, C characters, D drawers, S side in pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.cache import in_first, places_beside, share
from hpsearch.data.resize import SIDE, area_average
from hpsearch.errors import EnvironmentFailure, InputError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

FORMAT = 1
"""Version of the packed folder's layout; another one is packed again."""
UNREADABLE = (OSError, ValueError, EOFError, KeyError, TypeError, BadZipFile)
"""What numpy raises for a damaged file, for missing arrays, and for pickled ones, never loaded."""


@dataclass(frozen=True, eq=False)
class Characters:
    """The images of one role (background, validation, test), flat, grouped by character."""

    images: NDArray[np.uint8]
    """[N, S, S], ink = 255, paper = 0, memory-mapped where possible."""
    character: NDArray[np.int64]
    """[N] index into `names`."""
    drawer: NDArray[np.int64]
    """[N] 0 to D - 1; in Omniglot the drawers of two alphabets are different people."""
    alphabet_of: NDArray[np.int64]
    """[C] index into `alphabets`."""
    names: tuple[str, ...]
    """C names, "ALPHABET/CHARACTER"."""
    alphabets: tuple[str, ...]
    people: bool = True
    """Whether `drawer` says who drew an image; else it only counts a character's pictures."""

    @property
    def n_drawers(self) -> int:
        """The number of drawers D, that is the most drawings of any character."""
        return int(self.drawer.max()) + 1 if len(self.drawer) else 0

    def index(self) -> NDArray[np.int64]:
        """Return int64 [C, D]: the image row of (character, drawer), -1 where there is none."""
        rows = np.full((len(self.names), self.n_drawers), -1, np.int64)
        rows[self.character, self.drawer] = np.arange(len(self.character))
        return rows

    def of_alphabet(self, alphabet: int) -> NDArray[np.int64]:
        """Return the characters of one alphabet, int64, ascending."""
        return np.flatnonzero(self.alphabet_of == alphabet)


@dataclass(frozen=True)
class Dataset:
    """An opened packed folder; cheap, holds no images."""

    kind: str
    """"omniglot", "glyphs" or "folder"."""
    fingerprint: str
    """SHA-256 (hex) of the decoded content of all roles, the sealed one included."""
    folder: Path
    """The packed folder in the user's cache."""
    ways: int
    """Candidates per validation task; chance is 1 / ways."""
    turns: bool
    """Whether a turned or mirrored character may count as another one (not for own images)."""
    description: str
    """One line for banners."""
    notice: str = ""
    """Why another data set than the asked one was taken; empty when it was not."""
    notices: tuple[str, ...] = ()
    """What a person should know of own images, a line each."""

    def background(self, input_size: int = SIDE) -> Characters:
        """Return the characters to train on.

        Args:
            input_size: Side in pixels, 1 to 105; smaller images are area averages, rounded.

        Raises:
            InputError: The size is out of range or the packed folder is damaged.
            EnvironmentFailure: The cache cannot be written.
        """
        return self._role("background", input_size)

    def validation(self, input_size: int = SIDE) -> Characters:
        """Return the characters whose tasks the search minimises; see `background`."""
        return self._role("validation", input_size)

    def labels(self, role: str) -> Characters:
        """Return background or validation without its images, [N, 0, 0]: counts without a cost.

        Raises:
            InputError: The packed folder is damaged.
        """
        return self._joined(role, None)

    def _role(self, role: str, input_size: int) -> Characters:
        return self._joined(role, _resized(self.folder, role, input_size))

    def _joined(self, role: str, images: NDArray[np.uint8] | None) -> Characters:
        path = self.folder / f"{role}-labels.npz"
        try:
            with np.load(path, allow_pickle=False) as labels:
                if images is None:
                    images = np.empty((len(labels["character"]), 0, 0), np.uint8)
                return characters_from(images, labels)
        except UNREADABLE as error:
            raise InputError(f"{path}: cannot be read ({error}); delete {self.folder}") from None


def in_words(kind: str) -> str:
    """Return a kind of data as a person calls it."""
    return "own images" if kind == "folder" else kind


def characters_from(images: NDArray[np.uint8], labels: Any) -> Characters:
    """Join images with the label arrays `pack` wrote beside them."""
    return Characters(
        images=images,
        character=labels["character"],
        drawer=labels["drawer"],
        alphabet_of=labels["alphabet_of"],
        names=tuple(str(name) for name in labels["names"]),
        alphabets=tuple(str(name) for name in labels["alphabets"]),
        people=bool(labels["people"]) if "people" in labels else True,
    )


def read_meta(folder: Path) -> dict[str, Any]:
    """Read a packed folder's meta.json.

    Raises:
        InputError: There is none, or it is of another format.
    """
    path = folder / "meta.json"
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no packed data set; run `hpsearch data show` to pack"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); delete {folder}") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise InputError(f"{path}: not format {FORMAT}; delete {folder} to pack again")
    return meta


def open_packed(folder: Path) -> Dataset:
    """Open a packed folder without reading images; the sealed file is not touched.

    Raises:
        InputError: The folder is missing, damaged or of another format.
    """
    meta = read_meta(folder)
    try:
        return Dataset(
            kind=str(meta["kind"]),
            fingerprint=str(meta["fingerprint"]),
            folder=folder,
            ways=int(meta["ways"]),
            turns=bool(meta["turns"]),
            description=str(meta["description"]),
            notices=tuple(str(text) for text in meta.get("notices", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'meta.json'}: damaged ({error}); delete {folder}") from None


def check_size(input_size: int) -> None:
    """Refuse a side that is no reduction of 105.

    Raises:
        InputError: The side is not 1 to 105.
    """
    if not 1 <= input_size <= SIDE:
        raise InputError(f"input_size: {input_size} is not within 1 to {SIDE} pixels")


def _resized(folder: Path, role: str, size: int) -> NDArray[np.uint8]:
    """Map the images of one size, making the file first where it is missing or cut off."""
    check_size(size)
    name = f"{role}-{size}.npy"
    for place in places_beside(folder):
        with contextlib.suppress(*UNREADABLE):  # missing, or cut off by a full disk: made below
            return _map(place / name)
    reduced = area_average(_load_checked(folder, role), size)
    return _map(in_first(places_beside(folder), lambda place: _save_aside(place / name, reduced)))


def _map(path: Path) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return images


def _load_checked(folder: Path, role: str) -> NDArray[np.uint8]:
    """Load a role's stored images and compare them with the recorded checksum."""
    path = folder / f"{role}.npy"
    try:
        stored: NDArray[np.uint8] = np.load(path, allow_pickle=False)
    except UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({error}); delete {folder}") from None
    if checksum(stored) != read_meta(folder)["sha256"].get(role):
        raise InputError(f"{path}: its checksum does not fit; delete {folder} to pack again")
    return stored


def checksum(array: NDArray[Any]) -> str:
    """Return SHA-256 (hex) of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _save_aside(path: Path, array: NDArray[np.uint8]) -> Path:
    """Write an array so that two processes may do it at once: aside, then renamed."""
    aside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        aside = Path(name)
        with os.fdopen(handle, "wb") as file:
            share(aside)
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        return path
    except OSError as error:
        if aside is not None:
            aside.unlink(missing_ok=True)
        raise EnvironmentFailure(
            f"{path}: cannot be written ({error.strerror}); free space or set HPSEARCH_CACHE"
        ) from error
