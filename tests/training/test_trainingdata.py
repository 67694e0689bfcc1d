"""The data of a trial: its drawers, its tasks, and images that are the data set's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.data import Dataset, open_packed, split_drawers, validation_tasks
from hpsearch.data.task_size import TaskSize
from hpsearch.training.pairs import Sampler
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import tiny_config


def shown(sampler: Sampler) -> set[int]:
    """Return the rows that many steps show, of both kinds."""
    config, chance = tiny_config(batch_pairs=20_000), np.random.default_rng(0)
    rows = set(sampler.independent(config, chance)[0].ravel().tolist())
    for _ in range(2000):
        rows |= set(sampler.batch(config, chance)[0].tolist())
    return rows


def test_exactly_the_training_drawers_are_shown(dataset: Dataset) -> None:
    for drawers in (12, 3):
        config = tiny_config(drawers=drawers)
        data = TrainingData.from_dataset(dataset, config, study_seed=7)
        characters = dataset.background(20)
        training, _ = split_drawers(20, drawers, 7)
        expected = np.flatnonzero(np.isin(characters.drawer, training))
        assert len(training) == drawers
        assert shown(data.sampler) == set(expected.tolist())


def test_validation_characters_are_trained_on_only_when_asked(
    dataset: Dataset, data: TrainingData
) -> None:
    more = TrainingData.from_dataset(dataset, tiny_config(), study_seed=0, include_validation=True)
    roles = [dataset.background(20), dataset.validation(20)]
    training, _ = split_drawers(20, 12, 0)
    drawers = np.concatenate([role.drawer for role in roles])
    assert shown(more.sampler) == set(np.flatnonzero(np.isin(drawers, training)).tolist())
    images = np.concatenate([role.images for role in roles])
    np.testing.assert_array_equal(more.images.numpy(), images)
    assert torch.equal(more.validation, data.validation)
    of_image = [np.array(r.alphabets)[r.alphabet_of[r.character]] for r in roles]
    within = tiny_config(batch_pairs=2000, within_alphabet=1)
    rows, _ = more.sampler.independent(within, np.random.default_rng(0))
    first, second = np.concatenate(of_image)[rows].T
    assert (first == second).all()
    assert len(set(first)) == 4 + 2


def test_images_are_the_data_sets(dataset: Dataset, data: TrainingData) -> None:
    assert data.images.dtype == torch.uint8
    np.testing.assert_array_equal(data.images.numpy(), dataset.background(20).images)


@pytest.mark.parametrize("seed", [0, 7])
def test_tasks_show_the_validation_images_of_the_studys_tasks(dataset: Dataset, seed: int) -> None:
    data = TrainingData.from_dataset(dataset, tiny_config(), study_seed=seed)
    validation = dataset.validation(20)
    _, drawers = split_drawers(20, 12, seed)
    expected = validation_tasks(validation, TaskSize(20), drawers=drawers, seed=seed)
    images = data.validation.numpy()
    np.testing.assert_array_equal(images[data.tasks.query], validation.images[expected.query])
    np.testing.assert_array_equal(images[data.tasks.support], validation.images[expected.support])
    np.testing.assert_array_equal(data.tasks.target, expected.target)
    assert data.tasks.n_tasks == 320


def test_only_the_images_that_tasks_show_are_kept_each_once(data: TrainingData) -> None:
    rows = np.unique([data.tasks.query, data.tasks.support])
    np.testing.assert_array_equal(rows, np.arange(len(data.validation)))


def test_the_studys_seed_decides_the_tasks(dataset: Dataset, data: TrainingData) -> None:
    again = TrainingData.from_dataset(dataset, tiny_config(drawers=5), study_seed=0)
    other = TrainingData.from_dataset(dataset, tiny_config(), study_seed=1)
    assert torch.equal(data.validation[data.tasks.query], again.validation[again.tasks.query])
    assert not torch.equal(data.validation[data.tasks.query], other.validation[other.tasks.query])


def test_a_packed_folder_gives_the_same(dataset: Dataset, data: TrainingData) -> None:
    loaded = TrainingData.from_dataset(open_packed(dataset.folder), tiny_config(), study_seed=0)
    assert torch.equal(loaded.images, data.images)
    assert torch.equal(loaded.validation, data.validation)
    np.testing.assert_array_equal(loaded.tasks.target, data.tasks.target)


@pytest.mark.parametrize(
    "other", [{"input_size": 24}, {"drawers": 3}, {"quarter_turns": True}, {"max_epochs": 7}]
)
def test_settings_differ_where_what_is_loaded_differs(
    dataset: Dataset, data: TrainingData, other: dict[str, Any]
) -> None:
    config = tiny_config(**other)
    loaded = TrainingData.from_dataset(dataset, config, study_seed=0)
    rows = [
        loader.sampler.batch(tiny_config(pairs="batch"), np.random.default_rng(seed))[0].tolist()
        for loader in (data, loaded)
        for seed in range(20)
    ]
    same = rows[:20] == rows[20:] and data.images.shape == loaded.images.shape
    assert same == (TrainingData.settings(config) == TrainingData.settings(tiny_config()))
