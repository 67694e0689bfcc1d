"""What Optuna's own functions and its dashboard wrote into a study's database."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.maintenance.invariants import check_invariants
from hpsearch.maintenance.repair import repair
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from hpsearch.trial import ADDED, best_trial
from tests.support.cases import Silent, search
from tests.support.command_line import run
from tests.support.slow import rest_slow

See = Callable[[object], None]
NAME = "small"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two trials."""
    folder = tmp_path_factory.mktemp("api")
    search(folder / "study", budget__trials=2)
    return folder / "study"


@pytest.fixture
def study(ended: Path, tmp_path: Path) -> StudyFolder:
    """A copy of it."""
    shutil.copytree(ended, tmp_path / "study")
    return StudyFolder(tmp_path / "study")


def url(study: StudyFolder) -> str:
    return f"sqlite:///{study.database}"


def opened(study: StudyFolder, name: str = NAME) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=url(study))


def names(study: StudyFolder) -> set[str]:
    return set(optuna.get_all_study_names(url(study)))


def add_infinite(study: optuna.Study) -> None:
    trial = study.trials[0]
    new = create_trial(value=math.inf, params=trial.params, distributions=trial.distributions)
    study.add_trial(new)


def add_extra(study: optuna.Study) -> None:
    trial = study.trials[0]
    distributions = {**trial.distributions, "extra": FloatDistribution(0, 5)}
    params = {**trial.params, "extra": 3.0}
    study.add_trial(create_trial(value=-7.0, params=params, distributions=distributions))


def add_empty(study: optuna.Study) -> None:
    study.add_trial(create_trial(value=0.0))


def add_own_again(study: optuna.Study) -> None:
    study.add_trials(study.trials[:1])


def optimise(study: optuna.Study) -> None:
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)


def ask(study: optuna.Study) -> None:
    study.ask()


def add_failed(study: optuna.Study) -> None:
    study.add_trial(create_trial(state=TrialState.FAIL, params={}, distributions={}))


ADDITIONS = [add_infinite, add_extra, add_empty, add_own_again, optimise, ask, add_failed]


@pytest.mark.parametrize("add", rest_slow(ADDITIONS, 2), ids=lambda add: add.__name__)
def test_OD4_added_trials_keep_their_numbers_and_count_for_nothing(
    study: StudyFolder, add: Callable[[optuna.Study], None], see: See
) -> None:
    """never the best, nothing learnt, no part of the budget; every command works, also repair"""
    best = best_trial(read_study(study).trials)
    add(opened(study))
    added = [t for t in read_study(study).trials if t.added]
    assert added
    assert best_trial(read_study(study).trials) == best
    for command in ("status", "trials", "report", "export", "doctor"):
        done = run(command, study.root)
        assert done.code == 0, done
    told = Silent()
    view = search(study.root, file=study.root, budget__trials=3, observer=told)
    assert sum(t.state == "complete" for t in view.trials) == 3
    assert next(m for m in told.messages if ADDED in m).startswith(f"trial {added[0].number}")
    see(told.messages[0])
    for _ in range(2):
        assert run("doctor", study.root, "--repair").code == 0


def test_OD4_a_rebuilt_database_keeps_added_trials_as_they_were(study: StudyFolder) -> None:
    """I2 is broken too: the rebuilt file holds the added row with its value and parameters"""
    add_extra(opened(study))
    with_value(study, 1, 0.01)
    done = repair(study)
    assert any(line.startswith("built the database again") for line in done)
    trials = opened(study).trials
    assert (trials[2].value, trials[2].params["extra"]) == (-7.0, 3.0)
    assert all(v.standing == "holds" for v in check_invariants(study))


def with_value(study: StudyFolder, number: int, value: float) -> None:
    """Change a trial's value in the database, which its folder then contradicts."""
    from hpsearch.sqlite_file import connect

    query = "UPDATE trial_values SET value = ? WHERE trial_id = ?"
    with connect(study.database) as connection, connection:
        connection.execute(query, (value, opened(study).trials[number]._trial_id))


def test_OD4_enqueued_parameters_are_trained(study: StudyFolder, see: See) -> None:
    """what is open is drawn, the same in every process; user attributes stay"""
    opened(study).enqueue_trial({"fc.width": 7}, user_attrs={"by": "me"})
    opened(study).enqueue_trial({"init": "koch", "conv1.learning_rate": 0.05})
    assert run("status", study.root).code == 0
    told = Silent()
    view = search(study.root, file=study.root, observer=told, budget__trials=4)
    two, three = view.trials[2:4]
    assert (two.state, two.params["fc.width"]) == ("complete", 7)
    assert (three.params["init"], three.params["conv1.learning_rate"]) == ("koch", 0.05)
    assert view.attributes[2]["by"] == "me"
    assert set(two.params) == set(view.trials[0].params)
    assert "by enqueued with Optuna" in run("show", study.root, 2).out
    assert all(v.standing == "holds" for v in check_invariants(study))
    see([m for m in told.messages if "enqueued" in m])


WRONG = [{"fc.widht": 7}, {"fc.width": 700}, {"fc.width": "wide"}, {"init": "xavier"}]


@pytest.mark.parametrize("params", rest_slow(WRONG, 2), ids=str)
def test_OD4_what_cannot_be_trained_is_refused_and_can_be_taken_out(
    study: StudyFolder, params: dict[str, object], see: See
) -> None:
    """one line with the trial, the parameter and the way out, which works"""
    opened(study).enqueue_trial(params)
    with pytest.raises(Exception, match=rf"trial 2.*{next(iter(params))}.*--repair") as error:
        search(study.root, file=study.root, budget__trials=3)
    see(error.value)
    assert "took it out of the queue" in run("doctor", study.root, "--repair").out
    view = search(study.root, file=study.root, budget__trials=3)
    assert [t.state for t in view.trials] == ["complete", "complete", "failed", "complete"]


def test_OD4_repair_looks_at_its_own_study_only(study: StudyFolder) -> None:
    """a second study in the file is taken along, its trials and attributes are its own"""
    other = optuna.create_study(study_name="other", storage=url(study))
    other.set_user_attr("driver_seconds", 3)
    optimise(other)
    before = [(t.number, t.value, t.params, t.datetime_start) for t in other.trials]
    seconds = read_study(study).driver_seconds
    with_value(study, 1, 0.01)
    assert run("doctor", study.root, "--repair").code == 0
    assert names(study) == {NAME, "other"}
    after = [
        (t.number, t.value, t.params, t.datetime_start) for t in opened(study, "other").trials
    ]
    assert after == before
    assert read_study(study).driver_seconds == seconds
    assert run("doctor", study.root, "--repair").code == 0


def rename(study: StudyFolder, name: str) -> None:
    """Rename as Optuna Dashboard does: a copy, and the first is deleted."""
    storage = {"from_storage": url(study), "to_storage": url(study)}
    optuna.copy_study(from_study_name=NAME, to_study_name=name, **storage)
    optuna.delete_study(study_name=NAME, storage=url(study))


@pytest.mark.parametrize("old", [False, True], ids=["now", "as 0.1.0 left it"])
def test_OD4_a_renamed_study_is_known(study: StudyFolder, old: bool, see: See) -> None:
    """refused in one line, none is begun anew; --repair names it again"""
    if old:
        study.begun.unlink()
    before = read_study(study).trials
    rename(study, "my best run")
    assert "'my best run'" in run("status", study.root).err
    with pytest.raises(Exception, match=r"'my best run'.*--repair") as error:
        search(study.root, file=study.root, budget__trials=3)
    see(error.value)
    assert names(study) == {"my best run"}
    assert "named the study 'small' again" in run("doctor", study.root, "--repair").out
    assert read_study(study).trials == before
    assert search(study.root, file=study.root, budget__trials=3).trials[2].state == "complete"


def test_OD4_a_deleted_study_is_not_begun_anew(study: StudyFolder) -> None:
    """the trials' folders are there: refused, and built again by --repair"""
    before = read_study(study).trials
    optuna.create_study(study_name="other", storage=url(study))
    optuna.delete_study(study_name=NAME, storage=url(study))
    with pytest.raises(Exception, match=r"holds no study 'small'.*--repair"):
        search(study.root, file=study.root, budget__trials=3)
    assert names(study) == {"other"}
    assert run("doctor", study.root, "--repair").code == 0
    assert read_study(study).trials == before
    assert names(study) == {NAME, "other"}
