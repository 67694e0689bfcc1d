"""Find a data set: a path, HPSEARCH_DATA, the cache, a download; otherwise glyphs.

Must not know images. Packed data are found again by their files' names, sizes and times.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

from hpsearch.data.cache import caches, in_first, may_write, open_caches, write_shared
from hpsearch.data.dataset import OMNIGLOT as OMNIGLOTS
from hpsearch.data.dataset import READERS, Dataset, Kind, Pictures, Progress, Reading, open_packed
from hpsearch.data.pack import Contents, holds_test, pack, sweep
from hpsearch.data.packed_files import FORMAT
from hpsearch.errors import EnvironmentFailure, HpsearchError, InputError
from hpsearch.extensions import is_installed, load
from hpsearch.paths import user_path
from hpsearch.pictures.older_rules import read_folder
from hpsearch.pictures.own_images import RULE, own_files, read_own_images
from hpsearch.pictures.tree import looks_like_images
from hpsearch.records import Record, dump_record, read_or_none
from hpsearch.sources import glyphs
from hpsearch.sources.download import DownloadFailed, download
from hpsearch.sources.omniglot import (
    OMNIGLOT,
    PARTS,
    RUNS,
    Layout,
    files_of,
    find_parts,
    read_omniglot,
)

IMAGES = {*PARTS} - {RUNS}
"""The parts of Omniglot that the search needs."""
KINDS = ("auto", *get_args(Kind))


def find_dataset(
    dataset: str,
    path: Path | None = None,
    *,
    progress: Progress | None = None,
    layout: Layout = OMNIGLOT,
    afresh: bool = False,
    fingerprint: str | None = None,
    test: bool = False,
    pictures: Reading = "auto",
) -> Dataset:
    """Find a data set, pack it if necessary, and open it.

    Args:
        dataset: "auto", one of `Kind`, or the name of a reader that is installed.
        path: A folder named by the user (--data); None tries HPSEARCH_DATA, the cache, then the
            authors' address.
        progress: Called during long steps.
        layout: The content of a complete Omniglot.
        afresh: Read and check the files again, even if they were packed before.
        fingerprint: Data set of the study to resume; own images are also read by older rules.
        test: Whether the sealed test tasks are needed; the search does not need them.
        pictures: How own images are converted; with a fingerprint every way is tried.

    Returns:
        The data set. Its `notice` says if "auto" fell back to glyphs, if the test tasks are
        missing, or if HPSEARCH_CACHE is not writable.

    Raises:
        InputError: The named data are missing or wrong.
        EnvironmentFailure: The cache cannot be written.
    """
    foreign = dataset not in KINDS and is_installed(READERS, dataset)
    if dataset not in KINDS and not foreign:
        raise InputError(f"dataset: {dataset!r} is not one of {', '.join(KINDS)}")
    omniglot = dataset if dataset in OMNIGLOTS else "omniglot"
    finder = _Finder(omniglot, progress, layout, afresh, fingerprint, test, pictures)
    if dataset == "glyphs":
        if path is not None:
            raise InputError(
                f"--data {path}: the study asks for glyphs, which the program draws itself; "
                "leave --data out or set dataset: auto"
            )
        return finder.glyphs()
    if path is not None:
        return finder.named(dataset, path, "--data")
    if given := os.environ.get("HPSEARCH_DATA"):
        return finder.named(dataset, user_path(given), "HPSEARCH_DATA")
    if dataset == "folder" or foreign:
        needed = "your images" if dataset == "folder" else "a path"
        raise InputError(f"dataset: {dataset} needs {needed}; name it with --data PATH")
    try:
        return finder.cached_omniglot() or finder.downloaded_omniglot()
    except DownloadFailed as error:
        if test and (packed := finder.packed_omniglot()):
            why = f"is missing and could not be downloaded ({error})"
            raise InputError(_missing_test(packed.folder, why)) from None
        reason = f"Omniglot was not found and could not be downloaded ({error})"
    if dataset in OMNIGLOTS:
        raise InputError(f"{reason}; name a folder with the authors' zips with --data PATH")
    notice = f"{reason}; searching on glyphs, alphabets drawn by the program"
    return replace(finder.glyphs(), notice=notice)


@dataclass(frozen=True)
class _Finder:
    """One search for a data set; each method tries one place."""

    omniglot: str
    """The kind of Omniglot that is looked for: with all background alphabets, or with few."""
    progress: Progress | None
    layout: Layout
    afresh: bool
    fingerprint: str | None
    test: bool
    pictures: Reading

    def named(self, dataset: str, path: Path, origin: str) -> Dataset:
        """Read what the user named: Omniglot, or own images if allowed."""
        if dataset not in KINDS:
            return self._read_by(dataset, path, origin)
        own_file = path.is_file() and dataset not in OMNIGLOTS
        if own_file and path.name in (f"{part}.zip" for part in PARTS):
            raise InputError(f"{origin} {path}: a part of Omniglot; name the folder that holds it")
        if not own_file and not path.is_dir():
            raise InputError(
                f"{origin} {path}: no such folder or file; name the one that holds the data"
            )
        try:
            if own_file:
                return self._folder(path)
            parts = find_parts(path) if dataset in ("auto", *OMNIGLOTS) else None
            if parts is not None:
                return self._omniglot(path, parts)
            if dataset not in OMNIGLOTS and looks_like_images(path):
                return self._folder(path)
        except OSError as error:
            raise InputError(f"{error.filename or path}: cannot be read ({error})") from None
        zips = "Omniglot (images_background.zip, images_evaluation.zip, all_runs.zip)"
        own = "images as GROUP/CLASS/* or CLASS/*"
        wanted = {"auto": f"{zips}, nor {own},", "folder": own}.get(dataset, zips)
        raise InputError(f"{origin} {path}: no {wanted} in it; name the folder that holds them")

    def _read_by(self, name: str, path: Path, origin: str) -> Dataset:
        """Read data by an installed package; its version is part of what is remembered."""
        if not path.exists():
            raise InputError(f"{origin} {path}: no such folder or file; name the one of the data")
        read: Callable[[Path], Contents] = load(READERS, name)
        version = next(iter(entry_points(group=READERS, name=name))).dist
        key = f"{name} {version.version if version else ''}"
        return self._once(name, [path], lambda: replace(read(path), kind=name), key)

    def _folder(self, path: Path) -> Dataset:
        """Read own images in the way that gives the fingerprint, or in the asked one."""
        ways = [
            partial(self._own, path, pictures, rule)
            for pictures in get_args(Pictures)
            for rule in (RULE, 3)
        ]
        if path.is_dir():
            ways[2:2] = [partial(self._by_rule, path, rule) for rule in (2, 1)]
        colour = partial(self._own, path, "rgb")
        ways.insert(0 if self.pictures == "rgb" else len(ways), colour)
        for read in ways if self.fingerprint else ():
            with contextlib.suppress(InputError):  # the ways differ in what they refuse
                found = read()
                if found.fingerprint == self.fingerprint:
                    return found
        return self._own(path, self.pictures)

    def _own(self, path: Path, pictures: Reading, rule: int = RULE) -> Dataset:
        return self._once(
            "folder",
            own_files(path),
            lambda: read_own_images(path, self.progress, pictures, rule),
            f"rule {rule} {pictures}",
        )

    def _by_rule(self, path: Path, rule: int) -> Dataset:
        key = "" if rule == 1 else f"rule {rule}"
        return self._once("folder", [path], lambda: read_folder(path, self.progress, rule), key)

    def cached_omniglot(self) -> Dataset | None:
        """Return Omniglot from an earlier download, or packed earlier from another place."""
        for cache in open_caches():
            parts = find_parts(cache / "omniglot") or {}
            if len(parts) == len(PARTS) or (parts.keys() >= IMAGES and not self.test):
                return self._omniglot(cache / "omniglot", parts)
        packed = self.packed_omniglot()
        if packed is None or (self.test and not holds_test(packed.folder)):
            return None
        return self._noticed(packed, packed.folder)

    def packed_omniglot(self) -> Dataset | None:
        """Return Omniglot that was packed earlier, preferably with test tasks."""
        found = (
            folder
            for cache in open_caches()
            for folder in sorted((cache / "packed").glob(f"{self.omniglot}-*"))
        )
        for folder in sorted(found, key=holds_test, reverse=True):
            with contextlib.suppress(HpsearchError):  # of an older format, or damaged
                return open_packed(folder)
        return None

    def downloaded_omniglot(self) -> Dataset:
        """Download Omniglot into the cache; a missing test archive is no failure."""
        folders = [cache / "omniglot" for cache in open_caches()]
        folder, why = in_first(folders, self._download_into)
        return self._omniglot(folder, find_parts(folder) or {}, why)

    def _download_into(self, folder: Path) -> tuple[Path, str]:
        try:
            download(folder, progress=self.progress)
        except DownloadFailed as error:
            if not (find_parts(folder) or {}).keys() >= IMAGES:
                raise
            return folder, f"is missing and could not be downloaded ({error})"
        return folder, "is missing"

    def glyphs(self) -> Dataset:
        """Draw glyphs."""
        key = f"{glyphs.VERSION} {glyphs.SEED}"
        return self._once("glyphs", [], lambda: glyphs.draw_glyphs(progress=self.progress), key)

    def _omniglot(self, folder: Path, parts: dict[str, Path], why: str = "is missing") -> Dataset:
        found = self._once(
            self.omniglot,
            [file for part in parts.values() for file in files_of(part)],
            lambda: read_omniglot(
                folder, self.omniglot, layout=self.layout, progress=self.progress
            ),
            repr(self.layout),
            test=self.test and RUNS in parts,
        )
        return found if RUNS in parts else self._noticed(found, folder, why)

    def _noticed(self, found: Dataset, source: Path, why: str = "is missing") -> Dataset:
        """Add a notice if the test tasks are missing; refuse this if they are needed."""
        if holds_test(found.folder):
            return found
        if self.test:
            raise InputError(_missing_test(source, why))
        missing = (
            f"{source}: all_runs.zip {why}; the search does not need it, `hpsearch evaluate` does"
        )
        return replace(found, notice="; ".join(filter(None, (found.notice, missing))))

    def _once(
        self,
        kind: str,
        sources: list[Path],
        read: Callable[[], Contents],
        key: str = "",
        *,
        test: bool = False,
    ) -> Dataset:
        """Open the packed folder of the same files, or read and pack them.

        Files are the same if their paths, sizes and modification times are.
        """
        for cache in caches():
            sweep(cache / "packed")
            sweep(cache / "beside")
        digest = hashlib.sha256(json.dumps([FORMAT, kind, key]).encode())
        for source in sources:
            digest.update(os.fsencode("\n".join(_listing(source))))
        places = [cache / "packed" for cache in open_caches()]
        name = f"{digest.hexdigest()[:32]}.json"
        known = None if self.afresh else _packed_before(places, name, test=test)
        if known is not None:
            return known
        opened = pack(read(), *places)
        note = dump_record(
            {
                "folder": opened.folder.name,
                "description": opened.description,
                "notices": list(opened.notices),
            }
        )
        with contextlib.suppress(EnvironmentFailure):  # without a note they are read again
            in_first(
                [place / "sources" for place in places],
                lambda notes: write_shared(notes / name, note),
            )
        if opened.folder.parent != places[0] and not may_write(places[0]):
            closed = f"{places[0].parent} may not be written to; packed in {opened.folder}"
            return replace(opened, notice=closed)
        return opened


class _Note(Record):
    """What is remembered of files: other ones may be packed into the same folder."""

    folder: str
    description: str
    notices: list[str]


def _packed_before(places: list[Path], name: str, *, test: bool) -> Dataset | None:
    """Open the packed folder that a note in one of the caches names for these files."""
    for notes in places:
        note = read_or_none(notes / "sources" / name, _Note)
        if note is None:  # never packed
            continue
        for folder in (place / note["folder"] for place in places):
            with contextlib.suppress(HpsearchError):  # deleted, or damaged
                if holds_test(folder) or not test:
                    found, notices = open_packed(folder), tuple(note["notices"])
                    return replace(found, description=note["description"], notices=notices)
    return None


def _missing_test(source: Path, why: str) -> str:
    return (
        f"{source}: all_runs.zip {why}, and the sealed test tasks are made of it; put it into the "
        "folder of Omniglot's other archives, name that with --data, and run this again"
    )


_DEEPEST = 6
"""Depth of folders below a source that are listed."""


def _listing(source: Path) -> list[str]:
    """Return path, size and time of a file, or of every file below a folder."""
    lines = [str(source.resolve())]
    if source.is_file():
        status = source.stat()
        return [*lines, f"{status.st_size} {status.st_mtime_ns}"]
    waiting = [(str(source), 0)]
    while waiting:
        folder, depth = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.is_dir() and depth < _DEEPEST:
                    waiting.append((entry.path, depth + 1))
                else:
                    status = entry.stat(follow_symlinks=entry.is_file())  # a link may dangle
                    lines.append(f"{entry.path} {status.st_size} {status.st_mtime_ns}")
    return lines
