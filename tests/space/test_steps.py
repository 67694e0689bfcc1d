"""A parameter with a step has its values once, however arithmetic rounds."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from hpsearch.samplers.config import SamplerConfig, SamplerName
from hpsearch.samplers.suggest import SpaceExhaustedError, suggest
from hpsearch.space.limits import Limits
from hpsearch.space.nearest import nearest_feasible
from hpsearch.space.parameter import Parameter
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord
from tests.support.problems import base_config, space_of

RANGES = [
    (0.1, 0.7, 0.2),
    (-0.6, 0.6, 0.2),
    (0.0, 0.3, 0.1),
    (1e6, 1e6 + 1, 0.1),
    (1e-5, 9e-5, 2e-5),
]


@pytest.mark.parametrize(("low", "high", "step"), RANGES)
def test_every_rounding_of_a_value_is_that_value(low: float, high: float, step: float) -> None:
    parameter = Parameter(type="float", low=low, high=high, step=step)
    values = parameter.values()
    assert values is not None
    for value in map(float, values):
        for near in (math.nextafter(value, -math.inf), value, math.nextafter(value, math.inf)):
            assert parameter.contains(near)
            assert parameter.snapped(near) == value
    between = low + step / 2
    assert not parameter.contains(between)
    assert parameter.snapped(between) == between


def test_what_has_no_step_stays_as_it_is() -> None:
    value = math.nextafter(0.5, 1.0)
    assert Parameter(type="float", low=0.0, high=1.0).snapped(value) == value
    assert Parameter(type="categorical", choices=(0.5, value)).snapped(value) == value


def problem() -> SearchProblem:
    """Four momenta and two widths."""
    momentum = {"type": "float", "low": 0.1, "high": 0.7, "step": 0.2}
    width = {"type": "int", "low": 16, "high": 32, "step": 16}
    space = space_of({"fc.momentum": momentum, "fc.width": width})
    return SearchProblem(space, base_config([3], [True], 35), Limits())


@pytest.mark.parametrize("name", get_args(SamplerName))
def test_every_sampler_exhausts_the_values_of_a_step(name: SamplerName) -> None:
    coordinates, sampler = problem(), SamplerConfig(name=name, startup_trials=3)
    history: list[TrialRecord] = []
    for n in range(8):
        params = suggest(coordinates, sampler, history, 1, n)
        value = 0.5 - 0.1 * float(params["fc.momentum"])
        history.append(TrialRecord(n, "complete", params, {1: value}, value))
    with pytest.raises(SpaceExhaustedError):
        suggest(coordinates, sampler, history, 1, 8)
    known = {float(v) for v in coordinates.space.parameters["fc.momentum"].values() or ()}
    assert {t.params["fc.momentum"] for t in history} == known


def test_a_rounded_value_of_an_older_study_counts_as_tried() -> None:
    coordinates = problem()
    params = nearest_feasible(coordinates, {"fc.momentum": 0.5, "fc.width": 16})
    rounded = {**params, "fc.momentum": math.nextafter(0.5, 1.0)}
    assert coordinates.key(rounded) == coordinates.key(params)
    assert coordinates.decode(coordinates.encode(rounded)) == params
