"""A user's own images by rules 3 and 4: a folder, a zip or a CSV file; see `read_own_images`.

Must not know the cache.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Characters, Progress, Reading, flatten, reported
from hpsearch.data.pack import Contents
from hpsearch.data.task_size import TaskSize
from hpsearch.data.tasks import validation_tasks
from hpsearch.errors import InputError
from hpsearch.pictures.copies import MOST_COMPARED, near_copies
from hpsearch.pictures.division import MAX_WAYS, Class, Classes, Division, divide, group_names
from hpsearch.pictures.folder import MAX_IMAGES, brought_to, decode
from hpsearch.pictures.listing import LAYOUTS, Listing, Picture
from hpsearch.pictures.looks import Look, Looks, counted, layout_notices, named
from hpsearch.pictures.table import read_table
from hpsearch.pictures.tree import list_folder, list_zip

RULE = 4
"""Version of the rule for reading own images; a study keeps the rule it was started with. Rule 3
reads the same, and few classes get fewer validation tasks (`TaskSize`)."""
MAX_COLOUR = 20_000
"""Colour pictures, at most: they take up to 150 kB each while they are read."""
SAMPLED = 200
"""Pictures, spread over all, that decide whether the data are drawings on paper."""
TEST_TASKS = 400
_TEST_SEED = 0


def read_own_images(
    source: Path,
    progress: Progress | None = None,
    pictures: Reading = "auto",
    rule: int = RULE,
) -> Contents:
    """Read, convert and split a user's own images.

    Pictures that cannot be read, pictures without content, and classes with one picture are left
    out and named. `divide` documents the split. Ink becomes bright on a dark ground where most
    pictures are drawings on paper; otherwise the grey values are kept, or the colours: then all
    pictures get the side of the largest, at most 224 pixels.

    Args:
        source: A folder or zip of CLASS/* or GROUP/CLASS/*, or either below train, val and test;
            or a CSV file with the columns path and label, and perhaps group and split.
        progress: Called after every 50 images.
        pictures: How the images are converted; auto decides by the pictures.
        rule: 3 or 4.

    Raises:
        InputError: Fewer than two classes have two usable images, or the source is damaged.
    """
    with _listed(source) as listing:
        colour = pictures == "rgb"
        _check_classes(source, listing, MAX_COLOUR if colour else MAX_IMAGES)
        paper = _on_paper(listing) if pictures == "auto" else pictures == "paper"
        read = _Read(paper, colour)
        every = reported(
            listing.pictures, "reading your images", len(listing.pictures), progress, 50
        )
        for picture in every:
            read.take(picture, listing.read)
    read.bring_to_one_side()
    classes: Classes = {}
    for number, picture in enumerate(read.kept):
        classes.setdefault((picture.group, picture.label), []).append(number)
    single = [_name(key) for key, numbers in sorted(classes.items()) if len(numbers) < 2]
    if not listing.said:
        classes = {key: numbers for key, numbers in classes.items() if len(numbers) >= 2}
    usable = sum(len(numbers) >= 2 for numbers in classes.values())
    blank = read.looks.blank(paper=read.paper)
    _check_enough(source, usable, [*counted({"cannot be read": read.unreadable}), *blank])
    roles = {number: one.role for number, one in enumerate(read.kept)} if listing.said else {}
    # A group of pictures is a subject, as tools or animals are, and no script: tasks ask across
    # subjects, so that classes of each are held out.
    try:
        division = divide(classes, roles, listing.said, by_group=not colour)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    notices = (
        *listing.notices,
        *([] if listing.said else _layout(classes)),
        *counted({"left out, cannot be read": read.unreadable}),
        *([] if listing.said else counted({"left out, classes with only one image": single})),
        *read.notices(division),
        *division.notices,
    )
    return replace(_contents(listing.title, read, classes, division, notices), rule=rule)


@contextmanager
def _listed(source: Path) -> Iterator[Listing]:
    """List a source; its pictures can be read inside the block."""
    if source.is_dir():
        yield list_folder(source)
    elif source.suffix.lower() == ".csv":
        yield read_table(source)
    elif source.suffix.lower() == ".zip":
        with list_zip(source) as listing:
            yield listing
    else:
        raise InputError(f"{source}: neither a folder, a .zip nor a .csv of pictures; name one")


def own_files(source: Path) -> list[Path]:
    """Return the source, and the files outside it that it names.

    Raises:
        InputError: It is a CSV file that cannot be used.
    """
    if source.suffix.lower() != ".csv" or not source.is_file():
        return [source]
    files = (source.parent / one.file for one in read_table(source).pictures)
    return [source, *(file for file in files if file.is_file())]


@dataclass
class _Read:
    """The usable pictures, and what is said of the others."""

    paper: bool
    colour: bool = False
    kept: list[Picture] = field(default_factory=list)
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    looks: Looks = field(default_factory=Looks)

    def take(self, picture: Picture, read: Callable[[str], bytes]) -> None:
        """Read and convert one picture."""
        try:
            image, look = _decoded(picture, read, paper=self.paper, colour=self.colour)
        except InputError as error:
            self.unreadable.append(str(error))
            return
        self.looks.add(_name((picture.group, picture.label)), picture.file, image, look)
        if not look.blank:
            self.kept.append(picture)
            self.images.append(image)

    @property
    def colour_px(self) -> int:
        """Side of the colour pictures, pixels; 0 where they are grey."""
        return max((one.shape[-1] for one in self.images), default=1) if self.colour else 0

    def bring_to_one_side(self) -> None:
        """Enlarge colour pictures to the side of the largest one."""
        if side := self.colour_px:
            self.images = [brought_to(image, side) for image in self.images]

    def notices(self, division: Division) -> list[str]:
        """Return a line for each kind of oddity, and for copies that tell too much."""
        lines = self.looks.notices(paper=self.paper, left_out=True, colour=self.colour)
        classes = [(one.group, one.label) for one in self.kept]
        parts = division.parts(len(classes))
        pairs, places = _equal(self.images, classes), [*zip(classes, parts, strict=True)]
        if len(self.kept) > MOST_COMPARED:
            lines.append(f"nearly equal pictures are not looked for among {len(self.kept)}")
        elif self.images:
            numbers = {place: number for number, place in enumerate(dict.fromkeys(places))}
            near = near_copies(np.stack(self.images), [numbers[place] for place in places])
            alike = [self._pair(*pair) for pair in near if classes[pair[0]] != classes[pair[1]]]
            lines += counted({"pictures that are nearly equal in two classes": alike})
            pairs += near
        leaks = [
            self._pair(one, other)
            for one, other in pairs
            if classes[one] == classes[other] and -1 < parts[one] != parts[other] > -1
        ]
        return [*lines, *counted({_LEAKED: leaks})]

    def _pair(self, one: int, other: int) -> str:
        return f"{self.kept[one].file} ~ {self.kept[other].file}"


_LEAKED = (
    "pictures of a class that are equal or nearly equal in two parts of the split, so the "
    "accuracy on them is not one of new pictures: keep one of each"
)


def _equal(images: Sequence[NDArray[np.uint8]], classes: Sequence[Class]) -> list[tuple[int, int]]:
    """Return pairs of equal pictures of a class: the first of them, and each other one."""
    first: dict[tuple[Class, bytes], int] = {}
    marks = [hashlib.sha256(image.data).digest() for image in images]
    numbered = enumerate(zip(classes, marks, strict=True))
    pairs = [(first.setdefault(mark, number), number) for number, mark in numbered]
    return [pair for pair in pairs if pair[0] != pair[1]]


def _decoded(
    picture: Picture, read: Callable[[str], bytes], *, paper: bool, colour: bool = False
) -> tuple[NDArray[np.uint8], Look]:
    """Read and convert a picture; the message of an error begins with the picture's path."""
    try:
        content = read(picture.file)
    except InputError as error:
        raise InputError(f"{picture.file}: {error}") from None
    return decode(io.BytesIO(content), picture.file, paper=paper, colour=colour)


def _on_paper(listing: Listing) -> bool:
    """Return whether most pictures have a plain ground, from which only ink stands out."""
    places = np.linspace(0, len(listing.pictures) - 1, SAMPLED).round().astype(int)
    looks = []
    for place in np.unique(places).tolist():
        try:
            looks.append(_decoded(listing.pictures[place], listing.read, paper=True)[1])
        except InputError:
            continue  # named when all are read
    return 2 * sum(look.no_drawing for look in looks) <= len(looks)


def _check_classes(source: Path, listing: Listing, most: int) -> None:
    """Refuse a source that can be no data set, before its images are read."""
    names = sorted({_name((one.group, one.label)) for one in listing.pictures})
    if len(names) < 2:
        raise InputError(
            f"{source}: images of one class only ({named(names)}); at least two classes are "
            f"needed, as {LAYOUTS}"
        )
    counts = Counter((one.group, one.label) for one in listing.pictures)
    _check_enough(source, sum(number >= 2 for number in counts.values()))
    if len(listing.pictures) > most:
        raise InputError(f"{source}: {len(listing.pictures)} images; at most {most} are taken")


def _check_enough(source: Path, usable: int, lost: Sequence[str] = ()) -> None:
    if usable < 2:
        why = f" ({'; '.join(lost)})" if lost else ""
        raise InputError(
            f"{source}: {usable} classes with two images or more; at least 2 are needed{why}"
        )


def _layout(classes: Classes) -> list[str]:
    groups: dict[str, list[str]] = {}
    for group, label in classes:
        groups.setdefault(group, []).append(f"{group}/{label}")
    return layout_notices(groups)


def _name(key: Class) -> str:
    group, label = key
    return f"{group}/{label}" if group else label


def _contents(
    title: str, read: _Read, classes: Classes, division: Division, notices: Sequence[str]
) -> Contents:
    background, validation, test = (_role(one, title, read.images) for one in division.roles)
    ways = min(MAX_WAYS, _smallest(validation))
    test_ways = min(ways, _smallest(test))
    groups = len({group for group, _ in classes})
    among = f" in {groups} groups" if groups > 1 else ""
    parts = (background, validation, test)
    if {len(one.names) for one in parts} == {len(classes)}:
        numbers, thing = [len(one.images) for one in parts], "pictures"
    else:
        numbers, thing = [len(one.names) for one in parts], "classes"
    kind = "drawings on paper" if read.paper else "grey pictures as they are"
    if read.colour:
        kind = f"colour pictures of {read.colour_px} px"
    return Contents(
        kind="folder",
        background=background,
        validation=validation,
        test=test,
        runs=validation_tasks(
            test,
            TaskSize(test_ways),
            n_runs=math.ceil(TEST_TASKS / test_ways),
            drawers=range(test.n_drawers),
            seed=_TEST_SEED,
        ),
        ways=ways,
        turns=False,
        description=(
            f"own images in {title}: {len(classes)} classes{among}, {division.how}: {numbers[0]} "
            f"background, {numbers[1]} validation and {numbers[2]} test {thing}, {ways} ways; "
            f"{kind}"
        ),
        paper=read.paper,
        colour_px=read.colour_px,
        notices=tuple(notices),
    )


def _role(role: Classes, title: str, images: Sequence[NDArray[np.uint8]]) -> Characters:
    groups = group_names(role, title)
    return flatten(
        {
            group: {
                f"{key[0] or group}/{key[1]}": [images[number] for number in numbers]
                for key, numbers in classes.items()
            }
            for group, classes in groups.items()
        },
        people=False,
    )


def _smallest(role: Characters) -> int:
    return int(np.bincount(role.alphabet_of).min())
