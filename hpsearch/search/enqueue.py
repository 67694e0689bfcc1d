"""The configurations a study tries first."""

from __future__ import annotations

from typing import Any

from hpsearch.errors import InputError
from hpsearch.search.config import StudyConfig
from hpsearch.search.coordinates import Coordinates

PAPER_INPUT_PX = 65
"""Below this size the filters of Figure 3 do not fit."""
PAPER: dict[str, Any] = {
    "conv1.filter_size": 10,
    "conv1.filter_count": 64,
    "conv2.filter_size": 7,
    "conv2.filter_count": 128,
    "conv3.filter_size": 4,
    "conv3.filter_count": 128,
    "conv4.filter_size": 4,
    "conv4.filter_count": 256,
    "fc.width": 4096,
    **{
        f"{layer}.{key}": value
        for layer in ("conv1", "conv2", "conv3", "conv4", "fc", "output")
        for key, value in (("learning_rate", 0.01), ("momentum", 0.9), ("l2", 1e-4))
    },
}
"""Figure 3 of the paper with rates it does not print (Koch et al. 2015)."""


def enqueued_parameters(config: StudyConfig, coordinates: Coordinates) -> list[dict[str, Any]]:
    """Return the parameters of the first trials, moved to the nearest feasible configuration.

    Raises:
        InputError: `paper` below 65 px, an unknown parameter, or a missing one.
    """
    return [_parameters(entry, config, coordinates) for entry in config.enqueue]


def _parameters(
    entry: str | dict[str, Any], config: StudyConfig, coordinates: Coordinates
) -> dict[str, Any]:
    names = list(coordinates.space.parameters)
    reference = {name: config.trial.value(name) for name in names}
    if entry == "reference":
        wanted = reference
    elif entry == "paper":
        if config.trial.input_size < PAPER_INPUT_PX:
            raise InputError(
                f"enqueue: paper: its filters need at least {PAPER_INPUT_PX} px, trial.input_size "
                f"is {config.trial.input_size}; enqueue `reference` or parameters instead"
            )
        wanted = {**reference, **{k: v for k, v in PAPER.items() if k in reference}}
    else:
        given = dict(entry) if isinstance(entry, dict) else {}
        unknown = [key for key in given if key not in reference]
        if unknown:
            raise InputError(f"enqueue: {unknown[0]}: not a parameter of this space")
        wanted = {**reference, **given}
    return coordinates.nearest_feasible(wanted)
