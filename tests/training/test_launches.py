"""What a step starts on a card, counted on "meta", where training takes a card's way.

A launch is an operator that torch dispatches to the device and that computes or copies. Not
counted are views, allocations, and the copies of gradients that exist only because the counting
holds a second reference to each. Composed operators such as batch normalisation count once,
although a card may start several kernels for one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hpsearch.configfile import read_yaml
from hpsearch.data import Dataset
from hpsearch.shipped_files import find_shipped
from hpsearch.training.build import empty_network
from hpsearch.training.config import TrialConfig
from hpsearch.training.evaluation import dense_scores
from hpsearch.training.loop import _Run
from hpsearch.training.pairs import Sampler
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import tiny_config
from tests.training.test_aligned_training import aligned_config
from tests.training.test_whole_trial import Readings, on_meta

MOST = {"koch2015": 73, "modern": 115, "quickstart": 114, "aligned": 164}
"""At most half of what a step took before it was made for cards: 147, 230, 229. `aligned` is
younger; it took 246."""
WITHOUT_WORK = ("_unsafe_view", "squeeze_", "empty", "new_empty", "copy_")
CHARACTERS, DRAWINGS = 100, 20


class Launches(TorchDispatchMode):
    """Counts launches by operator, and copies from and to the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.counts, self.to_device = Counter[str](), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [t for t in _flat([result, args]) if isinstance(t, Tensor)]
        devices = {tensor.device.type for tensor in tensors}
        self.to_device += devices == {"cpu", "meta"} and "_to_copy" in func.name()
        if "meta" in devices and _works(func):
            self.counts[str(func)] += 1
        return result


def _flat(values: Any) -> list[Any]:
    if isinstance(values, list | tuple):
        return [one for value in values for one in _flat(value)]
    return [values]


def _works(func: Any) -> bool:
    name = func.name().split("::")[1].split(".")[0]
    aliases = [value.alias_info for value in func._schema.returns if value.alias_info]
    is_view = any(not alias.is_write for alias in aliases)
    return not is_view and not name.startswith(WITHOUT_WORK)


def made_up_data(config: TrialConfig) -> TrainingData:
    """Return images on "meta" and a sampler of a hundred characters in two alphabets a view."""
    views, side = len(config.views), config.input_size
    n_classes = views * CHARACTERS
    index = np.arange(n_classes * DRAWINGS).reshape(n_classes, DRAWINGS)
    sampler = Sampler(index, np.repeat(np.arange(2 * views), CHARACTERS // 2))
    images = torch.empty(CHARACTERS * DRAWINGS, side, side, dtype=torch.uint8, device="meta")
    return TrainingData(images, sampler, images, tasks=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MOST)
def test_a_step_takes_at_most_half_of_the_launches_it_took(name: str) -> None:
    path = find_shipped("studies", name)
    config = TrialConfig.from_values(read_yaml(path)["trial"], str(path))
    run = _Run(config, made_up_data(config), 0)
    run.train_step()  # fills what is kept for the next steps
    with Launches() as launches:
        run.train_step()
    n_launches = launches.counts.total()
    assert MOST[name] / 2 < n_launches <= MOST[name], sorted(launches.counts.items())
    assert launches.to_device <= 4  # rows, labels, transforms, shifts


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_deeper_networks_need_no_more_launches_of_the_optimiser(optimiser: str) -> None:
    counts = []
    for config in (tiny_config(optimiser=optimiser), aligned_config(optimiser=optimiser)):
        run = _Run(config, made_up_data(config), 0)
        for parameter in run.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        with Launches() as launches:
            run.optimiser.step()
        counts.append(launches.counts.total())
    assert counts[0] == counts[1] <= 9


@pytest.mark.parametrize("config", [tiny_config(), aligned_config()], ids=["l1", "aligned"])
def test_dense_evaluation_copies_rows_once_and_scores_once_an_alphabet(
    dataset: Dataset, config: TrialConfig
) -> None:
    data = on_meta(dataset, config, "dense")
    network = empty_network(config, "meta").eval()
    maps = (config.shape().places,) if network.aligned else ()
    codes = torch.empty(len(data.validation), *maps, config.shape().width, device="meta")
    with Readings():
        dense_scores(network, codes, data.tasks)  # type: ignore[arg-type]
    with Readings() as readings, Launches() as launches:
        found = dense_scores(network, codes, data.tasks)  # type: ignore[arg-type]
    alphabets = {pair.alphabet for pair in data.tasks.pairs}  # type: ignore[union-attr]
    assert (readings.counts["cpu"], launches.to_device) == (len(alphabets), 1)
    assert len(found) == len(data.tasks.pairs)  # type: ignore[union-attr]


def test_launches_are_counted_and_what_does_no_work_is_not() -> None:
    square = torch.empty(4, 4, device="meta")
    with Launches() as launches:
        (square.t()[2:].unsqueeze(0) + 1).unbind()
        torch.empty_like(square)
        torch.zeros(2).to("meta")
    assert launches.counts.total() == 2
    assert launches.to_device == 1
