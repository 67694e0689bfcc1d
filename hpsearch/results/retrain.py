"""Trains an exported configuration in full and writes a model folder; continuable."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpsearch.configfile import dump_yaml, parse_yaml, read_yaml
from hpsearch.data import Dataset
from hpsearch.errors import InputError
from hpsearch.paths import write_atomically
from hpsearch.results.intervals import wilson
from hpsearch.training.config import TrialConfig
from hpsearch.training.epoch import EpochResult

N_PAIRS = 10_000
"""Verification pairs (Koch et al. 2015, section 4.2)."""


def read_exported(path: Path) -> tuple[dict[str, Any], TrialConfig]:
    """Read best.yaml, or a bare trial configuration.

    Raises:
        InputError: The file is missing or is neither.
    """
    values = read_yaml(path)
    inner = values.get("config", values)
    return values, TrialConfig.from_values(inner, str(path))


def retrain(
    path: Path,
    dataset: Dataset,
    output: Path,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    device: str = "cpu",
    progress: Callable[[EpochResult, int], None] | None = None,
) -> dict[str, Any]:
    """Train to the end and write weights.safetensors, config.yaml and metrics.json.

    Args:
        path: best.yaml.
        dataset: Must be the one of the study.
        output: The model folder; a training begun there goes on.
        seed: Another seed than the trial's.
        epochs: Another number of epochs than max_epochs.
        device: "cpu" or "cuda".
        progress: Called after each epoch with its result and the number of epochs at most.

    Returns:
        What metrics.json holds.

    Raises:
        InputError: The data differ, or the folder holds another model.
    """
    from safetensors.torch import save

    from hpsearch.training import checkpoint
    from hpsearch.training.loop import train
    from hpsearch.training.trainingdata import TrainingData

    values, config = read_exported(path)
    if epochs is not None:
        config = config.with_parameters({"max_epochs": epochs})
    known = values.get("dataset", {}).get("fingerprint", dataset.fingerprint)
    if known != dataset.fingerprint:
        raise InputError(
            f"{path}: dataset.fingerprint: found on {known[:12]}, the data given are "
            f"{dataset.kind} {dataset.fingerprint[:12]}; name the study's data with --data"
        )
    study_seed = int(values.get("study_seed", 0))
    chosen = int(values.get("seed", 0)) if seed is None else seed
    description = {
        "format": 1,
        "dataset": {"kind": dataset.kind, "fingerprint": dataset.fingerprint},
        "seed": chosen,
        "study_seed": study_seed,
        "config": config.plain(),
    }
    described = output / "config.yaml"
    text = dump_yaml(description)
    if described.exists() and read_yaml(described) != parse_yaml(text.encode(), "config"):
        raise InputError(f"{output}: holds another model; name another --output")
    write_atomically(described, text)
    data = TrainingData.from_dataset(dataset, config, study_seed=study_seed, device=device)
    saved = output / "checkpoint"
    last = checkpoint.load(saved)
    for epoch in train(config, data, chosen, resume=last):
        last = epoch.checkpoint()
        checkpoint.save(last, saved)
        if progress is not None:
            progress(epoch.result, config.max_epochs)
    if last is None:
        raise InputError(f"{path}: max_epochs: nothing to train")
    weights = {n: t.contiguous() for n, t in last.best_weights().items()}
    write_atomically(output / "weights.safetensors", save(weights))
    metrics = _metrics(last.curve, config, weights, dataset, study_seed, data.tasks.n_tasks)
    write_atomically(output / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    return metrics


def _metrics(
    curve: list[EpochResult],
    config: TrialConfig,
    weights: dict[str, Any],
    dataset: Dataset,
    study_seed: int,
    n_tasks: int,
) -> dict[str, Any]:
    import numpy as np
    import torch

    from hpsearch.data.tasks import split_drawers, verification_pairs
    from hpsearch.network.siamese import SiameseNetwork
    from hpsearch.training.evaluation import encode, verification_accuracy

    network = SiameseNetwork(config.shape(), output_bias=config.layers.output.bias)
    network.load_state_dict(weights)
    characters = dataset.validation(config.input_size)
    _, drawers = split_drawers(characters.n_drawers, config.drawers, study_seed)
    left, right, same = verification_pairs(characters, N_PAIRS, drawers, study_seed)
    rows, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    encodings = encode(network, torch.from_numpy(np.array(characters.images[rows])))
    first, second = torch.from_numpy(place[:N_PAIRS]), torch.from_numpy(place[N_PAIRS:])
    accuracy = verification_accuracy(network, encodings, first, second, torch.from_numpy(same))
    best = min(curve, key=lambda r: (r.validation_error, r.epoch))
    return {
        "validation_error": best.validation_error,
        "n_tasks": n_tasks,
        "interval": list(wilson(best.validation_error, n_tasks)),
        "best_epoch": best.epoch,
        "epochs": len(curve),
        "verification_accuracy": accuracy,
        "verification_interval": list(wilson(accuracy, N_PAIRS)),
        "n_pairs": N_PAIRS,
        "seconds": curve[-1].seconds,
        "images": curve[-1].images,
        "curve": [r.to_json() for r in curve],
    }
