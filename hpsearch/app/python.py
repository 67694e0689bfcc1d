"""The Python interface: ``hpsearch.search``, the same as the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hpsearch.app.plain import plain
from hpsearch.app.run_function import LOADING
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder, user_path

if TYPE_CHECKING:
    from hpsearch.app.callback import Callback
    from hpsearch.app.study import Study
    from hpsearch.study.plan import StudyPlan

OF_TRAINER = ("max_steps", "time_limit_s", "memory_gb", "environment")
"""Keywords that belong to the study file's section `trainer`."""


@overload
def search(
    study: str | Path | None = None,
    data: str | Path | None = None,
    *,
    trials: int | None = None,
    output: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Study: ...


@overload
def search(
    study: Callable[..., Any],
    data: str | Path | Mapping[str, Any],
    *,
    trials: int | None = None,
    output: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Study: ...


def search(
    study: str | Path | Callable[..., Any] | None = None,
    data: str | Path | Mapping[str, Any] | None = None,
    *,
    trials: int | None = None,
    output: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Study:
    """Start or continue a study as `hpsearch search` does, and print the same lines.

    Trials run in processes of their own. A function is found there again by its file and name, so
    the calling program needs `if __name__ == "__main__":`.

    Args:
        study: A study file, a shipped name, or a study's folder; None takes own for own images,
            else quickstart. Or a function that trains one trial: it takes parameters by name, and
            returns the value or yields one a step.
        data: Omniglot's zips or folders, or own images; None searches the usual places. With a
            function its space: entries of a space file or Optuna's distributions by name, or a
            space file.
        trials: Finished trials that end the study.
        output: The study's folder; None means runs/STUDY.
        callbacks: What to call when a trial begins, reports and ends.
        settings: Settings of the study file: `budget={"hours": 4}`, `workers=2`, `seed=1`; with a
            function also `max_steps`, `time_limit_s`, `memory_gb` and `environment`.

    Raises:
        InputError: Invalid input; the message names the fix.
        EnvironmentFailure: The environment failed; the same call continues.
        KeyboardInterrupt: A signal stopped it; the same call continues.
    """
    from hpsearch.app.calling import calling
    from hpsearch.app.search import run_search
    from hpsearch.app.study import Study
    from hpsearch.app.watch import plain_lines
    from hpsearch.output import edges
    from hpsearch.study.default_study import default_study
    from hpsearch.study.plan import find_study

    if os.environ.get(LOADING):
        raise InputError(
            "hpsearch.search: a trial loads this file to find its function; put the call under "
            'if __name__ == "__main__":'
        )
    if trials is not None:
        settings["budget"] = {**settings.get("budget", {}), "trials": trials}
    place = None if output is None else user_path(output)
    watch = calling(callbacks) if callbacks else plain_lines
    if callable(study):
        plan = _plan_function(study, data, place, settings)
        with edges():
            stopped = run_search(plan, None, {}, None, watch, dry_run=False)
        folder = plan.folder
    else:
        if isinstance(data, Mapping):
            raise InputError("hpsearch.search: a space needs a function; name a study's file")
        changes, source = dict(_flat(settings)), None if data is None else user_path(data)
        chosen = default_study(source, place) if study is None else str(study)
        with edges():
            stopped = run_search(chosen, source, changes, place, watch, dry_run=False)
        folder = find_study(chosen, place)
    if stopped:
        raise KeyboardInterrupt
    return Study(folder.root)


def _plan_function(
    function: Callable[..., Any],
    space: str | Path | Mapping[str, Any] | None,
    place: Path | None,
    settings: Mapping[str, Any],
) -> StudyPlan:
    """Plan the study of a function.

    Raises:
        InputError: The function or its space cannot be searched.
    """
    from hpsearch.app.function import check_arguments, program_of
    from hpsearch.study.plan import plan_values

    words, variables = program_of(function)
    name = function.__name__
    if space is None:
        raise InputError(f"hpsearch.search({name}): a function needs a space, its second argument")
    given = {key: plain(value) for key, value in settings.items()}
    trainer = {key: given.pop(key) for key in OF_TRAINER if key in given}
    trainer["environment"] = {**trainer.get("environment", {}), **variables}
    values = {
        "name": name,
        "trainer": {"command": words, "directory": str(Path.cwd()), **trainer},
        "space": _space(name, space),
        **given,
    }
    folder = StudyFolder(place or Path("runs") / name)
    plan = plan_values(values, f"hpsearch.search({name})", folder)
    check_arguments(function, plan.space.parameters, max_steps="max_steps" in trainer)
    return plan


def _space(name: str, space: str | Path | Mapping[str, Any]) -> Any:
    """Return what the study file's `space` would hold."""
    if not isinstance(space, Mapping):
        return str(user_path(space).resolve())
    from optuna.distributions import BaseDistribution

    from hpsearch.space.optuna_space import entry_of

    inner = space.get("parameters")
    whole = isinstance(inner, Mapping) and "type" not in inner
    held: Mapping[str, Any] = inner if whole and inner is not None else space
    entries = {
        key: entry_of(key, one) if isinstance(one, BaseDistribution) else plain(one)
        for key, one in held.items()
    }
    others = {key: plain(value) for key, value in space.items()} if whole else {}
    return {"name": name, **others, "parameters": entries}


def _flat(settings: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Return settings by dotted path."""
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        path = f"{before}{key}"
        inner = isinstance(value, dict)
        found += _flat(value, f"{path}.") if inner else [(path, plain(value))]
    return found
