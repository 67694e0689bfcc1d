"""The sealed test set: scored as a slow loop does, and never opened in silence."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hpsearch.data import Dataset, open_test_set
from hpsearch.errors import InputError
from hpsearch.intervals import wilson
from hpsearch.recognition.model import load_model
from hpsearch.scoring import evaluate as evaluate_module
from hpsearch.scoring.baselines import TABLE_2
from hpsearch.scoring.evaluate import evaluate
from tests.support.command_line import CommandLine
from tests.support.made_study import openings, write_model


def write_study_of(folder: Path, dataset: Dataset) -> Path:
    """Make a study's folder that remembers its data."""
    folder.mkdir()
    (folder / "study.yaml").write_text("name: tiny\n")
    held = {"kind": dataset.kind, "packed": str(dataset.folder)}
    (folder / "dataset.json").write_text(json.dumps(held))
    return folder


@pytest.mark.parametrize("alpha", [0.0, float("nan")])
def test_a_constant_network_earns_5_percent_and_is_told(
    tmp_path: Path, dataset: Dataset, alpha: float
) -> None:
    result = evaluate(write_model(tmp_path / "m", dataset, alpha=alpha), dataset)
    assert result["accuracy"] == pytest.approx(0.05, abs=1e-12)
    assert result["degenerate"] is True
    assert result["n_tasks"] == 400
    tasks = open_test_set(dataset, "a test", log=tmp_path / "log").tasks
    pictures = len(set(tasks.query.ravel().tolist()))
    assert result["interval"] == pytest.approx(list(wilson(0.05, pictures)))


def test_the_accuracy_is_that_of_a_slow_loop(
    model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    result = evaluate(model, dataset)
    opened = open_test_set(dataset, "a test", log=tmp_path / "log", input_size=20)
    network, tasks = load_model(model).network, opened.tasks
    images = torch.from_numpy(np.array(opened.characters.images)).unsqueeze(1).float() / 255
    earned = defaultdict(list)
    with torch.no_grad():
        codes = network.encode(images)
        for run, alphabet in enumerate(tasks.alphabet):
            for query, target in zip(tasks.query[run], tasks.target[run], strict=True):
                scores = network.score(codes[query], codes[tasks.support[run]])
                best = scores == scores.max()
                earned[alphabet].append(float(best[target]) / int(best.sum()))
    every = [credit for credits in earned.values() for credit in credits]
    assert result["accuracy"] == pytest.approx(np.mean(every), abs=1e-9)
    pictures = len(set(tasks.query.ravel().tolist()))  # one asked again is no more evidence
    assert 300 < pictures < 400
    assert result["interval"] == list(wilson(result["accuracy"], pictures))
    assert result["degenerate"] is False
    assert result["per_alphabet"] == {
        name: {"accuracy": pytest.approx(np.mean(credits)), "n_tasks": len(credits)}
        for name, credits in earned.items()
    }
    assert len(result["per_alphabet"]) == 2


def test_alphabets_add_up_to_the_whole(model: Path, dataset: Dataset) -> None:
    result = evaluate(model, dataset)
    parts = result["per_alphabet"].values()
    assert sum(part["n_tasks"] for part in parts) == result["n_tasks"] == 400
    weighted = sum(part["accuracy"] * part["n_tasks"] for part in parts)
    assert weighted / 400 == pytest.approx(result["accuracy"], abs=1e-12)
    assert list(result["per_alphabet"]) == sorted(result["per_alphabet"])


def test_every_opening_is_written_down_with_its_reason(model: Path, dataset: Dataset) -> None:
    evaluate(model, dataset)
    evaluate(model, dataset)
    entries = openings(model)
    assert [entry["reason"] for entry in entries] == ["evaluate model", "evaluate model"]
    assert {entry["fingerprint"] for entry in entries} == {dataset.fingerprint}
    assert all(entry["time"].endswith("+00:00") for entry in entries)
    assert openings(dataset.folder) == []


def test_the_study_a_model_lies_in_keeps_its_openings(tmp_path: Path, dataset: Dataset) -> None:
    study = write_study_of(tmp_path / "s", dataset)
    evaluate(write_model(study / "model", dataset), dataset)
    assert len(openings(study)) == 1
    assert openings(study / "model") == []


def test_other_data_than_the_models_are_named_or_stay_closed(
    hpsearch: CommandLine, tmp_path: Path, other: Dataset, dataset: Dataset
) -> None:
    study = write_study_of(tmp_path / "s", other)
    done = hpsearch("evaluate", write_model(study / "model", dataset))
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert f"trained on {dataset.fingerprint[:12]}" in done.err
    assert "--data" in done.err
    assert openings(study) == openings(study / "model") == openings(other.folder) == []


@pytest.mark.parametrize("kind", ["dataset", "named_omniglot"])
def test_published_figures_stand_beside_omniglot_only(
    hpsearch: CommandLine, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    data: Dataset = request.getfixturevalue(kind)
    study = write_study_of(tmp_path / "s", data)
    done = hpsearch("evaluate", write_model(study / "model", data))
    assert done.code == 0, done.err
    assert f"on 400 tasks of {data.kind}" in done.out
    published = [name for name, _ in TABLE_2]
    shown = [name for name in [*published, "Table 2"] if name in done.out]
    assert shown == ([*published, "Table 2"] if kind == "named_omniglot" else [])


def test_published_figures_are_the_papers() -> None:
    assert [round(100 * accuracy, 1) for _, accuracy in TABLE_2] == [
        95.5, 95.2, 92.0, 81.8, 65.2, 62.0, 58.3, 35.2, 21.7
    ]  # fmt: skip


def test_json_holds_the_contract(hpsearch: CommandLine, tmp_path: Path, dataset: Dataset) -> None:
    study = write_study_of(tmp_path / "s", dataset)
    model = write_model(study / "model", dataset)
    result = json.loads(hpsearch("evaluate", model, "--json").out)
    assert {"dataset", "accuracy", "n_tasks", "interval", "per_alphabet"} <= result.keys()
    assert {"verification_auc", "degenerate", "part", "ways", "shots"} <= result.keys()
    assert (result["part"], result["ways"], result["shots"]) == ("sealed", 20, 1)
    assert result == evaluate(model, dataset)


def test_a_degenerate_model_is_told_in_words(
    hpsearch: CommandLine, tmp_path: Path, dataset: Dataset
) -> None:
    study = write_study_of(tmp_path / "s", dataset)
    done = hpsearch("evaluate", write_model(study / "model", dataset, alpha=0.0))
    assert "one-shot accuracy 5.0 %" in done.out
    assert "DEGENERATE" in done.out


def test_a_model_that_guesses_is_told_though_its_scores_differ(
    hpsearch: CommandLine, tmp_path: Path, dataset: Dataset
) -> None:
    """Distances that count for and against being the same say nothing of it."""
    model = write_model(write_study_of(tmp_path / "s", dataset) / "model", dataset)
    weights = load_file(model / "weights.safetensors")
    weights["output.weight"] = torch.tensor([[1.0, -1.0] * 8])
    save_file(weights, model / "weights.safetensors")
    result = json.loads(hpsearch("evaluate", model, "--json").out)
    assert 0 < abs(result["verification_auc"] - 0.5) <= 0.05
    assert result["degenerate"] is True
    done = hpsearch("evaluate", model)
    told = f"no better than guessing (AUC {result['verification_auc']:.3f})"
    assert done.out.splitlines()[0].endswith(told)


@pytest.mark.parametrize("missing", ["folder", "weights", "config"])
def test_without_a_model_nothing_is_opened(
    hpsearch: CommandLine, tmp_path: Path, dataset: Dataset, missing: str
) -> None:
    study = write_study_of(tmp_path / "s", dataset)
    model = study / "model"
    if missing != "folder":
        write_model(model, dataset)
        (model / {"weights": "weights.safetensors", "config": "config.yaml"}[missing]).unlink()
    done = hpsearch("evaluate", model)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert openings(study) == []


@pytest.mark.parametrize("held", ["{", "[]", "{}", '{"packed": 3}', '{"packed": "/nowhere"}'])
def test_a_study_that_forgot_its_data_looks_for_them_anew(
    hpsearch: CommandLine, tmp_path: Path, named_omniglot: Dataset, held: str
) -> None:
    study = write_study_of(tmp_path / "s", named_omniglot)
    (study / "dataset.json").write_text(held)
    done = hpsearch("evaluate", write_model(study / "model", named_omniglot))
    assert done.code == 2
    assert "Omniglot was not found" in done.err
    assert openings(study) == []


def test_the_command_line_takes_the_device_there_is(
    hpsearch: CommandLine, tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No machine of the tests has CUDA; what matters is that the choice arrives."""
    taken: list[str] = []

    def score(_folder: Path, _data: Dataset, device: str, _wanted: object) -> dict[str, Any]:
        taken.append(device)
        raise InputError("enough")

    monkeypatch.setattr("hpsearch.execution.devices.count_cuda_devices", lambda: 1)
    monkeypatch.setattr(evaluate_module, "evaluate", score)
    study = write_study_of(tmp_path / "s", dataset)
    model = write_model(study / "model", dataset)
    hpsearch("evaluate", model)
    hpsearch("evaluate", model, "--device", "cpu")
    assert taken == ["cuda", "cpu"]
