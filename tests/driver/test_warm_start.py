"""What another study teaches: as measured if it is the same problem, else a prior that fades."""

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
from hpsearch.samplers import SamplerConfig, observe
from hpsearch.samplers.prior import Prior, read_prior
from hpsearch.samplers.suggest import choose_sampler, suggest
from hpsearch.shipped_files import find_shipped
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.plan import DataPlace, StudyPlan, plan_study, save_plan
from hpsearch.trial import TrialRecord
from tests.driver.test_driver import DATASET, Silent, search
from tests.support.fake_executor import FakeExecutor
from tests.support.problems import mixed_history, random_params, shipped_problem
from tests.support.slow import rest_slow


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
    assert prior.count(10_000) == len(told)


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
def test_another_setting_makes_it_a_prior(
    source: StudyView, tmp_path: Path, change: dict[str, Any]
) -> None:
    prior = warm(source, tmp_path / "s", **change).prior
    assert prior is not None
    assert not prior.same


def test_trials_outside_the_space_are_left_out_or_all_a_prior(
    source: StudyView, tmp_path: Path
) -> None:
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
    assert {t.params["fc.width"] for t in prior.trials} == {elsewhere}


def test_another_data_set_makes_it_a_prior(source: StudyView, tmp_path: Path) -> None:
    plan = replace(warm(source, tmp_path / "s"), prior=None)
    prior = with_prior(plan, {**DATASET, "fingerprint": "a" * 64}).prior
    assert prior is not None
    assert not prior.same
    assert [t.params for t in prior.trials] == [
        pytest.approx(t.params) for t in source.trials if t.state != "failed"
    ]


def test_values_keep_their_place_in_another_range(source: StudyView, tmp_path: Path) -> None:
    plan = warm(source, tmp_path / "s", "koch2015_35px", limits={})
    assert plan.prior is not None
    for trial, mapped in zip(source.trials, plan.prior.trials, strict=True):
        rate, ours = trial.params["conv1.learning_rate"], mapped.params["conv1.learning_rate"]
        place = np.log(float(rate) / 1e-2) / np.log(10)
        assert np.log(float(ours) / 1e-4) / np.log(1000) == pytest.approx(place)
        share = (int(trial.params["fc.width"]) - 128) / 16 / 25
        assert (int(mapped.params["fc.width"]) - 128) / 16 / 57 == pytest.approx(share, abs=0.03)
        assert mapped.seconds is None


def test_the_prior_fades_and_never_beats_what_is_measured_here() -> None:
    problem = shipped_problem("koch2015_35px")
    trials = [
        TrialRecord(k - 20, "complete", params, {1: 0.001 * k}, 0.001 * k)
        for k, params in enumerate(random_params(problem, 20, 5))
    ]
    prior = Prior("other", False, 40, tuple(trials))
    assert [prior.count(n) for n in (0, 20, 39, 40, 400)] == [20, 10, 1, 0, 0]
    history = mixed_history(problem, 12)
    own = observe(problem, history)
    scored = [o for o in own if o.kind in ("complete", "pruned", "paused")]
    measured = [o.value for o in scored if o.value is not None]
    finished = sum(t.finished for t in history)
    seen = prior.observations(problem, own, finished)
    assert len(seen) == prior.count(finished) < 20
    values = [o.value for o in seen if o.value is not None]
    assert min(values) == pytest.approx(min(measured))
    assert max(values) <= max(measured)
    assert values == sorted(values)  # the order of the other study
    assert prior.observations(problem, own, 40) == []


@pytest.mark.parametrize("name", rest_slow(["tpe", "gp", "skopt-rf"]))
def test_a_prior_moves_models_until_it_has_faded(name: Any) -> None:
    problem = shipped_problem("koch2015_35px")
    trials = [
        TrialRecord(k - 20, "complete", params, {1: v}, v)
        for k, params in enumerate(random_params(problem, 20, 5))
        for v in [0.2 + 0.5 * float(params["fc.momentum"])]
    ]
    config = SamplerConfig(name=name, startup_trials=12)
    prior = Prior("other", False, 9, tuple(trials))
    assert choose_sampler(problem, config, [], prior).name == name  # it stands in for the start
    assert choose_sampler(problem, config, []).name == "recentred"
    history = mixed_history(problem, 24)
    assert suggest(problem, config, history, 0, 24, prior) == suggest(
        problem, config, history, 0, 24
    )
    young = replace(prior, fades_after=100)
    assert suggest(problem, config, history, 0, 24, young) != suggest(
        problem, config, history, 0, 24
    )
    proposed = [suggest(problem, config, [], seed, 0, prior)["fc.momentum"] for seed in range(6)]
    assert np.median(np.asarray(proposed, dtype=float)) < 0.5


def test_what_the_same_problem_has_measured_is_not_tried_again() -> None:
    problem = shipped_problem("koch2015_35px")
    config = SamplerConfig(name="random")
    first = suggest(problem, config, [], 3, 0)
    trials = (TrialRecord(-1, "complete", first, {1: 0.5}, 0.5),)
    same = Prior("same", True, 40, trials)
    assert suggest(problem, config, [], 3, 0, same) != first
    assert suggest(problem, config, [], 3, 0, replace(same, same=False)) == first


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
    with pytest.raises(InputError, match="no trial of it has ended"):
        warm(empty, tmp_path / "b")
