"""The configurations that a study tries first: the paper's, its own, exported or given ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hpsearch.configfile import read_yaml
from hpsearch.errors import InputError
from hpsearch.paths import user_path
from hpsearch.space.effects import leaf_paths, paths_of
from hpsearch.space.nearest import nearest_feasible
from hpsearch.trainers.recipe import is_command, read_recipe
from hpsearch.training.config import NOTHING, TrialConfig
from hpsearch.trial import Value

if TYPE_CHECKING:
    from hpsearch.space.problem import SearchProblem
    from hpsearch.study.config import EnqueuedEntry, StudyConfig

PAPER_INPUT_PX = 65
"""Smallest input for the filters of Figure 3."""
PAPER: dict[str, Any] = {
    "conv1.filter_size": 10,
    "conv1.filter_count": 64,
    "conv2.filter_size": 7,
    "conv2.filter_count": 128,
    "conv3.filter_size": 4,
    "conv3.filter_count": 128,
    "conv4.filter_size": 4,
    "conv4.filter_count": 256,
    "fc.width": 4096,
    **{
        f"{layer}.{key}": value
        for layer in ("conv1", "conv2", "conv3", "conv4", "fc", "output")
        for key, value in (("learning_rate", 0.01), ("momentum", 0.9), ("l2", 1e-4))
    },
}
"""Figure 3 of the paper (Koch et al. 2015); it does not print the rates."""


class Enqueued(NamedTuple):
    """A configuration that a study tries first, moved to the nearest feasible one.

    Args:
        params: Its parameters.
        origin: Its origin, in words.
    """

    params: dict[str, Value]
    origin: str


def with_files_read(entries: Any, source: Path) -> Any:
    """Replace the files in the `enqueue` section of a study file by their parameters.

    So a study's folder does not depend on those files later.

    Args:
        entries: The section of the file; if it is not a list, a later check refuses it.
        source: The study file; its files are beside it.

    Raises:
        InputError: A file is missing or holds no configuration.
    """
    if not isinstance(entries, list):
        return entries
    return [_read(entry, source) for entry in entries]


def _read(entry: Any, source: Path) -> Any:
    name = entry.get("config") if isinstance(entry, dict) else entry
    if not isinstance(name, str) or not name.endswith((".yaml", ".yml")):
        return entry
    path = source.parent / user_path(name)
    values = read_yaml(path)
    held = next(
        (values[k] for k in ("config", "trial") if isinstance(values.get(k), dict)), values
    )
    if "layers" not in held and not is_command(held):
        raise InputError(f"{path}: holds no configuration; name a file that `export` wrote")
    recipe = read_recipe(held, str(path))
    settings = paths_of(recipe.plain()) if isinstance(recipe, TrialConfig) else recipe.parameters
    given = entry if isinstance(entry, dict) else {}
    named = {"replicate": given["replicate"]} if "replicate" in given else {}
    return {"config": name, "params": {**settings, **given.get("params", {})}, **named}


def enqueued_points(config: StudyConfig, problem: SearchProblem) -> list[Enqueued]:
    """Return the first trials.

    Raises:
        InputError: `paper` below 65 px, an unknown parameter, or the same configuration twice.
    """
    points: list[Enqueued] = []
    for position, entry in enumerate(config.enqueue, start=1):
        params = nearest_feasible(problem, _wanted(entry, config, problem))
        same = next((k for k, p in enumerate(points) if p.params == params), None)
        if same is not None and entry.replicate is None:
            raise InputError(
                f"enqueue: entry {position} is the same configuration as entry {same + 1} (after "
                "moving both to what fits); remove one, or name it: replicate: NAME"
            )
        own = entry.params and entry.config == "reference"
        origin = f"enqueued: {'parameters' if own else entry.config}"
        if entry.replicate is not None:
            origin += f", replicate {entry.replicate}"
        points.append(Enqueued(params, origin))
    return points


def _of_a_command(entry: EnqueuedEntry, problem: SearchProblem) -> Mapping[str, Any]:
    """Return an entry's parameters; what it leaves out has its default, or is in the middle."""
    names, from_file = problem.space.parameters, entry.config != "reference"
    known = {name: value for name, value in entry.params.items() if name in names}
    for name in entry.params:
        if name not in names and (not from_file or not known):
            raise InputError(f"enqueue: {name}: not a parameter of this space; remove it")
    return known


def _wanted(
    entry: EnqueuedEntry, config: StudyConfig, problem: SearchProblem
) -> Mapping[str, Any]:
    if config.trial is None:
        return _of_a_command(entry, problem)
    known = leaf_paths(config.trial)
    names = problem.space.parameters
    wanted = {name: known[name] for name in names}
    if entry.config == "paper":
        if config.trial.input_size < PAPER_INPUT_PX:
            raise InputError(
                f"enqueue: paper: its filters need at least {PAPER_INPUT_PX} px, trial.input_size "
                f"is {config.trial.input_size}; enqueue `reference` or parameters instead"
            )
        wanted |= {name: value for name, value in PAPER.items() if name in names}
    if entry.config == "encoder":
        needed = {"train_from"} if config.trial.backbone else {"start", "train_from"}
        if not needed <= names.keys():
            raise InputError(
                f"enqueue: encoder: space {problem.space.name} must search "
                f"{' and '.join(sorted(needed))}"
            )
        wanted["train_from"] = NOTHING
    from_file = entry.config.endswith((".yaml", ".yml"))
    for name, value in entry.params.items():
        if name in names:
            wanted[name] = value
        elif not from_file:  # a file has every setting, also those that are not searched here
            raise InputError(f"enqueue: {name}: not a parameter of this space; remove it")
    return wanted
