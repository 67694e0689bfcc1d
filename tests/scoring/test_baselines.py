"""Nearest neighbour and modified Hausdorff distance against slow loops, and on the real tasks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.data import Dataset, open_test_set
from hpsearch.data.pack import Contents, pack
from hpsearch.data.tasks import OneShotTasks, score_tasks
from hpsearch.scoring import baselines, controls
from hpsearch.scoring.baselines import (
    PUBLISHED,
    cosine_scores,
    hausdorff_scores,
    measure_baselines,
    read_baselines,
)
from hpsearch.scoring.controls import shuffle_labels
from hpsearch.scoring.evaluate import evaluate
from hpsearch.sources.find import find_dataset
from hpsearch.training.trainingdata import TrainingData
from tests.support.command_line import CommandLine
from tests.support.made_study import write_model


@pytest.fixture(scope="module")
def drawn(
    dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[NDArray[np.uint8], OneShotTasks]:
    """Return the test characters and their first run."""
    log = tmp_path_factory.mktemp("log") / "openings.jsonl"
    opened = open_test_set(dataset, "a test", log=log)
    tasks = opened.tasks
    one = OneShotTasks(tasks.query[:1], tasks.support[:1], tasks.target[:1], tasks.alphabet[:1])
    return opened.characters.images, one


def slow_distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Compute Dubuisson and Jain's distance from all pairs of points, as it is printed."""
    a, b = np.argwhere(one > 127.5), np.argwhere(other > 127.5)
    distances = cdist(a - a.mean(axis=0), b - b.mean(axis=0))
    return float(max(distances.min(axis=1).mean(), distances.min(axis=0).mean()))


def test_hausdorff_is_that_of_all_pairs_of_points(
    drawn: tuple[NDArray[np.uint8], OneShotTasks],
) -> None:
    images, tasks = drawn
    scores = hausdorff_scores(images, tasks)
    for query, support in [(0, 0), (3, 17), (19, 2), (7, 7)]:
        expected = slow_distance(images[tasks.query[0, query]], images[tasks.support[0, support]])
        assert -scores[0, query, support] == pytest.approx(expected, rel=1e-12)


def test_cosine_is_that_of_a_slow_loop(drawn: tuple[NDArray[np.uint8], OneShotTasks]) -> None:
    images, tasks = drawn
    scores = cosine_scores(images, tasks)
    for query, support in [(0, 0), (3, 17), (19, 2)]:
        a = images[tasks.query[0, query]].astype(float).ravel()
        b = images[tasks.support[0, support]].astype(float).ravel()
        expected = math.fsum(a * b) / math.sqrt(math.fsum(a * a) * math.fsum(b * b))
        assert scores[0, query, support] == pytest.approx(expected, rel=1e-12)


def test_a_shifted_drawing_is_near_by_points_and_far_by_pixels() -> None:
    images = np.zeros((4, 30, 30), np.uint8)
    images[0, 5:8, 3:20] = 255
    images[1, 15:18, 8:25] = 255  # the same bar elsewhere
    images[2, 3:20, 5:8] = 255  # upright, crosses the first
    rows = np.array([[0, 3]])
    tasks = OneShotTasks(rows, np.array([[2, 1]]), np.array([[1, 0]]), ("a",))
    near = hausdorff_scores(images, tasks)[0, 0]
    assert near[1] == pytest.approx(0.0, abs=1e-12)
    assert near[0] < -2
    alike = cosine_scores(images, tasks)[0, 0]
    assert alike[1] == 0.0
    assert alike[0] > 0.1
    # The image without ink scores nothing anywhere and earns what guessing earns.
    assert np.isnan(hausdorff_scores(images, tasks)[0, 1]).all()
    assert score_tasks(cosine_scores(images, tasks), tasks)[0, 1] == 0.5


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score by cosine twice and train for some steps, where only the bookkeeping is looked at."""
    few = {"max_epochs": 1, "images_per_epoch": 256}
    config = controls.reference_config().with_parameters(few)
    monkeypatch.setattr(controls, "reference_config", lambda: config)
    monkeypatch.setattr(baselines, "hausdorff_scores", lambda i, t, _: cosine_scores(i, t))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["omniglot", "glyphs"])
def test_published_figures_stand_beside_omniglot_only(
    contents: Contents, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "measure_controls", lambda *_: {})
    dataset = pack(replace(contents, kind=kind), tmp_path)
    found = measure_baselines(dataset)
    for key in ("nearest_neighbour", "modified_hausdorff"):
        low, high = found[key]["interval"]
        assert low < found[key]["accuracy"] < high
        assert found[key]["n_tasks"] == 400
    published = {key: e["published"] for key, e in found.items() if e["published"] is not None}
    expected = {key: accuracy for key, (_, accuracy) in PUBLISHED.items()}
    assert published == (expected if kind == "omniglot" else {})
    assert read_baselines(dataset.folder, dataset.fingerprint) == found
    assert read_baselines(dataset.folder, "another") is None


@pytest.mark.usefixtures("quick")
def test_every_opening_is_written_down(
    contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "measure_controls", lambda *_: {})
    dataset = pack(contents, tmp_path)
    assert read_baselines(dataset.folder, dataset.fingerprint) is None
    for times in (1, 2):
        measure_baselines(dataset)
        lines = (dataset.folder / "openings.jsonl").read_text().splitlines()
        assert len(lines) == times
        assert "baselines" in json.loads(lines[-1])["reason"]


def test_shuffled_labels_are_those_of_other_drawings(dataset: Dataset) -> None:
    config = controls.reference_config()
    data = TrainingData.from_dataset(dataset, config, study_seed=0)
    shuffled = shuffle_labels(data)
    here, there = (d.images.flatten(1).numpy() for d in (data, shuffled))
    assert sorted(map(bytes, here)) == sorted(map(bytes, there))
    kept = (here == there).all(1).mean()
    assert kept < 0.02
    assert shuffled.sampler is data.sampler


@pytest.mark.usefixtures("quick")
def test_networks_that_know_nothing_stand_beside_pixels(
    contents: Contents, tmp_path: Path
) -> None:
    found = measure_baselines(pack(contents, tmp_path))
    for key in ("untrained_network", "shuffled_labels", "nearest_neighbour"):
        entry = found[key]
        assert entry["n_tasks"] == 400
        assert entry["published"] is None
        assert entry["degenerate"] is (abs(entry["verification_auc"] - 0.5) <= 0.05)
    assert found["untrained_network"]["accuracy"] != found["shuffled_labels"]["accuracy"]


def test_the_command_marks_what_guesses(
    contents: Contents, tmp_path: Path, hpsearch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guess(_images: object, tasks: OneShotTasks, _progress: object) -> NDArray[np.float64]:
        return np.random.default_rng(0).random((*tasks.query.shape, tasks.ways))

    dataset = pack(replace(contents, kind="omniglot"), tmp_path)
    monkeypatch.setattr(baselines, "hausdorff_scores", guess)
    monkeypatch.setattr(controls, "measure_controls", lambda *_: {})
    monkeypatch.setattr("hpsearch.sources.find.find_dataset", lambda *_, **__: dataset)
    told = json.loads(hpsearch("baselines", "--json").out)
    knows, guesses = told["nearest_neighbour"], told["modified_hausdorff"]
    assert knows["degenerate"] is False
    assert guesses["degenerate"] is True
    assert abs(guesses["accuracy"] - 0.05) < 3 * math.sqrt(0.05 * 0.95 / 400)
    assert told["siamese_net"]["accuracy"] is None
    lines = {line[2:46].strip(): line for line in hpsearch("baselines").out.splitlines()}
    auc = f"{guesses['verification_auc']:.3f}"
    assert f" {auc}! " in lines["modified Hausdorff distance"]
    marked = [name for name, line in lines.items() if line.startswith("  ") and "!" in line]
    assert marked == ["modified Hausdorff distance"]
    assert "marks guessing" in hpsearch("baselines").out


@pytest.mark.usefixtures("quick")
def test_evaluated_networks_stand_beside_what_was_published_of_their_kind(
    contents: Contents, tmp_path: Path, hpsearch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = pack(replace(contents, kind="omniglot"), tmp_path / "packed")
    monkeypatch.setattr(controls, "measure_controls", lambda *_: {})
    monkeypatch.setattr("hpsearch.sources.find.find_dataset", lambda *_, **__: dataset)
    model = write_model(tmp_path / "s" / "model", dataset)
    words = ("baselines", "--json", "--beside", tmp_path / "s")
    refused = hpsearch(*words)
    assert (refused.code, refused.out) == (2, "")
    assert f"run hpsearch evaluate {model}" in refused.err
    assert not (dataset.folder / "openings.jsonl").exists()
    kept = evaluate(model, dataset)
    told = json.loads(hpsearch(*words).out)
    for key in ("accuracy", "interval", "n_tasks", "verification_auc", "degenerate"):
        assert told["convolutional_siamese_net"][key] == kept[key]
    assert told["convolutional_siamese_net"]["published"] == 0.92
    assert told["siamese_net"]["accuracy"] is None
    described = read_yaml(model / "config.yaml")
    for name in ("conv1", "conv2"):
        del described["config"]["layers"][name]
    (model / "config.yaml").write_text(dump_yaml(described))
    told = json.loads(hpsearch(*words).out)
    assert told["siamese_net"]["accuracy"] == kept["accuracy"]
    assert told["convolutional_siamese_net"]["accuracy"] is None


@pytest.mark.slow
def test_the_published_baselines_are_found_again(
    omniglot_path: Path, session_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(session_cache))  # packed there already
    found = measure_baselines(find_dataset("omniglot", omniglot_path))
    assert found["nearest_neighbour"]["accuracy"] == pytest.approx(0.217, abs=0.01)
    assert found["modified_hausdorff"]["accuracy"] == pytest.approx(0.612, abs=0.015)
