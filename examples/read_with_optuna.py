"""Read a study with Optuna: every study is an ordinary Optuna study in SQLite.

    python examples/read_with_optuna.py [FOLDER]

Anything that reads Optuna studies reads this one. The database is opened read-only, so a search
may be running in the folder.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import optuna
from optuna.trial import TrialState


def load(folder: Path) -> optuna.Study:
    """Return the study of a folder, read-only."""
    address = (folder / "study.db").resolve().as_uri() + "?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, timeout=60)

    storage = optuna.storages.RDBStorage(
        "sqlite://", engine_kwargs={"creator": connect}, skip_table_creation=True
    )
    return optuna.load_study(study_name=None, storage=storage)  # a folder holds one study


def main(folder: str = "runs/example") -> None:
    """Print the study's states, its best trial and each trial's learning curve."""
    study = load(Path(folder))
    for state in TrialState:
        count = len(study.get_trials(deepcopy=False, states=[state]))
        print(f"{state.name.lower()}: {count}")

    print(f"best trial: {study.best_trial.number}, validation error {study.best_value:.3f}")
    for trial in study.trials:
        curve = {epoch: round(e, 3) for epoch, e in sorted(trial.intermediate_values.items())}
        print(f"trial {trial.number}: {curve}")


if __name__ == "__main__":
    main(*sys.argv[1:])
