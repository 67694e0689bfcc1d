"""Each limit of a budget ends a search through the driver, and `status` says what pruning did."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpsearch.cli.search import status
from hpsearch.driver.driver import Driver
from hpsearch.driver.environment import Environment
from hpsearch.execution import Ending, Job
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.maintenance.repair import repair
from hpsearch.paths import StudyFolder
from hpsearch.space.resource import Resource
from hpsearch.space.space import SearchSpace
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.lock import study_lock
from hpsearch.study.plan import DataPlace, plan_study, save_plan
from hpsearch.training.epoch import EpochResult
from hpsearch.wording import percent
from tests.support.fake_executor import FakeExecutor
from tests.support.problems import shipped_study

from .test_driver import DATASET, Silent, search

OPEN: dict[str, Any] = {"budget__trials": None, "pruner__name": "none", "sampler__name": "random"}


class Timed(FakeExecutor):
    """A minute passes with every epoch."""

    def clock(self) -> float:
        return 60.0 * self.epochs


class Level(FakeExecutor):
    """Every trial is as good as every other."""

    def _result(self, job: Job, epoch: int) -> EpochResult:
        return EpochResult(epoch, 0.3, 0.3, float(epoch), 100 * epoch, 1000 * epoch)


def timed_search(output: Path, hours: float) -> tuple[str, StudyView]:
    executor = Timed()
    settings = {key.replace("__", "."): value for key, value in OPEN.items()}
    plan = plan_study(
        "quickstart", output, {"trial.max_epochs": 9, "budget.hours": hours, **settings}
    )
    with study_lock(plan.folder):
        save_plan(plan, DATASET)
        place = DataPlace("/nowhere", "f" * 64)
        around = replace(Environment.of(plan, place), clock=executor.clock)
        reason = Driver(plan, place, executor, Silent(), lambda: 0, around).run()
    return reason, read_study(StudyFolder(output))


def test_hours_end_a_search_and_count_over_its_runs(tmp_path: Path) -> None:
    """Trials of nine minutes: the one that begins within the budget still ends."""
    reason, view = timed_search(tmp_path / "s", 0.2)
    assert reason == "the budget of 0.2 hours is spent"
    assert [(t.state, len(t.values)) for t in view.trials] == [("complete", 9)] * 2
    assert view.driver_seconds == 18 * 60
    again, same = timed_search(tmp_path / "s", 0.2)
    assert again == reason
    assert len(same.trials) == 2
    longer, view = timed_search(tmp_path / "s", 0.5)  # 30 minutes, 18 of them spent
    assert longer == "the budget of 0.5 hours is spent"
    assert len(view.trials) == 4


def test_compute_ends_a_search(tmp_path: Path) -> None:
    plan = plan_study("quickstart", tmp_path / "plan", {})
    resource = Resource("epochs", plan.config.trial)
    limit = 2.5 * 9 * resource.cost({})  # the first trial is the study's own configuration
    reason, view = search(tmp_path / "s", FakeExecutor(), budget__compute=limit, **OPEN)
    assert reason == f"the budget of {limit:.3g} multiply-adds is spent"
    spent = [9 * resource.cost(t.params) for t in view.trials]
    assert {t.state for t in view.trials} == {"complete"}
    assert sum(spent[:-1]) < limit <= sum(spent)
    assert len(spent) > 1


def test_no_expected_gain_ends_a_search(tmp_path: Path) -> None:
    """Ten equal trials: none of the thirty left is expected to be better."""
    settings = {**OPEN, "budget__trials": 40, "trial__max_epochs": 1, "sampler__startup_trials": 8}
    reason, view = search(
        tmp_path / "s", Level(), budget__stop_when="no expected gain", **settings
    )
    assert reason.startswith("no expected gain: with a probability of 90 % 30 more trials lower")
    assert [t.state for t in view.trials] == ["complete"] * 10


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[[Path, bool], str]:
    def show(study: Path, as_json: bool) -> str:
        status(str(study), json=as_json)
        return capsys.readouterr().out

    return show


def test_status_says_what_pruning_saved(
    tmp_path: Path, printed: Callable[[Path, bool], str]
) -> None:
    _, view = search(tmp_path / "s", FakeExecutor(), pruner__audit_share=0, budget__trials=10)
    short = [len(t.values) for t in view.trials if t.state == "pruned"]
    assert short
    saved = sum(9 - epochs for epochs in short)
    share = saved / (saved + sum(len(t.values) for t in view.trials))
    (line,) = [t for t in printed(tmp_path / "s", False).splitlines() if t.startswith("pruning")]
    assert line == (
        f"pruning: {len(short)} pruned, {saved} epochs saved ({percent(share, 0)}); a pruned "
        "trial would have beaten the best: unknown (0 of at least 10 audits)"
    )
    told = json.loads(printed(tmp_path / "s", True))["pruning"]
    assert (told["pruned"], told["audited"], told["epochs_saved"]) == (len(short), 0, saved)
    assert told["interval"] is None


class Late(FakeExecutor):
    """Trial 1 fails after its third epoch."""

    def _step(self, trial: int) -> None:
        if trial == 1 and self._running[trial][1] == 3:
            self.failing = {1: Ending.FAILED}
        super()._step(trial)


def test_a_trial_that_fails_late_has_no_error_in_database_and_folder(tmp_path: Path) -> None:
    _, view = search(tmp_path / "s", Late(), pruner__name="none")
    failed = view.trials[1]
    assert (failed.state, failed.value, len(failed.values)) == ("failed", None, 3)
    assert [v for v in check_invariants(view.folder) if v.standing == "broken"] == []


def test_audits_are_known_again_when_the_database_is_built_again(tmp_path: Path) -> None:
    _, view = search(tmp_path / "s", FakeExecutor(), pruner__audit_share=1.0)
    audits = [t.audit for t in view.trials]
    assert any(audits)
    view.folder.database.unlink()
    repair(view.folder)
    assert [t.audit for t in read_study(view.folder).trials] == audits


def few(output: Path, executor: FakeExecutor, **changes: Any) -> tuple[str, StudyView]:
    """Search a space of three configurations."""
    space = SearchSpace.from_yaml(shipped_study("quickstart").space)
    kept = {name: p.extremes[0] for name, p in space.parameters.items()} | {
        "conv1.filter_size": None
    }
    freeze = {name: value for name, value in kept.items() if value is not None}
    size = space.parameters["conv1.filter_size"]
    count = len(size.values() or ())
    more = {"freeze": freeze, "enqueue": [], "budget__trials": count + 9, **changes}
    reason, view = search(output, executor, **more)
    assert len({t.params["conv1.filter_size"] for t in view.trials}) == len(view.trials) <= count
    return reason, view


@pytest.mark.parametrize("pruner", ["none", "asha-promotion"])
def test_a_space_that_is_used_up_ends_the_search_once_what_runs_has_ended(
    tmp_path: Path, pruner: str
) -> None:
    reason, view = few(tmp_path / "s", FakeExecutor(slots=2), pruner__name=pruner)
    assert "no configuration left that was not tried" in reason
    assert all(t.finished for t in view.trials)
    assert {len(t.values) for t in view.trials if t.state == "complete"} == {9}
    executor = FakeExecutor(slots=2)
    again, same = few(tmp_path / "s", executor, pruner__name=pruner)
    assert again == reason
    assert executor.submitted == []
    assert same.trials == view.trials


def test_a_spent_budget_only_finishes_what_was_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "s", FakeExecutor(die_after_epochs=5), **OPEN, budget__hours=1)
    executor = FakeExecutor(slots=3)
    reason, view = search(tmp_path / "s", executor, **OPEN, budget__hours=1e-9)
    assert reason == "the budget of 1e-09 hours is spent"
    assert executor.submitted == [0]
    assert [(t.state, len(t.values)) for t in view.trials] == [("complete", 9)]
