"""One searched parameter: its type, its range and its values."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from hpsearch.configfile import Section
from hpsearch.errors import InputError
from hpsearch.trial import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LARGEST = 2**53
"""Beyond it a float no longer holds every whole number."""
LARGEST_FLOAT = sys.float_info.max
FINEST = 2 * 10**7
"""Steps from 0 to the largest value of a float; Optuna takes more for rounding, and refuses it."""
MAX_CHOICES = 1000


def _number(value: Any) -> Any:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError("must be a number; 0.001 and 1e-3 are numbers, text in quotes is not")


def _choice(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, int | float) and abs(value) <= LARGEST_FLOAT):
        return value
    raise ValueError("a choice is a finite number, a text, true or false; nothing nested, no null")


Bound = Annotated[int | float | None, BeforeValidator(_number)]
Choice = Annotated[Any, BeforeValidator(_choice)]


class Parameter(Section):
    """The range of one parameter, in the units of the trial's configuration."""

    type: Literal["float", "int", "categorical"]
    """float and int have low and high, categorical has choices. bool is short for the choices
    false and true, fixed for one choice, its `value`."""
    low: Bound = None
    """Smallest value."""
    high: Bound = None
    """Largest value; equal to low it fixes the parameter."""
    step: Bound = None
    """Distance between values; the first is low, the last is high."""
    log: bool = False
    """Draw the logarithm uniformly instead of the value."""
    choices: tuple[Choice, ...] | None = None
    """The values of a categorical parameter, in the order written."""
    when: dict[str, tuple[Choice, ...]] = Field(default_factory=dict)
    """With a command: the parameter exists only while each named one has one of these values."""
    default: Annotated[Choice | None, Field(validate_default=False)] = None
    """With a command: the value that its program takes by itself. `migrate` gives it to trials
    that ran before the parameter was searched."""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, entry: Any) -> Any:
        """Read type bool and type fixed, and a `when` whose value is not in a list."""
        if not isinstance(entry, dict):
            return entry
        given, kind = dict(entry), entry.get("type")
        if isinstance(given.get("when"), dict):
            given["when"] = {
                name: value if isinstance(value, list | tuple) else [value]
                for name, value in given["when"].items()
            }
        if kind == "bool":
            return {**given, "type": "categorical", "choices": given.get("choices", [False, True])}
        if kind == "fixed" and "value" in given:
            value = given.pop("value")
            return {**given, "type": "categorical", "choices": [value]}
        if kind == "fixed":
            raise ValueError("type fixed needs value, e.g. {type: fixed, value: 3}")
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type == "categorical":
            self._check_choices()
        else:
            self._check_range()
        if self.default is not None:
            try:
                self.nearest("default", self.default)
            except InputError as error:
                raise ValueError(str(error)) from None
        return self

    def _check_choices(self) -> None:
        if self.low is not None or self.high is not None or self.step is not None or self.log:
            raise ValueError("categorical takes choices only; remove low, high, step and log")
        if not self.choices:
            raise ValueError("choices: at least one is needed, e.g. choices: [koch, he]")
        if len(self.choices) > MAX_CHOICES:
            raise ValueError(f"choices: {len(self.choices)}; at most {MAX_CHOICES}")
        for position, choice in enumerate(self.choices):
            if choice in self.choices[:position]:
                raise ValueError(f"choices: {choice!r} is there twice; keep one")

    def _check_range(self) -> None:
        if self.choices is not None:
            raise ValueError(f"{self.type} takes low and high; choices belong to categorical")
        if self.low is None or self.high is None:
            raise ValueError(f"{self.type} needs low and high")
        for key, value in (("low", self.low), ("high", self.high), ("step", self.step)):
            if value is None:
                continue
            if abs(value) > LARGEST:
                raise ValueError(f"{key} is too large; at most {LARGEST}")
            if self.type == "int" and value != int(value):
                raise ValueError(f"{key}: {value} is no whole number, which type int asks for")
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}; exchange them")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, low is {self.low}; raise it or remove log")
        if self.step is not None:
            self._check_step(self.low, self.high, self.step)

    def _check_step(self, low: float, high: float, step: float) -> None:
        if self.log:
            raise ValueError("log and step exclude each other; remove one")
        if step <= 0:
            raise ValueError(f"step {step} must be above 0")
        if low == high:
            return
        if step > high - low:
            raise ValueError(f"step {step} is larger than the range {low} to {high}")
        count = (high - low) / step
        if abs(count - round(count)) > 1e-6:
            last = low + math.floor(count) * step
            raise ValueError(f"high {high} is not low plus a multiple of step; write {last:g}")
        if count > LARGEST / 2**20:
            raise ValueError(f"step {step} divides the range into {count:g} values; too many")
        largest = max(abs(low), abs(high))
        if self.type == "float" and largest / step > FINEST:
            raise ValueError(
                f"step {step} is too fine beside {largest:g}; write {largest / FINEST:g} or more"
            )

    @property
    def single(self) -> bool:
        """Whether there is only one value."""
        if self.choices is not None:
            return len(self.choices) == 1
        return self.low == self.high

    @property
    def stepped(self) -> bool:
        """Whether it is a float with a step, whose multiples are rounded."""
        return self.type == "float" and self.step is not None

    @property
    def extremes(self) -> tuple[Value, ...]:
        """The values by which a range is checked: every choice, or low and high."""
        if self.choices is not None:
            return self.choices
        return (self._typed(self.low), self._typed(self.high))

    def frozen(self, value: Any) -> Parameter:
        """Return this parameter with one value left, which may lie outside its range.

        Raises:
            ValidationError: The value is not of its type.
        """
        if self.type == "categorical":
            return Parameter(type=self.type, choices=(value,), when=self.when)
        return Parameter(type=self.type, low=value, high=value, when=self.when)

    def values(self) -> Sequence[Value] | None:
        """Return all values in ascending order, None if there are more than 100,000."""
        if self.choices is not None:
            return self.choices
        low, high = self._bounds()
        step = self.step or (1 if self.type == "int" else None)
        if step is None or (high - low) / step > 100_000:
            return (low,) if low == high else None
        count = round((high - low) / step)
        return [self._typed(min(low + k * step, high)) for k in range(count + 1)]

    def nearest(self, name: str, value: Any) -> Value:
        """Return the value of this parameter nearest to a given one.

        Raises:
            InputError: The given one is no choice, or no finite number.
        """
        if isinstance(value, np.generic):  # a number of numpy's, from a program
            value = value.item()
        if self.choices is not None:
            for choice in self.choices:
                if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                    return choice  # type: ignore[no-any-return]
            shown = ", ".join(map(str, self.choices))
            raise InputError(f"{name}: {value!r} is none of its choices: {shown}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{name}: {value!r} is no number")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{name}: {value} is not finite")
        low, high = self._bounds()
        clipped = min(max(value, low), high)
        step = self.step or (1 if self.type == "int" else None)
        if step is not None and low < high:
            clipped = min(low + round((clipped - low) / step) * step, high)
        return self._typed(clipped)

    def snapped(self, value: Any) -> Any:
        """Return a number without the rounding of its step: 0.5, not 0.5000000000000001.

        A value outside the range, or of a parameter without a step, is returned unchanged.
        """
        return self.nearest("", value) if self.stepped and self.contains(value) else value

    def contains(self, value: Any) -> bool:
        """Return whether a value belongs to this parameter."""
        try:
            near = self.nearest("", value)
        except InputError:
            return False
        if isinstance(near, float) and abs(value) <= LARGEST:
            rounding = 1e-9 * self.step if self.step else 1e-300
            return math.isclose(near, value, rel_tol=1e-12, abs_tol=rounding)
        return bool(near == value)

    def distribution(self) -> BaseDistribution:
        """Return Optuna's distribution of the values."""
        from optuna import distributions

        if self.choices is not None:
            return distributions.CategoricalDistribution(self.choices)
        low, high = self._bounds()
        if self.type == "int":
            step = 1 if self.step is None or low == high else int(self.step)
            return distributions.IntDistribution(int(low), int(high), log=self.log, step=step)
        step_f = None if self.step is None or low == high else float(self.step)
        return distributions.FloatDistribution(low, high, log=self.log, step=step_f)

    def plain(self) -> dict[str, Any]:
        """Return the entry of a space file."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {
            key: value
            for key, value in values.items()
            if key == "default" or (value is not False and value != {})
        }

    def describe(self) -> str:
        """Return the range in words, e.g. `16 to 256 step 16`."""
        conditions = " and ".join(f"{n} {' or '.join(map(str, v))}" for n, v in self.when.items())
        return self._range() + (f", when {conditions}" if conditions else "")

    def _range(self) -> str:
        if self.choices is not None:
            return ", ".join(str(choice) for choice in self.choices)
        if self.single:
            return f"{self.low:g} (fixed)"
        step = "" if self.step is None else f" step {self.step:g}"
        return f"{self.low:g} to {self.high:g}{step}{' log' if self.log else ''}"

    def _bounds(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise TypeError("a categorical parameter has no bounds")
        low, high = self._typed(self.low), self._typed(self.high)
        return low, high  # type: ignore[return-value]

    def _typed(self, value: Any) -> Value:
        return int(value) if self.type == "int" else float(value)
