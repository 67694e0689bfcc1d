"""The caches: the one that is named, and the user's own where that one cannot be written to.

What is written can be read by whom the umask allows, so that a cache can be shared. Must not know
what is in the files.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hpsearch.paths import cache_folder, own_cache, write_atomically

Written = TypeVar("Written")

REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""What a folder of others answers to a write; a full disk is another matter."""
_UMASK = os.umask(0o077)
os.umask(_UMASK)


def caches() -> list[Path]:
    """Return the folders to keep data in, the one that is named first; absolute, for workers."""
    found = [cache_folder().absolute()]
    with contextlib.suppress(RuntimeError):  # a user without a home has no cache of their own
        found.append(own_cache().absolute())
    return list(dict.fromkeys(found))


def open_caches() -> list[Path]:
    """Return where to look: in the user's own cache too, where the named one is closed to writes."""
    named, *own = caches()
    wanted = [named] if may_write(named) else [named, *own]
    return [cache for cache in wanted if _may(cache, os.R_OK)] or wanted[-1:]


def may_write(folder: Path) -> bool:
    """Say whether a folder, or the nearest one above it that is there, may be written to."""
    return _may(folder, os.W_OK)


def _may(folder: Path, mode: int) -> bool:
    there = next(place for place in (folder, *folder.parents) if os.access(place, os.F_OK))
    return os.access(there, mode | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def places_beside(folder: Path) -> list[Path]:
    """Return where what is made of a packed folder lies: in it, else in the user's own cache."""
    return [folder, caches()[-1] / "beside" / folder.name]


def is_refused(error: BaseException) -> bool:
    """Say whether an error, or the one it wraps, tells that one may not write there."""
    inner = error if isinstance(error, OSError) else error.__cause__
    return isinstance(inner, OSError) and inner.errno in REFUSED


def in_first(folders: Sequence[Path], write: Callable[[Path], Written]) -> Written:
    """Write into the first folder that may be written to.

    Args:
        folders: At least one.
        write: Is given a folder, and raises what the file system said.
    """
    for folder in folders[:-1]:
        try:
            return write(folder)
        except Exception as error:
            if not is_refused(error):
                raise
    return write(folders[-1])


def write_shared(path: Path, content: bytes | str) -> None:
    """Write a file of a cache, whole or not at all.

    Raises:
        EnvironmentFailure: It cannot be written.
    """
    write_atomically(path, content)
    share(path)


def share(path: Path) -> None:
    """Let others read a file or folder of a cache as far as the umask allows."""
    path.chmod((0o777 if path.is_dir() else 0o666) & ~_UMASK)
