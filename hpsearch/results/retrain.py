"""Trains an exported configuration in full and writes a model folder; resumable.

With `include_validation` the validation characters are trained on too. Only the sealed test set is
then held out: the number of epochs is fixed, the last epoch's weights are kept, and all validation
figures are stored as "seen in training".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field

from hpsearch.allocation import keep_freed_memory
from hpsearch.configfile import Section, dump_yaml, load_section, parse_yaml, read_yaml
from hpsearch.data import Dataset
from hpsearch.errors import InputError
from hpsearch.paths import write_atomically
from hpsearch.records import dump_record
from hpsearch.trainers.recipe import read_recipe
from hpsearch.training.config import Objective, TrialConfig
from hpsearch.training.epoch import EpochResult
from hpsearch.training.selection import check_data

if TYPE_CHECKING:
    from torch import Tensor

    from hpsearch.training.checkpoint import Checkpoint


class ExportedDataset(Section):
    """The data a configuration was found on."""

    kind: str
    """As in a study file, but never auto."""
    fingerprint: str
    """SHA-256 (hex) of the content."""


class Certified(Section):
    """The part of a certificate that retraining needs."""

    model_config = ConfigDict(extra="ignore")

    interval_one_training: tuple[float, float]
    """95 % interval of one training: its error on fresh tasks, or a command's value."""


class Exported(Section):
    """The part of best.yaml that retraining needs; the rest is for the reader."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    """Version of the file's layout."""
    dataset: ExportedDataset | None = None
    """None in a bare trial configuration, which fits any data."""
    seed: int = Field(0, ge=0)
    """The trial's seed."""
    study_seed: int = Field(0, ge=0)
    """Seed of the drawers and the validation tasks."""
    objective: Objective = "tasks_320"
    """The validation measure during training."""
    ways: int | None = Field(None, ge=2)
    """Candidates of a validation task; None means the data's."""
    shots: int = Field(1, ge=1)
    """Support images of each candidate."""
    certificate: Certified | None = None
    """Result of `hpsearch confirm`; None while unconfirmed."""
    provenance: dict[str, Any] | None = None
    """Software and machine of the trial."""


def read_exported(path: Path) -> tuple[Exported, TrialConfig]:
    """Read best.yaml, or a bare trial configuration.

    Raises:
        InputError: The file is missing, or is neither of them.
    """
    values = read_yaml(path)
    config = TrialConfig.from_values(values.get("config", values), str(path))
    return load_section(Exported, values, path), config


def retrain(
    path: Path,
    dataset: Dataset,
    output: Path,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    include_validation: bool = False,
    device: str = "cpu",
    progress: Callable[[EpochResult, int], None] | None = None,
    aside: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train to the end and write weights.safetensors, config.yaml and metrics.json.

    Args:
        path: best.yaml.
        dataset: The study's data set.
        output: The model folder; a training begun there continues.
        seed: None takes the trial's seed.
        epochs: None takes max_epochs.
        include_validation: Train on the validation characters too, for exactly max_epochs, and
            keep the last weights.
        device: "cpu" or "cuda".
        progress: Called after each epoch with its result and the maximum number of epochs.
        aside: Called with a message when another model in the folder was renamed; None refuses
            to rename it.

    Returns:
        The content of metrics.json.

    Raises:
        InputError: The data differ or do not allow a setting, the folder holds another model, or
            training diverged.
    """
    from safetensors.torch import save

    from hpsearch.scoring.validation import validation_figures
    from hpsearch.training import checkpoint
    from hpsearch.training.build import trained_network
    from hpsearch.training.loop import train
    from hpsearch.training.trainingdata import TrainingData

    exported, config = read_exported(path)
    as_found = not include_validation and epochs in (None, config.max_epochs)
    if epochs is not None:
        config = config.with_parameters({"max_epochs": epochs})
    if include_validation:  # early stopping would use characters that are trained on
        config = config.with_parameters({"patience": config.max_epochs})
    if exported.dataset is not None and exported.dataset.fingerprint != dataset.fingerprint:
        raise InputError(
            f"{path}: dataset.fingerprint: found on {exported.dataset.fingerprint[:12]}, the data "
            f"given are {dataset.kind} {dataset.fingerprint[:12]}; name the study's data with "
            "--data"
        )
    dataset = dataset.asking(exported.ways, exported.shots)
    settings: dict[str, Any] = {
        "study_seed": exported.study_seed,
        "include_validation": include_validation,
    }
    if exported.objective == "dense":  # the default is not named, as in older folders
        settings["objective"] = "dense"
    check_data(dataset, config, **settings, where=f"{path}: config")
    chosen = exported.seed if seed is None else seed
    description = {
        "format": 1,
        "dataset": {
            "kind": dataset.kind,
            "fingerprint": dataset.fingerprint,
            **({} if dataset.paper else {"paper": False}),  # how to convert images to recognise
            **({"colour_px": dataset.colour_px} if dataset.colour_px else {}),
        },
        "seed": chosen,
        **settings,
        **_size(exported),
        "config": config.plain(),
    }
    describe(output, description, aside)
    data = TrainingData.from_dataset(dataset, config, **settings, device=device)
    saved = output / "checkpoint"
    last = checkpoint.load(saved)
    if last is not None and not last.belongs_to(config):
        raise InputError(
            f"{saved}: belongs to another configuration; delete it or name another --output"
        )
    keep_freed_memory()
    for epoch in train(config, data, chosen, resume=last):
        last = epoch.checkpoint()
        checkpoint.save(last, saved)
        if progress is not None:
            progress(epoch.result, config.max_epochs)
    if last is None:
        raise InputError(f"{path}: max_epochs: nothing to train")
    weights = last.weights() if include_validation else last.best_weights()
    _check_usable(path, last, weights, include_validation)
    network = trained_network(config, weights, device)
    if config.backbone is not None:  # so that the model needs no file of the backbone
        weights = {name: weight.cpu() for name, weight in network.state_dict().items()}
    content = save({name: weight.contiguous() for name, weight in weights.items()})
    write_atomically(output / "weights.safetensors", content)
    figures = validation_figures(network, config, dataset, exported.study_seed)
    certificate = exported.certificate
    metrics = {
        **_metrics(
            last.curve,
            exported.objective,
            figures,
            seen=include_validation,
            averaging=config.test_time_averaging != "none",
        ),
        "certificate": against_certificate(figures["fresh_error"], certificate, as_found=as_found),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(output / "metrics.json", dump_record(metrics))
    return metrics


def _size(exported: Exported) -> dict[str, int]:
    """Return the size of the validation tasks where it is set; older folders do not name it."""
    ways = {} if exported.ways is None else {"ways": exported.ways}
    return ways if exported.shots == 1 else {**ways, "shots": exported.shots}


def describe(
    output: Path, description: dict[str, Any], aside: Callable[[str], None] | None
) -> None:
    """Write the model folder's config.yaml; rename or refuse a folder of another model."""
    path, text = output / "config.yaml", dump_yaml(description)
    if path.exists():
        held, asked = read_yaml(path), parse_yaml(text.encode(), "config")
        if isinstance(held.get("config"), dict):  # an older version knew fewer settings
            held["config"] = read_recipe(held["config"], str(path)).plain()
        different = [key for key in asked if key not in held or held[key] != asked[key]]
        if different and aside is not None:
            kept = _set_aside(output)
            aside(f"{output}: held another model ({different[0]} differs); it is {kept} now")
        elif different:
            raise InputError(
                f"{path}: {different[0]}: holds another model; name another --output, or repeat "
                "the command that began it"
            )
    elif output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output}: exists and holds no model; name another --output")
    write_atomically(path, text)


def _set_aside(output: Path) -> Path:
    """Rename a model folder to the first free name: model-1, then model-2."""
    number = 1
    while (free := output.with_name(f"{output.name}-{number}")).exists():
        number += 1
    output.rename(free)
    return free


def _check_usable(
    path: Path, last: Checkpoint, weights: dict[str, Tensor], fixed_length: bool
) -> None:
    """Refuse the weights of a training that failed."""
    diagnosis = last.curve[-1].diagnosis
    finite = all(bool(weight.isfinite().all()) for weight in weights.values())
    if not finite or (fixed_length and diagnosis):
        raise InputError(
            f"{path}: training ended without usable weights ({diagnosis}); lower the learning "
            "rates or export another trial"
        )


def _metrics(
    curve: list[EpochResult],
    objective: Objective,
    figures: dict[str, Any],
    *,
    seen: bool,
    averaging: bool,
) -> dict[str, Any]:
    """Return metrics.json; figures on training characters are stored apart.

    Epochs are validated without averaging over views, all other figures with it.
    """
    kept = curve[-1] if seen else min(curve, key=lambda r: (r.validation_error, r.epoch))
    from hpsearch.scoring.verification import N_PAIRS

    shown = {
        "validation_error": figures[objective]["error"] if averaging else kept.validation_error,
        "validation_error_without_averaging": kept.validation_error if averaging else None,
        **figures,
        "interval": figures[objective]["interval"],
        "curve": [r.to_json() for r in curve],
    }
    if seen:
        shown = {**dict.fromkeys(shown), "seen_in_training": shown}
    return {
        "include_validation": seen,
        "objective": objective,
        "weights_epoch": kept.epoch,
        "epochs": len(curve),
        "n_tasks": figures["tasks_320"]["n_tasks"],
        "n_pairs": N_PAIRS,
        "seconds": curve[-1].seconds,
        "images": curve[-1].images,
        **shown,
    }


def against_certificate(
    value: float, certificate: Certified | None, *, as_found: bool
) -> dict[str, Any]:
    """Return whether an error on fresh tasks, or a command's value, lies in the certificate.

    The certificate does not apply to a training on other images or of another length.
    """
    if not as_found:
        return {"verdict": "not applicable", "interval": None}
    if certificate is None:
        return {"verdict": "unconfirmed", "interval": None}
    low, high = certificate.interval_one_training
    within = low <= value <= high
    return {"verdict": "within" if within else "outside", "interval": [low, high]}
