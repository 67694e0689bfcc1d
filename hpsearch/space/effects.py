"""The settings that a search may vary, and the conditions under which one has no effect.

A searched parameter without effect is the worst bug of a search: it costs trials and reveals
nothing. So it is refused, and the message names the setting that switches it off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.errors import InputError
from hpsearch.space.parameter import Parameter
from hpsearch.training.config import TrialConfig

NOT_SEARCHABLE = {
    "comparison": "each comparison has layers and settings of its own",
    "channels": "the pictures are read once for all trials",
    "name": "a study has one backbone",
    "file": "a study has one backbone",
    "padding": "what fits is counted for one padding",
    "test_time_averaging": "epochs are validated without it",
    "precision": "it is the device's arithmetic, not a hyperparameter",
    "max_epochs": "trials of different length cannot be compared epoch by epoch",
    "images_per_epoch": "trials of different length cannot be compared epoch by epoch",
    "patience": "it decides how long a trial is watched, not how it trains",
    "stop_untrainable": "it decides how long a trial is watched, not how it trains",
}


AMOUNTS = (
    "angle_deg", "shear", "scale", "shift_px", "elastic_px", "flip", "crop", "colour",
)  # fmt: skip
"""The distortion's settings that say how far."""


def leaf_paths(base: TrialConfig) -> dict[str, Any]:
    """Return every setting of a configuration by its path, without the prefix `layers.`."""
    return paths_of({**base.model_dump(mode="json"), "layers": base.plain()["layers"]})


def paths_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration's plain values by path."""
    paths: dict[str, Any] = {}
    for key, value in values.items():
        if key == "layers":
            for layer, settings in value.items():
                paths |= {f"{layer}.{name}": v for name, v in settings.items()}
        elif isinstance(value, dict):
            paths |= {f"{key}.{name}": v for name, v in value.items()}
        else:
            paths[key] = value
    return paths


def refuse_without_effect(
    name: str, parameter: Parameter, base: TrialConfig, searched: Mapping[str, Parameter]
) -> None:
    """Refuse a parameter whose values all give the same training.

    Args:
        name: The parameter's path.
        parameter: Its range; a single value fixes the parameter, which is allowed.
        base: The configuration in which it is set.
        searched: All searched parameters; one of them may switch this one on.

    Raises:
        InputError: The parameter has no effect; the message says why and what to change.
    """
    why = NOT_SEARCHABLE.get(name.rpartition(".")[2])
    if why:
        raise InputError(f"cannot be searched: {why}; set it in the study's trial")
    if parameter.single:
        return
    possible: dict[str, tuple[Any, ...]] = {p: (value,) for p, value in leaf_paths(base).items()}
    possible |= {path: one.extremes for path, one in searched.items()}
    reason = _reason(name, base, possible)
    if reason:
        raise InputError(f"has no effect while {reason}; remove it or change that")


def _reason(name: str, base: TrialConfig, possible: Mapping[str, tuple[Any, ...]]) -> str | None:
    """Return the setting that leaves `name` without effect, None if there is none."""

    def all_zero(names: list[str]) -> bool:
        return all(value == 0 for path in names for value in possible[path])

    if name.startswith("distortion."):
        ranges = [f"distortion.{key}" for key in AMOUNTS]
        if name == "distortion.probability":
            return "every range of distortion is 0" if all_zero(ranges) else None
        zero = all_zero(["distortion.probability"])
        return "distortion.probability is 0" if zero else None
    if name in ("output.tau", "init") and possible["start"] == ("shipped",):
        return "start is shipped"
    if (
        name == "output.l2"
        and base.comparison == "aligned"
        and True not in possible["decay_biases"]
    ):
        return "comparison is aligned, whose output has no weights to decay"
    if name == "batch_pairs" and "independent" not in possible["pairs"]:
        return "pairs is batch"
    if name in ("batch_characters", "batch_drawings") and "batch" not in possible["pairs"]:
        return "pairs is independent"
    if possible["optimiser"] == ("adamw",) and (
        name.endswith(".momentum") or name in ("momentum_start", "momentum_ramp", "l2_gradient")
    ):
        return "optimiser is adamw"
    if name == "learning_rate_decay" and possible["schedule"] == ("cosine",):
        return "schedule is cosine"
    if name == "loss" and "independent" in possible["pairs"]:
        return "pairs may be independent"
    if name in ("l2_gradient", "decay_biases"):
        layers = [f"{layer}.l2" for layer in base.layers.all]
        return "l2 is 0 in every layer" if all_zero(layers) else None
    if base.max_epochs == 1 and name in ("learning_rate_decay", "momentum_ramp"):
        return "max_epochs is 1"
    return None
