"""The Python interface: ``hpsearch.search(study, data)``, the same as the command line."""

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
        best: The confirmed best, else the complete trial with the lowest validation error; None
            before a trial is complete.
        confirmed: Whether `hpsearch confirm` has confirmed the best trial.
        front: With several objectives the complete trials that no other dominates, lowest error
            first; empty with one.
    """

    folder: Path
    trials: Sequence[TrialRecord]
    best: TrialRecord | None
    confirmed: bool
    front: Sequence[TrialRecord] = ()


def search(
    study: str | Path | None = None,
    data: str | Path | None = None,
    *,
    output: str | Path | None = None,
    **settings: Any,
) -> SearchResult:
    """Start or continue a study as `hpsearch search` does, and print the same lines.

    It starts worker processes, so the calling program needs `if __name__ == "__main__":`.

    Args:
        study: A study file, a shipped name, or a study's folder; None takes own for own images,
            else quickstart.
        data: Omniglot's zips or folders, or own images; None searches the usual places.
        output: The study's folder; None means runs/STUDY.
        settings: Settings of the study file: `budget={"trials": 4}`, `workers=2`, `seed=1`.

    Raises:
        InputError: Invalid input; the message names the fix.
        EnvironmentFailure: The environment failed; the same call continues.
        KeyboardInterrupt: A signal stopped it; the same call continues.
    """
    from hpsearch.app.default_study import default_study
    from hpsearch.app.search import run_search
    from hpsearch.app.watch import plain_lines
    from hpsearch.confirm.certificate import best_of
    from hpsearch.confirm.front import front
    from hpsearch.output import edges
    from hpsearch.storage.view import read_study
    from hpsearch.study.plan import find_study

    place = None if output is None else user_path(output)
    changes = dict(_flat(settings))
    source = None if data is None else user_path(data)
    chosen = default_study(source, place) if study is None else str(study)
    with edges():
        stopped = run_search(chosen, source, changes, place, plain_lines, dry_run=False)
    if stopped:
        raise KeyboardInterrupt
    folder = find_study(chosen, place)
    view = read_study(folder)
    best, certificate = best_of(view)
    found = front(view) if view.config.goals.several else []
    return SearchResult(folder.root, view.trials, best, certificate is not None, found)


def _flat(settings: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Return settings by dotted path."""
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        path = f"{before}{key}"
        value = value.tolist() if hasattr(value, "tolist") else value  # numpy values
        found += _flat(value, f"{path}.") if isinstance(value, dict) else [(path, value)]
    return found
