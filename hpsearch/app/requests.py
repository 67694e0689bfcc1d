"""Asks a study to try a configuration or to stop a trial; its driver adopts what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.app.plain import plain
from hpsearch.driver.requests import Request, ask, completed, tried
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from hpsearch.study.lock import SEARCH, lock_holder
from hpsearch.study.plan import plan_study
from hpsearch.trial import Value


def enqueue(folder: StudyFolder, params: Mapping[str, Any]) -> dict[str, Value]:
    """Ask a study to try a configuration next.

    Args:
        folder: The study's folder; a search may be running.
        params: Parameters by name. What they leave out is as in the study file's `enqueue`.

    Returns:
        The parameters that will be tried, completed and moved into their ranges.

    Raises:
        InputError: A parameter or a value is unknown, or the configuration was tried.
        EnvironmentFailure: The request cannot be written.
    """
    plan, view = plan_study(str(folder.root), None, {}), read_study(folder)
    params = {name: plain(value) for name, value in params.items()}
    asked = completed(plan, params)
    if (number := tried(plan, asked, view.trials)) >= 0:
        raise InputError(f"enqueue: trial {number} is this configuration already")
    ask(folder, Request(enqueue=params))
    return asked


def stop_trial(folder: StudyFolder, number: int) -> None:
    """Ask a study to stop a trial after its next report.

    Args:
        folder: The study's folder.
        number: The trial.

    Raises:
        InputError: There is no such trial, or it has ended.
        EnvironmentFailure: The request cannot be written.
    """
    view = read_study(folder)
    if not 0 <= number < len(view.trials):
        raise InputError(f"stop: there is no trial {number}; {view.name} has {len(view.trials)}")
    if view.trials[number].finished:
        raise InputError(f"stop: trial {number} has ended: {view.trials[number].state}")
    ask(folder, Request(stop=number))


def when(folder: StudyFolder) -> str:
    """Return when a request is adopted, in words."""
    if (lock_holder(folder) or "").endswith(f"({SEARCH})"):
        return "the running search does it"
    return "no search runs here: the next one does it"
