"""Writes the best configuration to a file that can be trained without the study."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.confirm.certificate import best_of
from hpsearch.errors import HpsearchError, InputError
from hpsearch.paths import StudyFolder, TrialFolder, check_output, shell_word, write_atomically
from hpsearch.provenance import differences, software
from hpsearch.results.best import pick_in_words, to_export
from hpsearch.storage.agreement import trained_config
from hpsearch.storage.trial_files import read_provenance
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.begun import is_saved
from hpsearch.trainers.command import CommandTrainer
from hpsearch.trial import TrialRecord

FORMAT = 1
HEAD = "# Best configuration of a search; train it with: hpsearch retrain FILE\n"


@dataclass(frozen=True)
class Export:
    """The result of an export.

    Args:
        path: The file.
        certificate: The certificate in the file, None while the configuration is unconfirmed.
        notices: Differences between the trial's provenance and this program.
        network: Whether it is a network, which retrain trains; a command is run by hand.
        picked: Says that it is not the trial of the lowest error, None where it is or was named.
    """

    path: Path
    certificate: dict[str, Any] | None
    notices: list[str]
    network: bool = True
    picked: str | None = None


def export_best(folder: StudyFolder, trial: int | None, output: Path | None) -> Export:
    """Write best.yaml.

    Args:
        folder: The study's folder.
        trial: Number of the trial; None takes the confirmed one, else the one of the lowest
            expected error (see `to_export`).
        output: The file; None means the study's best.yaml.

    Raises:
        InputError: There is no such trial, or none is complete.
    """
    view = read_study(folder)
    best, certificate = to_export(view) if trial is None else best_of(view)
    scored = {t.number: t for t in view.trials if t.value is not None}
    chosen = best if trial is None else scored.get(trial)
    if chosen is None and trial is None:
        raise InputError(f"{folder.root}: no completed trial to export; continue the search")
    if chosen is None:
        raise InputError(f"--trial {trial}: no trial of that number has a result in {folder.root}")
    attributes = view.attributes[chosen.number]
    held = read_provenance(folder.trial(chosen.number))
    _check_data(folder.trial(chosen.number), held, view.dataset["fingerprint"])
    certified = certificate if certificate and certificate["trial"] == chosen.number else None
    values = {
        "format": FORMAT,
        "study": view.name,
        "trial": chosen.number,
        **_judged(view, chosen),
        **({} if trial is None else {"chosen": True}),
        "confirmed": certified is not None,
        "certificate": certified,
        "dataset": {key: view.dataset[key] for key in ("kind", "fingerprint")},
        "seed": attributes.get("seed", view.config.seed),
        "study_seed": view.config.seed,
        "epochs": len(chosen.values),
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": software()["versions"],
        "provenance": held[-1] if held else None,
        "config": trained_config(view, chosen),
        **({"run": _run(view.config.trainer)} if view.config.trainer is not None else {}),
    }
    path = output or folder.best
    check_output(path, HEAD, "export")
    write_atomically(path, HEAD + dump_yaml(values))
    notices = differences(held[-1], software()) if held else []
    picked = pick_in_words(view, best) if trial is None else None
    return Export(path, certified, notices, view.config.trainer is None, picked)


def _judged(view: StudyView, trial: TrialRecord) -> dict[str, Any]:
    """Return the trial's value, and what it is."""
    shown = view.config.shown
    if not shown.share:
        value = None if trial.value is None else shown.of(trial.value)
        return {"value": value, "measure": shown.name, "direction": view.config.direction}
    return {
        "validation_error": trial.value,
        "n_tasks": view.dataset.get("n_tasks"),
        "objective": view.config.objective,
        "ways": view.config.ways,
        "shots": view.config.shots,
    }


def _run(trainer: CommandTrainer) -> dict[str, Any]:
    """Return how the command runs."""
    return {key: getattr(trainer, key) for key in ("directory", "time_limit_s", "memory_gb")}


def stale(path: Path) -> str | None:
    """Return a message if a study's best.yaml is of a trial that is no longer the best, or None.

    Args:
        path: The file to train; a file outside a study's folder is never stale.
    """
    folder = StudyFolder(path.parent)
    if path.name != folder.best.name or not is_saved(folder):
        return None
    try:
        values, (best, _) = read_yaml(path), to_export(read_study(folder))
    except HpsearchError:
        return None  # the command that needs the study reports it
    if best is None or values.get("chosen") or values.get("trial") in (None, best.number):
        return None
    return (
        f"{path} is of trial {values['trial']} (error {values.get('validation_error')}), the best "
        f"is trial {best.number} (error {best.value}) now; `hpsearch export "
        f"{shell_word(folder.root)}` updates it"
    )


def _check_data(folder: TrialFolder, held: list[dict[str, Any]], fingerprint: str) -> None:
    """Refuse a trial that was trained on other data than its study's."""
    for one in held:
        trained_on = one.get("fingerprint") or fingerprint
        if trained_on != fingerprint:
            raise InputError(
                f"{folder.provenance}: fingerprint: trained on {trained_on[:12]}, the study's "
                f"data are {fingerprint[:12]}; export another trial, or start a new search"
            )
