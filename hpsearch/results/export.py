"""Writes the best configuration as a file that can be trained without the study."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from pathlib import Path

from hpsearch import __version__
from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder, write_atomically
from hpsearch.search.history import best_trial
from hpsearch.search.record import read_study

FORMAT = 1
HEAD = "# Best configuration of a search; train it with: hpsearch retrain FILE\n"
PACKAGES = ("torch", "optuna", "numpy")


def export_best(folder: StudyFolder, trial: int | None, output: Path | None) -> Path:
    """Write best.yaml.

    Args:
        folder: The study's folder.
        trial: Another trial than the best.
        output: Another file than the study's best.yaml.

    Returns:
        The file written.

    Raises:
        InputError: There is no such trial, or none is complete.
    """
    view = read_study(folder)
    if trial is None:
        chosen = best_trial(view.trials)
        if chosen is None:
            raise InputError(f"{folder.root}: no completed trial to export; search on")
    elif trial < 0 or trial >= len(view.trials) or view.trials[trial].value is None:
        raise InputError(f"--trial {trial}: no trial of that number has a result in {folder.root}")
    else:
        chosen = view.trials[trial]
    attributes = view.attributes[chosen.number]
    values = {
        "format": FORMAT,
        "study": view.name,
        "trial": chosen.number,
        "validation_error": chosen.value,
        "n_tasks": view.dataset.get("n_tasks"),
        "confirmed": False,
        "dataset": {key: view.dataset[key] for key in ("kind", "fingerprint")},
        "seed": attributes.get("seed", view.config.seed),
        "study_seed": view.config.seed,
        "epochs": len(chosen.values),
        "created": datetime.datetime.now().isoformat(timespec="seconds"),
        "versions": {
            "hpsearch": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "config": read_yaml(folder.trial(chosen.number).config),
    }
    path = output or folder.best
    _refuse_foreign(path)
    write_atomically(path, HEAD + dump_yaml(values))
    return path


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that no export wrote."""
    if path.is_symlink() or path.is_dir():
        raise InputError(f"{path}: is a folder or a link; name a file with --output")
    try:
        with path.open("rb") as file:
            ours = file.read(len(HEAD)) == HEAD.encode()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not ours:
        raise InputError(f"{path}: is there and was not written by export; name another --output")
