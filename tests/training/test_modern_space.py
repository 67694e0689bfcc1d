"""Every parameter of the shipped `modern` space acts on training."""

from __future__ import annotations

import pytest

from hpsearch.configfile import read_yaml
from hpsearch.shipped_files import find_shipped
from hpsearch.space.space import SearchSpace
from hpsearch.training.config import TrialConfig
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import as_bytes, last_checkpoint

SPACE = SearchSpace.from_yaml("modern").parameters
SIZES = [name for name in SPACE if name.endswith(("filter_size", "filter_count", "width"))]
SHORT = {"max_epochs": 1, "images_per_epoch": 160, "batch_characters": 40, "input_size": 20}
SMALL = {"conv1.filter_size": 3, "conv2.filter_size": 2, "conv3.filter_size": 1}
NARROW = {f"conv{k}.filter_count": 16 for k in (1, 2, 3, 4)}


def shipped_trial() -> TrialConfig:
    return TrialConfig.from_values(read_yaml(find_shipped("studies", "modern"))["trial"])


@pytest.mark.parametrize("name", SIZES)
def test_a_size_changes_its_layer(name: str) -> None:
    one, other = (shipped_trial().with_parameters({name: v}) for v in SPACE[name].extremes)
    assert one.shape().parameters != other.shape().parameters


@pytest.mark.parametrize("name", [name for name in SPACE if name not in SIZES])
def test_a_setting_changes_the_weights(data: TrainingData, name: str) -> None:
    base = shipped_trial().with_parameters(
        {**SHORT, **SMALL, **NARROW, "conv4.filter_size": 1, "quarter_turns": False}
    )
    one, other = (base.with_parameters({name: value}) for value in SPACE[name].extremes)
    before, after = (
        as_bytes(last_checkpoint(train(config, data, 0)).weights()) for config in (one, other)
    )
    assert before != after
