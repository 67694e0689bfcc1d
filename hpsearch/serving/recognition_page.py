"""The page that recognises pictures, and the same as JSON.

All pictures are in memory before the first request: a request reads and writes no file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch import __version__
from hpsearch.recognition.page import (
    COLOURS,
    SHOWN_OF_CLASS,
    environment,
    picture_png,
    picture_uri,
)
from hpsearch.recognition.rank import EncodedSupport
from hpsearch.recognition.rejection import Cut
from hpsearch.recognition.support import printable
from hpsearch.serving.guard import Guard, Start
from hpsearch.serving.picture import LARGEST_BODY, Refused, read_picture

HERE = Path(__file__).parent
FIRST_CLASSES = 48
"""Classes shown before a picture is recognised."""
TOP = 20
"""Classes that the page asks for."""
AT_ONCE = 2
"""Pictures that are decoded and ranked at once: a large one takes a gigabyte for a moment."""
WAIT_S = 30.0
"""Seconds that a request waits for its turn."""
CONNECTIONS = 100
PICTURE = re.compile(r"/pictures/([0-9a-f]{32})\.png")
KEPT = ("Cache-Control", "private, max-age=604800, immutable")
NOT_KEPT = ("Cache-Control", "no-store")


@dataclass(frozen=True)
class Threshold:
    """When the answer is "none of these"."""

    cut: Cut
    false_accept: float
    """Share of the pictures of unknown classes that are accepted, 0 to 1."""


@dataclass(frozen=True)
class Response:
    """An answer of HTTP."""

    body: bytes
    kind: str = "application/json"
    status: str = "200 OK"
    kept: tuple[str, str] = NOT_KEPT


class RecognitionPage:
    """A WSGI application: `/`, `/recognise` (POST an image file) and `/pictures/*.png`.

    Args:
        encoded: The classes.
        maker: Description of the model, one line.
        threshold: None: no picture is none of the classes.
    """

    def __init__(self, encoded: EncodedSupport, maker: str, threshold: Threshold | None) -> None:
        self._encoded, self._threshold = encoded, threshold
        self._support = support = encoded.support
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        first = np.searchsorted(support.class_of, range(len(support.names)))
        self._rows = {
            name: range(start, end)
            for name, start, end in zip(
                support.names, first, [*first[1:], len(support.class_of)], strict=True
            )
        }
        self._names = [_name(image.tobytes()) for image in support.images]
        self._row_of = {name: row for row, name in enumerate(self._names)}
        files = (COLOURS, HERE / "recognise.css", HERE / "recognise.js")
        *styles, script = (path.read_text(encoding="utf-8") for path in files)
        style = "".join(styles)
        templates = environment(HERE)
        templates.filters["printable"] = printable
        self._page = templates.get_template("recognise.html.j2").render(
            script=script,
            style=style,
            maker=maker,
            version=__version__,
            plain=not support.paper,
            classes=[self._described(name) for name in support.names[:FIRST_CLASSES]],
            count=len(support.names),
            images=len(support.images),
            threshold=threshold,
            top=TOP,
            largest_body=LARGEST_BODY,
        )
        self.policy = (
            f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
            "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )
        """Content-Security-Policy: only this page's own script and style."""

    def guarded(self) -> Guard:
        """Return the application for this machine's hosts and origins only."""
        return Guard(self, self.policy, read_only=None)

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Handle one request."""
        try:
            response = self._response(environ)
        except Refused as error:
            response = Response(_json({"error": str(error)}), status=error.status)
        headers = [
            ("Content-Type", response.kind),
            ("Content-Length", str(len(response.body))),
            response.kept,
        ]
        start(response.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _response(self, environ: dict[str, Any]) -> Response:
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        if path == "/recognise":
            if method != "POST":
                raise Refused("405 Method Not Allowed", "POST an image file to /recognise")
            return Response(_json(self._recognised(environ)))
        found = PICTURE.fullmatch(path)
        if path != "/" and not (found and found[1] in self._row_of):
            raise Refused("404 Not Found", "there are /, /recognise and /pictures/*.png")
        if method not in ("GET", "HEAD"):
            raise Refused("405 Method Not Allowed", "GET this address")
        if found:
            image = self._support.images[self._row_of[found[1]]]
            return Response(picture_png(image, paper=self._support.paper), "image/png", kept=KEPT)
        return Response(self._page.encode(), "text/html; charset=utf-8")

    def _recognised(self, environ: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a picture in the body.

        Raises:
            Refused: The picture cannot be used, or other ones take too long.
        """
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > LARGEST_BODY:
            raise Refused("413 Content Too Large", f"the body is above {LARGEST_BODY} bytes")
        if environ.get("CONTENT_TYPE", "").startswith("multipart/"):
            raise Refused(
                "415 Unsupported Media Type",
                "send the image file itself as the body (curl --data-binary @FILE), no form",
            )
        content = environ["wsgi.input"].read(length)
        if not self._turns.acquire(timeout=WAIT_S):
            raise Refused("503 Service Unavailable", "busy with other pictures; send it again")
        try:
            return self._ranked(content)
        finally:
            self._turns.release()

    def _ranked(self, content: bytes) -> dict[str, Any]:
        image, odd = read_picture(
            content, paper=self._support.paper, colour_px=self._support.colour_px
        )
        ranking = self._encoded.rank(image[None])
        if self._threshold is not None:
            ranking = replace(ranking, threshold=self._threshold.cut.evidence)
        threshold = self._threshold
        return {
            "none_of_these": ranking.none_of_these(0),
            "probability": ranking.probability(0),
            "threshold": threshold and threshold.cut.probability,
            "false_accept": threshold and threshold.false_accept,
            "notices": odd,
            "picture": picture_uri(image, paper=self._support.paper),
            "ranked": [
                {**self._described(one.name), "score": one.score} for one in ranking.candidates(0)
            ],
        }

    def _described(self, name: str) -> dict[str, Any]:
        """Return a class, and the addresses of its first pictures."""
        rows = self._rows[name]
        shown = [f"/pictures/{self._names[row]}.png" for row in rows[:SHOWN_OF_CLASS]]
        return {"class": name, "images": len(rows), "pictures": shown}


def _name(image: bytes) -> str:
    """Return a picture's name, by its content, so that browsers may keep it."""
    return hashlib.sha256(image).hexdigest()[:32]


def _digest(text: str) -> str:
    """Return the hash by which a policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(found: dict[str, Any]) -> bytes:
    return json.dumps(found).encode() + b"\n"
