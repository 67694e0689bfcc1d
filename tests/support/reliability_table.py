"""Rows of the reliability table: what each case expects and what was seen, written by the run.

A plugin, because several test processes run the cases and one writes the table.
"""

from __future__ import annotations

import csv
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CASES = "tests/reliability/"
TABLE = Path(__file__).parents[2] / "build" / "reliability.csv"
ROW = re.compile(r"(?<![A-Za-z0-9])([LFBIS]\d{1,2})(?![0-9A-Za-z])")
HEADER = ["row", "case", "expected", "seen", "verdict", "seconds"]
PROPERTY = "reliability rows"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Put a case's rows into its report, which reaches the process that writes the table."""
    outcome: Any = yield
    report = outcome.get_result()
    if not item.nodeid.startswith(CASES):
        return
    if report.when == "call" or (report.when == "setup" and not report.passed):
        report.user_properties.append((PROPERTY, _rows(item, report)))


def _rows(item: pytest.Item, report: pytest.TestReport) -> list[list[str]]:
    found = ROW.findall(item.name.replace("_", " "))
    seen = [str(value) for name, value in item.user_properties if name == "seen"]
    test = getattr(item, "function", None)
    expected = (inspect.getdoc(test) or "").splitlines()[:1]
    shown = "; ".join(seen) or ("as expected" if report.passed else report.longreprtext[-200:])
    if report.skipped:
        shown = str(report.longrepr[-1]) if isinstance(report.longrepr, tuple) else "skipped"
    verdict = {"passed": "green", "failed": "RED", "skipped": "skipped"}[report.outcome]
    rest = [
        item.name,
        " ".join(expected),
        " ".join(shown.split()),
        verdict,
        f"{report.duration:.2f}",
    ]
    return [[row, *rest] for row in dict.fromkeys(found)]


class Writer:
    """Gathers the rows of every process and writes the table at the end."""

    def __init__(self, slow: bool) -> None:
        self.slow = slow
        self.rows: list[list[str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a report's rows."""
        for name, rows in report.user_properties:
            if name == PROPERTY and isinstance(rows, list):
                self.rows += rows

    def pytest_sessionfinish(self) -> None:
        """Write the table, unless no case ran; the slow tests' run adds to the quick ones'."""
        if not self.rows:
            return
        TABLE.parent.mkdir(exist_ok=True)
        if self.slow and TABLE.exists():
            ran = {row[1] for row in self.rows}
            with TABLE.open(newline="", encoding="utf-8") as file:
                self.rows += [row for row in list(csv.reader(file))[1:] if row[1] not in ran]
        order = {kind: position for position, kind in enumerate("LFBIS")}
        with TABLE.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            writer.writerows(
                sorted(self.rows, key=lambda row: (order[row[0][0]], int(row[0][1:]), row[1]))
            )


def pytest_configure(config: pytest.Config) -> None:
    """Write in the process that hears of every test, which is no worker of pytest-xdist."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(
            Writer(config.option.markexpr == "slow"), "reliability table"
        )
