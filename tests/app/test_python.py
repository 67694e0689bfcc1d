"""A search from Python, whole: a function, the study after it, callbacks, and what is asked."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpsearch
import hpsearch.report
from hpsearch.app.python import _flat, _space
from hpsearch.app.study import Study
from hpsearch.driver.requests import waiting
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.space.space import SearchSpace
from hpsearch.trial import TrialRecord
from tests.support.command_line import run

SCRIPT = """\
import sys
import time
from collections.abc import Iterator

import hpsearch

SPACE = {"x": {"type": "float", "low": 0, "high": 1}, "kind": {"type": "categorical",
         "choices": ["a", "b"]}}


def train(x: float, kind: str, seed: int) -> float:
    print("seed", seed)
    return x + (kind == "b")


def steps(x: float) -> Iterator[float]:
    for step in range(40):
        time.sleep(0.05 if step else 0)
        yield step + 1, x - 1 / (step + 1), {"twice": 2 * x}
"""


class Told(hpsearch.Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def on_trial_start(self, trial: TrialRecord) -> None:
        self.events.append(("start", trial.number))

    def on_report(self, trial: TrialRecord, step: int, value: float, metrics: Any) -> None:
        self.events.append(("report", trial.number, step, value, dict(metrics)))

    def on_trial_end(self, trial: TrialRecord) -> None:
        self.events.append(("end", trial.number, trial.state, trial.value))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a module to search, from which functions are imported; we are in it."""
    folder = tmp_path_factory.mktemp("python") / "a folder"
    folder.mkdir()
    (folder / "searched_here.py").write_text(SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.delenv("HPSEARCH_DATA", raising=False)
        yield folder
        sys.modules.pop("searched_here", None)


@pytest.fixture(scope="module")
def searched(place: Path) -> tuple[Study, Told]:
    """A search of a function for large values."""
    searched_here = importlib.import_module("searched_here")
    told = Told()
    study = hpsearch.search(
        searched_here.train, searched_here.SPACE, trials=3, workers=1, output="r", seed=3,
        direction="maximize", sampler={"name": "random"}, callbacks=[told],
    )  # fmt: skip
    return study, told


def test_a_function_is_searched(searched: tuple[Study, Told]) -> None:
    study, _ = searched
    assert (str(study.folder), study.confirmed, repr(study)) == ("r", False, "Study.open('r')")
    values = [t.params["x"] + (t.params["kind"] == "b") for t in study.trials]
    assert [t.value for t in study.trials] == values
    assert study.best is not None
    assert study.best.value == max(values)
    assert [t.values for t in study.trials] == [{1: value} for value in values]
    seeds = {(study.folder / f"trials/0000{n}/log.txt").read_text() for n in range(3)}
    assert len(seeds) == 3
    assert Study.open("r").trials == study.trials
    assert run("verify", "r").out.startswith("train: 3 trials: 3 derived again and equal")
    assert run("status", "r", "--json").code == 0


def test_callbacks_are_told_in_order(searched: tuple[Study, Told]) -> None:
    study, told = searched
    expected = []
    for t in study.trials:
        expected += [("start", t.number), ("report", t.number, 1, t.value, {})]
        expected += [("end", t.number, "complete", t.value)]
    assert told.events == expected


def test_the_same_call_continues_and_another_is_refused(searched: tuple[Study, Told]) -> None:
    searched_here = importlib.import_module("searched_here")
    study, _ = searched
    same = {"workers": 1, "output": "r", "seed": 3, "direction": "maximize"}
    same["sampler"] = {"name": "random"}
    before = list(study.trials)
    more = hpsearch.search(searched_here.train, searched_here.SPACE, trials=4, **same)
    assert more.trials[:3] == before
    assert len(more.trials) == 4
    with pytest.raises(InputError, match="name: the study was begun with"):
        hpsearch.search(searched_here.steps, {"x": SPACE_X}, max_steps=1, output="r")
    assert run("search", "r", "--trials", "5").code == 0
    assert len(study.trials) == 5


SPACE_X = {"type": "float", "low": 0, "high": 1}


def test_a_study_is_exported_and_reported(searched: tuple[Study, Told], tmp_path: Path) -> None:
    study, _ = searched
    assert study.best is not None
    path = study.export(output=tmp_path / "best.yaml")
    assert f"trial: {study.best.number}\n" in path.read_text()
    assert study.export(trial=1) == Path("r/best.yaml")
    with pytest.raises(InputError, match="no trial of that number"):
        study.export(trial=99)


def test_a_report_is_written_where_it_is_asked_for(
    searched: tuple[Study, Told], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study, _ = searched
    asked: list[Any] = []
    monkeypatch.setattr(hpsearch.report, "write_report", lambda *a: asked.append(a) or tmp_path)
    assert study.report(tmp_path / "page.html") == tmp_path
    assert asked == [(StudyFolder(study.folder), tmp_path / "page.html")]


def test_a_confirmation_that_is_refused_is_one_line(searched: tuple[Study, Told]) -> None:
    with pytest.raises(InputError, match="--seeds") as raised:
        searched[0].confirm(top=2, seeds=1)
    assert "\n" not in str(raised.value)


def test_a_table_of_the_trials(
    searched: tuple[Study, Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _ = searched
    pandas = pytest.importorskip("pandas", reason="pandas comes with the extra pandas")
    table = study.trials_dataframe()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == [
        *("number", "value", "state", "params_x", "params_kind", "steps", "seconds", "cause")
    ]
    assert table["value"].tolist() == [t.value for t in study.trials]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pandas is not installed; make install-cluster"):
        study.trials_dataframe()


def test_a_request_takes_numbers_of_numpy(searched: tuple[Study, Told]) -> None:
    study, _ = searched
    params = {"x": np.float32(0.75), "kind": np.str_("b")}
    assert study.enqueue(params) == {"x": 0.75, "kind": "b"}
    (request,) = waiting(StudyFolder(study.folder))
    assert json.loads(request.read_text())["enqueue"] == {"x": 0.75, "kind": "b"}
    request.unlink()


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        Study.open(tmp_path)


class Asking(Told):
    """Asks for things while the search runs, and finds its events in the study already."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output

    def on_report(self, trial: TrialRecord, step: int, value: float, metrics: Any) -> None:
        super().on_report(trial, step, value, metrics)
        if (trial.number, step) == (0, 1):
            study = Study.open(self.output)
            study.stop_trial(0)
            assert study.enqueue({"x": 0.25}) == {"x": 0.25}

    def on_trial_end(self, trial: TrialRecord) -> None:
        super().on_trial_end(trial)
        if trial.number == 1:
            raise ZeroDivisionError("in a callback")


def test_what_is_asked_for_is_done_and_a_broken_callback_loses_nothing(place: Path) -> None:
    """A trial is stopped by hand, another one asked for; then the callback fails."""
    searched_here = importlib.import_module("searched_here")
    told = Asking("asked")
    settings = {"max_steps": 40, "output": "asked", "pruner": {"name": "none"}, "workers": 1}
    with pytest.raises(InputError) as raised:
        hpsearch.search(
            searched_here.steps, {"x": SPACE_X}, trials=3, callbacks=[told], **settings
        )
    assert str(raised.value) == (
        "callback Asking.on_trial_end, trial 1: ZeroDivisionError: in a callback; fix it, then "
        "the same call goes on"
    )
    first, second = Study.open("asked").trials
    assert first.state == "pruned"
    assert first.cause == f"stopped by a user after epoch {first.last_epoch}"
    assert first.last_epoch < 40
    assert (second.state, second.params, second.last_epoch) == ("complete", {"x": 0.25}, 40)
    reports = [event for event in told.events if event[:2] == ("report", 1)]
    assert [event[2] for event in reports] == list(range(1, 41))
    assert reports[0][3:] == (-0.75, {"twice": 0.5})
    assert list((place / "asked/requests").iterdir()) == []
    verified = run("verify", "asked")
    assert "2 trials: 1 derived again and equal, 1 enqueued" in verified.out, verified
    assert run("doctor", "asked").code == 0
    assert "enqueued while the study ran" in run("show", "asked", "1").out


def test_a_trial_that_loads_a_file_must_not_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_LOADING", "1")
    with pytest.raises(InputError, match='put the call under if __name__ == "__main__":'):
        hpsearch.search("quickstart")


@pytest.mark.parametrize(
    ("space", "settings", "why"),
    [
        (None, {}, r"hpsearch.search\(train\): a function needs a space"),
        ({"x": {"type": "flat"}}, {}, "space.parameters.x.type|parameters.x.type"),
        ({"x": SPACE_X}, {}, "train: asks for kind, which is no parameter of the space; it has x"),
        ({"x": SPACE_X}, {"budgets": 3}, r"hpsearch.search\(train\): budgets: unknown key"),
        ({"x": SPACE_X}, {"max_steps": 0}, "trainer.max_steps: must be at least 1"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(
    place: Path, space: Any, settings: dict[str, Any], why: str
) -> None:
    searched_here = importlib.import_module("searched_here")
    with pytest.raises(InputError, match=why) as raised:
        hpsearch.search(searched_here.train, space, output="refused", **settings)
    assert "\n" not in str(raised.value)
    assert not (place / "refused").exists()


def test_a_space_comes_from_optuna_a_file_or_entries() -> None:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    entries = {
        "a": FloatDistribution(1e-4, 0.1, log=True),
        "b": FloatDistribution(0, 1, step=0.25),
        "c": IntDistribution(1, 8),
        "d": IntDistribution(16, 64, step=16),
        "e": IntDistribution(1, 64, log=True),
        "f": CategoricalDistribution(["x", 2, True]),
        "g": {"type": "bool"},
    }
    space = SearchSpace.from_values(_space("s", entries))
    for name, distribution in entries.items():
        if name != "g":
            assert space.parameters[name].distribution() == distribution
    whole = _space("s", {"name": "mine", "parameters": {"x": SPACE_X}, "forbidden": [{"x": 0.5}]})
    assert (whole["name"], whole["forbidden"]) == ("mine", [{"x": 0.5}])
    assert _space("s", "space.yaml") == str(Path("space.yaml").resolve())
    with pytest.raises(InputError, match="f: None is no value of a parameter"):
        _space("s", {"f": CategoricalDistribution([None, 1])})


def test_settings_of_numpy_become_plain() -> None:
    numpy = pytest.importorskip("numpy")
    given = {"budget": {"trials": numpy.int64(3)}, "enqueue": [{"x": numpy.float64(0.5)}]}
    assert _flat(given) == [("budget.trials", 3), ("enqueue", [{"x": 0.5}])]
    assert all(type(value) is not numpy.int64 for _, value in _flat(given))


WHOLE = """\
import hpsearch


def train(x, trial):
    trial.report(1, x, {"loss": 2 * x})
    return x / 2


study = None
if __name__ == "__main__":
    board = hpsearch.TensorBoard("board")
    space = {"x": {"type": "float", "low": 0, "high": 1}}
    study = hpsearch.search(train, space, trials=2, workers=1, max_steps=2, callbacks=[board])
    print("best", study.best.value)
"""


@pytest.mark.slow
def test_a_script_searches_its_own_function_and_writes_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard comes with the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "whole.py").write_text(WHOLE)
    done = subprocess.run(
        [sys.executable, "sub/whole.py"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trials = Study.open(tmp_path / "runs/train").trials
    best = min(t.value for t in trials if t.value is not None)
    assert done.stdout.splitlines()[-1] == f"best {best}"
    for trial in trials:
        events = EventAccumulator(str(tmp_path / f"board/0000{trial.number}")).Reload()
        for tag, value in (("value", trial.values[1]), ("result", trial.value)):
            (scalar,) = events.Scalars(tag)
            assert (scalar.step, scalar.value) == (1, pytest.approx(value))
        assert events.Scalars("loss")[0].value == pytest.approx(2 * float(trial.params["x"]))
        assert "_hparams_/session_start_info" in events.summary_metadata
    json.loads((tmp_path / "runs/train/trials/00000/verdict.json").read_text())


def test_tensorboard_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match="TensorBoard is not installed; make install-cluster"):
        hpsearch.TensorBoard("board")
