"""A search space, and a configuration's place in it, in words for a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hpsearch.errors import InputError
from hpsearch.search.config import Limits
from hpsearch.search.coordinates import Coordinates
from hpsearch.search.space import SearchSpace
from hpsearch.training.config import (
    ConvolutionLayer,
    Distortion,
    FullyConnectedLayer,
    OutputLayer,
    TrialConfig,
)


def describe_space(space: SearchSpace) -> str:
    """Return a table of the dimensions, the feasible share, and the range of costs.

    Raises:
        InputError: The space has a parameter that cannot be searched, or nothing fits.
    """
    lines = [f"{space.name}: {len(space.parameters)} dimensions"]
    if space.description:
        lines.append(space.description)
    lines.append("")
    width = max(len(name) for name in space.parameters)
    for name, parameter in space.parameters.items():
        lines.append(f"{name:{width}}  {parameter.type:11}  {parameter.describe()}")
    lines.append("")
    try:
        base = space.frame()
    except InputError as error:
        return "\n".join([*lines, f"feasible share: unknown ({error})"])
    space.check_paths(base)
    return "\n".join([*lines, *_costs(Coordinates(space, base, Limits()))])


def _costs(problem: Coordinates) -> list[str]:
    every = round(problem.sizes.total / problem.feasible_share())
    network = problem.space.network
    pools = ", ".join("pool" if pool else "no pool" for pool in network.pools) if network else ""
    lines = [
        f"network: {problem.base.input_size} x {problem.base.input_size}, {pools}",
        f"feasible share: {100 * problem.feasible_share():.1f} % "
        f"({problem.sizes.total} of {every} size combinations)",
    ]
    for name, sizes in zip(("smallest", "largest"), problem.cost_range(), strict=True):
        shape = problem.shape(sizes)
        layers = "-".join(f"{c.filter_count}@{c.filter_size}" for c in shape.convolutions)
        lines.append(
            f"{name} cost: {shape.multiply_adds:.3g} multiply-adds per image, "
            f"{shape.parameters:.3g} weights (filters {layers or 'none'}, width {shape.width})"
        )
    return lines


def explain_config(space: SearchSpace, values: Mapping[str, Any], source: Path) -> str:
    """Say whether a configuration lies in a space, why not, and which is nearest.

    Args:
        space: The space; it needs a `network:` section.
        values: What the configuration's file holds: a trial's configuration, a file that holds
            one under `trial` or `config`, or parameters by path.
        source: The file's name, for messages.

    Raises:
        InputError: The file holds no such configuration.
    """
    params = _searched_values(space, values, source)
    problem = Coordinates(space, space.frame(), Limits())
    try:
        reason = problem.reason(params)
        if reason is None:
            return f"possible: {source} lies in search space {space.name}"
        nearest = problem.nearest_feasible(params)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    lines = [f"impossible: {reason}", "nearest possible:"]
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
        missing = [name for name in space.parameters if name not in values]
        if missing:
            raise InputError(
                f"{source}: {missing[0]}: missing; search space {space.name} needs it"
            )
        return {name: values[name] for name in space.parameters}
    return {name: _written_or_default(name, values, source) for name in space.parameters}


def _written_or_default(name: str, values: Mapping[str, Any], source: Path) -> Any:
    """Return a setting of a trial's configuration that need not be possible as a whole."""
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


LAYERS: dict[str, type[BaseModel]] = {"fc": FullyConnectedLayer, "output": OutputLayer}
