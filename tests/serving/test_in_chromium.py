"""The page as a real browser shows it; skipped where there is none."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hpsearch.serving.recognition_page import RecognitionPage
from tests.support.chromium import Browser, Page, chromium
from tests.support.models import HOSTILE, draw, write_support

from .conftest import KINDS, made_page, png, serve_here

ROOF = [
    *((0.14, 0.74), (0.5, 0.17), (0.86, 0.74)),
    *((0.86, 0.76), (0.5, 0.2), (0.14, 0.76)),
    *((0.14, 0.78), (0.5, 0.23), (0.86, 0.78)),
]
"""As thick as the known one is drawn."""
BOX = "document.getElementById('paper').getBoundingClientRect()"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(page: RecognitionPage) -> str:
    return serve_here(page)


@pytest.fixture
def opened(browser: Browser, address: str) -> Page:
    """Return the page, opened on a desktop."""
    page = browser.page()
    page.size(1440, 900)
    page.open(address)
    return page


def text(page: Page, name: str) -> str:
    """Return an element's text."""
    return str(page.value(f"document.getElementById('{name}').innerText"))


def names(page: Page) -> list[str]:
    """Return the names of the classes in the order in which they are shown."""
    found: list[str] = page.value(
        "[...document.querySelectorAll('#list bdi')].map(b => b.innerText)"
    )
    return found


def wait_for_answer(page: Page) -> None:
    """Wait until an answer is shown."""
    shown = "!document.getElementById('verdict').hidden"
    done = "document.querySelector('.answer').getAttribute('aria-busy') === 'false'"
    page.wait_for(lambda: page.value(f"{shown} && {done}"), "the answer")


def stroke(page: Page, points: list[tuple[float, float]], *, touch: bool = False) -> None:
    """Draw a line through points of the unit square, with the mouse or a finger."""
    left, top, side = page.value(f"(b => [b.left, b.top, b.width])({BOX})")
    path = [(left + x * side, top + y * side) for x, y in _between(points)]

    def send(kind: str, x: float, y: float) -> None:
        if touch:
            there = [] if kind == "touchEnd" else [{"x": x, "y": y}]
            page.ask("Input.dispatchTouchEvent", type=kind, touchPoints=there)
        else:
            page.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    kinds = ("touchStart", "touchMove", "touchEnd")
    begin, move, end = kinds if touch else ("mousePressed", "mouseMoved", "mouseReleased")
    send(begin, *path[0])
    for place in path[1:]:
        send(move, *place)
    send(end, *path[-1])


def _between(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points on the lines between some."""
    corners = np.array(points)
    places = np.linspace(0, len(points) - 1, 8 * len(points))
    x, y = (np.interp(places, range(len(points)), corners[:, axis]) for axis in (0, 1))
    return list(zip(x.tolist(), y.tolist(), strict=True))


def nothing_else(page: Page, address: str) -> None:
    """Assert that the page asked nobody else, and complained of nothing."""
    assert page.outside(address) == []
    assert page.complaints == []
    assert page.dialogs == []


def test_a_drawing_is_ranked_beside_the_known_pictures(
    browser: Browser, model: Path, support: Path
) -> None:
    address = serve_here(made_page(model, support, None))  # rejects nothing
    page = browser.page()
    page.size(1440, 900)
    page.open(address)
    assert names(page) == sorted(KINDS)
    assert text(page, "title").lower() == "the classes"
    stroke(page, ROOF)
    wait_for_answer(page)
    assert text(page, "best") == "roof"
    assert names(page)[0] == "roof"
    assert sorted(names(page)) == sorted(KINDS)
    assert "right with probability" in text(page, "chance")
    first = "document.querySelector('#list li')"
    loaded = f"[...{first}.querySelectorAll('img')].map(i => i.complete && i.naturalWidth)"
    page.wait_for(lambda: page.value(loaded) == [105, 105], "the known pictures")
    score, of = page.value(f"[...{first}.querySelectorAll('.score span')].map(s => s.innerText)")
    assert 0 < float(score) <= 1
    assert of == "mean of 2"
    width = page.value(f"{first}.querySelector('.bar i').style.width")
    assert float(width.rstrip("%")) == pytest.approx(100 * float(score), abs=0.06)
    nothing_else(page, address)


def test_what_is_none_of_these_is_said(opened: Page, address: str) -> None:
    rows = [(x, y) for y in np.linspace(0.05, 0.95, 14) for x in (0.05, 0.95)]
    stroke(opened, rows)
    wait_for_answer(opened)
    assert text(opened, "best") == "None of these"
    assert "would be right with probability" in text(opened, "chance")
    at = float(opened.value("document.getElementById('cut').dataset.at"))
    assert opened.value("document.getElementById('cut').style.left").startswith(
        f"{100 * at:.4f}"[:4]
    )
    assert f"up to {at:.2f}" in text(opened, "tick")
    assert sorted(names(opened)) == sorted(KINDS)
    nothing_else(opened, address)


def test_undo_and_clear_take_it_back(opened: Page) -> None:
    stroke(opened, ROOF)
    wait_for_answer(opened)
    for way in ("document.getElementById('clear').click()", None):
        if way:
            opened.value(way)
        else:
            stroke(opened, ROOF)
            wait_for_answer(opened)
            key = {"key": "z", "code": "KeyZ", "modifiers": 2}
            opened.ask("Input.dispatchKeyEvent", type="keyDown", **key)
        assert names(opened) == sorted(KINDS)
        assert opened.value("document.getElementById('verdict').hidden")
        assert opened.value("document.getElementById('undo').disabled")
        assert not opened.value("document.getElementById('invitation').hidden")


def dropped(page: Page, content: bytes, name: str) -> None:
    """Drop a file on the page."""
    data = base64.b64encode(content).decode()
    page.value(
        f"(async () => {{ const bytes = Uint8Array.from(atob('{data}'), c => c.charCodeAt());"
        f"const held = new DataTransfer(); held.items.add(new File([bytes], '{name}'));"
        "const options = {dataTransfer: held, bubbles: true, cancelable: true};"
        "document.getElementById('drop').dispatchEvent(new DragEvent('drop', options)); })()"
    )


def test_a_dropped_and_a_chosen_picture_are_recognised(
    opened: Page, address: str, tmp_path: Path
) -> None:
    dropped(opened, png(draw("cross", 2, (300, 200)).convert("RGBA")), "cross.png")
    wait_for_answer(opened)
    assert names(opened)[0] == "cross"
    dropped(opened, b"no picture", "notes.txt")
    error = "document.getElementById('error').innerText"
    opened.wait_for(lambda: "no picture of a known format" in opened.value(error), "the error")
    assert opened.value("document.getElementById('verdict').hidden")
    path = tmp_path / "box.tif"
    draw("box", 1).save(path)
    root = opened.ask("DOM.getDocument")["root"]["nodeId"]
    field = opened.ask("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    opened.ask("DOM.setFileInputFiles", files=[str(path)], nodeId=field)
    wait_for_answer(opened)
    assert (names(opened)[0], opened.value(error)) == ("box", "")
    refused = [line for line in opened.complaints if "415" not in line]
    assert refused == []
    assert opened.outside(address) == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_takes_a_finger(browser: Browser, address: str, dark: bool) -> None:
    page = browser.page()
    page.size(390, 844, phone=True, dark=dark)
    page.open(address)
    assert page.value("document.documentElement.scrollWidth") == 390
    stroke(page, ROOF, touch=True)
    wait_for_answer(page)
    assert names(page)[0] == "roof"
    assert page.value("document.documentElement.scrollWidth") == 390
    small = "parseFloat(getComputedStyle(e).fontSize) < 11"
    assert page.value(f"[...document.querySelectorAll('body *')].filter(e => {small}).length") == 0
    targets = "[...document.querySelectorAll('button, .button')].map(b => b.offsetHeight)"
    assert min(page.value(targets)) >= 44
    dark_page = "rgb(19, 20, 21)"
    shown = page.value("getComputedStyle(document.body).backgroundColor")
    assert (shown == dark_page) == dark
    nothing_else(page, address)


def test_everything_has_a_name_and_can_be_reached_by_key(opened: Page) -> None:
    tree = opened.ask("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "image", "textbox", "heading", "StaticText")
    named: dict[str, list[Any]] = {role: [] for role in roles}
    for node in tree:
        role = node.get("role", {}).get("value")
        if role in named and not node.get("ignored"):
            named[role].append(node.get("name", {}).get("value"))
    assert {"Undo", "Clear", "Choose a picture"} <= set(named["button"])
    assert any("Drawing area" in str(name) for name in named["image"])
    assert all(named["button"])
    seen = []
    for _ in range(3):
        opened.ask("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab")
        seen.append(opened.value("document.activeElement.id || document.activeElement.tagName"))
    assert seen[0] == "file"  # Undo and Clear are off before there is something to take back


def test_hostile_names_are_shown_as_text(browser: Browser, model: Path, tmp_path: Path) -> None:
    hostile = HOSTILE.replace("/", "\N{FRACTION SLASH}")
    image = "<img src=x onerror=alert(2)>"
    folder = write_support(tmp_path / "s", {hostile: ("roof", 1), image: ("bar", 1)})
    address = serve_here(made_page(model, folder))
    page = browser.page()
    page.size(390, 844)
    page.open(address)
    assert names(page) == sorted([hostile, image])
    stroke(page, ROOF)
    wait_for_answer(page)
    assert names(page)[0] == hostile
    assert page.value("document.documentElement.scrollWidth") == 390
    nothing_else(page, address)


def test_a_server_that_is_gone_is_said(opened: Page) -> None:
    opened.ask("Network.emulateNetworkConditions", offline=True, latency=0,
               downloadThroughput=0, uploadThroughput=0)  # fmt: skip
    dropped(opened, png(Image.new("L", (30, 30), 255)), "a.png")
    error = "document.getElementById('error').innerText"
    opened.wait_for(lambda: "does not answer" in opened.value(error), "the error")
