"""Where the data comes from: a path, HPSEARCH_DATA, the cache, a download; else glyphs.

Must not know images; what was packed once is found again by its files' names, sizes and times.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hpsearch.data import glyphs
from hpsearch.data.dataset import FORMAT, Dataset, Progress, open_packed
from hpsearch.data.download import DownloadFailed, download
from hpsearch.data.folder import RULES, looks_like_images, read_folder
from hpsearch.data.omniglot import OMNIGLOT, PARTS, Layout, find_parts, read_omniglot
from hpsearch.data.pack import Contents, pack
from hpsearch.errors import HpsearchError, InputError
from hpsearch.paths import cache_folder, user_path, write_atomically

KINDS = ("auto", "omniglot", "glyphs", "folder")


def find_dataset(
    dataset: str,
    path: Path | None = None,
    *,
    progress: Progress | None = None,
    layout: Layout = OMNIGLOT,
    afresh: bool = False,
    fingerprint: str | None = None,
) -> Dataset:
    """Find a data set, pack it if that was not done before, and open it.

    Args:
        dataset: "auto", "omniglot", "glyphs" or "folder".
        path: A folder named by the user (--data); None looks at HPSEARCH_DATA, then into the
            cache, then to the authors' address.
        progress: Called now and then while something takes time.
        layout: What a complete Omniglot holds.
        afresh: Read and check the files again, also when they were packed before.
        fingerprint: What is to be gone on with: own images are also read as older versions did.

    Returns:
        The data set; its `notice` says when "auto" had to take glyphs.

    Raises:
        InputError: What was named is not there or not what it should be.
        EnvironmentFailure: The cache cannot be written.
    """
    if dataset not in KINDS:
        raise InputError(f"dataset: {dataset!r} is not one of {', '.join(KINDS)}")
    finder = _Finder(progress, layout, afresh, fingerprint)
    if dataset == "glyphs":
        if path is not None:
            raise InputError(
                f"--data {path}: the study asks for glyphs, which the program draws itself; "
                "leave --data out or set dataset: auto"
            )
        return finder.glyphs()
    named = path or _from_environment()
    if named is not None:
        origin = "--data" if path is not None else "HPSEARCH_DATA"
        return finder.named(dataset, named, origin)
    if dataset == "folder":
        raise InputError("dataset: folder needs your images; name them with --data PATH")
    try:
        return finder.cached_omniglot() or finder.downloaded_omniglot()
    except DownloadFailed as error:
        reason = f"Omniglot was not found and could not be downloaded ({error})"
    if dataset == "omniglot":
        raise InputError(f"{reason}; name a folder with the authors' zips with --data PATH")
    notice = f"{reason}; searching on glyphs, alphabets drawn by the program"
    return replace(finder.glyphs(), notice=notice)


def _from_environment() -> Path | None:
    value = os.environ.get("HPSEARCH_DATA")
    return user_path(value) if value else None


@dataclass(frozen=True)
class _Finder:
    """One search for a data set: each method is a place to look."""

    progress: Progress | None
    layout: Layout
    afresh: bool
    fingerprint: str | None

    def named(self, dataset: str, path: Path, origin: str) -> Dataset:
        """Read what the user named: Omniglot, or own images where those are allowed."""
        if not path.is_dir():
            raise InputError(f"{origin} {path}: no such folder; name the one that holds the data")
        try:
            parts = find_parts(path) if dataset in ("auto", "omniglot") else None
            if parts is not None:
                return self._omniglot(path, parts)
            if dataset != "omniglot" and looks_like_images(path):
                return self._folder(path)
        except OSError as error:
            raise InputError(f"{error.filename or path}: cannot be read ({error})") from None
        zips = "Omniglot (images_background.zip, images_evaluation.zip, all_runs.zip)"
        own = "images as ALPHABET/CHARACTER/* or CHARACTER/*"
        wanted = {"omniglot": zips, "folder": own}.get(dataset, f"{zips}, nor {own},")
        raise InputError(f"{origin} {path}: no {wanted} in it; name the folder that holds them")

    def _folder(self, path: Path) -> Dataset:
        """Read own images by the newest rule, or by the one that gives the fingerprint."""
        newest, *older = RULES
        found = self._by_rule(path, newest)
        for rule in older if self.fingerprint else ():
            if found.fingerprint == self.fingerprint:
                break
            begun = self._by_rule(path, rule)
            found = begun if begun.fingerprint == self.fingerprint else found
        return found

    def _by_rule(self, path: Path, rule: int) -> Dataset:
        key = "" if rule == 1 else f"rule {rule}"
        return self._once(
            "folder", [path], lambda: read_folder(path, self.progress, rule), key
        )

    def cached_omniglot(self) -> Dataset | None:
        """Return Omniglot from an earlier download, or packed earlier from wherever it was."""
        fetched = _cache() / "omniglot"
        parts = find_parts(fetched)
        if parts is not None and len(parts) == len(PARTS):
            return self._omniglot(fetched, parts)
        for folder in sorted((_cache() / "packed").glob("omniglot-*")):
            try:
                return open_packed(folder)
            except HpsearchError:
                continue  # of an older format, or damaged: fetched anew
        return None

    def downloaded_omniglot(self) -> Dataset:
        """Fetch Omniglot into the cache."""
        folder = _cache() / "omniglot"
        download(folder, progress=self.progress)
        return self._omniglot(folder, find_parts(folder) or {})

    def glyphs(self) -> Dataset:
        """Draw glyphs."""
        key = f"{glyphs.VERSION} {glyphs.SEED}"
        return self._once("glyphs", [], lambda: glyphs.draw_glyphs(progress=self.progress), key)

    def _omniglot(self, folder: Path, parts: dict[str, Path]) -> Dataset:
        return self._once(
            "omniglot",
            list(parts.values()),
            lambda: read_omniglot(folder, layout=self.layout, progress=self.progress),
            repr(self.layout),
        )

    def _once(
        self, kind: str, sources: list[Path], read: Callable[[], Contents], key: str = ""
    ) -> Dataset:
        """Open what the same files gave before, else read and pack them.

        Files are the same when their paths, sizes and modification times are.
        """
        packed = _cache() / "packed"
        digest = hashlib.sha256(json.dumps([FORMAT, kind, key]).encode())
        for source in sources:
            digest.update(os.fsencode("\n".join(_listing(source))))
        note = packed / "sources" / f"{digest.hexdigest()[:32]}.txt"
        if not self.afresh:
            try:
                return open_packed(packed / note.read_text(encoding="utf-8").strip())
            except (OSError, HpsearchError, ValueError):
                pass  # never packed, or the packed folder was deleted
        opened = pack(read(), packed)
        write_atomically(note, opened.folder.name + "\n")
        return opened


def _cache() -> Path:
    return cache_folder().absolute()  # workers may run in another folder


_DEEPEST = 4
"""Folders below a source that can hold files which count."""


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
                    status = entry.stat(follow_symlinks=False)
                    lines.append(f"{entry.path} {status.st_size} {status.st_mtime_ns}")
    return lines
