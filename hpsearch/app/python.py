"""What Python programs call: ``hpsearch.search(study, data)``. The command line from inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.paths import user_path
from hpsearch.trial import TrialRecord


@dataclass(frozen=True)
class SearchResult:
    """A study after a search.

    Args:
        folder: The study's folder; every command takes it.
        trials: All trials, by number.
        best: The confirmed best, else the complete trial of the lowest validation error; None
            before a trial is complete.
        confirmed: Whether `hpsearch confirm` has confirmed it.
    """

    folder: Path
    trials: Sequence[TrialRecord]
    best: TrialRecord | None
    confirmed: bool


def search(
    study: str | Path,
    data: str | Path | None = None,
    *,
    output: str | Path | None = None,
    **settings: Any,
) -> SearchResult:
    """Search, or continue a study, as `hpsearch search` does; print the same lines.

    It starts worker processes, so a program that calls it needs `if __name__ == "__main__":`.

    Args:
        study: A study file, a shipped name (quickstart), or a study's folder.
        data: Omniglot's zips or folders, or own images; None looks where the command looks.
        output: The study's folder; None means runs/STUDY.
        settings: Of the study file: `budget={"trials": 4}`, `workers=2`, `seed=1`.

    Raises:
        InputError: Something to mend; the message says what.
        EnvironmentFailure: Something failed on the way; the same call continues.
        KeyboardInterrupt: It was stopped; the same call continues.
    """
    from hpsearch.app.search import run_search
    from hpsearch.app.watch import LinesWatcher
    from hpsearch.output import edges
    from hpsearch.results.certificate import best_of
    from hpsearch.storage.database import read_study
    from hpsearch.study.plan import find_study

    place = None if output is None else user_path(output)
    changes = dict(_flat(settings))
    source = None if data is None else user_path(data)
    with edges():
        stopped = run_search(str(study), source, changes, place, LinesWatcher(), dry_run=False)
    if stopped:
        raise KeyboardInterrupt
    folder = find_study(str(study), place)
    view = read_study(folder)
    best, certificate = best_of(view)
    return SearchResult(folder.root, view.trials, best, certificate is not None)


def _flat(settings: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Return settings by path, as the command line names them."""
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        path = f"{before}{key}"
        value = value.tolist() if hasattr(value, "tolist") else value  # of numpy
        found += _flat(value, f"{path}.") if isinstance(value, dict) else [(path, value)]
    return found
