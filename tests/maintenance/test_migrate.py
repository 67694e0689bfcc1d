"""A study moved to another space: nothing is lost, and it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from typer.testing import CliRunner

from hpsearch.cli.main import app
from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.driver.driver import Driver
from hpsearch.errors import InputError
from hpsearch.maintenance.migrate import migrate
from hpsearch.maintenance.verify import verify
from hpsearch.paths import StudyFolder
from hpsearch.samplers import observe
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.plan import DataPlace, plan_study
from hpsearch.study.trained import held_aside
from tests.driver.test_driver import Silent, search
from tests.support.fake_executor import FakeExecutor


def changed_space(folder: Path, **changes: Any) -> Path:
    """Write quickstart's space with some parameters replaced; None removes one."""
    values = read_yaml(folder / "space.yaml")
    for name, value in changes.items():
        path = name.replace("__", ".")
        if value is None:
            del values["parameters"][path]
        else:
            values["parameters"][path] = value
    path = folder.parent / "changed.yaml"
    path.write_text(dump_yaml(values))
    return path


def go_on(root: Path, budget: int, executor: FakeExecutor | None = None) -> StudyView:
    """Search on as a person does who names the study's folder."""
    plan = plan_study(str(root), None, {"budget.trials": budget})
    place = DataPlace("/nowhere", "f" * 64)
    Driver(plan, place, executor or FakeExecutor(), Silent(), lambda: 0).run()
    return read_study(StudyFolder(root))


def problem_of(view: StudyView) -> SearchProblem:
    """Return the problem that a study's folder holds."""
    space = SearchSpace.from_yaml(view.folder.space_file)
    return SearchProblem(space, view.config.trial, view.config.limits)


def rows(view: StudyView) -> list[tuple[Any, ...]]:
    return [(t.number, t.state, t.value, dict(t.values), t.cause) for t in view.trials]


SHORT = {"sampler__name": "random", "trial__max_epochs": 2}
INIT = {"type": "categorical", "choices": ["koch", "he"]}


def test_a_changed_space_keeps_every_trial_and_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "s"
    _, before = search(root, FakeExecutor(), budget__trials=5, **SHORT)
    narrow = {"type": "float", "low": 0.6, "high": 0.8}
    space = changed_space(root, init=INIT, conv1__momentum=None, fc__momentum=narrow)
    result = CliRunner().invoke(app, ["migrate", str(root), "--space", str(space)])
    assert result.exit_code == 0, result.output
    assert "added: init" in result.output
    assert "removed: conv1.momentum" in result.output
    after = read_study(StudyFolder(root))
    assert rows(after) == rows(before)
    for old, new in zip(before.trials, after.trials, strict=True):
        assert dict(new.params) == {**old.params, "init": "he"}  # he is what quickstart trains
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{root / 'study.db'}")
    kinds = {n: d for t in study.trials for n, d in t.distributions.items() if n == "init"}
    assert kinds["init"].choices == ("koch", "he")

    problem = problem_of(after)
    for observation in observe(problem, after.trials):
        assert 0.6 <= float(problem.encode(observation.params)["fc.momentum"]) <= 0.8
    on = go_on(root, 8)
    plan = plan_study(str(root), None, {})
    kinds_of = [verdict.kind for verdict in verify(plan, on)]
    assert kinds_of == ["unknown"] * 5 + ["same"] * 3
    assert rows(on)[:5] == rows(before)
    assert len(on.trials) == 8
    for trial in on.trials[5:]:
        assert problem.feasible(trial.params)
        assert "conv1.momentum" not in trial.params
        assert trial.params["init"] in ("koch", "he")


@pytest.mark.parametrize("lost", [True, False], ids=["database lost", "database damaged"])
def test_a_migrated_study_is_built_again_with_every_value(tmp_path: Path, lost: bool) -> None:
    root = tmp_path / "s"
    search(root, FakeExecutor(), budget__trials=3, **SHORT)
    migrate(StudyFolder(root), changed_space(root, init=INIT))
    go_on(root, 7)
    narrow = {"type": "float", "low": 0.6, "high": 0.8}
    only = {"type": "categorical", "choices": ["he"]}
    space = changed_space(root, init=only, conv1__momentum=None, fc__momentum=narrow)
    migrate(StudyFolder(root), space)
    before = read_study(StudyFolder(root))
    asides = [held_aside(before.attributes[t.number]) for t in before.trials]
    assert any(asides)
    if lost:
        (root / "study.db").unlink()
    else:
        shutil.copy(root / "study.yaml", root / "study.db")
    result = CliRunner().invoke(app, ["doctor", str(root), "--repair"])
    assert result.exit_code == 0, result.output
    after = read_study(StudyFolder(root))
    assert rows(after) == rows(before)
    assert [dict(t.params) for t in after.trials] == [dict(t.params) for t in before.trials]
    assert [held_aside(after.attributes[t.number]) for t in after.trials] == asides
    assert len(go_on(root, 8).trials) == 8


def test_a_choice_that_is_gone_and_comes_back_is_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "s"
    search(root, FakeExecutor(), budget__trials=3, **SHORT)
    both = changed_space(root, init=INIT)
    migrate(StudyFolder(root), both)
    before = go_on(root, 9)
    assert {t.params["init"] for t in before.trials[3:]} == {"koch", "he"}

    only = {"type": "categorical", "choices": ["he"]}
    done = migrate(StudyFolder(root), changed_space(root, init=only))
    without = read_study(StudyFolder(root))
    koch = [t.number for t in before.trials if t.params["init"] == "koch"]
    assert done.unseen == len(koch)
    assert all("init" not in without.trials[n].params for n in koch)
    problem = problem_of(without)
    assert {o.number for o in observe(problem, without.trials)}.isdisjoint(koch)

    assert migrate(StudyFolder(root), changed_space(root, init=INIT)).unseen == 0
    again = read_study(StudyFolder(root))
    assert [dict(t.params) for t in again.trials] == [dict(t.params) for t in before.trials]


def test_a_space_that_does_not_fit_the_study_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "s"
    search(root, FakeExecutor(), budget__trials=1)
    before = {p.name: p.read_bytes() for p in root.iterdir() if p.is_file()}
    wrong = {"type": "float", "low": 0, "high": 1}
    with pytest.raises(InputError, match="names nothing"):
        migrate(StudyFolder(root), changed_space(root, fc__mass=wrong))
    after = {p.name: p.read_bytes() for p in root.iterdir() if p.is_file()}
    assert {**after, "study.lock": b""} == {**before, "study.lock": b""}


def test_an_unfinished_trial_keeps_its_choice(tmp_path: Path) -> None:
    root = tmp_path / "s"
    search(root, FakeExecutor(), budget__trials=2, sampler__name="random")
    migrate(StudyFolder(root), changed_space(root, init=INIT))
    with pytest.raises(KeyboardInterrupt):
        go_on(root, 9, FakeExecutor(die_after_epochs=2))
    running = next(t for t in read_study(StudyFolder(root)).trials if not t.finished)
    other = {"koch": "he", "he": "koch"}[str(running.params["init"])]
    only = {"type": "categorical", "choices": [other]}
    with pytest.raises(InputError, match=f"trial {running.number} is not finished"):
        migrate(StudyFolder(root), changed_space(root, init=only))
