"""What is refused is said in words of this program: no word of the library that checks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import InputError
from hpsearch.space.parameter import Parameter
from hpsearch.space.space import SearchSpace
from hpsearch.study.plan import plan_study
from hpsearch.wording import count, ordinal

VALUES: tuple[Any, ...] = (
    None, 0, -1, 1.5, "x", [], {}, ["paper"], {"a": 1}, True, 10**30, float("nan"),
)  # fmt: skip
KEYS = (
    "name", "dataset", "space", "trial", "objective", "sampler", "pruner", "budget", "limits",
    "enqueue", "freeze", "warm_start", "seed", "workers", "device", "worker_timeout_s", "address",
    "resources", "storage", "trial.layers", "trial.layers.conv1", "trial.max_epochs",
    "step_timeout_s", "trial.layers.conv1.filter_size", "trial.batch_norm", "trial.distortion",
    "budget.trials",
    "budget.hours", "pruner.percentile", "resources.cpu", "sampler.options", "warm_start.study",
)  # fmt: skip
FOREIGN = (
    "Input should",
    "instance of",
    "Field required",
    "valid dictionary",
    "pydantic",
    "unable to",
)


@pytest.mark.parametrize("key", KEYS)
def test_every_refusal_of_a_value_is_one_line_in_our_words(key: str, tmp_path: Path) -> None:
    refusals = []
    for value in VALUES:
        try:  # what else than an InputError comes out of it is a bug
            plan_study("quickstart", tmp_path / "s", {"device": "cpu", key: value})
        except InputError as error:
            refusals.append(str(error))
    assert refusals
    for said in refusals:
        assert "\n" not in said
        assert not [word for word in FOREIGN if word in said], said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workers": 0}, "workers: must be 'auto', or at least 1 (found 0)"),
        ({"budget.trials": 3, "budget": None}, "budget: must be KEY: VALUE lines (found None)"),
        ({"budget.n_trials": 3}, "budget.n_trials: unknown key; did you mean 'trials'?"),
        ({"trial.epochs": 3}, "trial.epochs: unknown key; did you mean 'max_epochs'?"),
        ({"trial.layers.conv1.lr": 1}, "conv1.lr: unknown key; did you mean 'learning_rate'?"),
        ({"warm_start.a": 3}, "warm_start.a: unknown key; known: study"),
    ],
)
def test_what_would_be_right_is_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        plan_study("quickstart", tmp_path / "s", changes)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("min: 1, high: 2", "low"),
        ("low: 1, max: 2", "high"),
        ("low: 1, high: 2, values: [1]", "choices"),
    ],
)
def test_keys_that_are_called_otherwise_elsewhere_are_known(
    entry: str, meant: str, tmp_path: Path
) -> None:
    path = tmp_path / "space.yaml"
    text = (
        f"name: t\nnetwork: {{input_size: 28}}\nparameters:\n  fc.width: {{type: int, {entry}}}\n"
    )
    path.write_text(text)
    with pytest.raises(InputError, match=f"unknown key; did you mean '{meant}'"):
        SearchSpace.from_yaml(path)


def test_numbers_of_numpy_are_numbers() -> None:
    width = Parameter(type="int", low=16, high=64, step=16)
    assert width.nearest("fc.width", np.int64(30)) == 32
    assert Parameter(type="float", low=0, high=1).nearest("x", np.float32(0.5)) == 0.5
    assert Parameter(type="categorical", choices=(True,)).nearest("x", np.bool_(True)) is True


def test_counts_and_places() -> None:
    assert [count(n, "trial") for n in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 103, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "103rd", "111th",
    ]  # fmt: skip
