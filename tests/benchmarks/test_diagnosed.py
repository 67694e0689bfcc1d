"""The diagnosis ends no trial that would have been good: recorded ones, trained on without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.diagnosed import Again, better_half, read_lines
from benchmarks.table import COMPLETE, RecordedTrial, read_space, read_table

TABLES = Path(__file__).parents[2] / "benchmarks" / "tables"


def trial(number: int, error: float, outcome: str = COMPLETE) -> RecordedTrial:
    return RecordedTrial(number, {}, (0.95, error), (1.0, 2.0), outcome)


def test_who_is_in_the_better_half_is_seen_with_the_diagnosed_trained_on() -> None:
    trials = [
        *(trial(n, 0.1 + n / 10) for n in range(6)),
        trial(6, 0.9, "dead"),
        trial(7, 0.2, "dead"),
    ]
    late, behind = Again("t", 6, "dead", 2, 0.9, 0.25, 9), Again("t", 7, "dead", 2, 0.2, 0.2, 9)
    assert better_half(trials, [late, behind]) == (4, 2, 1)
    assert better_half(trials, [replace(late, error_without=0.9), behind]) == (4, 1, 0)


def test_the_diagnosis_ends_at_most_one_good_trial_in_a_hundred_before_its_best_epoch() -> None:
    space = read_space(str(TABLES / "siamese35.space.yaml"))
    trials = read_table(TABLES / "siamese35.csv.gz", space).trials
    again = read_lines("siamese35")
    assert {a.trial for a in again} == {t.trial for t in trials if t.outcome != COMPLETE}
    better, _, lost = better_half(trials, again)
    assert better >= 290
    assert lost <= 0.01 * better
