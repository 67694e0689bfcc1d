"""Space files: what is refused and why, what is read back, what every searched name changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpsearch.configfile import parse_yaml
from hpsearch.errors import InputError
from hpsearch.shipped_files import find_shipped, shipped_names
from hpsearch.space.parameter import Parameter
from hpsearch.space.space import SearchSpace
from tests.support.problems import SHIPPED, base_config, shipped_study, space_of

PAPER_NAMES = {
    f"conv{k}.{key}"
    for k in (1, 2, 3, 4)
    for key in ("filter_size", "filter_count", "learning_rate", "momentum", "l2")
} | {f"{layer}.{key}" for layer in ("fc", "output") for key in ("learning_rate", "momentum", "l2")}
HUGE = 10**400
"""A whole number beyond every float."""
FLOAT: dict[str, Any] = {"type": "float", "low": 0.1, "high": 0.5}


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ({**FLOAT, "low": 0.6}, "low 0.6 is above high 0.5"),
        ({**FLOAT, "low": 0, "log": True}, "log needs low above 0"),
        ({**FLOAT, "step": 0}, "step 0 must be above 0"),
        ({**FLOAT, "step": -0.1}, "must be above 0"),
        ({**FLOAT, "step": 0.5}, "larger than the range"),
        ({**FLOAT, "step": 0.3}, "no"),
        ({**FLOAT, "step": 0.1, "log": True}, "exclude each other"),
        ({"type": "categorical", "choices": []}, "at least one"),
        ({"type": "categorical", "choices": ["a", "b", "a"]}, "'a' is there twice"),
        ({"type": "categorical", "choices": [1, True]}, "twice"),
        ({"type": "categorical", "choices": [[1], 2]}, "nothing nested"),
        ({"type": "categorical", "choices": [None]}, "no null"),
        ({"type": "categorical", "choices": [1, 2], "low": 1}, "choices only"),
        ({**FLOAT, "choices": [1]}, "belong to categorical"),
        ({"type": "normal", "low": 0, "high": 1}, "'float', 'int' or 'categorical'"),
        ({"type": "int", "low": 1, "high": 1e30}, "too large"),
        ({"type": "int", "low": 1, "high": HUGE}, "high is too large"),
        ({"type": "float", "low": -HUGE, "high": 1}, "low is too large"),
        ({"type": "categorical", "choices": [1, HUGE]}, "a choice is a finite number"),
        ({"type": "float", "low": 0, "high": 1, "step": 1e-9}, "step 1e-09 is too fine beside 1"),
        ({**FLOAT, "low": 1e6, "high": 1e6 + 1, "step": 0.001}, "write 0.05 or more"),
        ({"type": "int", "low": 1, "high": 2.5}, "no whole number"),
        ({"type": "int", "low": 1}, "needs low and high"),
        ({"type": "int", "low": True, "high": 3}, "must be a number"),
        ({"type": "float", "low": "0.1", "high": 3}, "must be a number"),
        ({"type": "float", "low": float("nan"), "high": 3}, "finite"),
        ({"type": "float", "low": 0, "high": float("inf")}, "finite"),
        ({**FLOAT, "hihg": 3}, "unknown key"),
    ],
)
def test_a_bad_range_is_refused_in_one_line(parameter: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        SearchSpace.from_values({"name": "s", "parameters": {"fc.l2": parameter}}, "my.yaml")
    message = str(error.value)
    assert words in message
    assert message.startswith("my.yaml: parameters.fc.l2")
    assert "\n" not in message


@pytest.mark.parametrize("kind", ["int", "float"])
def test_a_number_beyond_every_float_is_only_outside_the_range(kind: Any) -> None:
    parameter = Parameter(type=kind, low=1, high=3)
    assert parameter.nearest("x", HUGE) == 3
    assert parameter.nearest("x", -HUGE) == 1
    assert not parameter.contains(HUGE)


@pytest.mark.parametrize("name", ["", "x" * 600, "a\nb", "a..b", "../x", "1a", "a b"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="write a path such as"):
        space_of({name: FLOAT})


@pytest.mark.parametrize("name", ["", "x" * 600, "a\nb"])
def test_a_bad_space_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="name"):
        SearchSpace.from_values({"name": name, "parameters": {"fc.l2": FLOAT}})


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(InputError, match="parameters"):
        space_of({})


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.1, 0.7, 0.1), (0.1, 0.3, 0.1), (0.0, 0.95, 0.05)]
)
def test_steps_of_a_float_end_at_its_upper_bound(low: float, high: float, step: float) -> None:
    parameter = space_of(
        {"fc.l2": {"type": "float", "low": low, "high": high, "step": step}}
    ).parameters["fc.l2"]
    values = parameter.values()
    assert values is not None
    assert (values[0], values[-1]) == (low, high)
    assert all(parameter.nearest("fc.l2", value) == value for value in values)
    distribution = parameter.distribution()
    assert all(distribution._contains(distribution.to_internal_repr(value)) for value in values)


def test_equal_bounds_fix_a_parameter() -> None:
    space = space_of({"fc.l2": {"type": "float", "low": 0.1, "high": 0.1}})
    space.check(base_config([3], [True], 35))
    assert space.parameters["fc.l2"].single


@pytest.mark.parametrize(
    ("name", "parameter", "words"),
    [
        ("conv9.l2", FLOAT, "names nothing"),
        ("conv1.filter_sise", FLOAT, "did you mean conv1.filter_size"),
        ("layers.conv1.l2", FLOAT, "write conv1.l2"),
        ("conv1", FLOAT, "names nothing"),
        ("conv1.filter_size", FLOAT, "is int"),
        ("conv1.filter_size", {"type": "int", "low": 0, "high": 3}, "must be at least 1"),
        ("conv1.momentum", {"type": "float", "low": 0, "high": 2}, "must be at most 1"),
        ("init", {"type": "categorical", "choices": ["koch", "xavier"]}, "xavier"),
        ("conv1.pool", {"type": "int", "low": 0, "high": 1}, "true or false"),
        ("precision", {"type": "categorical", "choices": ["float32", "bf16"]}, "cannot be"),
        ("max_epochs", {"type": "int", "low": 1, "high": 9}, "cannot be searched"),
        ("batch_characters", {"type": "int", "low": 4, "high": 9}, "pairs is independent"),
        ("batch_drawings", {"type": "int", "low": 4, "high": 9}, "pairs is independent"),
    ],
)
def test_a_parameter_that_cannot_be_searched_is_refused(
    name: str, parameter: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError) as error:
        space_of({name: parameter}).check(base_config([3, 3], [True, True], 35))
    assert words in str(error.value)
    assert f"parameters.{name}" in str(error.value)


def test_a_parameter_that_another_setting_switches_off_is_refused() -> None:
    batch = base_config([3], [True], 35, pairs="batch")
    pairs = {"type": "categorical", "choices": ["batch", "independent"]}
    count = {"type": "int", "low": 16, "high": 64}
    with pytest.raises(InputError, match="no effect while pairs is batch"):
        space_of({"batch_pairs": count}).check(batch)
    space_of({"batch_pairs": count, "pairs": pairs}).check(batch)

    shear = {"type": "float", "low": 0, "high": 0.3}
    still = base_config([3], [True], 35, distortion={"probability": 0})
    with pytest.raises(InputError, match=r"no effect while distortion\.probability is 0"):
        space_of({"distortion.shear": shear}).check(still)
    chance = {"type": "float", "low": 0, "high": 1}
    space_of({"distortion.shear": shear, "distortion.probability": chance}).check(still)
    space_of({"distortion.flip": chance}).check(base_config([3], [True], 35))


def test_logarithmic_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="log would do nothing"):
        space_of({"conv1.filter_size": {"type": "int", "low": 2, "high": 9, "log": True}})


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces_search_the_papers_27_parameters(name: str) -> None:
    space = SearchSpace.from_yaml(name)
    assert set(space.parameters) == PAPER_NAMES | {"fc.width"}
    assert len(space.parameters) == 27
    space.check(shipped_study(name).trial)


def test_koch2015_has_the_papers_ranges() -> None:
    shown = {
        n.partition(".")[2]: p for n, p in SearchSpace.from_yaml("koch2015").parameters.items()
    }
    assert {key: (p.low, p.high, p.step, p.log) for key, p in shown.items()} == {
        "learning_rate": (1e-4, 1e-1, None, True),
        "momentum": (0, 1, None, False),
        "l2": (0, 0.1, None, False),
        "filter_size": (3, 20, None, False),
        "filter_count": (16, 256, 16, False),
        "width": (128, 4096, 16, False),
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_parameter_changes_its_own_setting_and_nothing_else(name: str) -> None:
    base = shipped_study(name).trial
    for path, parameter in SearchSpace.from_yaml(name).parameters.items():
        low, high = parameter.extremes
        if path.endswith("filter_size"):
            high = low + 1  # type: ignore[operator]
        roomy = {f"conv{k}.filter_size": 2 for k in (1, 2, 3, 4)}
        one, two = (base.with_parameters({**roomy, path: v}) for v in (low, high))
        assert (one.value(path), two.value(path)) == (low, high)
        assert one.with_parameters({path: high}) == two


@pytest.mark.parametrize("name", SHIPPED)
def test_a_written_space_reads_back_as_the_same(name: str) -> None:
    space = SearchSpace.from_yaml(name)
    again = SearchSpace.from_values(parse_yaml(space.to_yaml().encode(), "again"))
    assert again == space
    assert again.to_yaml() == space.to_yaml()


def test_distributions_are_of_the_decoded_values() -> None:
    distributions = SearchSpace.from_yaml("koch2015").distributions()
    assert str(distributions["conv1.filter_size"]) == (
        "IntDistribution(high=20, log=False, low=3, step=1)"
    )
    assert str(distributions["fc.width"]) == (
        "IntDistribution(high=4096, log=False, low=128, step=16)"
    )


def test_shipped_files_are_found_by_name() -> None:
    assert set(SHIPPED) <= set(shipped_names("search_spaces"))
    assert find_shipped("studies", "quickstart").name == "quickstart.yaml"
    with pytest.raises(InputError, match="did you mean 'quickstart'"):
        find_shipped("search_spaces", "quickstrat")
    with pytest.raises(InputError, match="shipped are"):
        find_shipped("search_spaces", "../secret")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.yaml: no such file"):
        SearchSpace.from_yaml(tmp_path / "no.yaml")


def test_nearest_value_respects_step_and_bounds() -> None:
    count = Parameter(type="int", low=16, high=64, step=16)
    assert [count.nearest("n", v) for v in (1, 23, 25, 41.0, 900)] == [16, 16, 32, 48, 64]
    assert count.contains(48)
    assert not count.contains(40)
    assert list(count.values() or ()) == [16, 32, 48, 64]
    with pytest.raises(InputError, match="no number"):
        count.nearest("n", "many")
