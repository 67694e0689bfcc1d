"""A whole trial on "meta", where a stray tensor of the CPU raises: nothing is left behind there.

"meta" holds no values. So numbers that a trial reads off its device are made up here, and counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hpsearch.data import Dataset
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.config import TrialConfig
from hpsearch.training.loop import Interrupted, train
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import tiny_config
from tests.training.test_aligned_training import aligned_config
from tests.training.test_modern import modern

READ = {
    Tensor.item: lambda _: 0.5,
    Tensor.__float__: lambda _: 0.5,
    Tensor.__bool__: lambda _: True,
    Tensor.cpu: lambda tensor: torch.zeros(tensor.shape, dtype=tensor.dtype),
}
CONFIGS = {
    "paper": tiny_config(max_epochs=3),
    "as printed": tiny_config(pairs="batch", l2_gradient="as_printed", max_epochs=3),
    "softmax": modern(max_epochs=3, precision="tf32"),
    "aligned": aligned_config(max_epochs=3, patience=3),
    "elastic": tiny_config(distortion={"elastic_px": 2.0}, mirror_images=True, max_epochs=3),
}


class Readings(TorchFunctionMode):
    """Answers what is read off the meta device; counts the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter[str]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READ and args[0].device.type == "meta":
            self.counts[func.__name__] += 1
            return READ[func](args[0])
        return func(*args, **(kwargs or {}))


def on_meta(dataset: Dataset, config: TrialConfig, objective: Any) -> TrainingData:
    data = TrainingData.from_dataset(dataset, config, study_seed=0, objective=objective)
    return replace(data, images=data.images.to("meta"), validation=data.validation.to("meta"))


@pytest.mark.parametrize("objective", ["tasks_320", "dense"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_whole_trial_stays_on_its_device(dataset: Dataset, name: str, objective: str) -> None:
    """Steps, averaging, evaluation, diagnosis, checkpoint, interrupt and resume."""
    config = CONFIGS[name]
    data, steps = on_meta(dataset, config, objective), config.steps_per_epoch
    stops = iter([False] * (steps + 1) + [True])
    with Readings() as readings:
        epochs = train(config, data, 0, interrupt=stops.__next__)
        assert next(epochs).result.epoch == 1
        with pytest.raises(Interrupted) as stopped:
            next(epochs)
        kept = stopped.value.checkpoint
        assert {tensor.device.type for tensor in kept.tensors.values()} == {"cpu"}
        rest = [epoch.result.epoch for epoch in train(config, data, 0, resume=kept)]
    assert rest == [2, 3]
    assert readings.counts["cpu"] > 0


def test_what_stays_on_the_cpu_is_found(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails where a network makes its codes' partner on the CPU."""
    encode = SiameseNetwork.encode
    stray = torch.ones(12)
    monkeypatch.setattr(
        SiameseNetwork, "encode", lambda self, images: encode(self, images) * stray
    )
    config = CONFIGS["paper"]
    data = on_meta(dataset, config, "tasks_320")
    with Readings(), pytest.raises(RuntimeError):
        next(train(config, data, 0))
