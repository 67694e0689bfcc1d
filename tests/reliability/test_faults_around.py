"""F10, F13, F16: values, clocks and folders that are not what a search may expect."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.data import open_packed
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.execution import Ending, Job
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.storage import optuna_tables
from hpsearch.training.epoch import EpochResult
from tests.support.cases import ENQUEUED, search
from tests.support.command_line import run
from tests.support.fake_executor import FakeExecutor
from tests.support.slow import rest_slow
from tests.support.trainings import tiny_config

See = Callable[[object], None]
SETTINGS = {"enqueue": ENQUEUED[:4], "budget__trials": 4}


def test_F10_a_diverged_trial_is_never_best(tmp_path: Path) -> None:
    """PRUNED, not trainable, with its cause; the study goes on"""
    executor = FakeExecutor()
    executor.failing = {0: Ending.DIAGNOSED, 2: Ending.DIAGNOSED}
    view = search(tmp_path / "study", executor, **SETTINGS)
    assert [t.state for t in view.trials] == ["pruned", "complete", "pruned", "complete"]
    assert [t.trainable for t in view.trials] == [False, True, False, True]
    assert {v.standing for v in check_invariants(StudyFolder(tmp_path / "study"))} == {"holds"}


class NotFinite(FakeExecutor):
    """Trial 1's validation error is no number from an epoch on."""

    def __init__(self, value: float, first: int) -> None:
        super().__init__()
        self.value, self.first = value, first

    def _result(self, job: Job, epoch: int) -> EpochResult:
        result = super()._result(job, epoch)
        bad = job.trial == 1 and epoch >= self.first
        return replace(result, validation_error=self.value) if bad else result


@pytest.mark.parametrize("first", rest_slow([1, 2]))
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_F10_an_objective_that_is_not_finite_is_never_best(
    tmp_path: Path, value: float, first: int, see: See
) -> None:
    """PRUNED, not trainable, with its cause, after the finite epochs; the study goes on"""
    output = tmp_path / "study"
    view = search(output, NotFinite(value, first), **SETTINGS)
    bad = view.trials[1]
    assert [t.state for t in view.trials] == ["complete", "pruned", "complete", "complete"]
    assert not bad.trainable
    assert bad.last_epoch == first - 1
    assert bad.value is None or math.isfinite(bad.value)
    assert {v.standing for v in check_invariants(view.folder)} == {"holds"}
    assert "best: trial 3" in run("status", output).out
    see(bad.cause)


def test_F10_a_loss_that_is_not_finite_ends_training(packed: Path) -> None:
    """diagnosed within the epoch"""
    from hpsearch.training.loop import train
    from hpsearch.training.trainingdata import TrainingData

    config = tiny_config({"learning_rate": 1e5}, drawers=2)
    data = TrainingData.from_dataset(open_packed(packed), config, study_seed=0)
    results = [epoch.result for epoch in train(config, data, 0)]
    assert results[-1].diagnosis is not None
    assert "diverged" in results[-1].diagnosis


class Clock(datetime.datetime):
    """A wall clock that is set by some hours between any two looks."""

    hours = 0

    looks = 0

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        cls.looks += 1
        set_by = datetime.timedelta(hours=cls.hours * cls.looks)
        return datetime.datetime(2026, 3, 29, 12, tzinfo=tz) + set_by


@pytest.mark.parametrize("hours", [-1, 1, 24 * 365])
def test_F13_a_clock_set_during_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """no trial fails, the hours at work do not run out, no trial ends before it began"""
    clock = type("Set", (Clock,), {"hours": hours})
    import optuna.storages._rdb.storage as optuna_storage
    import optuna.trial._frozen as optuna_trial

    for module in (optuna_tables, optuna_trial, optuna_storage):
        names = {"datetime": clock, "timedelta": datetime.timedelta, "UTC": datetime.UTC}
        fake = type("fake", (), names)
        name = "datetime"
        whole_module = hasattr(getattr(module, name), "datetime")
        monkeypatch.setattr(module, name, fake if whole_module else clock)
    view = search(tmp_path / "study", budget__hours=1, **SETTINGS)
    assert clock.looks > 4
    assert {t.state for t in view.trials} == {"complete"}
    assert view.driver_seconds < 600
    assert all(float(a["seconds"]) >= 0 for a in view.attributes.values())
    assert {v.standing for v in check_invariants(StudyFolder(tmp_path / "study"))} == {"holds"}


def test_F16_the_study_is_deleted_during_the_search(tmp_path: Path, see: See) -> None:
    """exit 3, files kept; the next run says how to get it back, and that works"""
    import optuna

    output = tmp_path / "study"

    class Deleting(FakeExecutor):
        def submit(self, job: Job) -> None:
            if job.trial == 2:
                url = f"sqlite:///{output / 'study.db'}"
                optuna.delete_study(study_name="small", storage=url)
            super().submit(job)

    with pytest.raises(EnvironmentFailure, match="run the same command again") as caught:
        search(output, Deleting(), **SETTINGS)
    with pytest.raises(InputError, match=r"doctor .* --repair"):
        search(output, **SETTINGS)
    assert run("doctor", output, "--repair").code == 0
    view = search(output, **SETTINGS)
    assert [t.state for t in view.trials] == ["complete"] * 4
    see(f"exit {caught.value.exit_code}: {caught.value}; built again")


def test_F16_the_folder_is_renamed_during_the_search(tmp_path: Path, see: See) -> None:
    """exit 3 at the next write, results kept; under its new name the same study goes on"""
    output, moved = tmp_path / "study", tmp_path / "moved"

    class Renaming(FakeExecutor):
        def submit(self, job: Job) -> None:
            if job.trial == 2:
                output.rename(moved)
            super().submit(job)

    with pytest.raises(EnvironmentFailure, match="run the same command again") as caught:
        search(output, Renaming(), **SETTINGS)
    left = {path.name for path in output.rglob("*") if path.is_file()}
    assert not left & {"study.db", "study.yaml"}
    again = FakeExecutor()
    view = search(moved, again, file=moved, **SETTINGS)
    assert again.submitted == [2, 3]
    assert [t.state for t in view.trials] == ["complete"] * 4
    assert {v.standing for v in check_invariants(view.folder)} == {"holds"}
    see(f"exit {caught.value.exit_code}: {caught.value}; went on under its new name")
