"""One self-contained page: each query beside the most similar classes. Must not know torch.

The content comes from the user's files, so it is not trusted: jinja2 escapes it, the page allows
no script and no network, and its pictures are made from the converted images.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hpsearch.data.contact_sheet import drawn
from hpsearch.recognition.support import Support, printable

if TYPE_CHECKING:
    from jinja2 import Environment

    from hpsearch.recognition.rank import Ranking

HERE = Path(__file__).parent
COLOURS = HERE / "colours.css"
"""The colours of pages that show pictures, light and dark."""
SHOWN_OF_CLASS = 4
"""Maximum number of pictures of a class."""


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
        queries: Converted as the support images were, uint8 [Q, 105, 105].
        support: The classes.
        ranking: Result of `rank` for the queries.
        top: Number of classes shown per query.
    """
    paper = support.paper

    @cache
    def described(number: int) -> dict[str, Any]:
        images = support.images[support.class_of == number]
        pictures = [picture_uri(image, paper=paper) for image in images[:SHOWN_OF_CLASS]]
        return {"name": support.names[number], "images": len(images), "pictures": pictures}

    answers = [
        {
            "name": name,
            "picture": picture_uri(image, paper=paper),
            "candidates": [
                {**described(number), "score": ranking.scores[query, number]}
                for number in ranking.order[query, :top].tolist()
            ],
            "none_of_these": ranking.none_of_these(query),
            "probability": ranking.probability(query),
        }
        for query, (name, image) in enumerate(zip(names, queries, strict=True))
    ]
    templates = environment(HERE)
    templates.filters["printable"] = printable
    return templates.get_template("page.html.j2").render(
        style=COLOURS.read_text(encoding="utf-8")
        + (HERE / "page.css").read_text(encoding="utf-8"),
        model=model,
        plain=not paper,
        answers=answers,
        classes=len(support.names),
        images=len(support.images),
        top=min(top, len(support.names)),
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


def picture_uri(image: NDArray[np.uint8], *, paper: bool) -> str:
    """Return a converted image as a PNG in a data URI; see `picture_png`."""
    return _uri(picture_png(image, paper=paper))


def picture_png(image: NDArray[np.uint8], *, paper: bool) -> bytes:
    """Return a converted image [S, S] or [3, S, S] as a PNG, as people know it.

    Args:
        image: Ink = 255, or grey values.
        paper: Whether it is ink on paper, which is drawn dark on white.
    """
    return _png(drawn(np.asarray(image), paper=paper))


def png_uri(image: Image.Image) -> str:
    """Return an image as a PNG in a data URI."""
    return _uri(_png(image))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
