"""What Optuna Dashboard shows of a study: what was trained, on its scale, and why it ended."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

from hpsearch.configfile import read_yaml
from hpsearch.data import Dataset
from hpsearch.execution import Ending
from hpsearch.paths import StudyFolder
from hpsearch.results.dashboard import make_app
from hpsearch.results.notes import standings
from hpsearch.space.effects import leaf_paths
from hpsearch.storage.view import read_study
from hpsearch.training.config import TrialConfig
from hpsearch.trial import TrialRecord
from tests.driver.test_driver import search
from tests.support.fake_executor import FakeExecutor
from tests.support.made_study import certificate_of, write_study
from tests.support.wsgi import ask


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of quickstart's 27 parameters, two of whose trials end badly."""
    folder = tmp_path_factory.mktemp("dashboard") / "s"
    executor = FakeExecutor()
    executor.failing = {5: Ending.OUT_OF_MEMORY, 6: Ending.DIAGNOSED}
    search(folder, executor, pruner__name="none", budget__trials=12, sampler__name="random")
    return folder


@pytest.fixture(scope="module")
def detail(root: Path) -> dict[str, Any]:
    app = make_app(StudyFolder(root), write=False)
    found: dict[str, Any] = json.loads(ask(app, "/api/studies/1").body)
    return found


def test_names_values_and_scales_are_those_trained(root: Path, detail: dict[str, Any]) -> None:
    for shown in detail["trials"]:
        path = StudyFolder(root).trial(shown["number"]).config
        trained = leaf_paths(TrialConfig.from_values(read_yaml(path)))
        assert len(shown["params"]) == 27
        for parameter in shown["params"]:
            value = trained[parameter["name"]]
            assert math.isclose(float(parameter["param_external_value"]), value, rel_tol=1e-12)
    scales = {p["name"]: p["distribution"] for p in detail["trials"][0]["params"]}
    assert scales["conv1.learning_rate"]["log"] is True
    assert (scales["conv1.learning_rate"]["low"], scales["conv1.learning_rate"]["high"]) == (
        0.01,
        0.1,
    )
    assert scales["conv2.momentum"]["log"] is False
    assert (scales["fc.width"]["low"], scales["fc.width"]["step"]) == (128, 16)
    assert (scales["conv1.filter_size"]["low"], scales["conv1.filter_size"]["high"]) == (2, 7)


def test_each_trial_carries_a_note_with_the_cause_of_its_end(
    root: Path, detail: dict[str, Any]
) -> None:
    notes = {t["number"]: t["note"]["body"] for t in detail["trials"]}
    for trial in read_study(StudyFolder(root)).trials:
        assert f"**Trial {trial.number}** " in notes[trial.number]
        assert trial.cause is None or trial.cause in notes[trial.number]
    assert "out of memory" in notes[5]
    assert "Why it ended" in notes[6]


def certificate_text(trial: int, search_error: float, compared: list[int]) -> str:
    rows = [{"search_error": search_error, "probability_best": 0.97}]
    return json.dumps(certificate_of(trial, rows, probability_best=0.97, compared=compared))


def test_the_best_trials_note_says_whether_it_is_confirmed(
    dataset: Dataset, tmp_path: Path
) -> None:
    """It is asked anew each time: the best changes, and so does the certificate."""
    folder = write_study(tmp_path / "s", dataset)  # trial 1 is the best of two
    app = make_app(folder, write=True)

    def said() -> tuple[str, dict[int, str]]:
        found = json.loads(ask(app, "/api/studies/1").body)
        later = json.loads(ask(app, "/api/studies/1", QUERY_STRING="after=5").body)
        assert later["note"] == found["note"]
        for trial in found["best_trials"]:
            assert trial["note"] == found["trials"][trial["number"]]["note"]
        notes = {t["number"]: t["note"]["body"] for t in found["trials"]}
        return found["note"]["body"], {n: b for n, b in notes.items() if "onfirmed" in b}

    study, notes = said()
    assert study == "Trial 1: lowest error of 2 complete trials so far, unconfirmed"
    assert list(notes) == [1]
    assert "**Lowest error of 2 complete trials so far, unconfirmed**" in notes[1]
    folder.certificate.write_text(certificate_text(0, 0.3, [0, 1]))
    study, notes = said()
    confirmed = (
        "onfirmed best: trial 0, error 30.5 % [29.0, 32.0] on fresh tasks (30.0 % in the search), "
        "the best of 1 compared with probability 97 %"
    )
    assert f"Trial 0: c{confirmed}" in study
    assert f"**C{confirmed}**" in notes[0]
    assert "**Lowest error of the search; confirmed best is trial 0**" in notes[1]
    folder.certificate.write_text(certificate_text(0, 0.3, [0]))  # trial 1 was found afterwards
    assert said()[0].startswith("Trial 1: lowest error of 2")
    folder.certificate.write_text("{")
    assert said()[0].startswith("Trial 1: lowest error of 2")
    words = json.dumps({"body": "my own", "version": 1}).encode()
    assert ask(app, "/api/studies/1/2/note", "PUT", words).status == 204
    assert said() == ("Trial 1: lowest error of 2 complete trials so far, unconfirmed", {})


def test_trials_that_cannot_be_told_apart_say_so_in_their_notes() -> None:
    trials = [TrialRecord(n, "complete", {}, {1: 0.3}, 0.3 + n / 100) for n in range(3)]
    rows = [
        {"trial": n, "search_error": 0.3, "error": 0.31, "interval": [0.3, 0.33],
         "probability_best": chance}
        for n, chance in ((1, 0.5), (2, 0.46), (0, 0.04))
    ]  # fmt: skip
    held = {"trial": 1, "candidates": rows, "compared": [0, 1, 2]}
    assert standings(trials, held) == {
        0: "lowest error of the search; confirmed best is one of trials 1, 2",
        1: "confirmed error 31.0 % [30.0, 33.0] on fresh tasks; cannot be told apart from trial 2",
        2: "confirmed error 31.0 % [30.0, 33.0] on fresh tasks; cannot be told apart from trial 1",
    }


def test_importances_and_slices_work(root: Path) -> None:
    app = make_app(StudyFolder(root), write=False)
    answer = json.loads(ask(app, "/api/studies/1/param_importances").body)
    shown = {one["name"] for one in answer["param_importances"][0]}
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{root / 'study.db'}")
    names = set(study.trials[0].params)
    assert shown == names
    for evaluator in (PedAnovaImportanceEvaluator(), FanovaImportanceEvaluator(n_trees=8, seed=0)):
        importances = optuna.importance.get_param_importances(study, evaluator=evaluator)
        assert set(importances) == names
        assert all(math.isfinite(value) for value in importances.values())
    slices = optuna.visualization.plot_slice(study, params=["conv1.learning_rate", "fc.width"])
    assert slices.layout.xaxis.type == "log"
    assert len(slices.data[0].x) == sum(t.state.name == "COMPLETE" for t in study.trials)
