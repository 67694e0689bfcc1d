"""The lock of a study's folder: one process writes, and says who it is."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import socket
from collections.abc import Iterator

from hpsearch.errors import InputError, cannot
from hpsearch.paths import StudyFolder, make_private

SEARCH = "hpsearch search"
"""The command in the lock file of a study that a search holds."""


@contextlib.contextmanager
def study_lock(folder: StudyFolder, command: str = SEARCH) -> Iterator[None]:
    """Lock a study for the one process that writes; the kernel releases a dead process's lock.

    This needs flock, which Linux and macOS keep per open file and release with the process.

    Args:
        folder: The study's folder.
        command: The command that holds the lock, for the message to others.

    Raises:
        InputError: Another process holds it.
        EnvironmentFailure: The lock file cannot be written.
    """
    try:
        make_private(folder.root)
        handle = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot("opened", folder.lock, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 300).decode(errors="replace") or "another process"
            raise InputError(
                f"{folder.root}: the study is held by {holder}; wait for it or stop it"
            ) from None
        now = datetime.datetime.now().isoformat(timespec="seconds")
        os.ftruncate(handle, 0)
        held = f"pid {os.getpid()} on {socket.gethostname()} since {now} ({command})"
        os.pwrite(handle, held.encode(), 0)
        yield
    finally:
        os.close(handle)


def lock_holder(folder: StudyFolder) -> str | None:
    """Return the holder of a study's lock, None when it is free. Writes nothing."""
    try:
        handle = os.open(folder.lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(handle, 300).decode(errors="replace") or "another process"
    finally:
        os.close(handle)
    return None
