"""One sentence about the best trial of a study."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpsearch.paths import StudyFolder
from hpsearch.results.best import best_in_words
from hpsearch.study.config import StudyConfig
from hpsearch.trial import TrialRecord


@pytest.mark.parametrize(("direction", "sign"), [("maximize", -1.0), ("minimize", 1.0)])
def test_a_front_names_the_end_that_users_want(
    tmp_path: Path, direction: str, sign: float
) -> None:
    values = {
        "name": "s",
        "trainer": {"command": ["true"]},
        "space": "s",
        "direction": direction,
        "objectives": ["value", "cost"],
    }
    held = [(5.0, 9.0), (2.0, 1.0)]
    trials = [
        TrialRecord(number, "complete", {}, {1: sign * value}, sign * value, figures={"cost": c})
        for number, (value, c) in enumerate(held)
    ]
    config = StudyConfig.from_values(values, "s")
    view: Any = SimpleNamespace(config=config, trials=trials, folder=StudyFolder(tmp_path))
    best = 0 if direction == "maximize" else 1
    which = "highest" if direction == "maximize" else "lowest"
    assert best_in_words(view).endswith(f"{which} value: trial {best}")
