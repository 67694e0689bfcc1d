"""What another study teaches: all if it is the same problem, else the best configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.driver.driver import Driver
from hpsearch.driver.warm_start import with_prior
from hpsearch.errors import InputError
from hpsearch.samplers import SamplerConfig
from hpsearch.samplers.prior import Prior, read_prior
from hpsearch.samplers.suggest import suggest
from hpsearch.shipped_files import find_shipped
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.config import WarmStart
from hpsearch.study.handed_over import handed_over
from hpsearch.study.plan import DataPlace, StudyPlan, plan_study, save_plan
from hpsearch.trial import TrialRecord
from tests.driver.test_driver import DATASET, Silent, search
from tests.support.fake_executor import FakeExecutor
from tests.support.problems import mixed_history, random_params, shipped_problem


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    """A study of quickstart with ended trials of several kinds."""
    _, view = search(tmp_path_factory.mktemp("from") / "source", FakeExecutor())
    return view


def warm(source: StudyView, output: Path, study: str = "quickstart", **changes: Any) -> StudyPlan:
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    start = {"trial.max_epochs": 9, "warm_start.study": str(source.folder.root)}
    plan = plan_study(study, output, {**start, "budget.trials": 12, **settings})
    return with_prior(plan, DATASET)


def test_the_same_problem_counts_as_measured(source: StudyView, tmp_path: Path) -> None:
    prior = warm(source, tmp_path / "s", seed=7).prior
    assert prior is not None
    assert prior.same
    told = [t for t in source.trials if t.state in ("complete", "pruned")]
    assert [(t.params, t.value, t.state) for t in prior.trials] == [
        (t.params, t.value, t.state) for t in told
    ]
    assert [t.number for t in prior.trials] == list(range(-len(told), 0))
    assert prior.first is None


@pytest.mark.parametrize(
    "change",
    [
        {"trial__max_epochs": 10},
        {"trial__init": "koch"},
        {"trial__input_size": 40},
        {"objective": "dense"},
        {"pruner__resource": "compute"},
    ],
    ids=["length", "setting", "input size", "objective", "resource"],
)
def test_of_another_setting_only_what_it_hands_over_is_taken(
    source: StudyView, tmp_path: Path, change: dict[str, Any]
) -> None:
    plan = warm(source, tmp_path / "s", **change)
    assert plan.prior is not None
    assert not plan.prior.same
    (best,) = plan.prior.trials
    assert best.value == handed_over(source.folder, source.config, source.trials)[0].value
    assert best.params == plan.prior.first
    assert plan.problem.feasible(best.params)


def test_trials_outside_the_space_are_left_out(source: StudyView, tmp_path: Path) -> None:
    widths = sorted(int(t.params["fc.width"]) for t in source.trials)
    values = read_yaml(find_shipped("search_spaces", "quickstart"))
    values["parameters"]["fc.width"]["high"] = widths[-1] - 16
    (tmp_path / "narrow.yaml").write_text(dump_yaml(values))
    prior = warm(source, tmp_path / "a", space=str(tmp_path / "narrow.yaml")).prior
    assert prior is not None
    assert prior.same
    assert len(prior.trials) == sum(width < widths[-1] for width in widths)

    elsewhere = next(w for w in range(128, 513, 16) if w not in widths)
    prior = warm(source, tmp_path / "b", **{"freeze__fc__width": elsewhere}).prior
    assert prior is not None
    assert not prior.same
    assert [t.params["fc.width"] for t in prior.trials] == [elsewhere]


def test_of_another_data_set_only_what_it_hands_over_is_taken(
    source: StudyView, tmp_path: Path
) -> None:
    plan = replace(warm(source, tmp_path / "s"), prior=None)
    prior = with_prior(plan, {**DATASET, "fingerprint": "a" * 64}).prior
    assert prior is not None
    assert not prior.same
    best = handed_over(source.folder, source.config, source.trials)[0]
    assert prior.first == pytest.approx(best.params)


def test_values_keep_their_place_in_another_range(source: StudyView, tmp_path: Path) -> None:
    plan = warm(source, tmp_path / "s", "koch2015_35px", limits={})
    assert plan.prior is not None
    (mapped,), trial = (
        plan.prior.trials,
        handed_over(source.folder, source.config, source.trials)[0],
    )
    rate, ours = trial.params["conv1.learning_rate"], mapped.params["conv1.learning_rate"]
    place = np.log(float(rate) / 1e-2) / np.log(10)
    assert np.log(float(ours) / 1e-4) / np.log(1000) == pytest.approx(place)
    share = (int(trial.params["fc.width"]) - 128) / 16 / 25
    assert (int(mapped.params["fc.width"]) - 128) / 16 / 57 == pytest.approx(share, abs=0.03)
    assert mapped.seconds is None


@pytest.mark.parametrize("name", ["random", "tpe", "bayes"])
def test_what_another_problem_hands_over_is_tried_once_and_teaches_nothing(name: Any) -> None:
    problem = shipped_problem("koch2015_35px")
    (best,) = (TrialRecord(-1, "complete", p, {1: 0.1}, 0.1) for p in random_params(problem, 1, 5))
    prior = Prior("other", False, (best,))
    config = SamplerConfig(name=name)
    assert suggest(problem, config, [], 0, 0, prior) == best.params
    tried = TrialRecord(0, "running", best.params)
    assert suggest(problem, config, [tried], 0, 1, prior) != best.params
    history = [TrialRecord(0, "complete", best.params, {1: 0.5}, 0.5)]
    history += [replace(t, number=t.number + 1) for t in mixed_history(problem, 12)]
    n = len(history)
    assert suggest(problem, config, history, 0, n, prior) == suggest(
        problem, config, history, 0, n
    )


def test_what_an_earlier_version_learnt_from_another_problem_is_not_gone_on_with(
    source: StudyView, tmp_path: Path
) -> None:
    plan = warm(source, tmp_path / "s")
    assert plan.prior is not None
    save_plan(replace(plan, prior=replace(plan.prior, same=False)), DATASET)
    begun = plan_study(str(tmp_path / "s"), None, {})
    with pytest.raises(InputError, match=r"prior\.json: holds \d+ trials of another problem"):
        with_prior(begun, DATASET)


def test_a_study_of_an_earlier_version_says_how_it_faded(tmp_path: Path) -> None:
    read = WarmStart.model_validate({"study": str(tmp_path), "fades_after": 40})
    assert read == WarmStart(study=str(tmp_path))


def test_what_the_same_problem_has_measured_is_not_tried_again() -> None:
    problem = shipped_problem("koch2015_35px")
    config = SamplerConfig(name="random")
    first = suggest(problem, config, [], 3, 0)
    trials = (TrialRecord(-1, "complete", first, {1: 0.5}, 0.5),)
    same = Prior("same", True, trials)
    assert suggest(problem, config, [], 3, 0, same) != first


def test_a_warm_started_study_counts_only_its_own_trials_and_resumes_without_the_source(
    tmp_path: Path,
) -> None:
    _, source = search(tmp_path / "source", FakeExecutor(), budget__trials=6)
    plan = warm(source, tmp_path / "s", sampler__startup_trials=4, budget__trials=5)

    def run(executor: FakeExecutor) -> list[Any]:
        told = plan_study("quickstart", tmp_path / "s", changes) if executor.epochs else plan
        place = DataPlace("/nowhere", "f" * 64)
        Driver(with_prior(told, DATASET), place, executor, Silent(), lambda: 0).run()
        return [(t.params, t.value) for t in read_study(plan.folder).trials]

    changes = {
        "trial.max_epochs": 9,
        "warm_start.study": str(source.folder.root),
        "budget.trials": 5,
        "sampler.startup_trials": 4,
    }
    save_plan(plan, DATASET)
    rows = run(FakeExecutor())
    assert len(rows) == 5
    assert read_study(plan.folder).attributes[1]["origin"] == "bayes"  # no start was needed
    assert read_prior(plan.folder.prior) == plan.prior
    source.folder.root.rename(tmp_path / "gone")
    again = plan_study(str(tmp_path / "s"), None, {"budget.trials": 6})
    assert again.prior == plan.prior


def test_a_study_with_nothing_to_teach_is_refused(source: StudyView, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such study"):
        warm(source, tmp_path / "a", warm_start__study=str(tmp_path / "nowhere"))
    _, empty = search(tmp_path / "empty", FakeExecutor(), interrupts=1)
    with pytest.raises(InputError, match="no trial of it has ended well"):
        warm(empty, tmp_path / "b")
