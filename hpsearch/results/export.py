"""Writes the best configuration to a file that can be trained without the study."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.confirm.certificate import as_shown, best_of
from hpsearch.confirm.choice import choose
from hpsearch.errors import HpsearchError, InputError
from hpsearch.paths import StudyFolder, TrialFolder, check_output, shell_word, write_atomically
from hpsearch.provenance import differences, software
from hpsearch.results.best import pick_in_words, to_export
from hpsearch.storage.agreement import trained_config
from hpsearch.storage.trial_files import read_provenance
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.begun import is_saved
from hpsearch.study.trust import is_trusted, make_mark
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
        picked: Says that it is not the trial of the lowest error, None where it is or was named.
    """

    path: Path
    certificate: dict[str, Any] | None
    notices: list[str]
    picked: str | None = None


def export_best(
    folder: StudyFolder, trial: int | None, output: Path | None, at: str | None = None
) -> Export:
    """Write best.yaml.

    Args:
        folder: The study's folder.
        trial: Number of the trial; None takes the confirmed one, else the one of the lowest
            expected error (see `to_export`).
        output: The file; None means the study's best.yaml.
        at: Conditions that the trial meets, instead of its number; see `choose`.

    Raises:
        InputError: There is no such trial, none is complete, or both ways to choose are given.
    """
    view = read_study(folder)
    if trial is not None and at is not None:
        raise InputError("--trial and --at both choose the trial; give one of them")
    if at is not None:
        trial = choose(view, at).number
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
        **({"figures": dict(chosen.figures)} if chosen.figures else {}),
        **({} if trial is None else {"chosen": True}),
        "confirmed": certified is not None,
        "certificate": as_shown(certified) if certified else None,
        "dataset": {key: view.dataset[key] for key in ("kind", "fingerprint")},
        "seed": attributes.get("seed", view.config.seed),
        "study_seed": view.config.seed,
        "epochs": len(chosen.values),
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": software()["versions"],
        "provenance": held[-1] if held else None,
        "config": (config := trained_config(view, chosen)),
        **_run(view, config),
    }
    path = output or folder.best
    check_output(path, HEAD, "export")
    write_atomically(path, HEAD + dump_yaml(values))
    notices = differences(held[-1], software()) if held else []
    picked = pick_in_words(view, best) if trial is None else None
    return Export(path, certified, notices, picked)


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


def _run(view: StudyView, config: dict[str, Any]) -> dict[str, Any]:
    """Return how a command runs, with the user's mark if the study's command has it."""
    trainer = view.config.trainer
    if trainer is None:
        return {}
    own = is_trusted(view.folder, trainer)
    return {"run": trainer.place, "mark": mark_of(config, trainer.directory) if own else None}


def mark_of(config: Mapping[str, Any], directory: str) -> str | None:
    """Return this user's mark of a command with its parameters, in its directory."""
    return make_mark(*said(config, directory))


def said(config: Mapping[str, Any], directory: str) -> list[Any]:
    """Return what a mark in best.yaml is of: all that decides what the command does."""
    return [config["command"], config["environment"], directory, config["parameters"]]


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
