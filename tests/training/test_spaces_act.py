"""Every parameter of the shipped spaces `modern`, `aligned` and `own` acts on training."""

from __future__ import annotations

from typing import Any

import pytest

from hpsearch.configfile import read_yaml
from hpsearch.data.dataset import Dataset
from hpsearch.shipped_files import find_shipped
from hpsearch.space.space import SearchSpace
from hpsearch.training.config import TrialConfig
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import as_bytes, last_checkpoint

STUDIES = ("modern", "aligned", "own")
SPACES = {name: SearchSpace.from_yaml(name).parameters for name in STUDIES}
OF_A_LAYER = ("filter_size", "filter_count", "width", "residual")
SIZES = [(s, name) for s in STUDIES for name in SPACES[s] if name.endswith(OF_A_LAYER)]
LATE = [("aligned", "weight_averaging"), ("own", "weight_averaging")]
"""The average is a mean of all steps first; its share of the old average acts after a thousand."""
SETTINGS = [(s, name) for s in STUDIES for name in SPACES[s] if (s, name) not in [*SIZES, *LATE]]
SHORT = {"max_epochs": 1, "images_per_epoch": 160, "batch_characters": 40, "quarter_turns": False}
SMALL: dict[str, dict[str, Any]] = {
    "modern": {
        "input_size": 20,
        **{f"conv{k}.filter_size": size for k, size in enumerate((3, 2, 1, 1), start=1)},
    },
    "aligned": {"input_size": 32, "mirror_images": False},  # a last map of 4 x 4: reach 3 acts
    "own": {"input_size": 32},
}
NARROW = {f"conv{k}.filter_count": 16 for k in (1, 2, 3, 4)}


def shipped_trial(study: str) -> TrialConfig:
    return TrialConfig.from_values(read_yaml(find_shipped("studies", study))["trial"])


@pytest.mark.parametrize(("study", "name"), SIZES)
def test_a_size_changes_its_layer(study: str, name: str) -> None:
    extremes = SPACES[study][name].extremes
    one, other = (shipped_trial(study).with_parameters({name: v}) for v in extremes)
    assert one.shape().parameters != other.shape().parameters


def small_trial(study: str) -> TrialConfig:
    narrow = {} if study == "own" else NARROW  # the shipped weights need their layers
    return shipped_trial(study).with_parameters({**SHORT, **SMALL[study], **narrow})


@pytest.fixture(scope="module")
def small_data(dataset: Dataset) -> dict[str, TrainingData]:
    return {s: TrainingData.from_dataset(dataset, small_trial(s), study_seed=0) for s in STUDIES}


@pytest.mark.parametrize(("study", "name"), SETTINGS)
def test_a_setting_changes_the_weights(
    small_data: dict[str, TrainingData], study: str, name: str
) -> None:
    base, data = small_trial(study), small_data[study]
    first, *_, last = SPACES[study][name].extremes
    one, other = (base.with_parameters({name: value}) for value in (first, last))
    before, after = (
        as_bytes(last_checkpoint(train(config, data, 0)).weights()) for config in (one, other)
    )
    assert before != after


@pytest.mark.slow
def test_the_share_of_the_old_average_acts_after_a_thousand_steps(dataset: Dataset) -> None:
    steps = {"batch_characters": 2, "images_per_epoch": 4 * 1100, "input_size": 8}
    fewer = {"conv4.residual": False, "distortion.elastic_px": 0.0}
    base = small_trial("aligned").with_parameters({**steps, **fewer})
    data = TrainingData.from_dataset(dataset, base, study_seed=0)
    extremes = SPACES["aligned"]["weight_averaging"].extremes
    one, other = (
        as_bytes(
            last_checkpoint(
                train(base.with_parameters({"weight_averaging": v}), data, 0)
            ).weights()
        )
        for v in extremes
    )
    assert one != other
