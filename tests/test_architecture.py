"""docs/architecture.md names what is there: rooms, floors, and each hop's module and function."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.test_floors import FLOORS, GROUND

PAGE = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_HOPS = 10
WAYS = ("The way of a learning rate", "The way of a report")
NAMES = sorted(set(re.findall(r"`(hpsearch(?:\.\w+)+)`", PAGE)))


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def hops(title: str) -> list[str]:
    """Return the numbered items of a section, each as one line."""
    items = re.split(r"^(?=\d+\. )", section(title), flags=re.M)[1:]
    return [" ".join(item.split()) for item in items]


def found(name: str) -> Any:
    """Import the longest part of a name that is a module, and take the rest from it.

    Raises:
        AttributeError: The rest is not there.
    """
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            it = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            it = getattr(it, part)
        return it
    raise AttributeError(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_on_the_page_is_there(name: str) -> None:
    assert callable(found(name))


@pytest.mark.parametrize(
    "gone",
    ["hpsearch.study.plan.plan_nothing", "hpsearch.cellar.plan_study", "hpsearch.trial.Gone.at"],
)
def test_a_name_that_is_gone_is_seen(gone: str) -> None:
    with pytest.raises(AttributeError):
        found(gone)


@pytest.mark.parametrize("title", WAYS)
def test_a_way_has_at_most_ten_hops_and_each_names_its_function(title: str) -> None:
    way = hops(title)
    assert 5 <= len(way) <= MOST_HOPS
    for number, hop in enumerate(way, start=1):
        assert re.match(rf"{number}\. `hpsearch\.\w+(\.\w+)+`", hop), hop


def test_the_ways_start_and_end_where_they_say() -> None:
    rate, report = (hops(title) for title in WAYS)
    assert "hpsearch.study.plan" in rate[0]
    assert "hpsearch.training.optimiser" in rate[-1]
    assert "hpsearch.training.loop" in report[0]
    assert "hpsearch.storage.database" in report[-1]


def test_every_room_has_a_line_and_stands_on_its_floor() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", section("The floors"), re.M)
    told = {room: int(floor) for floor, room in rows}
    rooms = {room: floor for room, floor in FLOORS.items() if room not in (*GROUND, "__main__")}
    assert told == rooms
    assert len(rows) == len(rooms)


def test_the_drawing_shows_the_same_floors() -> None:
    (drawing,) = re.findall(r"```text\n(.*?)```", section("The floors"), re.S)
    told = {}
    for line in drawing.splitlines():
        floor, rooms = line.split(maxsplit=1)
        for room in re.split(r" {2,}", rooms)[0].split(" · "):
            told[room] = int(floor)
    assert told.pop("ground") == 0
    assert told == {r: f for r, f in FLOORS.items() if r not in (*GROUND, "__main__")}
