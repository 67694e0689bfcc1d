"""Searches with real workers: pausing and promoting, and trials that cannot be trained."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.data import open_packed
from hpsearch.driver.driver import Driver
from hpsearch.errors import EnvironmentFailure
from hpsearch.execution import Decision, Ending
from hpsearch.execution.blame import ending_of
from hpsearch.execution.worker import run_job
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.paths import StudyFolder
from hpsearch.seeding import trial_seed
from hpsearch.storage.trial_files import read_curve
from hpsearch.storage.view import StudyView, read_study
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData
from hpsearch.trial import TrialRecord
from tests.support.jobs import Jobs, point

from .test_end_to_end import search_here

RATES = [
    f"{layer}.learning_rate" for layer in ("conv1", "conv2", "conv3", "conv4", "fc", "output")
]
L2S = [name.replace("learning_rate", "l2") for name in RATES]
GIANT = {"conv4": {"filter_size": 2, "filter_count": 4096, "pool": False}, "fc": {"width": 65536}}
"""3.4e10 weights behind the last map: more memory than a process may ask for."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute as the search's worker does: sums of other threads round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def search(folder: Path, packed: Path, **changes: Any) -> StudyView:
    """Search the quickstart's box with one real worker."""
    settings = {
        "dataset": "glyphs", "workers": 1, "device": "cpu", "sampler.name": "random",
        "trial.images_per_epoch": 128, "trial.max_epochs": 4, "pruner.audit_share": 0,
        **{key.replace("__", "."): value for key, value in changes.items()},
    }  # fmt: skip
    search_here(folder, packed, settings, threads=1)
    return read_study(StudyFolder(folder))


@pytest.mark.slow
def test_resume_from_a_pause_gives_the_curve_of_a_trial_that_ran_through(
    tmp_path: Path, glyphs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rung, after two of four epochs: who is promoted there goes on to the end."""
    promoted: dict[int, int] = {}
    promote = Driver._promote

    def noted(driver: Driver, trial: TrialRecord) -> None:
        promoted[trial.number] = len(trial.values)
        promote(driver, trial)

    monkeypatch.setattr(Driver, "_promote", noted)
    sizes = {"conv1": 4, "conv2": 6, "conv3": 8, "conv4": 8}
    counts = {f"trial__layers__{name}__filter_count": count for name, count in sizes.items()}
    space = tmp_path / "space.yaml"
    rates = "".join(
        f"  {name}: {{type: float, low: 1e-4, high: 1e-1, log: true}}\n" for name in RATES
    )
    space.write_text(f"name: s\nparameters:\n{rates}")
    view = search(
        tmp_path / "s", glyphs, seed=8, budget__trials=8, pruner__name="asha-promotion",
        pruner__min_resource=2, pruner__reduction_factor=2, pruner__startup_trials=1,
        enqueue=[], space=str(space), trial__layers__fc__width=16, **counts,
    )  # fmt: skip
    ended = {t.number: len(t.values) for t in view.trials}
    assert promoted
    assert set(promoted.values()) == {2}  # paused at the rung
    assert {(view.trials[n].state, ended[n]) for n in promoted} == {("complete", 4)}
    assert any("not promoted" in (t.cause or "") for t in view.trials)
    data = TrainingData.from_dataset(
        open_packed(glyphs), view.config.trial, study_seed=view.config.seed
    )
    for trial in view.trials:
        folder = view.folder.trial(trial.number)
        config = view.config.trial.with_parameters(dict(trial.params))
        seed = trial_seed(view.config.seed, trial.number)
        with one_thread():
            straight = [point(epoch.result) for epoch in train(config, data, seed)]
        told = [point(result) for result in read_curve(folder.epochs).epochs]
        assert told == straight[: ended[trial.number]]
        assert list(trial.values.values()) == [error for _, _, error, *_ in told]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "rate 10": (dict.fromkeys(RATES, 10.0), "saturated|dead|diverged"),
    "rate 1e-9": (dict.fromkeys(RATES, 1e-9), "stuck"),
    "L2 100": (dict.fromkeys(L2S, 100.0), "diverged"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_a_diagnosis_is_stored_with_its_epoch_as_a_violated_constraint(
    tmp_path: Path, glyphs: Path, name: str
) -> None:
    import optuna

    changes, kinds = BAD[name]
    settings = {f"trial__layers__{key.replace('.', '__')}": v for key, v in changes.items()}
    space = tmp_path / "space.yaml"
    space.write_text(
        "name: s\nparameters:\n  conv1.filter_count: {type: int, low: 16, high: 32}\n"
    )
    view = search(
        tmp_path / "s", glyphs, budget__trials=1, space=str(space), trial__max_epochs=20,
        trial__images_per_epoch=640, **settings,
    )  # fmt: skip
    (trial,) = view.trials
    assert (trial.state, trial.trainable) == ("pruned", False)
    assert (trial.cause or "").split(":")[0] in kinds.split("|"), trial.cause
    assert "epoch" in (trial.cause or "")
    assert view.attributes[0]["epochs"] == len(trial.values) < 20
    stored = optuna.load_study(
        study_name=view.name, storage=f"sqlite:///{view.folder.database}"
    ).trials[0]
    assert stored.system_attrs["constraints:trainable"] == 1.0
    assert stored.state is optuna.trial.TrialState.PRUNED


BEYOND = {
    "limits__multiply_adds": None,
    "limits__memory_gb": None,
    "trial__batch_characters": 2,
    **{f"trial__layers__conv{k}__filter_size": 1 for k in (1, 2)},
    **{f"trial__layers__conv{k}__pool": False for k in (1, 2, 3)},
    **{f"trial__layers__{n}__{k}": v for n, own in GIANT.items() for k, v in own.items()},
}


@pytest.mark.slow
def test_a_width_beyond_memory_is_a_failure_that_is_not_proposed_again(
    tmp_path: Path, glyphs: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("name: s\nparameters:\n  fc.width: {type: int, low: 8, high: 65536}\n")
    with pytest.raises(EnvironmentFailure, match="the only trial failed"):
        search(
            tmp_path / "s", glyphs, budget__trials=1, space=str(space),
            enqueue=[{"fc.width": 65536}], **BEYOND,
        )  # fmt: skip
    (trial,) = read_study(StudyFolder(tmp_path / "s")).trials
    assert trial.out_of_memory


def test_ob2_a_machine_without_room_for_the_smallest_network_is_to_blame(
    tmp_path: Path, glyphs: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("name: s\nparameters:\n  fc.width: {type: int, low: 65534, high: 65536}\n")
    with pytest.raises(
        EnvironmentFailure, match="also for the smallest network of the search space"
    ):
        search(tmp_path / "s", glyphs, budget__trials=2, space=str(space), **BEYOND)
    assert [t.state for t in read_study(StudyFolder(tmp_path / "s")).trials] == ["running"]


class OneDecision:
    """The worker's end of the pipes: pauses the trial after its first epoch."""

    def asked_to_stop(self) -> bool:
        return False

    def mark(self) -> None: ...

    def send(self, **message: Any) -> None: ...

    def wait_for_decision(self) -> Decision:
        return Decision.PAUSE


def test_a_paused_trial_leaves_no_network_in_the_worker(jobs: Jobs) -> None:
    job = jobs()
    fields = {**vars(job), "data": str(job.data), "checkpoint": str(job.checkpoint)}
    ended = run_job(fields, "cpu", OneDecision(), {})  # type: ignore[arg-type]
    assert ended.ending is Ending.PAUSED
    gc.collect()
    assert [o for o in gc.get_objects() if type(o) is SiameseNetwork] == []


def damaged(folder: Path, how: str) -> None:
    """Damage a copy of a packed data set."""
    if how == "meta.json is gone":
        (folder / "meta.json").unlink()
    for path in folder.glob("background*"):
        if how == "background is gone":
            path.unlink()
        elif how == "background is cut":
            path.write_bytes(path.read_bytes()[:200])
        elif how == "background is noise":
            path.write_bytes(b"noise" * 50)
        elif how == "background is a folder":
            path.unlink()
            path.mkdir()
        elif how == "validation labels lack an array" and path.suffix == ".npz":
            np.savez(folder / "validation-labels.npz", character=np.arange(3))


@pytest.mark.parametrize(
    "how",
    [
        "meta.json is gone", "background is gone", "background is cut", "background is noise",
        "background is a folder", "validation labels lack an array",
    ],
)  # fmt: skip
def test_ob1_damaged_data_is_the_environments_fault(
    tmp_path: Path, glyphs: Path, how: str
) -> None:
    copy = tmp_path / "packed"
    shutil.copytree(glyphs, copy)
    damaged(copy, how)
    job = Jobs(copy, tmp_path)()
    fields = {**vars(job), "data": str(job.data), "checkpoint": str(job.checkpoint)}
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, whose fault is asked
        run_job(fields, "cpu", OneDecision(), {})  # type: ignore[arg-type]
    assert ending_of(caught.value) is Ending.ENVIRONMENT
    assert str(copy) in str(caught.value)
