"""What `certify` prints holds for synthetic studies, whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hpsearch.confirm import shrinkage
from hpsearch.confirm.certificate import (
    certify,
    confirmed_errors,
    in_words,
    read_certificate,
    search_noise,
    write_certificate,
)
from hpsearch.front import ONE
from hpsearch.intervals import wilson
from hpsearch.measure import VALIDATION_ERROR
from hpsearch.paths import StudyFolder
from hpsearch.trial import TrialRecord
from tests.support.made_study import certificate_of

from .test_shrinkage import ARMS, SEARCH_SD, SEEDS, TOP, TRAINING_SD, TRUTH

STUDIES = 100
TASKS_SD = SEARCH_SD * np.sqrt(0.2)
"""Of what the study's own tasks give or take one configuration, whatever its seed."""
SEED_SD = SEARCH_SD * np.sqrt(0.8)
SHARED = 0.5
"""Correlation of one training's error on fresh tasks and on the study's own."""


def runs_of(
    truth: float, tasks: float, rng: np.random.Generator, seeds: int = SEEDS
) -> list[dict[str, Any]]:
    """Train a configuration again: on fresh tasks, and on those it was found with."""
    rows = []
    for common, rest in rng.normal(size=(seeds, 2)):
        error = truth + TRAINING_SD * common
        own = truth + tasks + SEED_SD * (SHARED * common + np.sqrt(1 - SHARED**2) * rest)
        each = {"A": error - 0.02, "B": error + 0.02}
        rows.append(
            {"error": error, "validation_error": own, "per_alphabet": each, "diagnosis": None}
        )
    return rows


@dataclass
class Summary:
    """Means over all studies; errors in points."""

    covered: float
    one_covered: float
    optimism: float
    measured: float
    luck: float


def certified(better: float, seed: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Search 50 arms, confirm the lowest five; return a row of `Summary`."""
    truth = np.full(ARMS, TRUTH)
    truth[rng.integers(ARMS)] -= better
    tasks = rng.normal(0, TASKS_SD, ARMS)
    figures = truth + tasks + rng.normal(0, SEED_SD, ARMS)
    trials = [TrialRecord(n, "complete", {}, {1: f}, f) for n, f in enumerate(figures.tolist())]
    top = [trials[n] for n in np.argsort(figures)[:TOP]]
    view: Any = SimpleNamespace(
        config=SimpleNamespace(
            seed=seed, objective="tasks_320", shown=VALIDATION_ERROR, goals=ONE
        ),
        trials=trials,
        dataset={},
    )
    runs = {t.number: runs_of(truth[t.number], tasks[t.number], rng) for t in top}
    found = certify(view, top, runs)
    assert found["optimism"]["trials"] == ARMS
    assert found["optimism"]["trial"] == top[0].number
    true = truth[found["trial"]]
    low, high = found["interval"]
    one_low, one_high = found["interval_one_training"]
    again = true + rng.normal(0, TRAINING_SD, 100)
    return (
        low <= true <= high,
        float(np.mean((one_low <= again) & (again <= one_high))),
        100 * (truth[top[0].number] - figures.min()),
        100 * found["optimism"]["measured"],
        100 * found["optimism"]["luck"],
    )


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(0.0, id="equal"),
        pytest.param(0.015, id="1.5 points better", marks=pytest.mark.slow),
    ],
)
def summary(request: pytest.FixtureRequest) -> Summary:
    rng = np.random.default_rng(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shrinkage, "DRAWS", 1000)
        rows = [certified(request.param, seed, rng) for seed in range(STUDIES)]
    return Summary(*np.mean(rows, axis=0).tolist())


def test_the_intervals_cover_the_truth_and_one_more_training(summary: Summary) -> None:
    assert summary.covered >= 0.9
    assert 0.9 <= summary.one_covered <= 0.99


def test_the_optimism_is_measured_and_luck_explains_most_of_it(summary: Summary) -> None:
    assert summary.optimism > 3
    assert summary.measured == pytest.approx(summary.optimism, rel=0.05)
    assert summary.luck == pytest.approx(summary.optimism, rel=0.25)


@pytest.mark.parametrize("pictures", [None, 4])
def test_no_interval_of_a_certificate_leaves_0_to_1(pictures: int | None) -> None:
    """And of own images none is narrower than the one of their pictures."""
    trials = [TrialRecord(n, "complete", {}, {1: 0.02}, 0.02) for n in range(3)]
    view: Any = SimpleNamespace(
        config=SimpleNamespace(seed=0, objective="tasks_320", shown=VALIDATION_ERROR, goals=ONE),
        trials=trials,
        dataset={"pictures": pictures},
    )
    for measured in ((0.0, 0.07, 0.0), (0.0, 0.0, 0.0), (1.0, 0.96, 1.0)):
        runs = {
            t.number: [
                {
                    "error": e,
                    "validation_error": e,
                    "per_alphabet": {"A": e, "B": e},
                    "diagnosis": None,
                }
                for e in measured
            ]
            for t in trials
        }
        found = certify(view, trials, runs)
        ends = [found[f"interval{k}"] for k in ("", "_one_training", "_other_alphabets")]
        for low, high in [*ends, *(row["interval"] for row in found["candidates"])]:
            assert 0 <= low <= found["error"] <= high <= 1
        for one in (found, *found["candidates"]):
            low, high = wilson(one["error"], pictures or 10**9)
            assert one["interval"][0] <= low + 1e-4
            assert one["interval"][1] >= high - 1e-4


def test_intervals_of_an_older_version_end_at_0_and_1(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    beyond = {"error": 0.014, "interval": [-0.03, 0.055], "probability_best": 1.0}
    old = certificate_of(0, [{"search_error": 0.0, **beyond}], **beyond)
    write_certificate(folder, old)
    found = read_certificate(folder)
    assert found is not None
    assert found["interval"] == [0.0, 0.055]
    assert confirmed_errors(found) == {0: "1.4 % [0.0, 5.5]"}
    assert "error 1.4 % [0.0, 5.5] on fresh tasks" in in_words(found)


def test_search_noise_is_that_of_seed_and_tasks_where_none_was_selected() -> None:
    rng = np.random.default_rng(0)
    trials = [TrialRecord(n, "complete", {}) for n in range(2000)]
    runs = {
        t.number: runs_of(TRUTH + rng.normal(0, 0.05), rng.normal(0, TASKS_SD), rng)
        for t in trials
    }
    assert search_noise(trials, runs) == pytest.approx(SEARCH_SD, rel=0.03)
