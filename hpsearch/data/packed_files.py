"""The files of a packed folder: the images of each size, checked against recorded checksums.

Beside every reduced file lie its own checksum and the checksum of its source.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.cache import in_first, may_write, places_beside, write_shared, written_aside
from hpsearch.data.resize import COLOUR_SIDE, SIDE, area_average
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.json_files import PackedMeta
from hpsearch.records import Record, dump_record, read_or_none, read_record

FORMAT = 1
"""Version of the packed folder's layout; other versions are packed again."""
UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, EOFError,
    SyntaxError, AttributeError, MemoryError, BadZipFile, TokenError, zlib.error, struct.error,
)  # fmt: skip
"""Errors of numpy for a damaged file, a missing array, or a pickled one (never loaded)."""
ROLES = ("background", "validation")
LABELS = ("background-labels.npz", "validation-labels.npz")


class Reduced(Record):
    """The checksums beside a reduced file."""

    source: str
    sha256: str


def read_meta(folder: Path) -> dict[str, Any]:
    """Read a packed folder's meta.json.

    Raises:
        InputError: It is missing, damaged, or of another format.
    """
    path = folder / "meta.json"
    try:
        meta = read_record(path, PackedMeta).values
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no packed data set; run `hpsearch data show` to pack"
        ) from None
    except ValueError as error:
        raise InputError(f"{path}: {error}; delete {folder} to pack again") from None
    if meta["format"] != FORMAT:
        raise InputError(f"{path}: not format {FORMAT}; delete {folder} to pack again")
    return meta


def check_size(input_size: int, *, colour: bool = False) -> None:
    """Refuse a side that is not 1 to 105, in colour 1 to 224.

    Raises:
        InputError: The side is out of range.
    """
    largest = COLOUR_SIDE if colour else SIDE
    if not 1 <= input_size <= largest:
        raise InputError(f"input_size: {input_size} is not within 1 to {largest} pixels")


def images_of(folder: Path, role: str, size: int) -> NDArray[np.uint8]:
    """Map the images of one size; make the file again if it is missing, cut off or damaged.

    It lies in the packed folder, or in the user's own cache if that folder is not writable.

    Args:
        folder: The packed folder.
        role: background or validation.
        size: Side in pixels.

    Raises:
        InputError: The size is out of range, or the stored images are damaged.
        EnvironmentFailure: The cache cannot be written.
    """
    colour_px = int(read_meta(folder)["colour_px"])
    check_size(size, colour=colour_px > 0)
    if colour_px and size >= colour_px:
        return _load_checked(folder, role)
    source = recorded(folder, role)
    paths = [place / f"{role}-{size}.npy" for place in places_beside(folder)]
    found = {path: images for path in paths if (images := _map_or_none(path)) is not None}
    for path, images in found.items():
        if _fits(path, source):
            return images
    made = area_average(_load_checked(folder, role), size)
    note = dump_record({"source": source, "sha256": checksum(made)})
    for path, images in found.items():
        if np.array_equal(images, made):  # of version 0.1.0, which recorded nothing
            with contextlib.suppress(EnvironmentFailure):  # a read-only cache
                write_shared(_note(path), note)
            return images
    return _map(in_first(paths, lambda path: _save_aside(path, made, note)))


def recorded(folder: Path, role: str) -> str:
    """Return the recorded checksum of a role's stored images.

    Raises:
        InputError: It is missing, or meta.json is damaged.
    """
    try:
        return str(read_meta(folder)["sha256"][role])
    except KeyError:
        raise InputError(
            f"{folder / 'meta.json'}: sha256: has no {role}; delete {folder} to pack again"
        ) from None


def verify_packed(folder: Path) -> int:
    """Compare every file of a packed folder, except the sealed one, with its checksum.

    Returns:
        The number of files.

    Raises:
        InputError: A checksum does not match.
    """
    count = 0
    for role in ROLES:
        stored = _load_checked(folder, role)
        count += 1
        for path in _reductions(folder, role):
            if _is_reduction(path, stored, recorded(folder, role)):
                count += 1
            elif may_write(path.parent):  # a damaged file in a read-only cache is ignored
                raise InputError(f"{path}: its checksum does not fit; delete it, it is made again")
    for name in LABELS:
        check_file(folder, name)
        count += 1
    return count


def drop_damaged(folder: Path) -> list[Path]:
    """Delete damaged reduced files; they are made again when needed.

    Returns:
        The deleted files; none if the folder is missing or the stored images are damaged.
    """
    dropped = []
    for role in ROLES:
        try:
            stored, source = _load_checked(folder, role), recorded(folder, role)
        except (OSError, InputError):
            continue
        for path in _reductions(folder, role):
            with contextlib.suppress(OSError):
                if not _is_reduction(path, stored, source):
                    path.unlink()
                    dropped.append(path)
    return dropped


def _reductions(folder: Path, role: str) -> list[Path]:
    """Return the reduced files of a role, in all caches."""
    return [
        path for place in places_beside(folder) for path in sorted(place.glob(f"{role}-*.npy"))
    ]


def check_file(folder: Path, name: str) -> None:
    """Compare a file with its recorded checksum; version 0.1.0 recorded none.

    Raises:
        InputError: It is missing or unreadable, or the checksum does not match.
    """
    known = (read_meta(folder).get("files") or {}).get(name)
    path = folder / name
    try:
        seen = _file_checksum(path, *_stamp(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); delete {folder}") from None
    if known is not None and seen != known:
        raise InputError(f"{path}: its checksum does not fit; delete {folder} to pack again")


def checksum(array: NDArray[Any]) -> str:
    """Return SHA-256 (hex) of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def file_checksum(path: Path) -> str:
    """Return SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _map(path: Path) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(f"holds {images.dtype} {images.shape}, no images")
    return images


def _map_or_none(path: Path) -> NDArray[np.uint8] | None:
    try:
        return _map(path)
    except UNREADABLE:
        return None  # missing, or cut off by a full disk


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _fits(path: Path, source: str) -> bool:
    """Return whether a reduced file matches its checksum and was made from the source."""
    note = read_or_none(_note(path), Reduced)
    if note is None or note["source"] != source:
        return False
    return bool(_array_checksum(path, *_stamp(path)) == note["sha256"])


def _is_reduction(path: Path, stored: NDArray[np.uint8], source: str) -> bool:
    """Return whether a reduced file is correct; without checksums compare it with its source."""
    found = _map_or_none(path)
    if found is None or _note(path).exists():
        return found is not None and _fits(path, source)
    size = found.shape[-1]
    return (
        found.ndim == stored.ndim
        and 1 <= size <= COLOUR_SIDE
        and bool(np.array_equal(found, area_average(stored, size)))
    )


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=16)
def _array_checksum(path: Path, *_stamp: int) -> str:
    """Return an array file's checksum; cached while the file does not change."""
    return checksum(_map(path))


@lru_cache(maxsize=16)
def _file_checksum(path: Path, *_stamp: int) -> str:
    return file_checksum(path)


def _load_checked(folder: Path, role: str) -> NDArray[np.uint8]:
    """Load a role's stored images and compare them with the recorded checksum."""
    path = folder / f"{role}.npy"
    try:
        stored = _map(path)  # a header that claims more than the file holds is refused
    except UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({error}); delete {folder}") from None
    if checksum(stored) != recorded(folder, role):
        raise InputError(f"{path}: its checksum does not fit; delete {folder} to pack again")
    return stored


def _save_aside(path: Path, array: NDArray[np.uint8], note: str) -> Path:
    """Write an array and its checksums atomically, safe for two processes at once."""
    with written_aside(path) as file:
        np.save(file, array, allow_pickle=False)
    write_shared(_note(path), note)
    return path
