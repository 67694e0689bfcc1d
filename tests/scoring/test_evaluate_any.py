"""Any model on any data: what counts, what is sealed, what is written down."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hpsearch.data import Dataset, open_test_set
from hpsearch.data.dataset import Reading
from hpsearch.data.few_shot import Joined, draw_tasks
from hpsearch.errors import InputError
from hpsearch.intervals import wilson
from hpsearch.recognition.model import load_model
from hpsearch.scoring import evaluate as evaluate_module
from hpsearch.scoring.evaluate import EVALUATION, Wanted, evaluate, read_evaluation
from hpsearch.sources.find import find_dataset
from tests.support.command_line import CommandLine
from tests.support.drawings import write_drawings
from tests.support.made_study import openings, write_model

PICTURES: tuple[Reading, ...] = ("paper", "plain")


def test_every_class_of_other_data_counts_and_no_opening_is_logged(
    model: Path, dataset: Dataset, other: Dataset
) -> None:
    evaluate(model, dataset)
    own = (model / EVALUATION).read_bytes()
    before = openings(model), openings(other.folder)
    result = evaluate(model, other)
    assert result["part"] == "all"
    assert result["n_tasks"] == 1000
    assert (result["ways"], result["shots"]) == (20, 1)
    roles = [other.labels("background"), other.labels("validation")]
    sealed = open_test_set(other, "a test", log=model / "log").characters
    assert set(result["per_alphabet"]) == {
        name.split("/")[0] for role in (*roles, sealed) for name in role.names
    }
    assert result["classes"] == sum(len(role.names) for role in (*roles, sealed))
    assert (openings(model), openings(other.folder)) == before
    assert (model / EVALUATION).read_bytes() == own
    assert read_evaluation(model, other.fingerprint) is None


@pytest.mark.parametrize("within", ["group", "any"])
def test_the_accuracy_of_several_shots_is_that_of_a_slow_loop(
    model: Path, other: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: Any
) -> None:
    monkeypatch.setattr(evaluate_module, "IMAGES_AT_ONCE", 50)  # several blocks
    result = evaluate(model, other, wanted=Wanted(5, 3, 73, within))
    opened = open_test_set(other, "a test", log=tmp_path / "log", input_size=20)
    roles = [other.background(20), other.validation(20), opened.characters]
    tasks = draw_tasks(Joined.of(roles).labels, ways=5, shots=3, n_tasks=73, within=within)
    network = load_model(model).network
    every = np.concatenate([role.images for role in roles])
    earned = []
    with torch.no_grad():
        codes = network.encode(torch.from_numpy(every).unsqueeze(1).float() / 255)
        for run in tasks.runs:
            for query, target in zip(run.query, run.target, strict=True):
                scores = network.score(codes[query], codes[run.support]).double().mean(1)
                earned.append(float(scores.argmax() == int(target)))
    assert result["accuracy"] == pytest.approx(np.mean(earned), abs=1e-9)
    assert 0.2 < result["accuracy"] < 1
    assert (result["n_tasks"], result["ways"], result["shots"]) == (73, 5, 3)


def test_only_the_sealed_part_of_its_own_data_counts(model: Path, dataset: Dataset) -> None:
    """And only tasks like the stored ones may stand beside baselines in the report."""
    sealed = set(open_test_set(dataset, "a test", log=model / "log").characters.alphabets)
    for number, wanted in enumerate([Wanted(ways=5), Wanted(shots=2), Wanted(within="any")]):
        result = evaluate(model, dataset, wanted=wanted)
        assert result["part"] == "sealed"
        assert set(result["per_alphabet"]) == sealed
        assert len(openings(model)) == number + 1
        assert not (model / EVALUATION).exists()
    drawn = evaluate(model, dataset, wanted=Wanted(ways=20, tasks=300))
    kept = read_evaluation(model, dataset.fingerprint)
    assert kept is not None
    assert (kept["accuracy"], kept["n_tasks"], kept["part"]) == (drawn["accuracy"], 300, "sealed")


def test_of_omniglot_only_lakes_tasks_count_whoever_asks(
    model: Path, dataset: Dataset, named_omniglot: Dataset
) -> None:
    with pytest.raises(InputError, match=r"^--ways, --tasks: Omniglot's tasks are.*them out$"):
        evaluate(model, named_omniglot, wanted=Wanted(ways=20, tasks=1000))
    assert openings(model) == []
    result = evaluate(model, named_omniglot)
    assert result["part"] == "sealed"
    assert result["n_tasks"] == 400
    assert result["accuracy"] == evaluate(model, dataset)["accuracy"]  # the same drawings
    marks = [opening["fingerprint"] for opening in openings(model)]
    assert marks == [named_omniglot.fingerprint, dataset.fingerprint]
    assert read_evaluation(model, dataset.fingerprint) is not None


def test_the_shipped_model_writes_nothing_into_the_package(
    tmp_path: Path, named_omniglot: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = write_model(tmp_path / "weights", named_omniglot)
    monkeypatch.setattr(evaluate_module, "SHIPPED", shipped)
    before = sorted(shipped.iterdir())
    already = len(openings(named_omniglot.folder))
    evaluate(shipped, named_omniglot)
    assert sorted(shipped.iterdir()) == before
    reasons = [opening["reason"] for opening in openings(named_omniglot.folder)[already:]]
    assert reasons == ["evaluate the shipped model"]


def test_own_images_are_named_and_omniglot_is_not(
    hpsearch: CommandLine, model: Path, tmp_path: Path
) -> None:
    counts = {f"c{number:02}": 2 if number < 3 else 4 for number in range(18)}
    images = write_drawings(tmp_path / "signs", counts)
    asked = ("evaluate", model, "--data", images, "--ways", 5, "--shots", 2, "--tasks", 50)
    done = hpsearch(*asked)
    assert done.code == 0, done.err
    first, second, *groups = done.out.splitlines()
    assert first.startswith("2-shot accuracy ")
    assert "] on 50 tasks of own images in signs" in first
    assert second == ("  5 ways, all 15 classes of 1 group; the model was trained on other data")
    assert len(groups) == 1
    assert "3 classes left out, fewer than 3 pictures each (signs/c00, signs/c01, " in done.err
    assert "omniglot" not in (done.out + done.err).lower()
    told = hpsearch(*asked, "--json")
    result = json.loads(told.out)
    assert (result["dataset"], result["part"], result["ways"]) == ("folder", "all", 5)
    assert result["classes"] == 15
    repeated = json.loads(hpsearch(*asked[:-1], 600, "--json").out)
    assert repeated["n_tasks"] == 600
    assert repeated["interval"] == list(wilson(repeated["accuracy"], 60))  # 15 classes of 4
    assert hpsearch(*asked, "--within", "any", "--json").code == 0
    assert not (model / "openings.jsonl").exists()


def test_other_pictures_are_read_as_recognise_reads_them(
    hpsearch: CommandLine, model: Path, tmp_path: Path
) -> None:
    images = write_drawings(tmp_path / "shaded", {f"c{number}": 3 for number in range(5)})
    shade = np.linspace(0, 200, 24)[:, None]
    for path in images.glob("*/*.png"):
        shown = np.asarray(Image.open(path), float) - shade
        Image.fromarray(shown.clip(0).astype(np.uint8)).save(path)
    assert not find_dataset("folder", images).paper
    read = {way: find_dataset("folder", images, pictures=way) for way in PICTURES}
    ink, grey = (evaluate(model, read[way])["verification_auc"] for way in PICTURES)
    told = json.loads(hpsearch("evaluate", model, "--data", images, "--json").out)
    assert load_model(model).paper
    assert told["verification_auc"] == ink != grey


def test_pictures_that_the_model_cannot_read_are_refused(
    model: Path, other: Dataset, tmp_path: Path
) -> None:
    copied = tmp_path / "colour"
    shutil.copytree(model, copied)
    path = copied / "config.yaml"
    path.write_text(path.read_text().replace("dataset:\n", "dataset:\n  colour_px: 80\n"))
    small = replace(other, colour_px=19)
    for folder, data, told in (
        (copied, other, "reads pictures in colour, glyphs has them in grey; name others with"),
        (copied, small, "reads pictures of 20 pixels to a side, glyphs has them of 19; name"),
        (model, replace(other, colour_px=80), "in grey, glyphs has them in colour"),
    ):
        with pytest.raises(InputError, match=f"{folder.name}: the model .*{told}"):
            evaluate(folder, data)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--within", "all"), "--within all: give group, any"),
        (("--device", "gpu"), "--device gpu: give auto, cpu, cuda"),
        (("--ways", 30), "--ways 30 --shots 1: the largest group, signs, has 16 classes"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(
    hpsearch: CommandLine, model: Path, tmp_path: Path, words: tuple[object, ...], told: str
) -> None:
    images = write_drawings(tmp_path / "signs", {f"c{number:02}": 2 for number in range(16)})
    done = hpsearch("evaluate", model, "--data", images, *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err.splitlines()[-1]


def test_pictures_that_trained_the_model_are_counted_among_other_data(
    hpsearch: CommandLine, tmp_path: Path
) -> None:
    images = write_drawings(tmp_path / "signs", {f"c{number:02}": 4 for number in range(18)})
    model = write_model(tmp_path / "model", find_dataset("folder", images))
    assert json.loads(hpsearch("evaluate", model, "--data", images, "--json").out)["seen"] == 0
    shutil.copytree(images, tmp_path / "more")
    write_drawings(tmp_path / "more", {"new": 4})
    told = hpsearch("evaluate", model, "--data", tmp_path / "more")
    assert "NOTE: 52 pictures of these trained or chose the model" in told.err  # 13 classes of 4
    assert "the model was trained on other data" not in told.out
    assert len(openings(model)) == 2
