"""Where the data comes from: a path, HPSEARCH_DATA, the cache, a download; else glyphs.

Must not know images; what was packed once is found again by its files' names, sizes and times.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hpsearch.data import glyphs
from hpsearch.data.dataset import FORMAT, Dataset, Progress, open_packed
from hpsearch.data.download import DownloadFailed, download
from hpsearch.data.folder import looks_like_images, read_folder
from hpsearch.data.omniglot import OMNIGLOT, Layout, find_parts, read_omniglot
from hpsearch.data.pack import Contents, pack
from hpsearch.errors import HpsearchError, InputError
from hpsearch.paths import cache_folder, write_atomically

KINDS = ("auto", "omniglot", "glyphs", "folder")


def find_dataset(
    dataset: str,
    path: Path | None = None,
    *,
    progress: Progress | None = None,
    layout: Layout = OMNIGLOT,
) -> Dataset:
    """Find a data set, pack it if that was not done before, and open it.

    Args:
        dataset: "auto", "omniglot", "glyphs" or "folder".
        path: A folder named by the user (--data); None looks at HPSEARCH_DATA, then into the
            cache, then to the authors' address.
        progress: Called now and then while something takes time.
        layout: What a complete Omniglot holds.

    Returns:
        The data set; its `notice` says when "auto" had to take glyphs.

    Raises:
        InputError: What was named is not there or not what it should be.
        EnvironmentFailure: The cache cannot be written.
    """
    if dataset not in KINDS:
        raise InputError(f"dataset: {dataset!r} is not one of {', '.join(KINDS)}")
    if dataset == "glyphs":
        if path is not None:
            raise InputError(
                f"--data {path}: the study asks for glyphs, which the program draws itself; "
                "leave --data out or set dataset: auto"
            )
        return _glyphs(progress)
    named = path or _from_environment()
    if named is not None:
        origin = "--data" if path is not None else "HPSEARCH_DATA"
        return _from_folder(dataset, named.expanduser(), origin, progress, layout)
    if dataset == "folder":
        raise InputError("dataset: folder needs your images; name them with --data PATH")
    try:
        return _cached_omniglot(layout, progress) or _download(progress, layout)
    except DownloadFailed as error:
        reason = str(error)
    if dataset == "omniglot":
        raise InputError(
            f"Omniglot was not found and could not be downloaded ({reason}); "
            "name a folder with the authors' zips with --data PATH"
        )
    notice = (
        f"Omniglot was not found and could not be downloaded ({reason}); "
        "searching on glyphs, alphabets drawn by the program"
    )
    return replace(_glyphs(progress), notice=notice)


def _from_environment() -> Path | None:
    value = os.environ.get("HPSEARCH_DATA")
    return Path(value) if value else None


def _from_folder(
    dataset: str, path: Path, origin: str, progress: Progress | None, layout: Layout
) -> Dataset:
    """Read what the user named: Omniglot, or own images where those are allowed."""
    if not path.is_dir():
        raise InputError(f"{origin} {path}: no such folder; name the folder that holds the data")
    parts = find_parts(path) if dataset in ("auto", "omniglot") else None
    if parts is not None:
        return _once(
            "omniglot",
            list(parts.values()),
            lambda: read_omniglot(path, layout=layout, progress=progress),
            repr(layout),
        )
    if dataset != "omniglot" and looks_like_images(path):
        return _once("folder", [path], lambda: read_folder(path, progress=progress))
    wanted = "" if dataset == "omniglot" else " nor images as ALPHABET/CHARACTER/* or CHARACTER/*"
    missing = "neither " if wanted else "no "
    raise InputError(
        f"{origin} {path}: {missing}Omniglot (images_background.zip, images_evaluation.zip, "
        f"all_runs.zip){wanted} in it"
    )


def _cached_omniglot(layout: Layout, progress: Progress | None) -> Dataset | None:
    """Return Omniglot from an earlier download, or packed earlier from wherever it was."""
    fetched = cache_folder() / "omniglot"
    parts = find_parts(fetched)
    if parts is not None and len(parts) == 3:
        return _from_folder("omniglot", fetched, "the cache", progress, layout)
    for folder in sorted((cache_folder() / "packed").glob("omniglot-*")):
        try:
            return open_packed(folder)
        except HpsearchError:
            continue  # of an older format, or damaged: fetched anew
    return None


def _download(progress: Progress | None, layout: Layout) -> Dataset:
    folder = cache_folder() / "omniglot"
    download(folder, progress=progress)
    return _from_folder("omniglot", folder, "the cache", progress, layout)


def _glyphs(progress: Progress | None) -> Dataset:
    return _once("glyphs", [], lambda: glyphs.draw_glyphs(progress=progress), glyphs.VERSION)


def _once(kind: str, sources: list[Path], read: Callable[[], Contents], key: str = "") -> Dataset:
    """Open what the same files gave before, else read and pack them.

    Files are the same when their paths, sizes and modification times are.
    """
    packed = cache_folder() / "packed"
    digest = hashlib.sha256(json.dumps([FORMAT, kind, key]).encode())
    for source in sources:
        digest.update(_listing(source).encode())
    note = packed / "sources" / f"{digest.hexdigest()[:32]}.txt"
    try:
        return open_packed(packed / note.read_text(encoding="utf-8").strip())
    except (OSError, HpsearchError, ValueError):
        pass  # never packed, or the packed folder was deleted
    opened = pack(read(), packed)
    write_atomically(note, opened.folder.name + "\n")
    return opened


def _listing(source: Path) -> str:
    """Return path, size and time of a file, or of every file below a folder."""
    lines = [str(source.resolve())]
    waiting = [source] if source.is_dir() else []
    if not waiting:
        status = source.stat()
        lines.append(f"{status.st_size} {status.st_mtime_ns}")
    while waiting:
        for entry in sorted(os.scandir(waiting.pop()), key=lambda one: one.name):
            if entry.is_dir():
                waiting.append(Path(entry.path))
            else:
                status = entry.stat(follow_symlinks=False)
                lines.append(f"{entry.path} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(lines)
