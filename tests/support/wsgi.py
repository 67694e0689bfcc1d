"""Requests to a WSGI application in this process, without a server."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any
from wsgiref.util import setup_testing_defaults

PORT = 8123
HOST = f"127.0.0.1:{PORT}"


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(app: Any, path: str, method: str = "GET", body: bytes = b"", **environ: str) -> Answer:
    """Send one request; keywords are headers of WSGI, an empty one is left out."""
    request: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method}
    request |= {"HTTP_HOST": HOST, "CONTENT_TYPE": "application/json", **environ}
    setup_testing_defaults(request)
    request |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    request = {key: value for key, value in request.items() if value != ""}
    seen: list[Any] = []
    content = b"".join(app(request, lambda status, headers, *_: seen.append((status, headers))))
    status, headers = seen[-1]
    return Answer(int(status.split()[0]), dict(headers), content)
