"""Describes a search space, and whether a configuration is in it, as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hpsearch.errors import InputError
from hpsearch.network.layers import (
    ConvolutionLayer,
    FullyConnectedLayer,
    OutputLayer,
    ProjectionLayer,
)
from hpsearch.seeding import generator
from hpsearch.space.cost_range import CostRange, Measure
from hpsearch.space.limits import Limits
from hpsearch.space.nearest import nearest_feasible
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig
from hpsearch.training.config import Distortion, TrialConfig

DRAWS = 1000
"""Number of random draws for the share within the limits."""
COSTS: tuple[tuple[Measure, str], ...] = (
    ("multiply_adds", "multiply-adds per image"),
    ("parameters", "weights and biases"),
    ("memory_bytes", "GB of memory"),
)


def describe_space(space: SearchSpace, study: StudyConfig | None = None) -> str:
    """Return a table of the parameters, the feasible share, and the range of costs.

    Args:
        space: The space.
        study: The study with the `trial` and limits; None takes the space's own `network`.

    Raises:
        InputError: The space has a parameter that cannot be searched, or nothing is feasible.
    """
    width = max(len(name) for name in space.parameters)
    lines = [
        f"{space.name}: {len(space.parameters)} dimensions",
        *([space.description] if space.description else []),
        "",
        *(f"{n:{width}}  {p.type:11}  {p.describe()}" for n, p in space.parameters.items()),
        "",
    ]
    try:
        problem = _problem(space, study)
    except NoNetworkError as error:
        return "\n".join([*lines, f"feasible share: unknown ({error})"])
    return "\n".join([*lines, *_feasible(problem), *_costs(problem)])


class NoNetworkError(InputError):
    """A space file without the network it is for."""


def _problem(space: SearchSpace, study: StudyConfig | None) -> SearchProblem:
    if study is not None:
        frozen = space.frozen(study.freeze)
        frozen.check(study.recipe)
        return SearchProblem(frozen, study.recipe, study.limits)
    try:
        base = space.frame()
    except InputError as error:
        raise NoNetworkError(f"{error}; or name a study: --study STUDY") from error
    space.check_paths(base)
    return SearchProblem(space, base, Limits())


def _feasible(problem: SearchProblem) -> list[str]:
    every = round(problem.sizes.total / problem.feasible_share())
    layers = problem.network.layers.convolutions.values()
    pools = ", ".join("pool" if layer.pool else "no pool" for layer in layers)
    lines = [
        f"network: {problem.network.input_size} x {problem.network.input_size}, {pools}",
        f"feasible share: {100 * problem.feasible_share():.1f} % "
        f"({problem.sizes.total} of {every} size combinations)",
    ]
    if problem.limits == Limits():
        return lines
    points = generator(0, "space show").random((DRAWS, len(problem.free))).tolist()
    within = sum(problem.over_limits(problem.cube.params(point)) is None for point in points)
    return [*lines, f"within the limits: {within / DRAWS:.0%} of {DRAWS} random feasible draws"]


def _costs(problem: SearchProblem) -> list[str]:
    costs = CostRange(problem)
    lines = []
    for name, find in (("smallest", costs.cheapest), ("largest", costs.dearest)):
        lines.append(f"{name} network by")
        for measure, unit in COSTS:
            params = find(measure)
            value = costs.of(params, measure) / (1e9 if measure == "memory_bytes" else 1)
            layers = problem.shape(params).convolutions
            filters = ", ".join(f"{c.filter_count} of {c.filter_size}" for c in layers) or "none"
            network = f"(filters {filters}; width {params[problem.network.width_name]})"
            beyond = problem.over_limits(params)
            over = f", over the study's limits: {beyond}" if beyond else ""
            lines.append(f"  {unit:24} {value:9.3g}  {network}{over}")
    return [*lines, f"memory: estimated, of one training step of {costs.images} images"]


def explain_config(
    space: SearchSpace, values: Mapping[str, Any], source: Path, study: StudyConfig | None = None
) -> str:
    """Return whether a configuration is in a space; if not, the reasons and the nearest one.

    Args:
        space: The space; without a study it needs a `network:` section.
        values: The content of the configuration's file: a trial's configuration, one under `trial`
            or `config`, or parameters by path.
        source: The file's name, for messages.
        study: The study with the `trial` and limits.

    Raises:
        InputError: The file holds no configuration.
    """
    problem = _problem(space, study)
    params = _searched_values(problem.space, values, source)
    try:
        reasons = problem.reasons(params)
        if not reasons:
            limits = "; no limit on costs was checked, name a study by --study"
            found = f"possible: {source} lies in search space {space.name}"
            return found + (limits if study is None else "")
        known = {name: params[name] for name in problem.space.parameters}
        nearest = nearest_feasible(problem, known)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    lines = [*(f"impossible: {reason}" for reason in reasons), "nearest possible:"]
    for name, value in nearest.items():
        change = "" if value == params[name] else f"  (instead of {params[name]})"
        lines.append(f"  {name}: {value}{change}")
    return "\n".join(lines)


def _searched_values(
    space: SearchSpace, values: Mapping[str, Any], source: Path
) -> dict[str, Any]:
    for key in ("trial", "config"):
        if isinstance(values.get(key), dict) and "layers" in values[key]:
            values = values[key]
    if "layers" not in values:
        values = values.get("params", values)
        for name in space.parameters:
            if name not in values:
                raise InputError(f"{source}: {name}: missing; search space {space.name} needs it")
        return dict(values)
    return {name: _written_or_default(name, values, source) for name in space.parameters}


def _written_or_default(name: str, values: Mapping[str, Any], source: Path) -> Any:
    """Return one setting of a trial's configuration, which may be infeasible as a whole."""
    layers, (head, _, rest) = values["layers"], name.partition(".")
    if isinstance(layers, dict) and head in layers:
        place, key = layers[head], rest
        kind: type[BaseModel] = LAYERS.get(head, ConvolutionLayer)
    elif rest:
        place, key, kind = values.get(head, {}), rest, Distortion
    else:
        place, key, kind = values, head, TrialConfig
    if isinstance(place, dict) and key in place:
        return place[key]
    field = kind.model_fields.get(key)
    if field is None or field.is_required():
        raise InputError(f"{source}: {name}: missing; write it out")
    return field.default


LAYERS: dict[str, type[BaseModel]] = {
    "fc": FullyConnectedLayer,
    "projection": ProjectionLayer,
    "output": OutputLayer,
}
