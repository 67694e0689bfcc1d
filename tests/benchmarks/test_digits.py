"""The benchmark on digits: random search's median is the goal, and late searches count whole."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn")

from benchmarks.digits import HORIZON_S, SETTINGS, figure, judged


def test_the_goal_is_random_searchs_median() -> None:
    runs = {
        "default": [[(2.0, 0.3), (4.0, 0.1)], [(2.0, 0.2), (8.0, 0.1)], [(50.0, 0.4)]],
        "random": [[(10.0, 0.3)], [(20.0, 0.2)], [(5.0, 0.4), (30.0, 0.1)]],
    }
    told = judged(runs)
    assert told["goal"] == 0.2
    assert told["reached"] == {"default": 2, "random": 2}
    seconds = {name: row["mean"] for name, row in told["seconds_to_goal"].items()}
    assert seconds["default"] == pytest.approx((4 + 2 + HORIZON_S) / 3, abs=0.01)
    assert seconds["random"] == pytest.approx((HORIZON_S + 20 + 30) / 3, abs=0.01)
    drawn = figure({"made up": told})
    assert all(f">{name}</text>" in drawn for name in SETTINGS)
