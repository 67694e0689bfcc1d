"""Conditional parameters and forbidden combinations of a command's space."""

from __future__ import annotations

from typing import Any

import pytest

from hpsearch.errors import InputError
from hpsearch.samplers.config import SamplerConfig
from hpsearch.samplers.suggest import suggest
from hpsearch.space.limits import Limits
from hpsearch.space.nearest import nearest_feasible
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.trainers.command import CommandTrial
from hpsearch.trial import TrialRecord

PARAMETERS: dict[str, Any] = {
    "optimiser": {"type": "categorical", "choices": ["sgd", "adam", "none"]},
    "momentum": {"type": "float", "low": 0, "high": 0.99, "when": {"optimiser": "sgd"}},
    "nesterov": {"type": "bool", "when": {"optimiser": ["sgd", "adam"]}},
    "decay": {"type": "float", "low": 1e-5, "high": 0.1, "log": True, "when": {"nesterov": True}},
    "layers": {"type": "int", "low": 1, "high": 4},
    "folds": {"type": "fixed", "value": 5},
}
FORBIDDEN = [{"layers": [3, 4], "optimiser": "adam"}]


def space(**changes: Any) -> SearchSpace:
    values = {"name": "free", "parameters": PARAMETERS, "forbidden": FORBIDDEN, **changes}
    return SearchSpace.from_values(values)


def problem() -> SearchProblem:
    return SearchProblem(space(), CommandTrial(command=("true",)), Limits())


def allowed(params: dict[str, Any]) -> bool:
    """Say by hand whether parameters are as the space wants them."""
    optimiser = params["optimiser"]
    return (
        ("momentum" in params) == (optimiser == "sgd")
        and ("nesterov" in params) == (optimiser != "none")
        and ("decay" in params) == (params.get("nesterov") is True)
        and not (optimiser == "adam" and params["layers"] >= 3)
        and params["folds"] == 5
    )


def history(name: str, count: int) -> list[TrialRecord]:
    """Search a made-up value with one sampler."""
    trials: list[TrialRecord] = []
    config = SamplerConfig(name=name, startup_trials=5)  # type: ignore[arg-type]
    for number in range(count):
        params = suggest(problem(), config, trials, 3, number)
        value = float(params["layers"]) + float(params.get("momentum", 0.5))
        trials.append(TrialRecord(number, "complete", params, {1: value}, value))
    return trials


SAMPLERS = ["random", "sobol", "recentred", "tpe", "gp", "skopt-rf", "bayes"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_takes_such_a_space(name: str) -> None:
    trials = history(name, 9)
    assert all(allowed(dict(trial.params)) for trial in trials)
    assert len({problem().key(trial.params) for trial in trials}) == 9
    assert len({trial.params["optimiser"] for trial in trials}) > 1
    config = SamplerConfig(name=name, startup_trials=5)  # type: ignore[arg-type]
    assert suggest(problem(), config, trials[:8], 3, 8) == trials[8].params


def test_a_space_reads_back_as_it_was_written() -> None:
    from hpsearch.configfile import parse_yaml

    read = SearchSpace.from_values(parse_yaml(space().to_yaml().encode(), "space"))
    assert read.to_yaml() == space().to_yaml()
    assert read == space()


def test_enqueued_parameters_keep_what_counts() -> None:
    found = nearest_feasible(problem(), {"optimiser": "adam", "layers": 2, "momentum": 0.3})
    assert allowed(found)
    assert found["optimiser"] == "adam"
    with pytest.raises(InputError, match="forbidden: layers 4, optimiser adam"):
        nearest_feasible(problem(), {"optimiser": "adam", "layers": 4})


def test_reasons_name_what_is_missing_and_what_is_forbidden() -> None:
    one = problem()
    whole = {"optimiser": "none", "layers": 2, "folds": 5}
    assert one.reasons(whole) == []
    assert one.reason({**whole, "optimiser": "adam"}) == "nesterov is missing"
    adam = {**whole, "optimiser": "adam", "nesterov": False, "layers": 3}
    assert one.reasons(adam) == ["forbidden: layers 3, optimiser adam"]


def entry(**changes: Any) -> dict[str, Any]:
    return {"parameters": {**PARAMETERS, **changes}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            entry(layers={"type": "int", "low": 1, "high": 4, "when": {"depth": 1}}),
            "layers: when: depth: no parameter of this space",
        ),
        (
            entry(momentum={"type": "bool", "when": {"optimiser": "rmsprop"}}),
            "momentum: when: optimiser: 'rmsprop' is no value of it",
        ),
        (
            entry(optimiser={**PARAMETERS["optimiser"], "when": {"momentum": 0.5}}),
            "a circle",
        ),
        (entry(folds={"type": "fixed"}), "type fixed needs value"),
        (entry(folds={"type": "normal"}), "must be 'float', 'int' or 'categorical'"),
        ({"forbidden": [{"depth": 3}]}, "forbidden: entry 1: depth: no parameter"),
        ({"forbidden": [{}]}, "forbidden: entry 1 is empty"),
        ({"forbidden": [{"layers": 9}]}, "layers: 9 is no value of it"),
        ({"forbidden": {"layers": 3}}, "must be a list"),
    ],
)
def test_a_wrong_space_is_refused_in_one_line(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError) as error:
        space(**changes)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_a_space_that_forbids_everything_says_so() -> None:
    one = space(forbidden=[{"folds": 5}])
    nothing = SearchProblem(one, CommandTrial(command=("true",)), Limits())
    with pytest.raises(InputError, match="no configuration left"):
        suggest(nothing, SamplerConfig(name="random"), [], 0, 0)
