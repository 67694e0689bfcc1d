"""Searches of the same time, their picks judged: on results made by hand, and once really."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import real

TINY = """
name: tiny
dataset: glyphs
space: quickstart
trial:
  input_size: 35
  layers:
    conv1: {filter_size: 3, filter_count: 16}
    conv2: {filter_size: 2, filter_count: 16}
    conv3: {filter_size: 2, filter_count: 16}
    conv4: {filter_size: 2, filter_count: 16, pool: false}
    fc: {width: 128}
    output: {}
  images_per_epoch: 64
  max_epochs: 2
  pairs: batch
  batch_characters: 4
  init: he
budget: {trials: 20}
enqueue: [reference]
"""


def run(error: float) -> dict[str, Any]:
    return {"error": error, "per_alphabet": {"a": error - 0.01, "b": error + 0.01}, "seconds": 9}


def found(pick: int) -> dict[str, Any]:
    trials = [["complete", 0.2, 15], ["pruned", 0.3, 2], ["complete", 0.1, 15]]
    chosen = {"trial": pick, "seen": 0.1, "params": {"x": pick}}
    return {"hours": 1.0, "commit": "c", "trials": trials, "pick": chosen}


@pytest.fixture
def study() -> dict[str, Any]:
    searches = {"default-0": found(2), "default-1": found(1), "random-0": found(0)}
    judged = {f"reference-0/{k}": run(0.2 + 0.001 * k) for k in range(3)}
    judged |= {f"default-0/{k}": run(0.15 + 0.001 * k) for k in range(3)}
    judged |= {f"random-0/{k}": run(0.21) for k in range(2)}
    return {"searches": searches, "judged": judged}


def test_the_reference_is_judged_with_the_drawers_of_each_search(study: dict[str, Any]) -> None:
    left = [name for _, name, _ in real.waiting(study, 3)]
    assert left == [
        "reference-1/0", "default-1/0", "reference-1/1", "default-1/1", "reference-1/2",
        "random-0/2", "default-1/2",
    ]  # fmt: skip


def test_a_pick_is_compared_with_the_reference_of_its_seed(study: dict[str, Any]) -> None:
    won = real.gain(study, "default-0")
    assert won is not None
    assert won.gain == pytest.approx(0.05)
    assert won.interval[0] > 0
    lost = real.gain(study, "random-0")
    assert lost is not None
    assert lost.gain < 0
    assert real.gain(study, "default-1") is None


def test_the_table_has_a_row_a_search_and_the_mean_of_each_method(study: dict[str, Any]) -> None:
    lines = real.table(study).splitlines()
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert lines[2].startswith("| default-0 | 1.00 | 3 | 2 | 2 | 10.00% | 20.10% | +5.00 [")
    assert lines[3].endswith("| - | - |")
    assert lines[-2] == "default: +5.00 points, the mean of 1 seeds"


@pytest.mark.slow
def test_a_search_is_recorded_and_its_pick_judged(tmp_path: Path) -> None:
    file, results = tmp_path / "tiny.yaml", tmp_path / "real.json"
    file.write_text(TINY)
    given = [str(file), "--results", str(results), "--output", str(tmp_path / "runs")]
    few = ["--seed", "3", "--compute", "1e9"]
    assert real.main(["search", *given, "--method", "random", *few]) == 0
    assert real.main(["judge", *given, "--seeds", "2"]) == 0
    study = json.loads(results.read_text())["tiny"]
    assert set(study["judged"]) == {f"{n}-3/{k}" for n in ("reference", "random") for k in (0, 1)}
    assert real.gain(study, "random-3") is not None
    assert not list(real.waiting(study, 2))
