"""A packed data set, as workers open it. Must not know its source, nor the sealed images.

Letters: N images, C characters, D drawers, S side in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.packed_files import UNREADABLE, check_file, images_of, read_meta
from hpsearch.data.resize import SIDE, to_stored
from hpsearch.data.task_size import TaskSize
from hpsearch.errors import InputError

READERS = "hpsearch.datasets"
"""Entry points of readers of other data: `read(path) -> Contents`."""
Kind = Literal["omniglot", "omniglot_small1", "omniglot_small2", "glyphs", "folder"]
"""The kinds of data that a study can be on."""
Pictures = Literal["auto", "paper", "plain"]
"""How own images are converted: as ink on paper, or with their grey values; auto decides."""
Reading = Literal["auto", "paper", "plain", "rgb"]
"""How own images are read: converted to grey as `Pictures` says, or in colour."""
OMNIGLOT = ("omniglot", "omniglot_small1", "omniglot_small2")
"""The kinds whose sealed tasks are Lake's 400; the others have tasks of their own."""
MANY_TASKS_RULE = 4
"""From this rule on own images of few classes get more validation tasks; see `TaskSize`."""
Progress = Callable[[str, int, int], None]
"""Called with the name of the task, the amount done, and the total amount."""
T = TypeVar("T")


def reported(
    items: Iterable[T], task: str, total: int, progress: Progress | None, every: int = 1
) -> Iterator[T]:
    """Yield the items; report progress after each `every` of them, and after the last.

    Args:
        items: What is worked on.
        task: Name shown to people.
        total: How many items there should be; more count as this many.
        progress: Called with the numbers; None reports nothing.
        every: Items between two reports.
    """
    for done, item in enumerate(items, start=1):
        yield item
        if progress is not None and (done % every == 0 or done == total):
            progress(task, min(done, total), total)


@dataclass(frozen=True, eq=False)
class Characters:
    """The images of one role (background, validation, test), flat, grouped by character."""

    images: NDArray[np.uint8]
    """[N, S, S], ink = 255, paper = 0, memory-mapped where possible; colour [N, 3, S, S]."""
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
    """Whether `drawer` says who drew an image; if not, it numbers a character's images."""

    @property
    def n_drawers(self) -> int:
        """The number of drawers D: the largest number of drawings of a character."""
        return int(self.drawer.max()) + 1 if len(self.drawer) else 0

    def index(self) -> NDArray[np.int64]:
        """Return the image row of (character, drawer), int64 [C, D]; -1 if there is none."""
        rows = np.full((len(self.names), self.n_drawers), -1, np.int64)
        rows[self.character, self.drawer] = np.arange(len(self.character))
        return rows

    def of_alphabet(self, alphabet: int) -> NDArray[np.int64]:
        """Return the characters of one alphabet, int64, ascending."""
        return np.flatnonzero(self.alphabet_of == alphabet)


@dataclass(frozen=True)
class Dataset:
    """An opened packed folder; holds no images."""

    kind: str
    """One of `Kind`."""
    fingerprint: str
    """SHA-256 (hex) of the decoded content of all roles, the sealed one included."""
    folder: Path
    """The packed folder in the user's cache."""
    ways: int
    """Candidates per validation task; chance is 1 / ways."""
    turns: bool
    """Whether a turned or mirrored character may count as another one; False for own images."""
    description: str
    """One line for banners."""
    notice: str = ""
    """Why another data set was taken than the requested one; empty if it was not."""
    notices: tuple[str, ...] = ()
    """Notices about own images, one line each."""
    paper: bool = True
    """Whether ink was made bright on a dark ground; False for pictures whose grey was kept.
    Images to recognise must be converted alike."""
    colour_px: int = 0
    """Side of the packed colour pictures, pixels; 0 where the images are grey."""
    rule: int = 1
    """Version of the rule by which own images were read."""
    shots: int = 1
    """Support images of each candidate of a validation task."""

    @property
    def size(self) -> TaskSize:
        """The size and the number of validation tasks."""
        return TaskSize(self.ways, self.shots, self.rule >= MANY_TASKS_RULE)

    def asking(self, ways: int | None, shots: int) -> Dataset:
        """Return the data with a study's size of validation tasks; None keeps the data's ways."""
        return replace(self, ways=ways or self.ways, shots=shots)

    def background(self, input_size: int = SIDE) -> Characters:
        """Return the characters to train on.

        Args:
            input_size: Side in pixels, 1 to 105; smaller images are area averages, rounded.
                Of colour pictures 1 to 224; those packed smaller stay so.

        Raises:
            InputError: The size is out of range or the packed folder is damaged.
            EnvironmentFailure: The cache cannot be written.
        """
        return self._joined("background", images_of(self.folder, "background", input_size))

    def validation(self, input_size: int = SIDE) -> Characters:
        """Return the characters of the validation tasks; see `background`."""
        return self._joined("validation", images_of(self.folder, "validation", input_size))

    def labels(self, role: str) -> Characters:
        """Return background or validation without loading images: their shape is [N, 0, 0].

        Raises:
            InputError: The packed folder is damaged.
        """
        return self._joined(role, None)

    def _joined(self, role: str, images: NDArray[np.uint8] | None) -> Characters:
        path = self.folder / f"{role}-labels.npz"
        check_file(self.folder, path.name)
        try:
            with np.load(path, allow_pickle=False) as labels:
                if images is None:
                    images = np.empty((len(labels["character"]), 0, 0), np.uint8)
                return characters_from(images, labels)
        except UNREADABLE as error:
            raise InputError(f"{path}: cannot be read ({error}); delete {self.folder}") from None


def flatten(
    alphabets: Mapping[str, Mapping[str, Sequence[NDArray[np.uint8]]]], *, people: bool = True
) -> Characters:
    """Join the images of one role, in the order given.

    Args:
        alphabets: Alphabet to character ("ALPHABET/CHARACTER") to its images, [105, 105] or a
            sequence of them, one for each drawer.
        people: Whether an image's position says who drew it.
    """
    groups = [group for one in alphabets.values() for group in one.values()]
    counts = [len(group) for group in groups]
    return Characters(
        images=to_stored(np.stack([image for group in groups for image in group])),
        character=np.repeat(np.arange(len(groups)), counts),
        drawer=np.concatenate([np.arange(count) for count in counts]),
        alphabet_of=np.repeat(np.arange(len(alphabets)), [len(one) for one in alphabets.values()]),
        names=tuple(name for one in alphabets.values() for name in one),
        alphabets=tuple(alphabets),
        people=people,
    )


def in_words(kind: str) -> str:
    """Return the name of a kind of data that is shown to people."""
    return "own images" if kind == "folder" else kind


def characters_from(images: NDArray[np.uint8], labels: Any) -> Characters:
    """Join images with the label arrays `pack` wrote beside them.

    Raises:
        ValueError: They do not match.
    """
    _check_labels(images, labels)
    return Characters(
        images=images,
        character=labels["character"],
        drawer=labels["drawer"],
        alphabet_of=labels["alphabet_of"],
        names=tuple(str(name) for name in labels["names"]),
        alphabets=tuple(str(name) for name in labels["alphabets"]),
        people=bool(labels["people"]) if "people" in labels else True,
    )


def _check_labels(images: NDArray[np.uint8], labels: Any) -> None:
    """Refuse labels that are out of range: they would be used as indices."""
    arrays = [labels[name] for name in ("character", "drawer", "alphabet_of")]
    character, drawer, alphabet_of = arrays
    whole = all(np.issubdtype(array.dtype, np.integer) and array.ndim == 1 for array in arrays)
    if not whole or not len(images) == len(character) == len(drawer):
        raise ValueError(f"labels of {len(character)} images, there are {len(images)}")
    for places, count in (
        (character, len(labels["names"])),
        (drawer, 1 + len(images)),
        (alphabet_of, len(labels["alphabets"])),
    ):
        if len(places) and not 0 <= places.min() <= places.max() < count:
            raise ValueError("a label points outside")
    if len(alphabet_of) != len(labels["names"]):
        raise ValueError("not every character has an alphabet")


def open_packed(folder: Path) -> Dataset:
    """Open a packed folder without reading images or the sealed file.

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
            notices=tuple(str(text) for text in meta.get("notices") or ()),
            paper=bool(meta["paper"]),
            colour_px=int(meta["colour_px"]),
            rule=int(meta["rule"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'meta.json'}: damaged ({error}); delete {folder}") from None
