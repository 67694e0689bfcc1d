"""Download Omniglot from the authors' address: https, checksums, short time limits.

Must not know the files' content.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from hpsearch.data.cache import written_aside
from hpsearch.data.dataset import Progress
from hpsearch.errors import EnvironmentFailure

ADDRESS = "https://github.com/brendenlake/omniglot/raw/master/python/"
CHECKSUMS = {
    "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
    "all_runs.zip": "e8996daecdf12afeeb4a53a179f06b19",
}
"""MD5 sums published by the authors, against damage; the content is checked too."""
BELOW = {"all_runs.zip": "one-shot-classification/"}
"""Folder of a file below the address, if it does not lie directly there."""

CONNECT_S = 5.0
"""Seconds until the first byte of the answer, including name look-up and redirects."""
IDLE_S = 20.0
"""Seconds without a byte after which a download counts as broken."""
MAX_BYTES = 64_000_000
_CHUNK = 1 << 16


class DownloadFailed(EnvironmentFailure):
    """The authors' address did not answer, or sent an unexpected file."""


def download(
    folder: Path,
    *,
    address: str = ADDRESS,
    checksums: Mapping[str, str] | None = None,
    connect_s: float = CONNECT_S,
    progress: Progress | None = None,
) -> None:
    """Fetch the missing files; each is checked, then renamed into place.

    The first failure ends the download, so a machine without a network waits at most `connect_s`.

    Args:
        folder: Target folder.
        address: Address of the folder of the files; https redirects only to https.
        checksums: File name to MD5 (hex); None means the authors' own.
        connect_s: Time limit for the start of the answer, seconds.
        progress: Called with numbers of bytes.

    Raises:
        DownloadFailed: No connection, a broken one, or a wrong checksum.
        EnvironmentFailure: The folder cannot be written.
    """
    if os.environ.get("HPSEARCH_OFFLINE"):
        raise DownloadFailed("HPSEARCH_OFFLINE is set")
    for name, expected in (CHECKSUMS if checksums is None else checksums).items():
        if (folder / name).exists():
            continue
        place = address + BELOW.get(name, "") + name
        with _connect(place, connect_s) as response, written_aside(folder / name) as file:
            found = _copy(response, file, place, progress)
            if found != expected:
                raise DownloadFailed(f"{place}: MD5 {found} instead of {expected}")


def _copy(response: Any, file: IO[bytes], address: str, progress: Progress | None) -> str:
    """Copy an answer into a file and return its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    total, done = int(response.headers.get("Content-Length") or 0), 0
    label = "downloading " + address.rsplit("/", 1)[-1]
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise DownloadFailed(f"{address}: broken off ({_reason(error)})") from None
        if not chunk:
            break
        done += len(chunk)
        if done > MAX_BYTES:
            raise DownloadFailed(f"{address}: more than {MAX_BYTES} bytes")
        file.write(chunk)
        digest.update(chunk)
        if progress is not None:
            progress(label, done, max(done, total))
    if done < total:
        raise DownloadFailed(f"{address}: broken off after {done} of {total} bytes")
    return digest.hexdigest()


class _StaySecure(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https to anything else."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise urllib.error.URLError(
                f"redirected to {newurl.split(':')[0]}, which is not https"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _connect(address: str, connect_s: float) -> Any:
    """Open an address; in a thread, because a name look-up has no time limit."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def connect() -> None:
        try:
            opener = urllib.request.build_opener(_StaySecure)
            answers.put(opener.open(address, timeout=IDLE_S))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=connect, name="download", daemon=True).start()
    try:
        answer = answers.get(timeout=connect_s)
    except queue.Empty:
        raise DownloadFailed(f"no answer within {connect_s:g} s") from None
    if isinstance(answer, Exception):
        raise DownloadFailed(_reason(answer))
    return answer


def _reason(error: Exception) -> str:
    """Return an error as one short line."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.url}: HTTP status {error.code}"
    inner = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return " ".join(str(inner).split())[:120] or type(error).__name__
