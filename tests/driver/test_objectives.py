"""A study of two objectives, on a planted problem whose front is known."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from hpsearch.cli.confirm import print_front
from hpsearch.confirm.front import expected_front, front
from hpsearch.driver.progress import Progress
from hpsearch.errors import InputError
from hpsearch.front.order import front_of
from hpsearch.maintenance.copy import copy_study
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.maintenance.repair import repair
from hpsearch.maintenance.verify import verify
from hpsearch.paths import StudyFolder
from hpsearch.results.pruning import pruning
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.plan import plan_study
from hpsearch.trial import TrialRecord
from tests.driver.test_driver import search
from tests.results.test_confirm import certificate_of, runs_of, train
from tests.support.command_line import CommandLine
from tests.support.fake_executor import FakeExecutor
from tests.support.planted import PlantedExecutor, reachable, truth

BOTH: dict[str, Any] = {"objectives": ["validation_error", "multiply_adds"]}
SAMPLERS = ("random", "tpe", "nsga2", "bayes")


def table(view: StudyView) -> list[tuple[object, ...]]:
    return [
        (t.number, t.state, t.value, dict(t.values), dict(t.params), dict(t.figures), t.cause)
        for t in view.trials
    ]


def optuna_study(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="quickstart", storage=f"sqlite:///{folder / 'study.db'}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of 16 trials, to be read only."""
    folder = tmp_path_factory.mktemp("both") / "s"
    search(folder, PlantedExecutor(), budget__trials=16, **BOTH)
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> StudyFolder:
    return StudyFolder(Path(shutil.copytree(finished, tmp_path / "s")))


def test_optuna_reads_two_directions_and_has_the_same_front(finished: Path) -> None:
    view, read = read_study(StudyFolder(finished)), optuna_study(finished)
    assert [d.name for d in read.directions] == ["MINIMIZE", "MINIMIZE"]
    assert read.metric_names == ["validation error", "multiply_adds"]
    ours = front(view)
    assert sorted(t.number for t in read.best_trials) == sorted(t.number for t in ours)
    counts = Counter(t.state for t in view.trials)
    assert counts["pruned"] >= 1
    assert counts["complete"] >= 2
    for trial, record in zip(read.trials, view.trials, strict=True):
        if record.state == "complete":
            assert trial.values == [record.value, record.figures["multiply_adds"]]
        else:
            assert trial.values is None  # an error that is not final is no value


def test_doctor_is_content_and_every_suggestion_is_derived_again(finished: Path) -> None:
    folder = StudyFolder(finished)
    assert [v for v in check_invariants(folder) if v.standing != "holds"] == []
    found = list(verify(plan_study(str(finished), None, {}), read_study(folder)))
    assert Counter(one.kind for one in found) == {"same": 15, "enqueued": 1}, found


def test_killed_again_and_again_it_makes_the_same_trials(finished: Path, tmp_path: Path) -> None:
    kills = 0
    while True:
        try:
            dies = PlantedExecutor(die_after_epochs=9 + 4 * (kills % 3))
            _, view = search(tmp_path / "s", dies, budget__trials=16, **BOTH)
            break
        except KeyboardInterrupt:
            kills += 1
    assert kills > 4
    assert table(view) == table(read_study(StudyFolder(finished)))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", ["asha-promotion", "expected"])
def test_every_sampler_is_replayed_with_several_workers(
    tmp_path: Path, sampler: str, pruner: str
) -> None:
    changes = {"sampler__name": sampler, "sampler__startup_trials": 4, "pruner__name": pruner}
    _, view = search(tmp_path / "s", PlantedExecutor(slots=3), budget__trials=9, **changes, **BOTH)
    found = list(verify(plan_study(str(tmp_path / "s"), None, {}), view))
    assert Counter(one.kind for one in found) == {"same": 8, "enqueued": 1}, found
    read = optuna_study(tmp_path / "s")
    assert sorted(t.number for t in read.best_trials) == sorted(t.number for t in front(view))


def test_a_lost_database_is_built_again_with_both_values(study: StudyFolder) -> None:
    before = table(read_study(study))
    study.database.unlink()
    repair(study)
    assert table(read_study(study)) == before
    assert len(optuna_study(study.root).directions) == 2
    assert [v for v in check_invariants(study) if v.standing != "holds"] == []


def test_an_edited_cost_is_seen_and_repaired(study: StudyFolder) -> None:
    with sqlite3.connect(study.database) as connection:
        connection.execute("UPDATE trial_values SET value = 1.0 WHERE objective = 1")
    broken = [v.key for v in check_invariants(study) if v.standing == "broken"]
    assert broken == ["I5"]
    repair(study)
    assert [v for v in check_invariants(study) if v.standing != "holds"] == []


def test_a_copy_has_both_objectives(study: StudyFolder, tmp_path: Path) -> None:
    copy_study(study, read_study(study).config, f"sqlite:///{tmp_path / 'copy.db'}")
    name, storage = "quickstart", f"sqlite:///{tmp_path / 'copy.db'}"
    copied = optuna.load_study(study_name=name, storage=storage)
    best = sorted(t.number for t in copied.best_trials)
    assert best == sorted(t.number for t in front(read_study(study)))


@pytest.mark.slow
def test_pruning_by_rank_finds_the_front_where_pruning_by_error_loses_it(tmp_path: Path) -> None:
    """Cheap networks err more than dear ones: an order by error alone ends all of them."""
    random = {"sampler__name": "random", "pruner__audit_share": 0.0, "budget__trials": 40}
    _, both = search(tmp_path / "both", PlantedExecutor(), **random, **BOTH)
    _, one = search(tmp_path / "one", PlantedExecutor(), **random)
    goals = both.config.goals
    by_error = [with_cost(both, t) for t in one.trials]

    def cheapest(trials: list[TrialRecord]) -> float:
        return min(t.figures["multiply_adds"] for t in front_of(trials, goals))

    least = min(t.figures["multiply_adds"] for t in both.trials)
    assert cheapest(list(both.trials)) < 2 * least
    assert cheapest(by_error) > 2 * least
    assert sum(t.state == "pruned" for t in both.trials) >= 8


def with_cost(view: StudyView, trial: TrialRecord) -> TrialRecord:
    """Return a trial of the study of one objective with the cost that it had."""
    from dataclasses import replace

    plan = plan_study("quickstart", None, BOTH)
    return replace(trial, figures=plan.problem.costs(trial.params))


@pytest.mark.slow
def test_the_true_front_lies_in_its_intervals(tmp_path: Path) -> None:
    """A search that may choose its learning rates comes near what is reachable at each cost."""
    changes = {"sampler__name": "bayes", "budget__trials": 40, **BOTH}
    _, view = search(tmp_path / "s", PlantedExecutor(), **changes)
    found = expected_front(view)
    assert len(found) >= 4
    inside, near = 0, 0
    for one in found:
        cost, rate = one.trial.figures["multiply_adds"], one.trial.params["conv1.learning_rate"]
        inside += one.interval[0] <= truth(cost, float(rate)) <= one.interval[1]
        near += one.point[0] < reachable(cost) + 0.03
    assert inside >= 0.8 * len(found)
    assert near >= 0.8 * len(found)


def test_a_broken_constraint_ends_a_trial_at_once_and_teaches(tmp_path: Path) -> None:
    """Latency is 1e-6 ms a multiply-add: 3 ms are known after one epoch."""
    changes = {**BOTH, "constraints": {"latency_ms": {"max": 3}}, "budget__trials": 24}
    _, view = search(tmp_path / "s", PlantedExecutor(), sampler__name="tpe", **changes)
    dear = [t for t in view.trials if t.figures["multiply_adds"] > 3e6]
    assert dear
    for trial in dear:
        assert (trial.state, trial.trainable, list(trial.values)) == ("pruned", False, [1])
        assert str(trial.cause).startswith("constraint latency_ms: ")
    assert all(t.trainable for t in view.trials if t.figures["multiply_adds"] <= 3e6)
    later = [t for t in view.trials[12:] if t.figures["multiply_adds"] > 3e6]
    assert len(later) < sum(t.number < 12 for t in dear)
    read = optuna_study(tmp_path / "s")
    assert sorted(t.number for t in read.best_trials) == sorted(t.number for t in front(view))
    excess = read.trials[dear[0].number].constraints["latency_ms"]
    assert excess == pytest.approx(dear[0].figures["latency_ms"] - 3)
    assert [
        v for v in check_invariants(StudyFolder(tmp_path / "s")) if v.standing != "holds"
    ] == []


def test_status_and_export_name_the_front(study: StudyFolder, hpsearch: CommandLine) -> None:
    done = hpsearch("status", study.root, "--json")
    told, view = json.loads(done.out), read_study(study)
    assert [one["trial"] for one in told["front"]] == [t.number for t in front(view)]
    first = told["front"][0]
    assert first["values"].keys() == {"validation_error", "multiply_adds"}
    assert first["params"] == dict(view.trials[first["trial"]].params)
    assert told["best"]["trial"] == told["front"][0]["trial"]  # the lowest error is on the front
    assert {one["trial"] for one in told["front_posterior"]} <= {
        t.number for t in view.trials if t.state == "complete"
    }
    assert "front: " in hpsearch("status", study.root).out


@pytest.mark.parametrize(
    ("at", "decides"),
    [("multiply_adds <= 5e6", "validation_error"), ("validation_error < 0.7", "multiply_adds")],
)
def test_export_takes_the_best_that_meets_the_conditions(
    study: StudyFolder, hpsearch: CommandLine, at: str, decides: str
) -> None:
    from hpsearch.configfile import read_yaml

    done = hpsearch("export", study.root, "--at", at)
    assert done.code == 0, done.err
    name, sign, bound = at.split()
    view = read_study(study)
    values = {
        t.number: {"validation_error": t.value or 0.0, **t.figures}
        for t in view.trials
        if t.state == "complete"
    }
    meets = {n: v for n, v in values.items() if v[name] <= float(bound)}
    assert sign in ("<", "<=")
    assert len(meets) > 0
    chosen = read_yaml(study.best)["trial"]
    assert chosen == min(meets, key=lambda n: meets[n][decides])


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("multiply_adds <= 1", "the nearest has multiply_adds"),
        ("colour <= 1", "colour is unknown"),
        ("multiply_adds", "write NAME <= NUMBER"),
    ],
)
def test_export_refuses_what_no_trial_meets(
    study: StudyFolder, hpsearch: CommandLine, at: str, said: str
) -> None:
    done = hpsearch("export", study.root, "--at", at)
    assert done.code == 2
    assert said in done.err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives": ["multiply_adds", "parameters"]}, "validation_error must be one"),
        ({"objectives": ["validation_error", "speed"]}, "speed: unknown"),
        ({**BOTH, "sampler.name": "skopt-gp"}, "scikit-optimize is told one objective"),
        ({**BOTH, "sampler.name": "optuna.samplers:TPESampler"}, "TPESampler is told one obj"),
        ({**BOTH, "pruner.name": "mine.py:Mine"}, "mine.py:Mine compares one objective"),
        ({**BOTH, "pruner.name": "median"}, "compares one objective"),
        ({"constraints": {"multiply_adds": {"max": 1}}}, "write limits: multiply_adds"),
        ({"constraints": {"validation_error": {"max": 0.1}}}, "make it an objective"),
        ({"constraints": {"latency_ms": {}}}, "write {max: NUMBER}"),
        ({"constraints": {"latency_ms": {"min": 7, "max": 5}}}, "min 7 is above max 5"),
    ],
)
def test_what_cannot_be_had_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said.replace("{", r"\{")):
        plan_study("quickstart", tmp_path / "s", changes)


def test_the_audit_counts_points_that_the_front_lost(tmp_path: Path) -> None:
    changes = {**BOTH, "sampler__name": "random", "budget__trials": 24, "pruner__audit_share": 1.0}
    _, view = search(tmp_path / "s", PlantedExecutor(), **changes)
    audited = [t for t in view.trials if t.audit is not None]
    kept = [t for t in view.trials if t.state == "complete" and t.audit is None]
    found = pruning(view.trials, view.config)
    goals = view.config.goals
    lost = [t for t in audited if t in front_of([*kept, t], goals)]
    assert (found.audited, found.lost) == (len(audited), len(lost))
    assert "the front" in found.sentence()


def test_a_measured_objective_has_a_model_of_its_own(tmp_path: Path) -> None:
    """Latency is known after an epoch, not before: bayes predicts it, verify knows it then."""
    changes = {"objectives": ["validation_error", "latency_ms"], "sampler__name": "bayes"}
    changes |= {"sampler__startup_trials": 4, "pruner__name": "asha-promotion"}
    _, view = search(tmp_path / "s", PlantedExecutor(slots=2), budget__trials=10, **changes)
    assert all("latency_ms" in t.figures for t in view.trials)
    found = list(verify(plan_study(str(tmp_path / "s"), None, {}), view))
    assert Counter(one.kind for one in found) == {"same": 9, "enqueued": 1}, found
    read = optuna_study(tmp_path / "s")
    assert sorted(t.number for t in read.best_trials) == sorted(t.number for t in front(view))


def test_the_report_and_the_live_view_show_the_front(study: StudyFolder) -> None:
    from hpsearch.cli.live import _best
    from hpsearch.driver.stopping import forecast_study
    from hpsearch.report import write_report

    view = read_study(study)
    progress = Progress.of(view.trials, {}, view.config, 60.0, 1, forecast_study(view))
    said = _best(progress)
    assert said.startswith(f"front: {len(front(view))} trials, error ")
    assert "hypervolume" in said
    page = write_report(study).read_text(encoding="utf-8")
    assert "Along the front" in page
    assert '"front-multiply-adds"' in page


def test_confirm_says_who_dominates_whom_on_the_front(
    study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    view = read_study(study)
    runs = runs_of(view, top=3, seeds=3)
    assert train(view, FakeExecutor(2), runs)
    rows = certificate_of(view, runs)["front"]
    on_front = {t.number for t in front(view)}
    assert {row["trial"] for row in rows} <= on_front or len(on_front) == 1
    cost = {row["trial"]: row["values"]["multiply_adds"] for row in rows}
    for row in rows:
        assert all(cost[one["trial"]] <= cost[row["trial"]] for one in row["dominated_by"])
        assert len(row["dominated_by"]) == sum(c < cost[row["trial"]] for c in cost.values())
        assert max([0.0, *(o["probability"] for o in row["dominated_by"])]) <= (
            1 - row["probability"] + 1e-9
        )
    cheapest = min(rows, key=lambda row: cost[row["trial"]])
    assert cheapest["probability"] == 1.0
    print_front(rows, view.config.shown)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["trial", "error", "multiply_adds"]
    assert [int(line.split()[0]) for line in lines] == [row["trial"] for row in rows]
