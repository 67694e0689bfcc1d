"""Where training starts, and which layers it changes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hpsearch.configfile import read_yaml
from hpsearch.data.dataset import Dataset
from hpsearch.errors import InputError
from hpsearch.shipped_files import SHIPPED_MODEL, find_shipped
from hpsearch.training.config import TrialConfig
from hpsearch.training.loop import train
from hpsearch.training.selection import check_data
from hpsearch.training.trainingdata import TrainingData

SHORT = {"images_per_epoch": 96, "max_epochs": 1, "input_size": 32, "batch_characters": 8}


def own(**settings: Any) -> TrialConfig:
    values = read_yaml(find_shipped("studies", "own"))["trial"]
    return TrialConfig.from_values(values).with_parameters({**SHORT, **settings})


@pytest.fixture(scope="module")
def data(dataset: Dataset) -> TrainingData:
    return TrainingData.from_dataset(dataset, own(), study_seed=0)


def test_the_shipped_start_is_scored_at_epoch_0_and_kept(data: TrainingData) -> None:
    epochs = list(train(own(train_from="nothing"), data, 0))
    assert [e.result.epoch for e in epochs] == [0]
    assert math.isnan(epochs[0].result.loss)
    assert epochs[0].result.images == 0
    kept = epochs[0].checkpoint().best_weights()
    for name, weight in load_file(SHIPPED_MODEL / "weights.safetensors").items():
        assert torch.equal(kept[name], weight.to(kept[name].dtype)), name


def test_a_scored_start_does_not_go_on(data: TrainingData) -> None:
    config = own(train_from="nothing")
    saved = next(train(config, data, 0)).checkpoint()
    assert list(train(config, data, 0, resume=saved)) == []


def test_an_untrained_start_has_the_statistics_of_its_images(data: TrainingData) -> None:
    config = own(start="untrained", train_from="nothing")
    one, again = (next(train(config, data, 5)).checkpoint() for _ in range(2))
    assert one.best_weights()["conv1.norm.running_mean"].abs().max() > 0
    for name, weight in one.best_weights().items():
        assert torch.equal(weight, again.best_weights()[name]), name


@pytest.mark.parametrize("first", ["all", "conv3", "projection", "output"])
def test_the_layers_below_the_first_trained_one_stay(data: TrainingData, first: str) -> None:
    config = own(train_from=first)
    after = next(train(config, data, 0)).checkpoint().weights()
    before = load_file(SHIPPED_MODEL / "weights.safetensors")
    changed = {n.split(".")[0] for n in before if not torch.equal(after[n], before[n].float())}
    layers = list(config.layers.all)
    assert changed == set(layers[0 if first == "all" else layers.index(first) :])


def test_training_from_a_start_goes_on_bit_for_bit(data: TrainingData) -> None:
    config = own(train_from="conv3", max_epochs=2)
    whole = list(train(config, data, 0))
    saved = next(train(config, data, 0)).checkpoint()
    (rest,) = train(config, data, 0, resume=saved)
    assert replace(rest.result, seconds=0) == replace(whole[1].result, seconds=0)


@pytest.mark.parametrize("settings", [{"conv1.filter_count": 16}, {"projection.width": 32}])
def test_the_shipped_start_needs_its_layers(dataset: Dataset, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"trial\.start: shipped: the layers are not those"):
        check_data(dataset, own(**settings), study_seed=0)


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(
        InputError, match="write all, conv1, conv2, conv3, conv4, projection, output"
    ):
        own(train_from="conv9")
