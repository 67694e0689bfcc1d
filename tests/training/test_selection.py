"""OB6: what a trial takes of own images of any shape; what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data import Dataset
from hpsearch.data.dense import DenseTasks
from hpsearch.data.pack import pack
from hpsearch.errors import InputError
from hpsearch.pictures.older_rules import read_folder
from hpsearch.pictures.own_images import read_own_images
from hpsearch.recognition.fresh import fresh_tasks
from hpsearch.sources.find import find_dataset
from hpsearch.study.config import StudyConfig
from hpsearch.training.config import Objective
from hpsearch.training.loop import train
from hpsearch.training.selection import Selection, _join, check_data, select
from hpsearch.training.trainingdata import TrainingData
from tests.support.drawings import ONE_LARGE, SIXTY, TWO_EACH, UNEVEN, write_drawings
from tests.support.trainings import tiny_config

FEW = {"a": 100, **{f"b{c}": 4 for c in range(9)}}
SHAPES = {
    "uneven": UNEVEN,
    "one large": ONE_LARGE,
    "two each": TWO_EACH,
    "sixty": SIXTY,
    "few and one large": FEW,
    "two by two": {"a": 2, "b": 2},
}
SEEDS = range(3)


@pytest.fixture(scope="module", params=SHAPES)
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("own")
    counts: Mapping[str, int] = SHAPES[request.param]
    return pack(read_own_images(write_drawings(folder / "images", counts)), folder / "packed")


def _select(dataset: Dataset, seed: int, objective: Objective) -> Selection:
    background, validation = dataset.labels("background"), dataset.labels("validation")
    return select(
        dataset, background, validation, tiny_config(), study_seed=seed, objective=objective
    )


@pytest.mark.parametrize("objective", ["tasks_320", "dense"])
def test_ob6_every_background_image_is_trained_on(own: Dataset, objective: Objective) -> None:
    background = own.labels("background")
    for seed in SEEDS:
        chosen = _select(own, seed, objective)
        rows = chosen.sampler._rows  # the only place that holds them
        assert sorted(rows[rows >= 0]) == list(range(len(background.images)))
        assert chosen.n_trained == len(background.images)


@pytest.mark.parametrize("objective", ["tasks_320", "dense"])
def test_ob6_a_query_and_its_answer_are_two_pictures(own: Dataset, objective: Objective) -> None:
    validation = own.labels("validation")
    for seed in SEEDS:
        tasks = _select(own, seed, objective).tasks
        fresh = fresh_tasks(validation, own.size, seed)
        for one in (tasks, fresh):
            if isinstance(one, DenseTasks):
                assert all((p.query[:, None] != p.support).all() for p in one.pairs)
            else:
                right = np.take_along_axis(one.support, one.target, 1)
                assert (right != one.query).all()


LOSSES = {
    "pairs": {"pairs": "independent"},
    "all pairs of a batch": {"pairs": "batch"},
    "softmax": {"pairs": "batch", "loss": "softmax", "batch_drawings": 5},
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("objective", ["tasks_320", "dense"])
def test_ob6_every_loss_trains_and_is_validated(
    own: Dataset, loss: str, objective: Objective
) -> None:
    config = tiny_config(max_epochs=2, **LOSSES[loss])
    for both in (False, True):
        data = TrainingData.from_dataset(
            own, config, study_seed=0, objective=objective, include_validation=both
        )
        errors = [epoch.result.validation_error for epoch in train(config, data, 0)]
        assert len(errors) == 2
        assert all(0 <= error <= 1 for error in errors)


def test_ob6_a_class_of_both_roles_is_one_class(tmp_path: Path) -> None:
    dataset = pack(read_own_images(write_drawings(tmp_path / "own", FEW)), tmp_path / "packed")
    both = [dataset.labels("background"), dataset.labels("validation")]
    index, alphabet_of = _join(both, 12, 0)
    assert index.shape[0] == len(alphabet_of) == len(FEW)
    name_of = np.concatenate([np.array(role.names)[role.character] for role in both])
    assert sorted(index[index >= 0]) == list(range(len(name_of)))
    for row in index:
        assert len(set(name_of[row[row >= 0]])) == 1


@pytest.mark.parametrize("objective", ["tasks_320", "dense"])
def test_ob6_the_share_that_is_not_shown_is_said(own: Dataset, objective: Objective) -> None:
    available, shown = len(own.labels("validation").images), len(_select(own, 0, objective).shown)
    said = check_data(own, tiny_config(), study_seed=0, objective=objective)
    expected = f"validation shows {shown} of {available} images"
    assert any(expected in text for text in said) == (shown < available)
    if objective == "dense":  # pairs of pictures, none again before all were shown
        counts = np.bincount(own.labels("validation").character)
        pairings = own.size.pairings(len(counts), int(counts.max()))
        assert shown == np.minimum(counts, 2 * pairings).sum()


def test_ob6_by_rule_1_the_share_is_said_and_too_few_are_refused(tmp_path: Path) -> None:
    """A study that version 0.1.0 began takes ranks for drawers"""
    sixty = pack(read_folder(write_drawings(tmp_path / "sixty", SIXTY), rule=1), tmp_path / "1")
    said = check_data(sixty, tiny_config(), study_seed=0)
    assert "trial.drawers: 12: 120 of 600 images are trained on" in said
    large = sixty.labels("background").names[0].partition("/")[2]
    counts = {name: 100 if name == large else 4 for name in SIXTY}
    contents = read_folder(write_drawings(tmp_path / "one", counts), rule=1)
    one = pack(contents, tmp_path / "2")
    with pytest.raises(InputError, match=r"^trial\.drawers: 12: \d characters have two drawings"):
        check_data(one, tiny_config(), study_seed=0)


def test_ob6_the_rule_is_in_the_fingerprint_and_an_old_one_is_found_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    folder = write_drawings(tmp_path / "images", TWO_EACH)
    old = pack(read_folder(folder, rule=1), tmp_path / "packed")
    new = find_dataset("auto", folder)
    assert new.fingerprint != old.fingerprint
    assert find_dataset("auto", folder, fingerprint=old.fingerprint).fingerprint == old.fingerprint
    assert old.labels("background").people
    assert not new.labels("background").people
    assert find_dataset("auto", folder, fingerprint="f" * 64).fingerprint == new.fingerprint
    monkeypatch.chdir(folder)
    assert find_dataset("auto", Path()).fingerprint == new.fingerprint


def test_shots_of_a_study_leave_small_classes_out_and_say_so(tmp_path: Path) -> None:
    counts = {f"c{number:02}": 6 if number % 2 else 3 for number in range(20)}
    own = pack(read_own_images(write_drawings(tmp_path / "images", counts)), tmp_path / "packed")
    asked = own.asking(2, 4)
    chosen = _select(asked, 0, "dense")
    validation = asked.labels("validation")
    assert isinstance(chosen.tasks, DenseTasks)
    assert chosen.tasks.ways == 2
    assert all(pair.support.shape[1] == 4 for pair in chosen.tasks.pairs)
    large = np.bincount(validation.character) > 4
    assert 2 <= large.sum() < len(large)
    assert set(validation.character[chosen.shown]) == set(np.flatnonzero(large))
    said = check_data(asked, tiny_config(), study_seed=0, objective="dense")
    assert any(f"{(~large).sum()} of {len(large)} validation classes" in text for text in said)
    with pytest.raises(InputError, match=r"ways: 2, shots: 6: .*set fewer ways or shots"):
        _select(own.asking(2, 6), 0, "dense")
    given = {"name": "x", "space": "own", "trial": tiny_config().plain(), "shots": 2}
    with pytest.raises(InputError, match=r"shots: .*one shot; set objective: dense"):
        StudyConfig.from_values({**given, "objective": "tasks_320"}, "study.yaml")
