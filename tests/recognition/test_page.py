"""The page: complete in itself, hostile names stay text, and the right pictures in order."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.recognition.model import load_model
from hpsearch.recognition.page import render_page
from hpsearch.recognition.rank import Ranking
from hpsearch.recognition.support import Support, read_images, read_support
from tests.support.models import ESCAPES, HOSTILE, ranked

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section"),
    *("h1", "h2", "p", "figure", "figcaption", "div", "img", "ol", "li", "span", "bdi", "i"),
}


class Page(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.html = html
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())

    def attributes(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def pictures(self) -> list[np.ndarray]:
        decoded = []
        for image in self.attributes("img"):
            kind, _, content = image["src"].partition(",")
            assert kind == "data:image/png;base64"
            file = io.BytesIO(base64.b64decode(content, validate=True))
            decoded.append(np.asarray(Image.open(file)))
        return decoded


@pytest.fixture(scope="module")
def page(model: Path, support: Path, queries: list[Path]) -> Page:
    held, asked = read_support(support), read_images(queries)
    ranking = ranked(load_model(model), asked, held)
    return Page(render_page("a model", ["q1", "q2", "q3"], asked, held, ranking, top=2))


def hostile_page(name: str) -> Page:
    """Return a page on which everything that has a name has this one."""
    images = np.zeros((2, 105, 105), np.uint8)
    support = Support((name, name + "2"), images, np.array([0, 1]))
    ranking = Ranking(support.names, np.array([[0.9, 0.1]]), np.array([[0, 1]]))
    return Page(render_page(name, [name], images[:1], support, ranking, top=5))


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    assert {tag for tag, _ in page.tags} <= TAGS
    for _, attributes in page.tags:
        assert not {"href", "srcset", "action", "data", "background"} & attributes.keys()
        assert all(not name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:image/png;").startswith("data:image/png;")
        assert "url(" not in attributes.get("style", "")
    style = page.html.partition("<style>")[2].partition("</style>")[0]
    assert "prefers-color-scheme: dark" in style
    assert not re.search(r"url\(|@import|@font-face|//", style)
    assert "://" not in page.html
    policy = [m["content"] for m in page.attributes("meta") if "http-equiv" in m]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in (
        page.attributes("meta")
    )


def test_pictures_stand_in_the_order_of_the_ranking(
    page: Page, model: Path, support: Path, queries: list[Path]
) -> None:
    held, asked = read_support(support), read_images(queries)
    ranking = ranked(load_model(model), asked, held)
    expected = []
    for query, image in enumerate(asked):
        expected.append(image)
        for number in ranking.order[query, :2]:
            expected.extend(held.images[held.class_of == number])
    pictures = page.pictures()
    assert len(pictures) == len(expected)
    for picture, image in zip(pictures, expected, strict=True):
        assert (picture == 255 - image).all()
    names = [name for query in range(3) for name, _ in ranking.candidates(query, 2)]
    assert [item["title"] for item in page.attributes("p") if "title" in item] == names
    scores = [f"{score:.3f}" for query in range(3) for _, score in ranking.candidates(query, 2)]
    assert [text for text in page.text if re.fullmatch(r"[01]\.\d{3}", text)] == scores
    assert "are the 2 best classes" in " ".join(page.html.split())
    assert page.text.count("mean of 2") == sum(names.count(kind) for kind in ("roof", "dash"))


def test_a_class_shows_four_pictures_at_most_and_says_how_many_count() -> None:
    images = np.zeros((8, 105, 105), np.uint8)
    support = Support(("many", "one"), images, np.array([0] * 7 + [1]))
    ranking = Ranking(support.names, np.array([[0.9, 0.1]]), np.array([[0, 1]]))
    page = Page(render_page("m", ["q"], images[:1], support, ranking, top=5))
    assert len(page.pictures()) == 1 + 4 + 1
    assert page.text.count("mean of 7") == 1
    assert "mean of 1" not in page.text


@pytest.mark.parametrize(
    "name", [HOSTILE, '" onerror="alert(1)', "{{ 7 * 7 }}", "&lt;b&gt;", "'><b>"]
)
def test_hostile_names_stay_text(name: str) -> None:
    page = hostile_page(name)
    assert {tag for tag, _ in page.tags} <= TAGS
    assert page.text.count(name) == 3  # the model, the query, the class
    assert page.text.count(name + "2") == 1
    assert all("onerror" not in attributes for _, attributes in page.tags)
    titles = [item["title"] for item in page.attributes("p") if "title" in item]
    assert titles == [name, name + "2"]


def test_control_characters_are_not_in_the_page() -> None:
    page = hostile_page(ESCAPES + "\udc80")
    assert all(letter.isprintable() or letter == "\n" for letter in page.html)
    page.html.encode("utf-8")
    assert any(text.startswith("red\ufffd[31m") for text in page.text)


def test_a_class_without_other_classes_shown_is_said_in_words(support: Path, model: Path) -> None:
    held = read_support(support)
    ranking = ranked(load_model(model), held.images[:1], held)
    html = render_page("m", ["q"], held.images[:1], held, ranking, top=1)
    assert "is the best class of 5" in " ".join(html.split())
    assert "1 image against" in " ".join(html.split())


@pytest.mark.parametrize("paper", [True, False])
def test_pictures_are_shown_as_people_know_them(paper: bool) -> None:
    images = np.stack([np.full((105, 105), 30, np.uint8), np.full((105, 105), 200, np.uint8)])
    support = Support(("a", "b"), images, np.array([0, 1]), paper)
    ranking = Ranking(support.names, np.array([[0.9, 0.1]]), np.array([[0, 1]]))
    html = render_page("m", ["q"], images[:1], support, ranking, top=2)
    shown = [int(picture[0, 0]) for picture in Page(html).pictures()]
    assert shown == ([225, 225, 55] if paper else [30, 30, 200])
    assert ('<main class="plain">' in html) is not paper  # dark mode inverts only ink
