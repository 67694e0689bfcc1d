"""Opens the sealed test set and scores a model on it (Koch et al. 2015, section 4.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpsearch.data import Dataset
from hpsearch.errors import InputError
from hpsearch.json_files import Evaluation
from hpsearch.paths import write_atomically
from hpsearch.recognition.model import load_model
from hpsearch.records import dump_record, read_or_none
from hpsearch.results.intervals import wilson

EVALUATION = "evaluation.json"
"""File of the last evaluation beside the weights; showing it opens no test set."""


def evaluate(folder: Path, dataset: Dataset, device: str = "cpu") -> dict[str, Any]:
    """Return accuracy, interval, accuracies by alphabet, AUC, and whether scores are degenerate.

    The result is also stored beside the weights.

    Args:
        folder: The model folder.
        dataset: The data set that the model was trained on.
        device: "cpu" or "cuda".

    Raises:
        InputError: There is no model, or it was trained on other data.
    """
    model = load_model(folder, device)
    trained_on = model.description["dataset"]["fingerprint"]
    if trained_on != dataset.fingerprint:
        raise InputError(
            f"{folder / 'config.yaml'}: dataset.fingerprint: trained on {trained_on[:12]}, the "
            f"data given are {dataset.kind} {dataset.fingerprint[:12]}; name the study's data "
            "with --data"
        )
    import numpy as np
    import torch

    from hpsearch.data.sealed import open_test_set
    from hpsearch.training.evaluation import evaluate_tasks

    in_study = (folder.parent / "study.yaml").exists()
    log = (folder.parent if in_study else folder) / "openings.jsonl"
    test = open_test_set(
        dataset, f"evaluate {folder.name}", log=log, input_size=model.config.input_size
    )
    images = torch.from_numpy(np.array(test.characters.images)).to(device)
    scores = evaluate_tasks(model.network, images, test.tasks)
    by_alphabet: dict[str, list[float]] = {}
    for name, credit in zip(test.tasks.alphabet, scores.credit, strict=True):
        by_alphabet.setdefault(name, []).extend(credit.tolist())
    result = {
        "dataset": dataset.kind,
        "accuracy": scores.accuracy,
        "n_tasks": test.tasks.n_tasks,
        "interval": list(wilson(scores.accuracy, test.tasks.n_tasks)),
        "per_alphabet": {
            name: {"accuracy": sum(credits) / len(credits), "n_tasks": len(credits)}
            for name, credits in sorted(by_alphabet.items())
        },
        "verification_auc": scores.auc,
        "degenerate": scores.degenerate,
    }
    kept = {**result, "fingerprint": dataset.fingerprint}
    write_atomically(folder / EVALUATION, dump_record(kept))
    return result


def read_evaluation(model: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the stored evaluation of a model, None if there is none on these data."""
    found = read_or_none(model / EVALUATION, Evaluation)
    return found if found and found["fingerprint"] == fingerprint else None
