"""Optuna's distributions as entries of a free space: the reverse of `Parameter.distribution`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpsearch.errors import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def entry_of(name: str, distribution: BaseDistribution) -> dict[str, Any]:
    """Return the entry of a space file for one of Optuna's distributions.

    Args:
        name: The parameter, for the message.
        distribution: A float, int or categorical distribution.

    Raises:
        InputError: It is of another kind, or has None among its choices.
    """
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(distribution, CategoricalDistribution):
        if None in distribution.choices:
            raise InputError(
                f"{name}: None is no value of a parameter; write the text none, or a condition: "
                "when"
            )
        return {"type": "categorical", "choices": list(distribution.choices)}
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise InputError(f"{name}: {type(distribution).__name__} is no distribution known here")
    whole = isinstance(distribution, IntDistribution)
    found: dict[str, Any] = {"type": "int" if whole else "float"}
    found |= {"low": distribution.low, "high": distribution.high}
    if distribution.log:
        found["log"] = True
    elif distribution.step not in (None, 1 if whole else None):
        found["step"] = distribution.step
    return found
