"""List the pictures of a folder or a zip by its folders. Unpacks nothing, decodes no image.

Must not know how data are split.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from hpsearch.errors import InputError
from hpsearch.pictures.archive import Limits, check_members, is_visible
from hpsearch.pictures.folder import MAX_FILE_BYTES, MAX_IMAGES, SUFFIXES
from hpsearch.pictures.listing import LAYOUTS, Listing, Picture, Read, read_file
from hpsearch.pictures.looks import SPLITS, counted, named

DEEPEST = 5
"""Folders above a picture: TOP/SPLIT/GROUP/CLASS/*, and one more that is left out by name."""
ARCHIVE = Limits(2 * MAX_IMAGES, MAX_FILE_BYTES, 10_000_000_000, "an archive of pictures")


def list_folder(source: Path) -> Listing:
    """List the pictures of a folder; see `arrange`."""
    files = files_below(source)
    return arrange(files, source.resolve().name, source, lambda name: read_file(source / name))


@contextmanager
def list_zip(source: Path) -> Iterator[Listing]:
    """List the pictures of a zip of such a folder; they can be read inside the block.

    Raises:
        InputError: It is damaged, or may do harm.
    """
    with _opened(source) as archive:
        files = _members(source, archive)
        title = source.resolve().stem
        yield arrange(files, title, source, lambda name: _read_member(archive, name))


def looks_like_images(folder: Path) -> bool:
    """Return whether image files lie in folders below a folder."""
    pattern = "*"
    for _ in range(DEEPEST):
        pattern += "/*"
        if any(path.suffix.lower() in SUFFIXES for path in folder.glob(pattern)):
            return True
    return False


def split_folders(folder: Path) -> list[Path]:
    """Return the folders directly in a folder that hold splits; see `arrange`."""
    return [folder / name for name in sorted(_splits_of(_images_of(files_below(folder))))]


def files_below(folder: Path, depth: int = 0) -> list[str]:
    """Return the visible files below a folder, as paths with /, without dangling links.

    A folder that lies deeper than `DEEPEST` is not opened: its path is there, with / at its end.
    """
    found = []
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        if not is_visible(PurePosixPath(entry.name)):
            continue
        if entry.is_dir():
            if depth < DEEPEST:
                below = files_below(Path(entry.path), depth + 1)
                found += [f"{entry.name}/{name}" for name in below]
            else:
                found.append(f"{entry.name}/")
        elif entry.is_file():
            found.append(entry.name)
    return found


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(source)
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # what zipfile raises on damaged archives is open-ended
        raise InputError(f"{source}: damaged zip ({error}); fetch it again") from None
    with archive:
        yield archive


def _members(source: Path, archive: zipfile.ZipFile) -> list[str]:
    members = archive.infolist()
    check_members(source, members, ARCHIVE)
    names = (member.filename for member in members if not member.is_dir())
    return sorted(name for name in names if is_visible(PurePosixPath(name)))


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except Exception as error:  # what zipfile raises on damaged members is open-ended
        raise InputError(f"cannot be unpacked ({error})") from None
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"more than {MAX_FILE_BYTES} bytes")
    return content


def arrange(files: Sequence[str], title: str, source: Path, read: Read) -> Listing:
    """Return the pictures of a tree of folders.

    Args:
        files: The paths of all files, and with / at the end of folders that were not opened.
        title: Name of the data.
        source: For messages.
        read: Returns the content of a file.

    Raises:
        InputError: No picture lies in a class folder, or classes lie at two depths.
    """
    too_deep = sorted(name for name in files if name.endswith("/"))
    files = [name for name in files if not name.endswith("/")]
    images = _images_of(files)
    top = _top_of(images)
    splits = _splits_of([name[len(top) :] for name in images])
    pictures: list[Picture] = []
    astray: list[str] = []
    for name in images:
        parts = name[len(top) :].split("/")
        role = SPLITS[parts.pop(0).lower()] if splits and parts[0] in splits else ""
        if len(parts) not in (2, 3) or (splits and not role):
            astray.append(name)
            continue
        group = parts[0] if len(parts) == 3 else ""
        pictures.append(Picture(name, parts[-2], group, role))
    flat = next((one for one in pictures if not one.group), None)
    deep = next((one for one in pictures if one.group), None)
    if flat and deep:
        raise InputError(
            f"{source}: images both as CLASS/* (in {flat.label}) and as GROUP/CLASS/* (in "
            f"{deep.group}); keep to one layout"
        )
    if not pictures:
        found = f"{len(images)} images outside class folders" if images else "no images"
        if too_deep:
            found += f", and {too_deep[0]} is more than {DEEPEST} folders deep"
        raise InputError(f"{source}: no class, {found}; arrange images as {LAYOUTS}")
    classes = {str(PurePosixPath(one.file).parent) for one in pictures}
    known = {str(folder) for one in images for folder in PurePosixPath(one).parents}
    others, empty = [], set()
    for name in files:
        path = PurePosixPath(name)
        if path.suffix.lower() not in SUFFIXES and str(path.parent) in classes:
            others.append(name)
        elif str(path.parent) not in known:
            empty.add(str(path.parent))
    notices = counted(
        {
            f"left out, images outside {LAYOUTS}": astray,
            "left out, not an image by the suffix": others,
            "left out, folders without images": sorted(empty),
            f"left out, folders more than {DEEPEST} deep": too_deep,
        }
    )
    in_order = sorted(splits, key=lambda name: (list(SPLITS).index(name.lower()), name))
    said = f"folders {named(in_order, 9)}" if splits else ""
    return Listing(title, tuple(pictures), read, said, tuple(notices))


def _images_of(files: Sequence[str]) -> list[str]:
    """Return the image files, by their suffix; a folder that was not opened is none."""
    return [
        name
        for name in files
        if PurePosixPath(name).suffix.lower() in SUFFIXES and not name.endswith("/")
    ]


def _top_of(images: Sequence[str]) -> str:
    """Return the folders that hold all others, "TOP/": the folder that was zipped."""
    top = ""
    while True:
        below = [name[len(top) :].split("/") for name in images]
        tops = {parts[0] for parts in below}
        if len(tops) != 1 or max(map(len, below)) < 4:
            return top
        top += f"{tops.pop()}/"


def _splits_of(images: Sequence[str]) -> set[str]:
    """Return the top folders that hold splits: one to train on and another, with classes."""
    tops = {name.split("/")[0] for name in images if name.count("/") >= 2}
    splits = {name for name in tops if name.lower() in SPLITS}
    roles = {SPLITS[name.lower()] for name in splits}
    return splits if "background" in roles and len(roles) > 1 else set()
