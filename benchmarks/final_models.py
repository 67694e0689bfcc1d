"""Scores trained models on Lake's 400 sealed tasks, averaged over turns and mirror images and not.

Opens the sealed tasks, which is logged in each model's folder. What the result file holds of other
models stays.
Run: python -m benchmarks.final_models GROUP MODEL... --data DIR --output JSON
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from hpsearch.configfile import dump_yaml, parse_yaml
from hpsearch.data import Dataset
from hpsearch.output import say
from hpsearch.paths import write_atomically
from hpsearch.scoring.evaluate import evaluate
from hpsearch.sources.find import find_dataset

WAYS = ("averaged", "as_it_is")


def score(model: Path, dataset: Dataset) -> dict[str, Any]:
    """Return both scores of a model, the images it was trained on, and its training's seconds."""
    with tempfile.TemporaryDirectory() as place:
        plain = Path(place) / model.name
        shutil.copytree(model, plain)
        settings = parse_yaml((plain / "config.yaml").read_bytes(), "config.yaml")
        settings["config"]["test_time_averaging"] = "none"
        (plain / "config.yaml").write_text(dump_yaml(settings))
        found = dict(zip(WAYS, (evaluate(m, dataset) for m in (model, plain)), strict=True))
    metrics = json.loads((model / "metrics.json").read_text())
    return {
        **{way: _short(result) for way, result in found.items()},
        "images": metrics["images"],
        "seconds": round(metrics["seconds"]),
        "seed": settings["seed"],
    }


def _short(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "accuracy": result["accuracy"],
        "interval": [round(bound, 4) for bound in result["interval"]],
        "n_tasks": result["n_tasks"],
        "per_alphabet": {n: round(r["accuracy"], 4) for n, r in result["per_alphabet"].items()},
    }


def main() -> None:
    """Score, print, and add to the result file."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("group", help="what the models have in common, as lake or small1")
    options.add_argument("models", nargs="+", type=Path)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--output", type=Path, required=True)
    given = options.parse_args()
    dataset = find_dataset("omniglot", given.data)
    known = json.loads(given.output.read_text()) if given.output.exists() else {}
    group = known.setdefault(given.group, {})
    for model in given.models:
        found = score(model, dataset)
        seed = str(found.pop("seed"))
        group[seed] = found
        told = ", ".join(f"{way} {found[way]['accuracy']:.2%}" for way in WAYS)
        say(f"{given.group}, seed {seed}: {told}, {found['images']:,} images")
    for way in WAYS:
        mean = fmean(seed[way]["accuracy"] for seed in group.values())
        say(f"mean of {len(group)} seeds, {way}: {mean:.2%}")
    write_atomically(given.output, json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
