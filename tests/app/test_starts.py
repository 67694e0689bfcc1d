"""What a search on own images says before its first trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.app.search import _describe_dataset
from hpsearch.app.starts import with_encoder
from hpsearch.confirm.gain import Start
from hpsearch.data import Dataset
from hpsearch.results.starts import Figure, Starts
from hpsearch.sources.find import find_dataset
from hpsearch.study.plan import plan_study
from tests.support.drawings import write_drawings

ACCURACIES: list[tuple[str, Start | None, float]] = [
    ("pixels", None, 0.5),
    ("Hausdorff distance", None, 0.9),
    ("the shipped model as it is", "shipped", 0.8),
    ("an untrained network", "untrained", 0.7),
]


@pytest.mark.parametrize(("shipped", "named"), [(0.8, True), (0.9, False), (0.95, False)])
def test_a_method_that_is_no_network_is_named_where_it_beats_both(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shipped: float,
    named: bool,
) -> None:
    figures = tuple(
        Figure(name, start, shipped if start == "shipped" else accuracy, (0.4, 0.99), 320, 90)
        for name, start, accuracy in ACCURACIES
    )
    monkeypatch.setattr(
        "hpsearch.results.starts.measure_starts", lambda *_: Starts(figures, "shipped")
    )
    data = Dataset("folder", "f" * 64, tmp_path, 7, turns=False, description="", shots=2)
    plan = with_encoder(plan_study("own", tmp_path / "study", {}), data)
    said = capsys.readouterr().out
    assert "320 validation tasks of 7 ways, 2 shots, 90 pictures:" in said
    assert ("Hausdorff distance does better than both networks" in said) is named
    assert plan.config.enqueue[0].params == {"start": "shipped"}
    assert with_encoder(plan, data) is plan  # a begun study keeps its encoder


@pytest.mark.parametrize("shots", [1, 5])
def test_pictures_that_no_task_asks_for_are_no_evidence(tmp_path: Path, shots: int) -> None:
    counts = {f"c{number:02}": 5 + number % 4 for number in range(60)}
    dataset = find_dataset("folder", write_drawings(tmp_path / "own", counts)).asking(2, shots)
    characters = dataset.labels("validation")
    each = {name: counts[name.split("/")[1]] for name in characters.names}
    asked = sum(count for count in each.values() if count > shots)
    plan = plan_study("own", tmp_path / "study", {"ways": 2, "shots": shots})
    assert _describe_dataset(plan, dataset, None)["pictures"] == asked
    assert (asked == len(characters.images)) is (shots == 1)
