"""The driver against an executor that trains nothing, on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import optuna
import pytest

from hpsearch.driver.driver import Driver
from hpsearch.driver.progress import Progress
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.execution import Ended, Ending, Job
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.lock import study_lock
from hpsearch.study.plan import DataPlace, plan_study, save_plan
from tests.support.fake_executor import FakeExecutor
from tests.support.observer import Silent

DATASET = {"kind": "glyphs", "fingerprint": "f" * 64, "packed": "/nowhere", "source": None}


class Timed(Silent):
    """Looks at the times that it is told."""

    def update(self, progress: Callable[[], Progress]) -> None:
        super().update(progress)
        for trial in self.last.running:  # both by the driver's clock, whatever that counts from
            assert 0 <= trial.began <= self.last.now < 3600


def search(
    output: Path, executor: FakeExecutor, interrupts: int = 0, **changes: object
) -> tuple[str, StudyView]:
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    plan = plan_study(
        "quickstart", output, {"trial.max_epochs": 9, "budget.trials": 8, **settings}
    )
    with study_lock(plan.folder):
        save_plan(plan, DATASET)
        place = DataPlace("/nowhere", "f" * 64)
        reason = Driver(plan, place, executor, Timed(), lambda: interrupts).run()
    return reason, read_study(StudyFolder(output))


def table(view: StudyView) -> list[tuple[object, ...]]:
    return [
        (t.number, t.state, t.value, tuple(t.values.items()), tuple(t.params.items()))
        for t in view.trials
    ]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    """Return a search of eight trials that nothing disturbed, to be read only."""
    return search(tmp_path_factory.mktemp("straight") / "s", FakeExecutor())[1]


def test_search_ends_with_the_budget_and_the_same_command_adds_nothing(tmp_path: Path) -> None:
    reason, view = search(tmp_path / "s", FakeExecutor())
    assert "8 trials" in reason
    assert len(view.trials) == 8
    assert all(t.finished for t in view.trials)
    assert {t.state for t in view.trials} == {"complete", "pruned"}
    executor = FakeExecutor()
    _, again = search(tmp_path / "s", executor)
    assert executor.submitted == []
    assert table(again) == table(view)
    _, more = search(tmp_path / "s", FakeExecutor(), budget__trials=10)
    assert table(more)[:8] == table(view)
    assert len(more.trials) == 10


@pytest.mark.parametrize(
    ("chosen", "proposer"),
    [
        ({"sampler__startup_trials": 3, "pruner__name": "expected"}, "bayes"),
        ({"sampler__name": "tpe", "sampler__startup_trials": 3}, "tpe"),
    ],
)
def test_resume_after_a_kill_gives_the_same_table(
    tmp_path: Path, chosen: dict[str, object], proposer: str
) -> None:
    """The default, bayes with expected, and tpe with asha."""
    _, straight = search(tmp_path / "a", FakeExecutor(), **chosen)
    for kills in range(50):
        executor = FakeExecutor(die_after_epochs=3 + 2 * (kills % 3))
        try:
            _, resumed = search(tmp_path / "b", executor, **chosen)
        except KeyboardInterrupt:
            continue
        break
    assert kills > 3
    assert table(resumed) == table(straight)
    assert {t.state for t in straight.trials} == {"complete", "pruned"}
    assert {a["origin"] for n, a in straight.attributes.items() if n > 3} == {proposer}


def test_resume_adopts_a_result_the_database_missed(tmp_path: Path) -> None:
    _, view = search(tmp_path / "s", FakeExecutor())
    database = tmp_path / "s" / "study.db"
    import sqlite3

    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE trials SET state='RUNNING', datetime_complete=NULL WHERE number=7"
        )
        connection.execute("DELETE FROM trial_values WHERE trial_id=8")
        connection.execute("DELETE FROM trial_intermediate_values WHERE trial_id=8 AND step > 1")
    executor = FakeExecutor()
    _, again = search(tmp_path / "s", executor)
    assert executor.submitted == []
    assert table(again) == table(view)


def test_interrupt_leaves_running_trials_that_continue(
    tmp_path: Path, straight: StudyView
) -> None:
    output = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        search(output, FakeExecutor(die_after_epochs=5))
    reason, view = search(output, FakeExecutor(), interrupts=1)
    assert reason == "interrupted"
    assert view.trials[0].state == "running"
    _, resumed = search(output, FakeExecutor())
    assert table(resumed) == table(straight)


def test_several_workers_finish_exactly_the_budget(tmp_path: Path) -> None:
    _, view = search(tmp_path / "s", FakeExecutor(slots=4), budget__trials=20)
    assert [t.number for t in view.trials] == list(range(20))
    assert all(t.finished for t in view.trials)


@pytest.mark.usefixtures("asks_apart")
def test_optuna_reads_the_study(tmp_path: Path, straight: StudyView) -> None:
    _, view = search(tmp_path / "s", FakeExecutor())
    assert table(view) == table(straight)  # whose suggestions were made in this process
    study = optuna.load_study(
        study_name="quickstart", storage=f"sqlite:///{tmp_path / 's' / 'study.db'}"
    )
    for trial, record in zip(study.trials, view.trials, strict=True):
        assert trial.params == dict(record.params)
        assert sorted(trial.intermediate_values) == list(range(1, len(record.values) + 1))
        assert trial.value == min(trial.intermediate_values.values())
    config = (tmp_path / "s" / "trials" / "00003" / "config.yaml").read_text()
    assert f"filter_size: {study.trials[3].params['conv1.filter_size']}" in config
    lines = (tmp_path / "s" / "trials" / "00000" / "epochs.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 10))


def test_a_trial_whose_worker_always_dies_fails_after_three_attempts(tmp_path: Path) -> None:
    executor = FakeExecutor()
    executor.losing = {2}
    _, view = search(tmp_path / "s", executor)
    assert view.trials[2].state == "failed"
    assert view.trials[2].cause == "killed by signal 9"
    assert executor.submitted.count(2) == 3
    assert len(view.trials) == 8


def test_an_epoch_that_a_kill_left_unreported_is_decided_on_first(
    tmp_path: Path, straight: StudyView
) -> None:
    ends = list(accumulate(len(t.values) for t in straight.trials))
    pruned = [end for end, t in zip(ends, straight.trials, strict=True) if t.state == "pruned"]
    for count in pruned[:3]:  # killed after the checkpoint of the epoch that ends a trial
        folder = tmp_path / str(count)
        with pytest.raises(KeyboardInterrupt):
            search(folder, FakeExecutor(die_after_epochs=count - 1, unreported=True))
        _, view = search(folder, FakeExecutor())
        assert table(view) == table(straight), count


def test_a_trial_taken_back_waits_for_the_worker_that_still_has_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "s", FakeExecutor(slots=2, die_after_epochs=30))
    plan = plan_study("quickstart", tmp_path / "s", {"trial.max_epochs": 9, "budget.trials": 8})
    executor = FakeExecutor(slots=3)
    with study_lock(plan.folder):
        driver = Driver(plan, DataPlace("/nowhere", "f" * 64), executor, Silent(), lambda: 0)
        driver._begin()
        taken, other = driver._waiting
        driver._abandoned, driver._no_new = {taken}, "the budget is spent"
        driver._fill_slots()
        assert executor.submitted == [other]
        driver._handle(Ended(taken, Ending.STOPPED))
        driver._fill_slots()
        assert executor.submitted == [other, taken]
        driver._store.close()


def test_outcomes_are_told_apart(tmp_path: Path) -> None:
    executor = FakeExecutor()
    executor.failing = {1: Ending.OUT_OF_MEMORY, 3: Ending.DIAGNOSED}
    _, view = search(tmp_path / "s", executor)
    assert view.trials[1].state == "failed"
    assert view.trials[1].value is None
    assert "out of memory" in (view.trials[1].cause or "")
    assert view.trials[3].state == "pruned"
    assert not view.trials[3].trainable


def test_failures_in_a_row_stop_the_search(tmp_path: Path) -> None:
    executor = FakeExecutor()
    executor.failing = dict.fromkeys(range(100), Ending.FAILED)
    with pytest.raises(EnvironmentFailure, match="5 trials failed in a row"):
        search(tmp_path / "s", executor, budget__trials=50)


def test_a_disk_that_fails_a_worker_ends_the_search_and_costs_no_trial(
    tmp_path: Path, straight: StudyView
) -> None:
    executor = FakeExecutor()
    executor.failing = {3: Ending.ENVIRONMENT}
    with pytest.raises(EnvironmentFailure, match="told to"):
        search(tmp_path / "s", executor)
    _, view = search(tmp_path / "s", FakeExecutor())
    assert [(t.state, t.value, t.params) for t in view.trials] == [
        (t.state, t.value, t.params) for t in straight.trials
    ]


def test_only_the_best_three_keep_checkpoints(tmp_path: Path) -> None:
    _, view = search(tmp_path / "s", FakeExecutor(), pruner__name="none")
    kept = {int(p.parent.name) for p in (tmp_path / "s" / "trials").glob("*/checkpoint")}
    best = sorted(view.trials, key=lambda t: (t.value, t.number))[:3]
    assert kept == {t.number for t in best}


@pytest.mark.parametrize(
    ("change", "value"), [("seed", 5), ("sampler__name", "random"), ("pruner__name", "median")]
)
def test_another_study_in_the_same_folder_is_refused(
    tmp_path: Path, change: str, value: object
) -> None:
    search(tmp_path / "s", FakeExecutor(), budget__trials=1)
    with pytest.raises(InputError, match=change.split("__")[0]):
        search(tmp_path / "s", FakeExecutor(), **{"budget__trials": 1, change: value})


def test_a_locked_study_names_its_holder(tmp_path: Path) -> None:
    plan = plan_study("quickstart", tmp_path / "s", {})
    with (
        study_lock(plan.folder),
        pytest.raises(InputError, match=r"held by pid \d+ .*\(hpsearch search\)"),
        study_lock(plan.folder),
    ):
        pass


def test_od8_what_a_killed_worker_left_half_written_goes_when_its_trial_ends(
    tmp_path: Path,
) -> None:
    class Killed(FakeExecutor):
        def submit(self, job: Job) -> None:
            super().submit(job)
            job.checkpoint.with_name("..checkpoint.tmp.abc.tmp").write_bytes(b"half")

    search(tmp_path / "s", Killed(), budget__trials=2)
    assert StudyFolder(tmp_path / "s").temporary_files() == []
