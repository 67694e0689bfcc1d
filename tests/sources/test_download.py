"""Downloads from a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.sources.download import CHECKSUMS, DownloadFailed, _StaySecure, download

CONTENT = bytes(range(256)) * 1000


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; redirects /moved/; breaks off /broken/ in the middle."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        elif self.path.startswith("/broken/"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000])
        else:
            super().do_GET()


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve a.zip and b.zip; return the address."""
    monkeypatch.delenv("HPSEARCH_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = tmp_path / "served"
    served.mkdir()
    for name in ("a.zip", "b.zip"):
        (served / name).write_bytes(CONTENT)
    handler = functools.partial(Handler, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=functools.partial(server.serve_forever, 0.02), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


GOOD = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("way", ["", "moved/"])
def test_files_come_whole_with_progress(address: str, tmp_path: Path, way: str) -> None:
    seen: list[tuple[str, int, int]] = []
    download(
        tmp_path / "to",
        address=address + way,
        checksums={"a.zip": GOOD, "b.zip": GOOD},
        progress=lambda *state: seen.append(state),
    )
    assert (tmp_path / "to" / "a.zip").read_bytes() == CONTENT
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["a.zip", "b.zip"]
    assert seen[-1] == ("downloading b.zip", len(CONTENT), len(CONTENT))


def test_what_is_there_is_not_fetched(address: str, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "missing.zip").write_bytes(b"here")
    download(tmp_path / "to", address=address, checksums={"missing.zip": "?", "a.zip": GOOD})
    assert (tmp_path / "to" / "missing.zip").read_bytes() == b"here"


@pytest.mark.parametrize(
    ("way", "checksum", "message"),
    [
        ("", "0" * 32, "MD5"),
        ("broken/", GOOD, "broken off after 1000 of"),
        ("nowhere/", GOOD, "HTTP status 404"),
    ],
)
def test_what_is_wrong_leaves_nothing(
    address: str, tmp_path: Path, way: str, checksum: str, message: str
) -> None:
    with pytest.raises(DownloadFailed, match=message):
        download(tmp_path / "to", address=address + way, checksums={"a.zip": checksum})
    assert not list((tmp_path / "to").glob("*")) if (tmp_path / "to").exists() else True


def test_a_server_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HPSEARCH_OFFLINE")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(DownloadFailed, match=r"no answer within 0\.3 s"):
            download(
                tmp_path,
                address=f"http://127.0.0.1:{silent.getsockname()[1]}/",
                checksums={"a.zip": GOOD, "b.zip": GOOD},
                connect_s=0.3,
            )
        assert time.monotonic() - start < 3


def test_no_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPSEARCH_OFFLINE")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DownloadFailed, match="refused"):
        download(tmp_path, address=f"http://127.0.0.1:{port}/", checksums={"a.zip": GOOD})


def test_offline_is_said(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="HPSEARCH_OFFLINE"):
        download(tmp_path)


def test_https_never_becomes_http() -> None:
    import urllib.request

    request = urllib.request.Request("https://example.org/a.zip")
    with pytest.raises(OSError, match="not https"):
        _StaySecure().redirect_request(request, None, 302, "", {}, "http://example.org/a.zip")


def test_the_authors_sums_are_md5() -> None:
    assert set(CHECKSUMS) == {"images_background.zip", "images_evaluation.zip", "all_runs.zip"}
    assert all(len(value) == 32 and int(value, 16) for value in CHECKSUMS.values())
