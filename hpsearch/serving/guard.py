"""WSGI middleware before every page: this machine's hosts and origins only, safe headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

Start = Callable[..., Any]
App = Callable[[dict[str, Any], Start], Iterable[bytes]]
HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
"""This machine with any port: behind `ssh -L` a browser sends the port of its own side."""
HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
"""Headers of every response, beside the page's policy."""


class Guard:
    """Refuses other hosts and other origins, and writes unless they are allowed.

    Args:
        app: What is guarded.
        policy: Content-Security-Policy of every response. `default-src 'none'` at its start stops
            a browser from loading anything from other hosts.
        read_only: Why methods other than GET and HEAD are refused; None lets them pass.
    """

    def __init__(self, app: App, policy: str, *, read_only: str | None) -> None:
        self._app, self._read_only = app, read_only
        self._headers = [*HEADERS, ("Content-Security-Policy", policy)]

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Handle one request."""
        origin = environ.get("HTTP_ORIGIN")
        host = environ.get("HTTP_HOST", "")
        method = environ["REQUEST_METHOD"]
        if not HOST.fullmatch(host):
            return self._refuse(start, method, "unknown host")
        try:
            foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        except ValueError:
            return self._refuse(start, method, "malformed origin", "400 Bad Request")
        if foreign:
            return self._refuse(start, method, "unknown origin")
        if self._read_only is not None and method not in ("GET", "HEAD"):
            return self._refuse(start, method, self._read_only)
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")

        def guarded(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start(status, headers + self._headers, *rest)

        return self._app(environ, guarded)

    def _refuse(
        self, start: Start, method: str, text: str, status: str = "403 Forbidden"
    ) -> list[bytes]:
        length = ("Content-Length", str(len(text.encode())))
        start(status, [("Content-Type", "text/plain"), length, *self._headers])
        return [] if method == "HEAD" else [text.encode()]
