"""Whether a search found more than its start, and what another hour would bring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch.report import outlook
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
    certificate: dict[str, Any] = {
        "trial": 7,
        "candidates": [
            {"trial": 7, "probability_best": 0.9, "error": 0.2, "interval": [0.1, 0.3]},
            {"trial": 0, "probability_best": 0.1, "error": 0.3, "interval": [0.2, 0.4]},
        ],
    }
    assert outlook._confirmed(certificate, 0) == (
        "The best trial cannot be told apart from the start, trial 0."
    )
    certificate["candidates"][0]["probability_best"] = 0.99
    assert outlook._confirmed(certificate, 0) == (
        "The best trial is better than the start, trial 0, whose error on fresh tasks is "
        "30.0 % [20.0, 40.0]."
    )
    assert outlook._confirmed(certificate, 3) is None
