"""Conditions on the values of a trial, as users write them: multiply_adds <= 1e7."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hpsearch.errors import InputError

COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
CONDITION = re.compile(r"\s*(.+?)\s*(<=|>=|<|>)\s*([^\s<>=]+)\s*")
EXAMPLE = '--at "multiply_adds <= 1e7"'


@dataclass(frozen=True)
class Condition:
    """A bound on one value, as the user writes it."""

    name: str
    sign: str
    bound: float

    def holds(self, values: Mapping[str, float]) -> bool:
        """Return whether values meet it."""
        return COMPARED[self.sign](values[self.name], self.bound)


def read_conditions(text: str) -> list[Condition]:
    """Read conditions that are joined by "and".

    Raises:
        InputError: It is none.
    """
    found = []
    for part in re.split(r"\s+and\s+|,", text):
        matched = CONDITION.fullmatch(part)
        try:
            if matched is None:
                raise ValueError
            found.append(Condition(matched[1], matched[2], float(matched[3])))
        except ValueError:
            raise InputError(
                f"--at {text!r}: write NAME <= NUMBER, such as {EXAMPLE}; join several with and"
            ) from None
    return found
