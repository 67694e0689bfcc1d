"""Rows of the reliability table: what each case expects and what was seen, written by the run."""

from __future__ import annotations

import csv
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.data.find import find_dataset

from .cases import images_folder

TABLE = Path(__file__).parents[2] / "build" / "reliability.csv"
ROW = re.compile(r"(?<![A-Za-z0-9])([LFBIS]\d{1,2})(?![0-9A-Za-z])")
HEADER = ["row", "case", "expected", "seen", "verdict", "seconds"]
_rows: list[list[str]] = []


@pytest.fixture
def see(record_property: Callable[[str, object], None]) -> Callable[[object], None]:
    """Return what notes, in the table, what a case was seen to do."""
    return lambda text: record_property("seen", " ".join(str(text).split())[:300])


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of own images, the smallest that is taken."""
    return images_folder(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="session")
def packed(images: Path, session_cache: Path) -> Path:
    """Return those images packed."""
    return find_dataset("folder", images).folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into an empty folder and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call" or (report.when == "setup" and not report.passed):
        _note(item, report)


def _note(item: pytest.Item, report: pytest.TestReport) -> None:
    found = ROW.findall(item.name.replace("_", " "))
    seen = [str(value) for name, value in item.user_properties if name == "seen"]
    test = getattr(item, "function", None)
    expected = (inspect.getdoc(test) or "").splitlines()[:1]
    shown = "; ".join(seen) or ("as expected" if report.passed else report.longreprtext[-200:])
    if report.skipped:
        shown = str(report.longrepr[-1]) if isinstance(report.longrepr, tuple) else "skipped"
    verdict = {"passed": "green", "failed": "RED", "skipped": "skipped"}[report.outcome]
    for row in dict.fromkeys(found):
        one_line = " ".join(shown.split())
        seconds = f"{report.duration:.2f}"
        _rows.append([row, item.name, " ".join(expected), one_line, verdict, seconds])


def pytest_sessionfinish() -> None:
    if not _rows:
        return
    TABLE.parent.mkdir(exist_ok=True)
    order = {kind: position for position, kind in enumerate("LFBIS")}
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(sorted(_rows, key=lambda row: (order[row[0][0]], int(row[0][1:]), row[1])))
