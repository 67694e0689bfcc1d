"""The pictures of a source with their classes, as a tree of folders or a CSV file names them.

Must not know images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import InputError
from hpsearch.pictures.folder import MAX_FILE_BYTES

LAYOUTS = "CLASS/*, GROUP/CLASS/*, or either below train, val and test"
"""The folders in which pictures may lie."""
Read = Callable[[str], bytes]
"""Returns the content of a file by its path in the source; raises InputError without its name."""


@dataclass(frozen=True)
class Picture:
    """One image file."""

    file: str
    """Its path in the source."""
    label: str
    """Its class."""
    group: str = ""
    """The group of its class, such as an alphabet; empty where there are no groups."""
    role: str = ""
    """background, validation or test, where the source says it; else empty."""


@dataclass(frozen=True)
class Listing:
    """The pictures of a source, by group, class and name."""

    title: str
    pictures: tuple[Picture, ...]
    read: Read
    said: str = ""
    """How the source names its splits, such as "folders test, train"; empty without splits."""
    notices: tuple[str, ...] = ()


def read_file(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        InputError: It is missing, unreadable or too large; the message does not name it.
    """
    try:
        if not path.is_file():
            raise InputError("no such image file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"more than {MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})") from None
