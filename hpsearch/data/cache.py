"""The caches: the configured one, and the user's own if that one is not writable.

Files are readable as far as the umask allows, so a cache can be shared. Must not know the files'
content.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar

from hpsearch.errors import EnvironmentFailure
from hpsearch.paths import cache_folder, own_cache, write_atomically

Written = TypeVar("Written")

REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""Errors of a write to a folder without permission; a full disk is not among them."""
_UMASK = os.umask(0o077)
os.umask(_UMASK)


def caches() -> list[Path]:
    """Return the cache folders, the configured one first; absolute paths, for workers."""
    found = [cache_folder().absolute()]
    with contextlib.suppress(RuntimeError):  # a user without a home has no cache of their own
        found.append(own_cache().absolute())
    return list(dict.fromkeys(found))


def open_caches() -> list[Path]:
    """Return the caches to search; the user's own too if the configured one is not writable."""
    named, *own = caches()
    wanted = [named] if may_write(named) else [named, *own]
    return [cache for cache in wanted if _may(cache, os.R_OK)] or wanted[-1:]


def may_write(folder: Path) -> bool:
    """Return whether a folder, or its nearest existing parent, is writable."""
    return _may(folder, os.W_OK)


def _may(folder: Path, mode: int) -> bool:
    there = next(place for place in (folder, *folder.parents) if os.access(place, os.F_OK))
    return os.access(there, mode | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def places_beside(folder: Path) -> list[Path]:
    """Return the folders for files derived from a packed folder: itself, then the user's cache."""
    return [folder, caches()[-1] / "beside" / folder.name]


def is_refused(error: BaseException) -> bool:
    """Return whether an error, or its cause, means that writing is not permitted."""
    inner = error if isinstance(error, OSError) else error.__cause__
    return isinstance(inner, OSError) and inner.errno in REFUSED


def in_first(folders: Sequence[Path], write: Callable[[Path], Written]) -> Written:
    """Write into the first writable folder.

    Args:
        folders: At least one.
        write: Called with a folder; raises the file system's errors.
    """
    for folder in folders[:-1]:
        try:
            return write(folder)
        except Exception as error:
            if not is_refused(error):
                raise
    return write(folders[-1])


def write_shared(path: Path, content: bytes | str) -> None:
    """Write a file of a cache atomically.

    Raises:
        EnvironmentFailure: It cannot be written.
    """
    write_atomically(path, content)
    share(path)


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside a file of a cache; rename it when the block succeeds.

    Raises:
        EnvironmentFailure: It cannot be written.
    """
    aside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        aside = Path(name)
        with os.fdopen(handle, "wb") as file:
            share(aside)
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        aside = None
    except OSError as error:
        raise EnvironmentFailure(
            f"{path}: cannot be written ({error.strerror}); free space or set HPSEARCH_CACHE"
        ) from error
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def share(path: Path) -> None:
    """Make a file or folder of a cache accessible to others as far as the umask allows."""
    path.chmod((0o777 if path.is_dir() else 0o666) & ~_UMASK)
