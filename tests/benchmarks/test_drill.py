"""What the kill drill takes for a loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.drill import Drill, DrillFailed, Tally


def test_a_database_is_lost_only_if_there_was_one(tmp_path: Path) -> None:
    drill = Drill(tmp_path, wanted=1, seed=0, workers=1, tally=Tally())
    study = drill.search.study
    study.root.mkdir()
    drill._check("a kill before the database is made")
    study.database.touch()
    with pytest.raises(DrillFailed, match="I6"):
        drill._check("a kill that leaves an empty file")
    study.database.unlink()
    with pytest.raises(DrillFailed, match="no study database"):
        drill._check("a kill that takes the database along")
