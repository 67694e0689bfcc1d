"""The report and the dashboard as a real browser shows them; skipped where there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpsearch.data import Dataset
from hpsearch.paths import StudyFolder
from hpsearch.report import write_report
from hpsearch.storage.database import StudyRecord
from hpsearch.trial import TrialRecord
from tests.support.chromium import Browser, Page, chromium
from tests.support.dashboards import serve_dashboard
from tests.support.made_search import Made, write_search
from tests.support.made_study import PARAMETERS, Ended, write_model, write_study

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
DRAWN = "[...document.querySelectorAll('.plot')].filter(d => d.checkVisibility())"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Page:
    return browser.page()


def scroll_until_drawn(page: Page) -> int:
    """Make the window as high as the page and wait for its figures; return how many there are."""
    wanted = f"{DRAWN}.every(d => d.querySelector('.main-svg'))"
    page.wait_for(lambda: page.value(wanted), "the figures")
    return int(page.value(f"{DRAWN}.length"))


def test_the_report_draws_everything_and_asks_for_nothing(
    page: Page, tmp_path: Path, dataset: Dataset
) -> None:
    settings = (("name", HOSTILE), ("description", HOSTILE))
    folder = write_search(tmp_path / "s", Made(12, settings=settings, causes=HOSTILE), dataset)
    write_model(folder.model, dataset)
    address = write_report(folder).as_uri()
    page.size(1280, 14_000)
    page.open(address)
    assert scroll_until_drawn(page) >= 20
    assert page.value("document.querySelector('h1').textContent") == HOSTILE
    page.size(390, 14_000, phone=True, dark=True)  # the figures follow, in other colours
    scroll_until_drawn(page)
    assert page.value("document.documentElement.scrollWidth") == 390
    hidden = "[...document.querySelectorAll('.scroll')].filter(d => !d.querySelector('.plot')"
    assert page.value(f"{hidden} && d.scrollWidth > d.clientWidth).length") == 0
    small = "parseFloat(getComputedStyle(i).fontSize) < 11"
    assert (
        page.value(f"[...document.querySelectorAll('.interval')].filter(i => {small}).length") == 0
    )
    axis = "getComputedStyle(document.querySelector('.parcoords .axis path')).stroke"
    assert page.value(f"document.querySelector('.parcoords') ? {axis} : 'rgb(161, 157, 149)'") == (
        "rgb(161, 157, 149)"
    )
    dark = page.value("getComputedStyle(document.body).backgroundColor")
    assert dark == "rgb(19, 20, 21)"
    assert page.outside(address) == []
    assert page.complaints == []
    assert page.dialogs == []


def test_a_chromium_that_complains_is_heard(page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<script>console.error('first'); setTimeout(() => { throw new Error('second') });"
        "onload = () => setTimeout(() => alert(1), 300)</script><img src='http://127.0.0.1:9/x'>"
    )
    page.open(bad.as_uri())
    page.wait_for(lambda: page.dialogs and len(page.complaints) >= 2, "complaints")
    for text in ("first", "second"):
        assert any(text in complaint for complaint in page.complaints)
    assert page.outside(bad.as_uri()) == ["http://127.0.0.1:9/x"]


@pytest.fixture
def served() -> Callable[[StudyFolder], str]:
    """Return what serves a study's dashboard until the tests end, and its address."""
    return lambda folder: f"http://127.0.0.1:{serve_dashboard(folder)}"


def write_on(folder: StudyFolder, stop: threading.Event) -> None:
    """Report epochs of new trials, as a search at work does, until told to stop."""
    record = StudyRecord(folder, "tiny")
    number = len(record.load())
    while not stop.is_set():
        trial = TrialRecord(number, "running", {"conv1.learning_rate": 0.02, "fc.width": 9})
        record.add(trial, PARAMETERS, {"origin": "tpe", "seed": number})
        values = {epoch: 0.5 - 0.01 * epoch for epoch in (1, 2, 3)}
        for epoch, value in values.items():
            record.report(number, epoch, value)
            record.flush(force=True)
            stop.wait(0.1)
        record.end(TrialRecord(number, "complete", trial.params, values, 0.47), {})
        number += 1
    record.close()


@pytest.mark.slow
def test_the_dashboard_shows_a_search_at_work(
    page: Page, served: Callable[[StudyFolder], str], dataset: Dataset, tmp_path: Path
) -> None:
    ended = (Ended("complete", (0.6, 0.3)), Ended("pruned", (0.7,), HOSTILE))
    folder = write_study(tmp_path / "s", dataset, ended)
    address, stop = served(folder), threading.Event()
    writer = threading.Thread(target=write_on, args=(folder, stop))
    writer.start()
    try:
        page.size(1280, 1400)
        page.open(f"{address}/dashboard/studies/1/trials?numbers=1")

        def shows(text: str) -> Callable[[], bool]:
            return lambda: text in page.value("document.body.innerText")

        page.wait_for(shows("As trained:"), "the note")
        page.wait_for(shows(HOSTILE), "the cause, as text")
        page.wait_for(shows("Trial 4"), "trials that the search adds")
    finally:
        stop.set()
        writer.join()
    page.open(f"{address}/dashboard/studies/1")
    page.wait_for(
        lambda: page.value("document.querySelectorAll('.main-svg').length > 3"), "charts"
    )
    assert page.outside(address) == []
    assert page.complaints == []
    assert page.dialogs == []


@pytest.mark.slow
def test_the_dashboard_shows_2000_trials_of_50_reports(
    page: Page, served: Callable[[StudyFolder], str], thousands: StudyFolder
) -> None:
    address = served(thousands)
    page.size(1280, 1400)
    page.open(f"{address}/dashboard/studies/1/trials?numbers=1999")

    def shows(text: str) -> Callable[[], bool]:
        return lambda: text in page.value("document.body.innerText")

    page.wait_for(shows("Trial 1999"), "the last trial")
    page.wait_for(shows("As trained:"), "its note")
    assert page.outside(address) == []
    assert page.complaints == []
