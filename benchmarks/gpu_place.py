"""Where the steps of `benchmarks.gpu` run, what each writes down, and what they train."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.step import study_config
from hpsearch.data import open_packed
from hpsearch.execution import Job
from hpsearch.training.config import TrialConfig
from hpsearch.training.trainingdata import TrainingData


class Unmeasured(Exception):
    """A step cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where a step runs.

    Args:
        device: "cpu" or "cuda".
        tiny: Whether networks and repetitions are as small as can be.
        data: As for hpsearch search; None looks where a search does.
        packed: The packed data set.
        scratch: An empty folder of this step's own.
        until: When the step's time is over, on `time.monotonic`.
    """

    device: str
    tiny: bool
    data: Path | None
    packed: Path
    scratch: Path
    until: float

    @property
    def left_s(self) -> float:
        """Seconds that the step has left."""
        return self.until - time.monotonic()

    @property
    def cuda(self) -> bool:
        """Whether a card is measured."""
        return self.device == "cuda"

    def need_card(self) -> None:
        """Give up where there is no card.

        Raises:
            Unmeasured: The device is the CPU.
        """
        if not self.cuda:
            raise Unmeasured("needs a card")

    def sync(self) -> None:
        """Wait until the device has done all its work."""
        if self.cuda:
            torch.cuda.synchronize()

    def load(self, config: TrialConfig, device: str | None = None) -> TrainingData:
        """Return the training data of a configuration on the place's device, or another."""
        dataset = open_packed(self.packed)
        return TrainingData.from_dataset(
            dataset, config, study_seed=0, device=device or self.device
        )

    def job(self, trial: int, config: TrialConfig, **more: Any) -> Job:
        """Return a job whose checkpoint lies in the step's folder."""
        folder = self.scratch / f"{trial:05d}"
        folder.mkdir(exist_ok=True)
        values = {"seed": 7, "data": self.packed, "study_seed": 0, **more}
        return Job(trial, config.plain(), checkpoint=folder / "checkpoint", **values)


@dataclass
class Sheet:
    """What a step writes down: figures, and expectations with whether they hold.

    Args:
        send: Called with all that is written down so far, so that nothing is lost at a limit.
    """

    send: Callable[[dict[str, Any]], None]
    figures: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)

    def note(self, **figures: Any) -> None:
        """Write figures down."""
        self.figures |= figures
        self.send(self.lines)

    def expect(self, what: str, holds: bool) -> None:
        """Write down whether an expectation holds."""
        self.checks[what] = bool(holds)
        self.send(self.lines)

    @property
    def lines(self) -> dict[str, Any]:
        """The figures and the checks."""
        return {**self.figures, **({"checks": dict(self.checks)} if self.checks else {})}


Step = Callable[[Place, Sheet], None]


def verdict_of(lines: Mapping[str, Any]) -> str:
    """Return PASS or FAIL where something was expected, NUMBER where not."""
    checks = lines.get("checks", {})
    if not checks:
        return "NUMBER"
    return "PASS" if all(checks.values()) else "FAIL"


def small_config(**settings: Any) -> TrialConfig:
    """Return a configuration at 20 x 20 that trains in milliseconds."""
    each = {"learning_rate": 0.05, "momentum": 0.9}
    layers = {
        "conv1": {"filter_size": 5, "filter_count": 8, **each},
        "conv2": {"filter_size": 3, "filter_count": 16, "pool": False, **each},
        "fc": {"width": 32, **each},
        "output": {"bias": True, **each},
    }
    values = {
        "input_size": 20,
        "layers": layers,
        "pairs": "batch",
        "init": "he",
        "momentum_start": 0.9,
        "images_per_epoch": 640,
        "max_epochs": 3,
        **settings,
    }
    return TrialConfig.from_values(values)


def networks(place: Place) -> dict[str, TrialConfig]:
    """Return the configurations whose step is compared, by name."""
    found = {"small": small_config()}
    if place.tiny:
        return {**found, "small independent": small_config(pairs="independent", batch_pairs=8)}
    whole = one_filter(35, 35)
    wide = one_filter(52, 20)
    paper = study_config("koch2015").with_parameters({"batch_pairs": 16})
    shipped = {name: study_config(name) for name in ("quickstart", "modern", "aligned")}
    return {**found, "koch2015": paper, **shipped, "35 x 35 filter": whole, "20 x 20": wide}


def one_filter(side: int, filter_size: int) -> TrialConfig:
    """Return a network of one convolution with a large filter."""
    values = small_config(input_size=side).plain()
    values["layers"]["conv1"] |= {"filter_size": filter_size, "pool": False, "filter_count": 64}
    values["layers"].pop("conv2")
    return TrialConfig.from_values(values)


def of_precision(config: TrialConfig, precision: str) -> TrialConfig:
    """Return a configuration with another precision."""
    return config.model_copy(update={"precision": precision})


def precisions(place: Place) -> list[str]:
    """Return the precisions that a device has."""
    from hpsearch.training.precision import has_bf16

    reduced = ["tf32"] if place.cuda else []
    return ["float32", *reduced, *(["bf16"] if has_bf16(place.device) else [])]
