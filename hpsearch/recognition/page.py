"""One self-contained page: each query beside the classes it is most alike. Must not know torch.

Everything comes from the user's files, so nothing is trusted: jinja2 escapes, the page allows
itself no script and no network, and pictures are drawn anew from the converted images.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hpsearch.recognition.support import Support, printable

if TYPE_CHECKING:
    from hpsearch.recognition.rank import Ranking

SHOWN_OF_CLASS = 4
"""Pictures of one class at most."""


@dataclass(frozen=True)
class Shown:
    """One candidate as the page shows it."""

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
        model: What made the ranking, one line.
        names: Of the Q queries.
        queries: Ink = 255, uint8 [Q, 105, 105].
        support: The classes.
        ranking: What `rank` gave for them.
        top: Classes shown per query.
    """
    from jinja2 import Environment, StrictUndefined

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
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_PAGE).render(
        style=_STYLE,
        model=printable(model),
        answers=answers,
        classes=len(support.names),
        images=len(support.images),
        top=min(top, len(support.names)),
        below=ranking.below,
    )


def ink_uri(image: NDArray[np.uint8]) -> str:
    """Return an image [S, S], ink = 255, as dark ink on white paper: a PNG as a data URI."""
    return png_uri(Image.fromarray(255 - np.asarray(image)))


def png_uri(image: Image.Image) -> str:
    """Return an image as a PNG in a data URI."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>Recognised: {{ answers|length }} of {{ classes }} classes</title>
<style>{{ style|safe }}</style>
</head>
<body>
<header>
<h1>Recognised</h1>
<p>{{ answers|length }} image{{ "s" if answers|length != 1 }} against {{ classes }} classes
({{ images }} support image{{ "s" if images != 1 }}), by <bdi>{{ model }}</bdi></p>
</header>
<main>
{% for answer in answers %}
<section>
<figure class="query">
<div class="pictures"><img src="{{ answer.picture }}" width="105" height="105" alt=""></div>
<figcaption><h2><bdi>{{ answer.name }}</bdi></h2>\
{% if answer.unknown %}<p class="unknown">unknown: no score reaches {{ "%.3f"|format(below) }}</p>\
{% endif %}</figcaption>
</figure>
<ol>
{% for one in answer.candidates %}
<li>
<div class="pictures{{ " several" if one.pictures|length > 1 }}">
{% for picture in one.pictures %}
<img src="{{ picture }}" width="105" height="105" alt="">
{% endfor %}
</div>
<div class="text">
<p class="name" title="{{ one.name }}"><span class="rank">{{ loop.index }}</span> \
<bdi>{{ one.name }}</bdi></p>
<div><div class="bar"><i style="width:{{ "%.2f"|format(100 * one.score) }}%"></i></div>
<p class="score">{{ "%.3f"|format(one.score) }}\
{% if one.images > 1 %} <span class="of">mean of {{ one.images }}</span>{% endif %}</p></div>
</div>
</li>
{% endfor %}
</ol>
</section>
{% endfor %}
</main>
<footer>
<p>The score is p, how sure the network is that two images show the same class: 0 to 1, each class
by itself, so scores need not add up to 1. A class of several images counts by the mean of their
logits. Shown {{ "is the best class" if top == 1 else "are the " ~ top ~ " best classes" }} of
{{ classes }}; pictures are as converted, ink on paper.</p>
</footer>
</body>
</html>
"""

_STYLE = """
:root { --page: #f4f3ef; --card: #fffefb; --ink: #1d1c1a; --soft: #6b675f; --line: #dfdcd3;
  --accent: #0b6e6e; --track: #e9e6de; --paper: #fff; --shadow: 0 1px 2px #0000000f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #131415; --card: #1c1e20; --ink: #eceae5; --soft: #a19d95; --line: #303336;
    --accent: #4cc2b8; --track: #2b2e31; --paper: #0e0f10; --shadow: none; }
  img { filter: invert(1) brightness(.94); mix-blend-mode: screen; }
}
* { box-sizing: border-box; margin: 0; }
body { background: var(--page); color: var(--ink); font: 16px/1.45 system-ui, sans-serif;
  max-width: 72rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
header, footer { padding: 0 .25rem; color: var(--soft); }
footer { margin-top: 2rem; font-size: .85rem; max-width: 46rem; }
h1 { color: var(--ink); font-size: 1.7rem; letter-spacing: -.02em; line-height: 1.2; }
h2 { font-size: .9rem; font-weight: 600; overflow-wrap: anywhere; line-height: 1.3;
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 4; overflow: hidden; }
section { display: grid; grid-template-columns: 11rem 1fr; gap: 1.5rem; margin-top: 1.25rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 1.25rem;
  box-shadow: var(--shadow); break-inside: avoid; }
img { display: block; width: 100%; height: auto; }
.query { padding-right: 1.5rem; border-right: 1px solid var(--line); }
.pictures { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  overflow: hidden; aspect-ratio: 1; align-content: center; }
.query figcaption { margin-top: .6rem; }
.unknown { color: var(--accent); font-size: .85rem; font-weight: 600; margin-top: .35rem; }
ol { list-style: none; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(8.25rem, 1fr)); align-content: start; }
li:first-child .pictures { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.several { display: grid; grid-template-columns: 1fr 1fr; gap: 1px; }
li { display: grid; grid-row: span 3; grid-template-rows: subgrid; row-gap: 0; }
.text { display: contents; }
.name { margin-top: .55rem; font-size: .9rem; line-height: 1.3; overflow-wrap: anywhere;
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
.rank { color: var(--soft); font-variant-numeric: tabular-nums; margin-right: .15rem; }
li:first-child .rank { color: var(--accent); font-weight: 700; }
li:first-child bdi { font-weight: 600; }
.bar { height: 5px; border-radius: 3px; background: var(--track); margin: .4rem 0 .3rem;
  overflow: hidden; }
.bar i { display: block; height: 100%; border-radius: 3px; background: var(--soft); }
li:first-child .bar i { background: var(--accent); }
.score { font-size: .85rem; font-variant-numeric: tabular-nums; display: flex;
  justify-content: space-between; gap: .5rem; }
.of { color: var(--soft); }
@media (max-width: 640px) {
  body { padding: 1.25rem .75rem 2rem; }
  section { grid-template-columns: 1fr; gap: 1rem; padding: 1rem; }
  .query { display: grid; grid-template-columns: 6.5rem 1fr; gap: 1rem; align-items: center;
    padding: 0 0 1rem; border-right: 0; border-bottom: 1px solid var(--line); }
  .query figcaption { margin: 0; }
  ol { grid-template-columns: 1fr; gap: .75rem; }
  li { grid-row: auto; grid-template: none / 4.25rem 1fr; gap: .9rem; align-items: center; }
  .text { display: block; }
  .name { margin: 0; -webkit-line-clamp: 2; }
}
@media print { body { padding: 0; } section { box-shadow: none; } }
"""
