"""Pack the decoded images of the three roles into one folder of the user's cache.

The sealed test alphabets and their runs go into a separate file, which only `sealed` opens.
Must not know the images' source.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.cache import in_first, share, write_shared
from hpsearch.data.dataset import Characters, Dataset, open_packed
from hpsearch.data.packed_files import FORMAT, LABELS, checksum, file_checksum, verify_packed
from hpsearch.data.tasks import OneShotTasks
from hpsearch.errors import EnvironmentFailure, HpsearchError
from hpsearch.paths import fsync_folder
from hpsearch.records import dump_record

SEALED_FILE = "sealed-test.npz"
"""The test characters and runs; never read by the search."""
PACKING = ".packing-"
"""Prefix of the folder into which a data set is packed."""
JUST_MADE_S = 1.0
"""A younger folder may not be locked by its creator yet."""
OLD_S = 3600.0
"""Older temporary files are no longer being written."""


@dataclass(frozen=True)
class Contents:
    """A decoded data set before packing; `images` of each role are in the stored form."""

    kind: str
    background: Characters
    validation: Characters
    test: Characters
    runs: OneShotTasks | None
    """None if they are missing: the search does not need them."""
    ways: int
    turns: bool
    description: str
    rule: int = 1
    """Version of the rule for reading own images; the fingerprint depends on it."""
    paper: bool = True
    """Whether the images are ink on paper; False for pictures kept as they are."""
    colour_px: int = 0
    """Side of colour pictures, pixels; 0 for grey images."""
    notices: tuple[str, ...] = ()
    known_as: str = ""
    """The fingerprint of the complete data, if it is known although a part is missing."""


def fingerprint(contents: Contents) -> str:
    """Return SHA-256 (hex) of the decoded images, labels and runs of all roles."""
    if contents.known_as:
        return contents.known_as
    digest = hashlib.sha256(b"hpsearch data 1")
    if contents.rule > 1:
        digest.update(f"rule {contents.rule}".encode())
    for name in ("background", "validation", "test"):
        role: Characters = getattr(contents, name)
        digest.update(json.dumps([name, role.names, role.alphabets]).encode())
        for array in (role.character, role.drawer, role.alphabet_of):
            digest.update(np.ascontiguousarray(array, "<i8").data)
        digest.update(np.ascontiguousarray(role.images).data)
    runs = contents.runs
    for array in (runs.query, runs.support, runs.target) if runs else ():
        digest.update(np.ascontiguousarray(array, "<i8").data)
    return digest.hexdigest()


def packed_name(kind: str, mark: str) -> str:
    """Return the name of the packed folder of a kind of data with a fingerprint."""
    return f"{kind}-{mark[:16]}"


def holds_test(folder: Path) -> bool:
    """Return whether a packed folder holds the sealed test tasks, without opening them."""
    return os.access(folder / SEALED_FILE, os.F_OK)  # also False where one may not look


def pack(contents: Contents, *places: Path) -> Dataset:
    """Write a data set atomically into a folder named by its content.

    Args:
        contents: The decoded data set.
        places: Folders that hold packed folders; the first writable one is used.

    Returns:
        The packed data set. An undamaged packed folder is kept; missing test tasks are added to it
        if `contents` has them.

    Raises:
        EnvironmentFailure: The cache cannot be written.
    """
    contents = _as_text(contents)
    mark = fingerprint(contents)
    name = packed_name(contents.kind, mark)
    for place in places:
        if _is_whole(place / name, mark, with_test=contents.runs is not None):
            return _as_read(place / name, contents)
    return in_first(places, lambda place: _pack_into(place / name, contents, mark))


def _as_read(folder: Path, contents: Contents) -> Dataset:
    """Open a packed folder with what is said of these contents: others may be equal to them."""
    found = open_packed(folder)
    return replace(found, description=contents.description, notices=contents.notices)


def _as_text(contents: Contents) -> Contents:
    """Escape bytes of names that are not UTF-8, so that reports and models can hold them."""

    def text(name: str) -> str:
        return name.encode(errors="surrogateescape").decode(errors="backslashreplace")

    def named(role: Characters) -> Characters:
        names, alphabets = map(text, role.names), map(text, role.alphabets)
        return replace(role, names=tuple(names), alphabets=tuple(alphabets))

    return replace(
        contents,
        background=named(contents.background),
        validation=named(contents.validation),
        test=named(contents.test),
        runs=contents.runs
        and replace(contents.runs, alphabet=tuple(map(text, contents.runs.alphabet))),
        description=text(contents.description),
    )


def _pack_into(folder: Path, contents: Contents, mark: str) -> Dataset:
    packed = folder.parent
    aside, held = None, None
    try:
        packed.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=packed, prefix=PACKING))
        held = _hold(aside)
        _write(contents, mark, aside)
        _put_in_place(aside, folder, mark)
    except OSError as error:
        raise EnvironmentFailure(
            f"{folder}: cannot be written ({error.strerror}); free space or set HPSEARCH_CACHE"
        ) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        if held is not None:
            os.close(held)
    return _as_read(folder, contents)


def sweep(packed: Path) -> None:
    """Remove what dead processes left: half-packed folders, and temporary files.

    A process locks (flock) the folder into which it packs; the kernel releases the lock when it
    dies. Temporary files are removed when they are old.
    """
    now = time.time()
    for left in _found(packed, f"{PACKING}*"):
        with contextlib.suppress(OSError):
            held = _hold(left)
            if held is not None:
                if now - left.stat().st_mtime > JUST_MADE_S:
                    shutil.rmtree(left, ignore_errors=True)
                os.close(held)
    for left in _found(packed, "*/.*.tmp"):
        with contextlib.suppress(OSError):
            if now - left.stat().st_mtime > OLD_S:
                left.unlink()


def _found(folder: Path, pattern: str) -> list[Path]:
    """Return matching paths; none if the folder is not readable."""
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []


def _hold(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed; return None if another process has."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _is_whole(folder: Path, mark: str, *, with_test: bool) -> bool:
    """Return whether a packed folder exists, has these contents, and is undamaged."""
    try:
        if open_packed(folder).fingerprint != mark or (with_test and not holds_test(folder)):
            return False
        verify_packed(folder)
    except HpsearchError:
        return False  # missing, damaged or of an older format
    return True


def _write(contents: Contents, mark: str, folder: Path) -> None:
    sums = {}
    for name in ("background", "validation"):
        role: Characters = getattr(contents, name)
        _save(folder / f"{name}.npy", role.images)
        _save(folder / f"{name}-labels.npz", **_labels(role))
        sums[name] = checksum(role.images)
    runs = contents.runs
    if runs is not None:
        _save(
            folder / SEALED_FILE,
            images=contents.test.images,
            query=runs.query,
            support=runs.support,
            target=runs.target,
            run_alphabet=np.array(runs.alphabet),
            **_labels(contents.test),
        )
    meta = {
        "format": FORMAT,
        "kind": contents.kind,
        "fingerprint": mark,
        "ways": contents.ways,
        "turns": contents.turns,
        "description": contents.description,
        "rule": contents.rule,
        "paper": contents.paper,
        "colour_px": contents.colour_px,
        "notices": list(contents.notices),
        "roles": {
            name: _counts(getattr(contents, name)) for name in ("background", "validation", "test")
        },
        "test_tasks": {"runs": len(runs.alphabet), "ways": runs.ways}
        if runs
        else {"runs": 0, "ways": contents.ways},
        "sha256": sums,
        "files": {
            name: file_checksum(folder / name)
            for name in (*LABELS, SEALED_FILE)
            if (folder / name).exists()
        },
    }
    write_shared(folder / "meta.json", dump_record(meta))


def _labels(role: Characters) -> dict[str, NDArray[Any]]:
    return {name: np.array(value) for name, value in vars(role).items() if name != "images"}


def _counts(role: Characters) -> dict[str, int]:
    return {
        "alphabets": len(role.alphabets),
        "characters": len(role.names),
        "images": len(role.character),
    }


def _save(path: Path, array: NDArray[Any] | None = None, **arrays: NDArray[Any]) -> None:
    """Write one array as .npy or several as .npz, without pickle, and fsync."""
    with path.open("wb") as file:
        if array is not None:
            np.save(file, array, allow_pickle=False)
        else:
            np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(aside: Path, folder: Path, mark: str) -> None:
    """Rename the finished folder; if an equal one exists, only add what it lacks."""
    share(aside)
    try:
        aside.rename(folder)
    except OSError:
        if not _is_whole(folder, mark, with_test=False):  # the remains of a damaged or older one
            shutil.rmtree(folder)
            aside.rename(folder)
        elif holds_test(aside) and not holds_test(folder):  # a search may be at work on it
            for name in (*LABELS, SEALED_FILE, "meta.json"):
                (aside / name).replace(folder / name)
    fsync_folder(folder.parent)
