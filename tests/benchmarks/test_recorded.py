"""Replays that are recorded once: what is held is kept, and belongs to one problem."""

import json

import pytest

from benchmarks import recorded
from benchmarks.cells import Source
from benchmarks.recorded import Recorded
from benchmarks.setups import OWN, RANDOM
from benchmarks.table import write_table
from benchmarks.yardstick import JUDGING
from hpsearch.errors import InputError
from tests.benchmarks.made import SPACE, made_table
from tests.benchmarks.test_yardstick import judged

ORIGIN = {"setup": {}, "command": "python -m benchmarks.recorded x", "commit": "abc"}


@pytest.fixture
def source(tmp_path):
    write_table(tmp_path / "made.csv", made_table(24).trials)
    (tmp_path / "space.yaml").write_text(SPACE.to_yaml())
    return Source(tmp_path / "made.csv", str(tmp_path / "space.yaml"))


def test_what_is_recorded_is_read_back_under_the_seeds_asked_for(source, tmp_path):
    Recorded(source, tmp_path).add("one", 2000, judged(3.0), ORIGIN)
    Recorded(source, tmp_path).add("one", 2001, judged(None), {**ORIGIN, "commit": "later"})
    held = Recorded(source, tmp_path)
    assert held.searches(range(2000, 2060)) == {"one": {2000: judged(3.0), 2001: judged(None)}}
    assert held.searches(range(1000, 1060)) == {}
    assert held.origin("one") == {"command": ORIGIN["command"], "commit": "abc"}
    assert len(held.path.read_text().splitlines()) == 7  # a line a replay


def test_replays_of_another_table_are_refused(source, tmp_path):
    path = Recorded(source, tmp_path).path
    Recorded(source, tmp_path).add("one", 2000, judged(3.0), ORIGIN)
    write_table(source.table, made_table(32).trials)
    with pytest.raises(InputError, match=r"made\.json: problem_sha256: .* record them anew"):
        Recorded(source, path.parent)


def test_recording_goes_on_where_it_stopped(source, tmp_path, monkeypatch):
    monkeypatch.setitem(recorded.OWN, "made", source)
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    asked = []

    def replay(problem, way, seed):
        asked.append(seed)
        return {"handed_over": judged(1.0)}

    monkeypatch.setattr(recorded, "run_cell", replay)
    recorded.record(RANDOM, "made", [2000, 2001])
    recorded.record(RANDOM, "made", [2000, 2001, 2002])
    assert asked == [2000, 2001, 2002]


@pytest.mark.parametrize("name", OWN)
def test_committed_replays_are_of_the_committed_tables_and_of_judging_seeds(name):
    held = Recorded(OWN[name])  # raises where they are of another table or surrogate
    if held.path.exists():
        assert held.path.stat().st_size < 1.5e6
        searches = held.searches(JUDGING)
        for setup in json.loads(held.path.read_bytes())["setups"]:
            assert held.seeds(setup) == searches[setup]
            assert held.origin(setup)["command"].startswith("python -m benchmarks.recorded")
