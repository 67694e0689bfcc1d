"""Read the files of a zip or an unpacked folder, and decode Omniglot's PNGs. Writes nothing.

Refuses members outside the archive, links, zip bombs and truncated archives. Must not know what
the files mean.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hpsearch.data.resize import SIDE
from hpsearch.errors import InputError

MAX_MEMBERS = 60_000
MAX_MEMBER_BYTES = 100_000
"""An Omniglot PNG has about 500 bytes."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold; a larger one is refused."""

    members: int
    member_bytes: int
    """Unpacked."""
    bytes: int
    """Of all members, unpacked."""
    kind: str
    """What the archive should be, for messages."""


OMNIGLOT = Limits(MAX_MEMBERS, MAX_MEMBER_BYTES, MAX_MEMBERS * MAX_MEMBER_BYTES, "Omniglot")


def read_files(source: Path, only: str = "*") -> Iterator[tuple[str, bytes]]:
    """Yield (posix path inside the source, content) of every file, ordered by name.

    Folder entries, dot files and __MACOSX are skipped.

    Args:
        source: A .zip file or a folder.
        only: Pattern of the entries of a folder that are read, with everything below them.

    Raises:
        InputError: The source is damaged or too large, or a member is not a plain file inside it.
    """
    yield from _zip_files(source) if source.is_file() else _folder_files(source, only)


def is_visible(path: PurePosixPath) -> bool:
    """Return whether no part of a path is hidden, or added by macOS."""
    return not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _zip_files(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            check_members(source, members, OMNIGLOT)
            for member in sorted(members, key=lambda one: one.filename):
                if not member.is_dir() and is_visible(PurePosixPath(member.filename)):
                    with archive.open(member) as file:
                        content = file.read(MAX_MEMBER_BYTES + 1)
                    _check_length(source, member.filename, len(content))
                    yield member.filename, content
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # what zipfile raises on damaged archives is open-ended
        raise InputError(f"{source}: damaged zip ({error}); fetch it again") from None


def check_members(source: Path, members: list[zipfile.ZipInfo], limits: Limits) -> None:
    """Refuse members outside the archive, links, devices, and more than the limits.

    Raises:
        InputError: The archive holds one of them.
    """
    if len(members) > limits.members:
        raise InputError(
            f"{source}: {len(members)} members; {limits.kind} has at most {limits.members}"
        )
    seen: set[str] = set()
    for member in members:
        if not member.filename:
            raise InputError(f"{source}: a member has no name; fetch it again")
        path = PurePosixPath(member.filename.replace("\\", "/"))
        kind = stat.S_IFMT(member.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts:
            raise InputError(
                f"{source}: member {member.filename!r} leads outside; do not trust it"
            )
        if "\\" in member.filename:
            raise InputError(
                f"{source}: member {member.filename!r} has a backslash, where a zip has a slash; "
                "pack it again with another program"
            )
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{source}: member {member.filename!r} is a link or device")
        if member.filename in seen:
            raise InputError(f"{source}: member {member.filename!r} occurs twice")
        seen.add(member.filename)
        _check_length(source, member.filename, 0 if member.is_dir() else member.file_size, limits)
    if sum(member.file_size for member in members) > limits.bytes:
        raise InputError(
            f"{source}: unpacks to more than {limits.bytes} bytes; {limits.kind} has fewer"
        )


def _check_length(source: Path, name: str, length: int, limits: Limits = OMNIGLOT) -> None:
    if length > limits.member_bytes:
        raise InputError(
            f"{source}: {name} has more than {limits.member_bytes} bytes; nothing in "
            f"{limits.kind} has"
        )


def _folder_files(source: Path, only: str) -> Iterator[tuple[str, bytes]]:
    found = (path for top in source.glob(only) for path in (top, *top.rglob("*")))
    for count, path in enumerate(sorted(found)):
        if count > MAX_MEMBERS:
            raise InputError(f"{source}: more than {MAX_MEMBERS} files; this is not Omniglot")
        name = path.relative_to(source)
        if not is_visible(PurePosixPath(name.as_posix())) or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                content = file.read(MAX_MEMBER_BYTES + 1)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        _check_length(source, name.as_posix(), len(content))
        yield name.as_posix(), content


def decode_drawing(content: bytes, name: str) -> NDArray[np.uint8]:
    """Decode one drawing of Omniglot: PNG, 105 x 105, 1 bit, ink black.

    Args:
        content: The file.
        name: For the message.

    Returns:
        Rows of bits, ink = 1, uint8 [105, 14].

    Raises:
        InputError: It is another format, or truncated.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.size != (SIDE, SIDE) or image.mode != "1":
                raise InputError(
                    f"{name}: {image.size[0]} x {image.size[1]} of mode {image.mode}; "
                    f"Omniglot is {SIDE} x {SIDE}, 1 bit"
                )
            raw = image.tobytes()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: not a whole PNG ({error})") from None
    paper = np.frombuffer(raw, np.uint8).reshape(SIDE, -1)  # [105, 14]
    return ~paper & _WITHIN


_WITHIN = np.packbits(np.ones(SIDE, np.uint8))
"""Masks the 7 bits that pad a row of 105."""
