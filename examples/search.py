"""Search from Python, then print the trials, best first.

    python examples/search.py [FOLDER]

Searches drawn alphabets for a minute. Run it again to continue the study with the same settings.
"""

from __future__ import annotations

import sys
from typing import Any

import hpsearch

SETTINGS: dict[str, Any] = {
    "dataset": "glyphs",  # leave it out to search Omniglot or your own images, given as `data`
    "budget": {"trials": 4},
    "trial": {"max_epochs": 2, "images_per_epoch": 512},
}


def main(folder: str = "runs/example") -> None:
    """Search, and print one line per trial."""
    result = hpsearch.search("quickstart", output=folder, seed=0, **SETTINGS)

    trained = [trial for trial in result.trials if trial.value is not None]
    for trial in sorted(trained, key=lambda trial: (trial.value, trial.number)):
        error = ", ".join(f"{value:.3f}" for _, value in sorted(trial.values.items()))
        print(f"trial {trial.number:2} {trial.state:8} validation error by epoch: {error}")

    if result.best is not None:
        print(f"best trial: {result.best.number}, confirmed: {result.confirmed}")
        for name, value in sorted(result.best.params.items()):
            print(f"  {name} = {value}")


if __name__ == "__main__":  # worker processes import this file; they must not search
    main(*sys.argv[1:])
