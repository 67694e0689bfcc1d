"""Whether a search found more than its start, and what another hour would bring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hpsearch.confirm.gain import measure_gain
from hpsearch.report.facts import read_facts
from hpsearch.report.outlook import found_more, next_hour
from hpsearch.wording import percent
from tests.support.made_search import Made, write_search


def test_a_search_says_whether_it_beat_its_start(tmp_path: Path) -> None:
    facts = read_facts(write_search(tmp_path / "s", Made(80, epochs=4)))
    begun = facts.view.trials[0].value
    assert begun is not None
    assert f"below the start, trial 0 ({percent(begun)})" in str(found_more(facts))
    assert next_hour(facts) is None  # made without a driver, so it has no pace
    worked = replace(facts, view=replace(facts.view, driver_seconds=1800.0))
    more = 2 * sum(t.finished for t in facts.view.trials)
    assert str(next_hour(worked)).startswith(f"Another hour, {more} trials at this pace, finds")
    alone = replace(facts, best=facts.view.trials[0])
    assert found_more(alone) == "No trial is better than the start, trial 0."
    gain = measure_gain(
        [{"trial": 0, "error": 0.3, "per_alphabet": {"a": 0.3, "b": 0.3}}],
        [{"trial": 7, "error": 0.2, "per_alphabet": {"a": 0.2, "b": 0.2}}] * 2,
        as_it_is=False,
    )
    confirmed = replace(facts, certificate={"gain": gain.to_json()})
    assert str(found_more(confirmed)).startswith("The search gained +10.0 points [10.0, 10.0] ")
