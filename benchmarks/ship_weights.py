"""Makes the shipped weights: a model of all unsealed alphabets in half precision.

Run: python -m benchmarks.ship_weights MODEL BACKGROUND --data DIR
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.data import Dataset
from hpsearch.data.dense import dense_accuracy, dense_tasks
from hpsearch.data.tasks import dense_drawers
from hpsearch.output import say
from hpsearch.provenance import software
from hpsearch.recognition.model import SHIPPED
from hpsearch.records import dump_record
from hpsearch.results.retrain import read_exported
from hpsearch.sources.find import find_dataset
from hpsearch.training.build import trained_network
from hpsearch.training.config import TrialConfig
from hpsearch.training.evaluation import dense_scores, encode

MAX_BYTES = 1_500_000
MAX_DIFFERENCE = 0.001
"""Of the dense accuracy, in half precision and in single precision."""
CALIBRATED = ("calibration", "calibration_error", "calibrated_accuracy", "none_of_these")


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in half precision; whole numbers stay."""
    return {
        name: (weight.half() if weight.is_floating_point() else weight).contiguous()
        for name, weight in weights.items()
    }


def dense_error(config: TrialConfig, weights: dict[str, Tensor], dataset: Dataset) -> float:
    """Return a network's error on all validation tasks of eight drawers."""
    characters = dataset.validation(config.input_size)
    eight = dense_drawers(characters.n_drawers, 0, people=characters.people)
    tasks = dense_tasks(characters, dataset.size, drawers=eight, seed=0)
    network = trained_network(config, weights)
    codes = encode(network, torch.from_numpy(characters.images.copy()))
    return 1 - dense_accuracy(dense_scores(network, codes, tasks), tasks).accuracy


def ship(model: Path, background: Path, dataset: Dataset, output: Path) -> dict[str, Any]:
    """Write the shipped model folder.

    Args:
        model: A model folder that `hpsearch retrain --include-validation` wrote.
        background: One of the same configuration without the validation alphabets. What has to be
            measured on alphabets that were never trained on is measured with it: the calibration
            and the error of half precision.
        dataset: The data of both.
        output: The folder to write.

    Returns:
        Sizes and errors.

    Raises:
        SystemExit: The file is too large, or half precision costs too much.
    """
    from safetensors.torch import load_file, save

    description = read_yaml(model / "config.yaml")
    sibling = read_yaml(background / "config.yaml")
    if sibling["config"] != description["config"] or not description["include_validation"]:
        raise SystemExit(f"{background}: not the same configuration as {model}")
    _, config = read_exported(model / "config.yaml")
    unseen = load_file(background / "weights.safetensors")
    single, half = (dense_error(config, one, dataset) for one in (unseen, halved(unseen)))
    content = save(halved(load_file(model / "weights.safetensors")))
    if len(content) > MAX_BYTES or abs(half - single) > MAX_DIFFERENCE:
        raise SystemExit(f"{len(content)} bytes, error {single:.4f} became {half:.4f}")
    trained = json.loads((model / "metrics.json").read_text())
    measured = json.loads((background / "metrics.json").read_text())
    output.mkdir(parents=True, exist_ok=True)
    (output / "weights.safetensors").write_bytes(content)
    made = {
        "command": "python -m benchmarks.ship_weights MODEL BACKGROUND --data DIR",
        "images": trained["images"],
        "seconds": round(trained["seconds"]),
        "background_error": {"float32": single, "float16": half},
        "software": software(),
    }
    text = dump_yaml({**description, "provenance": made})
    (output / "config.yaml").write_text(text, encoding="utf-8")
    kept = {name: trained[name] for name in ("include_validation", "epochs", "images", "seconds")}
    kept |= {name: measured[name] for name in CALIBRATED}
    kept["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (output / "metrics.json").write_text(dump_record(kept), encoding="utf-8")
    return {"bytes": len(content), "float32": single, "float16": half}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("background", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=SHIPPED)
    given = parser.parse_args()
    dataset = find_dataset("omniglot", given.data)
    for name, value in ship(given.model, given.background, dataset, given.output).items():
        say(f"{name}: {value}")


if __name__ == "__main__":
    main()
