"""Conditional parameters and forbidden combinations of a free space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from hpsearch.space.parameter import Parameter
from hpsearch.trial import Value

Entry = Mapping[str, Sequence[Any]]
"""A combination: for each named parameter its values."""


def check_conditions(parameters: Mapping[str, Parameter]) -> None:
    """Refuse a `when` that names no parameter, no value of it, or itself in a circle.

    Raises:
        ValueError: The first such condition.
    """
    for name, parameter in parameters.items():
        _check_entry(f"{name}: when", parameter.when, parameters)
    graph = {name: list(parameter.when) for name, parameter in parameters.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        shown = " needs ".join(reversed(error.args[1]))
        raise ValueError(f"when: {shown}: a circle; remove one of these conditions") from None


def check_forbidden(entries: Iterable[Entry], parameters: Mapping[str, Parameter]) -> None:
    """Refuse a forbidden combination of unknown parameters or values.

    Raises:
        ValueError: The first such combination.
    """
    for number, entry in enumerate(entries, start=1):
        if not entry:
            raise ValueError(f"forbidden: entry {number} is empty; remove it")
        _check_entry(f"forbidden: entry {number}", entry, parameters)


def _check_entry(where: str, entry: Entry, parameters: Mapping[str, Parameter]) -> None:
    for name, values in entry.items():
        if name not in parameters:
            known = ", ".join(parameters)
            raise ValueError(f"{where}: {name}: no parameter of this space; it has {known}")
        if not values:
            raise ValueError(f"{where}: {name}: names no value")
        for value in values:
            if not parameters[name].contains(value):
                described = parameters[name].describe()
                raise ValueError(f"{where}: {name}: {value!r} is no value of it ({described})")


def holds(entry: Entry, params: Mapping[str, Value]) -> bool:
    """Return whether parameters have one of the values of each named one."""
    return all(name in params and _among(params[name], values) for name, values in entry.items())


def _among(value: Value, values: Sequence[Any]) -> bool:
    """Return whether a value is one of these; true is not 1."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values)


def order(parameters: Mapping[str, Parameter]) -> list[str]:
    """Return the names so that each comes after those that its condition names."""
    graph = {name: list(parameter.when) for name, parameter in parameters.items()}
    return list(TopologicalSorter(graph).static_order())


def active(
    parameters: Mapping[str, Parameter], names: Sequence[str], params: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the parameters whose conditions hold, in the order of the space.

    Args:
        parameters: The space's parameters.
        names: Their names in the order of `order`.
        params: A value for each of them, or for each that is active.
    """
    kept: dict[str, Value] = {}
    for name in names:
        if name in params and holds(parameters[name].when, kept):
            kept[name] = params[name]
    return {name: kept[name] for name in parameters if name in kept}
