"""One self-contained page: each query beside the most similar classes. Must not know torch.

The content comes from the user's files, so it is not trusted: jinja2 escapes it, the page allows
no script and no network, and its pictures are made from the converted images.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hpsearch.recognition.support import Support, printable

if TYPE_CHECKING:
    from jinja2 import Environment

    from hpsearch.recognition.rank import Ranking

HERE = Path(__file__).parent
SHOWN_OF_CLASS = 4
"""Maximum number of pictures of a class."""


@dataclass(frozen=True)
class Shown:
    """A candidate on the page."""

    name: str
    score: float
    pictures: list[str]
    images: int


def render_page(
    model: str,
    names: Sequence[str],
    queries: NDArray[np.uint8],
    support: Support,
    ranking: Ranking,
    top: int,
) -> str:
    """Return the page as HTML.

    Args:
        model: Description of the model, one line.
        names: Names of the Q queries.
        queries: Ink = 255, uint8 [Q, 105, 105].
        support: The classes.
        ranking: Result of `rank` for the queries.
        top: Number of classes shown per query.
    """
    rows = [np.flatnonzero(support.class_of == number) for number in range(len(support.names))]
    pictures: dict[int, list[str]] = {}

    def shown(query: int) -> list[Shown]:
        found = []
        for number in ranking.order[query, :top].tolist():
            if number not in pictures:
                chosen = rows[number][:SHOWN_OF_CLASS]
                pictures[number] = [ink_uri(image) for image in support.images[chosen]]
            name, score = printable(support.names[number]), float(ranking.scores[query, number])
            found.append(Shown(name, score, pictures[number], len(rows[number])))
        return found

    answers = [
        {
            "name": printable(name),
            "picture": ink_uri(image),
            "candidates": shown(query),
            "unknown": ranking.unknown(query),
        }
        for query, (name, image) in enumerate(zip(names, queries, strict=True))
    ]
    return (
        environment(HERE)
        .get_template("page.html.j2")
        .render(
            style=(HERE / "page.css").read_text(encoding="utf-8"),
            model=printable(model),
            answers=answers,
            classes=len(support.names),
            images=len(support.images),
            top=min(top, len(support.names)),
            below=ranking.below,
        )
    )


def environment(folder: Path) -> Environment:
    """Return the environment of a folder's templates; it escapes every value."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def ink_uri(image: NDArray[np.uint8]) -> str:
    """Return an image [S, S], ink = 255, as dark ink on white paper: a PNG as a data URI."""
    return png_uri(Image.fromarray(255 - np.asarray(image)))


def png_uri(image: Image.Image) -> str:
    """Return an image as a PNG in a data URI."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
