"""The step of `benchmarks.gpu` that runs the command: a search is killed and goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu_place import Place, Sheet
from hpsearch.configfile import read_yaml
from hpsearch.paths import StudyFolder
from hpsearch.training.config import TrialConfig
from hpsearch.training.evaluation import evaluate_tasks

KILL_AFTER_S = 15.0
"""Seconds of a search after which its driver is killed."""


def search(place: Place, sheet: Sheet) -> None:
    """Search, kill the driver, go on with the same command, and compare the best on the CPU."""
    import scipy  # noqa: F401  the search needs it

    from hpsearch.maintenance.invariants import check_invariants
    from hpsearch.storage.view import read_study

    folder = StudyFolder(place.scratch / "study")
    began = time.monotonic()
    first = _start_search(place, folder.root)
    _wait_to_kill(place, first, folder)
    first.kill()
    first.wait(10)
    sheet.note(killed_after_s=round(time.monotonic() - began, 2))
    second = _start_search(place, folder.root)
    try:
        code = second.wait(max(1.0, place.left_s))
    except subprocess.TimeoutExpired:
        second.kill()
        raise
    log = (place.scratch / "search.log").read_text(encoding="utf-8", errors="replace")
    sheet.note(search_s=round(time.monotonic() - began, 2), last=log.strip().splitlines()[-1:])
    sheet.expect("exit code 0", code == 0)
    broken = [v.key for v in check_invariants(folder) if v.standing == "broken"]
    sheet.expect("no invariant is broken", not broken)
    view = read_study(folder)
    states = [trial.state for trial in view.trials]
    sheet.note(states=states)
    sheet.expect("no trial is lost or failed", set(states) <= {"complete", "pruned"})
    values = {trial.number: trial.value for trial in view.trials if trial.value is not None}
    best = min(values, key=lambda number: (values[number], number))
    config = TrialConfig.from_values(read_yaml(folder.trial(best).config))
    credits = [_credits(place, config, folder.trial(best).checkpoint, d) for d in _both(place)]
    sheet.note(tasks_apart=round(abs(credits[0] - credits[1]), 2))
    sheet.expect("the best scores alike on both devices", abs(credits[0] - credits[1]) <= 1)


def _both(place: Place) -> tuple[str, str]:
    return "cpu", place.device


def _start_search(place: Place, output: Path) -> subprocess.Popen[bytes]:
    """Start the command in this step's process group."""
    settings = ["trial.images_per_epoch=20000", "trial.max_epochs=3", "pruner.min_resource=1"]
    study = "koch2015"
    if place.tiny:
        study = "quickstart"
        settings = ["trial.images_per_epoch=200", "trial.max_epochs=2", "pruner.min_resource=1"]
    command = [sys.executable, "-m", "hpsearch", "search", study]
    command += ["--data", str(place.data)] if place.data else []
    command += ["--device", place.device, "--trials", "2", "--output", str(output)]
    command += ["--workers", "1", *(word for one in settings for word in ("--set", one))]
    with (place.scratch / "search.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _wait_to_kill(place: Place, process: subprocess.Popen[bytes], folder: StudyFolder) -> None:
    """Wait until a trial has a checkpoint, on a card some seconds at least."""
    until = time.monotonic() + (0 if place.tiny else KILL_AFTER_S)
    while process.poll() is None and place.left_s > 0:
        if time.monotonic() >= until and folder.trial(0).checkpoint.exists():
            return
        time.sleep(0.05)


def _credits(place: Place, config: TrialConfig, path: Path, device: str) -> float:
    """Return how many validation tasks a trial's best weights solve."""
    from hpsearch.training.build import trained_network
    from hpsearch.training.checkpoint import read

    data = place.load(config, device)
    network = trained_network(config, read(path).best_weights(), device)
    return float(evaluate_tasks(network, data.validation, data.tasks).credit.sum())
