"""What a study tries first, and what it does not search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.errors import InputError
from hpsearch.shipped_files import find_shipped
from hpsearch.study.enqueue import Enqueued, enqueued_points
from hpsearch.study.plan import StudyPlan, plan_study, save_plan
from tests.driver.test_driver import DATASET, search
from tests.support.fake_executor import FakeExecutor
from tests.support.problems import random_params, shipped_problem


def study_with(folder: Path, **changes: Any) -> Path:
    """Write quickstart's study with some keys replaced."""
    values = {**read_yaml(find_shipped("studies", "quickstart")), **changes}
    path = folder / "mine.yaml"
    path.write_text(dump_yaml(values))
    return path


def plan_of(folder: Path, **changes: Any) -> StudyPlan:
    return plan_study(str(study_with(folder, **changes)), folder / "out", {})


def points_of(folder: Path, **changes: Any) -> list[Enqueued]:
    plan = plan_of(folder, **changes)
    problem = plan.problem
    return enqueued_points(plan.config, problem)


def exported(folder: Path, params: dict[str, Any]) -> Path:
    base = shipped_problem("quickstart").base
    path = folder / "best.yaml"
    config = base.with_parameters(params).plain()
    path.write_text(dump_yaml({"format": 1, "validation_error": 0.2, "config": config}))
    return path


def test_an_exported_configuration_is_tried_and_kept_with_the_study(tmp_path: Path) -> None:
    params = random_params(shipped_problem("quickstart"), 1, 4)[0]
    path = exported(tmp_path, params)
    plan = plan_of(tmp_path, enqueue=["best.yaml", "reference"])
    problem = plan.problem
    points = enqueued_points(plan.config, problem)
    assert points[0] == (params, "enqueued: best.yaml")
    assert points[1].origin == "enqueued: reference"
    save_plan(plan, DATASET)
    path.unlink()
    kept = plan_study(str(tmp_path / "out"), None, {}).config
    assert enqueued_points(kept, problem) == points


def test_a_configuration_of_another_size_is_moved_to_what_fits(tmp_path: Path) -> None:
    paper = read_yaml(find_shipped("studies", "koch2015"))["trial"]
    (tmp_path / "paper.yaml").write_text(dump_yaml({"config": paper}))
    (point,) = points_of(tmp_path, enqueue=["paper.yaml"])
    assert shipped_problem("quickstart").feasible(point.params)


def test_the_papers_configuration_is_tried_unchanged(tmp_path: Path) -> None:
    """Figure 3 of the paper, at its own 105 pixels: 38.95 million weights and biases."""
    plan = plan_study("koch2015", tmp_path / "out", {"enqueue": ["paper"]})
    problem = plan.problem
    (point,) = enqueued_points(plan.config, problem)
    sizes = {"conv1": (10, 64), "conv2": (7, 128), "conv3": (4, 128), "conv4": (4, 256)}
    expected: dict[str, Any] = {"fc.width": 4096}
    for name, (size, count) in sizes.items():
        expected |= {f"{name}.filter_size": size, f"{name}.filter_count": count}
    for name in (*sizes, "fc", "output"):
        expected |= {f"{name}.learning_rate": 0.01, f"{name}.momentum": 0.9, f"{name}.l2": 1e-4}
    assert point == (expected, "enqueued: paper")
    shape = problem.shape(point.params)
    assert shape.final_size == 6
    filters = 64 * 101 + 128 * (49 * 64 + 1) + 128 * (16 * 128 + 1) + 256 * (16 * 128 + 1)
    assert shape.parameters == filters + 4096 * (6 * 6 * 256 + 1) + 4096


def test_the_same_configuration_needs_a_name_to_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"entry 2 is the same .* entry 1.*replicate: NAME"):
        points_of(tmp_path, enqueue=["reference", "reference"])
    again = {"config": "reference", "replicate": "second seed"}
    first, second = points_of(tmp_path, enqueue=["reference", again])
    assert first.params == second.params
    assert second.origin == "enqueued: reference, replicate second seed"


def test_a_replicate_trains_with_another_seed(tmp_path: Path) -> None:
    again = [{"config": "reference"}, {"config": "reference", "replicate": "again"}]
    _, view = search(tmp_path / "s", FakeExecutor(), enqueue=again, budget__trials=3)
    assert view.trials[0].params == view.trials[1].params
    assert view.trials[0].value != view.trials[1].value
    assert view.attributes[1]["origin"] == "enqueued: reference, replicate again"
    assert view.trials[2].params != view.trials[0].params


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("papr", "write paper, reference, encoder, or a file"),
        ("absent.yaml", "no such file"),
        ({"fc.mass": 3}, "fc.mass: not a parameter of this space"),
        ({"config": "reference", "replicate": ""}, "replicate"),
    ],
)
def test_entries_that_lead_nowhere_are_refused(tmp_path: Path, entry: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        points_of(tmp_path, enqueue=[entry])


def test_a_file_without_a_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match="holds no configuration"):
        points_of(tmp_path, enqueue=["other.yaml"])


def test_frozen_parameters_hold_their_value_in_every_trial(tmp_path: Path) -> None:
    values = {"conv1.momentum": 0.77, "conv2.filter_size": 3, "fc.width": 200}
    changes = {f"freeze.{name}": value for name, value in values.items()}
    frozen = {name.replace(".", "__"): value for name, value in changes.items()}
    _, view = search(tmp_path / "s", FakeExecutor(), budget__trials=10, **frozen)
    for trial in view.trials:
        assert {name: trial.params[name] for name in values} == values
    assert len({t.params["conv2.momentum"] for t in view.trials}) > 5
    again = plan_study(str(tmp_path / "s"), None, {})
    assert again.space.parameters["fc.width"].single


def test_freezing_what_is_not_searched_or_no_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"freeze.conv1.momentun: .*did you mean conv1.momentum"):
        plan_of(tmp_path, freeze={"conv1.momentun": 0.9})
    with pytest.raises(InputError, match=r"freeze.conv1.filter_size: 2.5: .*whole number"):
        plan_of(tmp_path, freeze={"conv1": {"filter_size": 2.5}})
    with pytest.raises(InputError, match=r"conv1.momentum: 1.5"):
        plan_of(tmp_path, freeze={"conv1": {"momentum": 1.5}})
