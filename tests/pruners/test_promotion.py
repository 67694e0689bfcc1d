"""Searches that pause and promote, and audits, against an executor that trains nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hpsearch.execution import Job
from hpsearch.paths import StudyFolder
from hpsearch.pruners.audit import is_audited, without_audits
from hpsearch.storage.view import StudyView, read_study
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import TrialRecord
from tests.driver.test_driver import search, table
from tests.support.fake_executor import FakeExecutor

from .test_pruners import curve, play, pruner_of

PROMOTION = {
    "pruner__name": "asha-promotion",
    "pruner__min_resource": 1,
    "pruner__reduction_factor": 2,
    "pruner__startup_trials": 1,
    "pruner__audit_share": 0,
    "sampler__name": "random",
    "budget__trials": 14,
}


LEVELS = [0.30, 0.36, 0.34, 0.32, *(0.5 + 0.01 * n for n in range(20))]
"""Early trials are the better ones, so that they come to belong to the best half later."""


def level_curve(number: int) -> list[float]:
    return [LEVELS[number] + 0.3 / epoch for epoch in range(1, 10)]


class Watched(FakeExecutor):
    """Notes at each submission which trials then stood where in the database."""

    def __init__(self, output: Path, slots: int = 1) -> None:
        super().__init__(slots)
        self.output = output
        self.states: list[dict[int, str]] = []

    def submit(self, job: Job) -> None:
        trials = read_study(StudyFolder(self.output)).trials
        self.states.append({t.number: t.state for t in trials})
        super().submit(job)

    def _result(self, job: Job, epoch: int) -> EpochResult:
        error = level_curve(job.trial)[epoch - 1]
        return EpochResult(epoch, error, error, float(epoch), 100 * epoch, 1000 * epoch)


def epochs_file(output: Path, number: int) -> list[float]:
    lines = StudyFolder(output).trial(number).epochs.read_text().splitlines()
    return [json.loads(line)["validation_error"] for line in lines]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watched, StudyView]:
    """Return a search that promotes, to be read only."""
    output = tmp_path_factory.mktemp("watched") / "s"
    executor = Watched(output)
    reason, view = search(output, executor, **PROMOTION)
    assert "14 trials" in reason
    return output, executor, view


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    """Return a search that promotes and that nothing disturbed, to be read only."""
    return search(tmp_path_factory.mktemp("straight") / "s", FakeExecutor(), **PROMOTION)[1]


def test_promoted_trials_go_on_to_the_curve_of_a_trial_that_ran_through(
    watched: tuple[Path, Watched, StudyView],
) -> None:
    output, executor, view = watched
    assert len(view.trials) == 14
    promoted = {n for n in executor.submitted if executor.submitted.count(n) > 1}
    assert promoted >= {1, 2}
    for trial in view.trials:
        whole = level_curve(trial.number)
        assert list(trial.values.values()) == whole[: len(trial.values)]
        assert epochs_file(output, trial.number) == list(trial.values.values())
        assert list(trial.values) == list(range(1, len(trial.values) + 1))
        assert trial.state == ("complete" if len(trial.values) == 9 else "pruned")
        if trial.state == "pruned":
            assert trial.cause == f"not promoted by asha-promotion after epoch {len(trial.values)}"
            assert len(trial.values) in (1, 2, 4, 8)


def test_a_paused_trial_holds_no_worker_and_shows_as_paused(
    watched: tuple[Path, Watched, StudyView],
) -> None:
    _, executor, _ = watched
    assert any("paused" in states.values() for states in executor.states)
    for number, states in zip(executor.submitted, executor.states, strict=True):
        busy = [n for n, state in states.items() if state == "running" and n != number]
        assert busy == []  # the only slot was free although trials lay paused


def test_resume_of_a_search_that_pauses_gives_the_same_table(
    tmp_path: Path, straight: StudyView
) -> None:
    resumed: StudyView | None = None
    paused = kills = 0
    for kills in range(60):
        executor = FakeExecutor(die_after_epochs=11 + kills % 3)
        try:
            _, resumed = search(tmp_path / "b", executor, **PROMOTION)
        except KeyboardInterrupt:
            states = [t.state for t in read_study(StudyFolder(tmp_path / "b")).trials]
            paused = max(paused, states.count("paused"))
            continue
        break
    assert kills > 1
    assert paused >= 2
    assert resumed is not None
    assert table(resumed) == table(straight)


def test_resume_decides_again_where_a_kill_came_between_report_and_decision(
    tmp_path: Path, straight: StudyView
) -> None:
    """The database lacks the last epoch and the pause; the trial's folder has the epoch."""
    output = tmp_path / "b"
    victim = next(t for t in straight.trials if t.state == "pruned")
    executor = FakeExecutor()
    decide = executor.decide

    def die(trial: int, decision: object) -> None:
        if trial == victim.number:
            raise KeyboardInterrupt("killed before the decision was carried out")
        decide(trial, decision)  # type: ignore[arg-type]

    executor.decide = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        search(output, executor, **PROMOTION)
    import sqlite3

    with sqlite3.connect(output / "study.db") as connection:
        connection.execute(
            "DELETE FROM trial_intermediate_values WHERE trial_id=?", (victim.number + 1,)
        )
    _, resumed = search(output, FakeExecutor(), **PROMOTION)
    assert table(resumed) == table(straight)


def test_the_best_share_of_every_rung_has_gone_beyond_it() -> None:
    """Algorithm 2's promise, counted independently when nothing is left to promote."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        history, _ = play(pruner_of("asha-promotion"), [curve(rng) for _ in range(40)], 3)
        for rung in (1, 3, 9):
            reached = {
                t.number: min(list(t.values.values())[:rung])
                for t in history
                if len(t.values) >= rung
            }
            beyond = {t.number for t in history if len(t.values) > rung}
            best = sorted(reached, key=lambda n: reached[n])[: len(reached) // 3]
            assert set(best) <= beyond
            assert len(beyond) < len(reached)


def test_promotion_trains_fewer_epochs_than_stopping_gives_up_good_trials() -> None:
    """What asha has stopped for good, promotion may finish: of the same curves, none is lost."""
    lost = {"asha": 0, "asha-promotion": 0}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        curves = [curve(rng) for _ in range(30)]
        best = min(range(30), key=lambda n: min(curves[n]))
        for name in lost:
            history, _ = play(pruner_of(name), curves, 1)  # type: ignore[arg-type]
            lost[name] += history[best].state != "complete"
    assert lost["asha-promotion"] <= lost["asha"]


def test_audited_trials_run_to_the_end_and_change_no_other_decision(tmp_path: Path) -> None:
    settings = {
        "sampler__name": "random",  # which learns nothing of an audited trial's later epochs
        "pruner__min_resource": 1,
        "pruner__reduction_factor": 3,
        "budget__trials": 14,
    }
    _, without = search(tmp_path / "a", FakeExecutor(), pruner__audit_share=0, **settings)
    _, view = search(tmp_path / "b", FakeExecutor(), pruner__audit_share=0.5, **settings)
    audited = [t for t in view.trials if t.audit is not None]
    pruned = [t for t in without.trials if t.state == "pruned"]
    assert 1 <= len(audited) < len(pruned)
    for trial in audited:
        assert (trial.state, len(trial.values)) == ("complete", 9)
        assert len(without.trials[trial.number].values) == trial.audit
    undone = [(t.number, t.state, dict(t.values)) for t in without_audits(view.trials)]
    assert undone == [(t.number, t.state, dict(t.values)) for t in without.trials]


def test_resume_keeps_an_audit(tmp_path: Path) -> None:
    settings = {**PROMOTION, "pruner__audit_share": 0.5, "budget__trials": 10}
    _, straight = search(tmp_path / "a", FakeExecutor(), **settings)
    assert any(t.audit is not None for t in straight.trials)
    for kills in range(60):
        try:
            _, resumed = search(
                tmp_path / "b", FakeExecutor(die_after_epochs=17 + kills % 3), **settings
            )
        except KeyboardInterrupt:
            continue
        break
    assert table(resumed) == table(straight)
    assert [t.audit for t in resumed.trials] == [t.audit for t in straight.trials]


def test_the_share_of_audits_is_the_one_asked_for() -> None:
    chosen = sum(is_audited(7, number, 0.05) for number in range(4000))
    assert 150 <= chosen <= 250  # 200 +- 3.6 standard deviations
    assert not any(is_audited(7, number, 0.0) for number in range(100))
    assert all(is_audited(7, number, 1.0) for number in range(100))
    assert [is_audited(7, n, 0.5) for n in range(64)] != [is_audited(8, n, 0.5) for n in range(64)]


def test_without_audits_is_the_history_the_pruner_left() -> None:
    trial = TrialRecord(0, "complete", {}, {1: 0.5, 2: 0.4, 3: 0.1}, 0.1, audit=2)
    other = TrialRecord(1, "running", {}, {1: 0.5}, 0.5)
    seen, same = without_audits([trial, other])
    assert (seen.state, dict(seen.values), seen.value) == ("pruned", {1: 0.5, 2: 0.4}, 0.4)
    assert same is other


def test_out_of_memory_is_no_fault_of_the_environment(tmp_path: Path) -> None:
    from hpsearch.execution import Ending

    executor = FakeExecutor()
    executor.failing = dict.fromkeys(range(6), Ending.OUT_OF_MEMORY)
    _, view = search(tmp_path / "s", executor, budget__trials=8, sampler__name="random")
    assert [t.state for t in view.trials[:6]] == ["failed"] * 6
    assert all(t.out_of_memory for t in view.trials[:6])
    assert len({json.dumps(dict(t.params)) for t in view.trials}) == 8
