"""Reads the objectives and constraints of a study file, and says which a trainer can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hpsearch.configfile import Section
from hpsearch.front import Bound, Goal, Goals

ERROR = "validation_error"
"""The siamese trainer's own value."""
EXACT = ("multiply_adds", "parameters", "memory_gb")
"""Costs that follow from a network's parameters."""
LATENCY = "latency_ms"
MEASURED = (LATENCY,)
"""Figures that the siamese trainer measures."""


class Named(Section):
    """One entry of `objectives`; a name alone is enough."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """validation_error, multiply_adds, parameters, memory_gb or latency_ms; of a command its
    value (`value`, or its `measure`) or a figure that it reports in `metrics`."""
    direction: Literal["minimize", "maximize"] | None = None
    """By default minimize; of a command's value the study's `direction`."""


def _shorthand(entry: Any) -> Any:
    return {"name": entry} if isinstance(entry, str) else entry


NamedObjective = Annotated[Named, BeforeValidator(_shorthand)]


def goals_of(
    named: Sequence[Named], constraints: Mapping[str, Bound], command: tuple[str, bool] | None
) -> Goals:
    """Return the goals of a study; the trial's own value comes first, wherever it was named.

    Args:
        named: The entries of `objectives`.
        constraints: The entries of `constraints`.
        command: Of a command, the name of its value and whether it is maximized; else None.

    Raises:
        ValueError: One cannot be had, is named twice, or the trial's own value is missing.
    """
    own = (ERROR,) if command is None else ("value", command[0])
    for name in constraints:
        _check_constraint(name, own, network=command is None)
    if not named:
        return Goals(constraints=dict(constraints))
    names = [one.name for one in named]
    for name in names:
        if command is None and name not in (ERROR, *EXACT, *MEASURED):
            known = ", ".join((ERROR, *EXACT, *MEASURED))
            raise ValueError(f"objectives: {name}: unknown; write some of {known}")
        if names.count(name) > 1:
            raise ValueError(f"objectives: {name}: named twice")
    first = [one for one in named if one.name in own]
    if len(first) != 1:
        raise ValueError(f"objectives: {own[-1]} must be one of them; the search prunes by it")
    for one in named:
        if command is None and one.direction == "maximize":
            raise ValueError(f"objectives: {one.name}: less is better; write minimize")
    maximized = command is not None and command[1]
    if first[0].direction not in (None, "maximize" if maximized else "minimize"):
        raise ValueError(
            f"objectives: {first[0].name}: {first[0].direction} contradicts the study's "
            f"`direction`; write `direction: {first[0].direction}`"
        )
    if len(named) == 1:
        return Goals(constraints=dict(constraints))
    goals = [Goal(name=first[0].name, maximized=maximized)]
    goals += [_goal(one, network=command is None) for one in named if one is not first[0]]
    return Goals(objectives=tuple(goals), constraints=dict(constraints))


def _goal(one: Named, *, network: bool) -> Goal:
    return Goal(
        name=one.name,
        maximized=one.direction == "maximize",
        exact=network and one.name in EXACT,
        ratio=network,
    )


def _check_constraint(name: str, own: tuple[str, ...], *, network: bool) -> None:
    if name in own:
        raise ValueError(
            f"constraints: {name}: is known only when a trial has ended; make it an objective "
            f'and choose with export --at "{name} <= ..."'
        )
    if network and name in EXACT:
        raise ValueError(f"constraints: {name}: is known before training; write limits: {name}")
    if network and name not in MEASURED:
        raise ValueError(f"constraints: {name}: unknown; write {', '.join(MEASURED)}")
