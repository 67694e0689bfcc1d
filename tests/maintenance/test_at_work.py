"""Whether a running trial is running: only where a search is at work on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpsearch.maintenance.at_work import standings
from hpsearch.paths import StudyFolder
from hpsearch.report.facts import read_facts
from hpsearch.seeding import trial_seed
from hpsearch.space.parameter import Parameter
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.optuna_tables import transaction
from hpsearch.storage.view import read_study
from hpsearch.study.lock import lock_holder, study_lock
from hpsearch.trial import TrialRecord
from tests.driver.test_driver import search
from tests.support.command_line import CommandLine
from tests.support.fake_executor import FakeExecutor


@pytest.fixture
def stopped(tmp_path: Path) -> StudyFolder:
    """Return a study whose driver died with two trials on its workers."""
    folder = tmp_path / "s"
    changes = {"sampler__name": "random", "pruner__name": "none", "budget__trials": 9}
    with pytest.raises(KeyboardInterrupt):
        search(folder, FakeExecutor(2, die_after_epochs=7), trial__max_epochs=3, **changes)
    return StudyFolder(folder)


def test_trials_of_a_stopped_search_are_interrupted_and_those_of_one_at_work_run(
    stopped: StudyFolder, monkeypatch: pytest.MonkeyPatch, hpsearch: CommandLine
) -> None:
    view = read_study(stopped)
    left = {t.number for t in view.trials if t.state == "running"}
    assert left

    def said() -> tuple[set[str], dict[str, int], str, set[str], bool]:
        found = standings(view)
        told = json.loads(hpsearch("status", stopped.root, "--json").out)["trials"]
        lines = hpsearch("trials", stopped.root).out.splitlines()
        shown = {line.split()[1] for line in lines if int(line.split()[0]) in left}
        status = hpsearch("status", stopped.root).out.splitlines()[1]
        return (
            {found[n] for n in left},
            told,
            status,
            shown,
            read_facts(stopped).counts["running"] > 0,
        )

    kinds, told, line, shown, running = said()
    assert (kinds, shown, running) == ({"interrupted"}, {"interrupted"}, False)
    assert (told["running"], told["interrupted"]) == (0, len(left))
    assert f"{len(left)} interrupted (the same search continues " in line
    assert f"{len(left)} interrupted;" in hpsearch("list", stopped.root.parent).out
    assert "interrupted" in hpsearch("show", stopped.root, min(left)).out.splitlines()[0]
    with study_lock(stopped, "hpsearch confirm"):
        assert said()[0] == {"interrupted"}
    with study_lock(stopped):
        assert str(lock_holder(stopped)).endswith(" (hpsearch search)")
        kinds, told, line, shown, running = said()
    assert (kinds, shown, running) == ({"running"}, {"running"}, True)
    assert (told["running"], told["interrupted"]) == (len(left), 0)
    assert "interrupted" not in line


def test_on_a_server_the_leases_tell_which_trials_run(tmp_path: Path, postgres: str) -> None:
    folder = tmp_path / "s"
    changes = {"sampler__name": "random", "pruner__name": "none", "budget__trials": 9}
    search(folder, FakeExecutor(), storage=postgres, trial__max_epochs=1, **changes)
    study = StudyFolder(folder)
    record = StudyRecord(study, read_study(study).name, postgres, lease_s=60)
    record.load()
    history = read_study(study).trials
    distributions = {k: Parameter(type="float", low=-1e9, high=1e9).distribution() for k in ("x",)}
    ours = {"seed": trial_seed(read_study(study).config.seed, len(history))}
    record.add(TrialRecord(len(history), "running", {"x": 0.5}), distributions, ours)
    assert standings(read_study(study))[len(history)] == "running"
    with transaction(record.storage) as session:
        record.leases.release(session)
    assert standings(read_study(study))[len(history)] == "interrupted"
    record.close()
