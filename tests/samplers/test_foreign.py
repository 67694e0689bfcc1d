"""Samplers and pruners of other people: found, refused, replayed, and run only where trusted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hpsearch import extensions
from hpsearch.errors import InputError
from hpsearch.pruners import fewest_trials
from hpsearch.pruners.config import PrunerConfig
from hpsearch.samplers.config import SamplerConfig
from hpsearch.samplers.foreign import check_foreign
from hpsearch.samplers.suggest import suggest
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.trainers.command import CommandTrial
from hpsearch.trial import TrialRecord
from tests.pages import blocks
from tests.support.command_line import run
from tests.support.problems import space_of
from tests.support.programs import write_command_study

OWN = """\
import numpy as np
from dataclasses import dataclass

from hpsearch.execution import Decision
from hpsearch.pruners import Pruner


@dataclass
class Near:
    problem: object
    observations: object
    width: float = 0.2

    def draw(self, seed):
        best = min(self.observations, key=lambda one: (one.value, one.number))
        start = np.asarray(self.problem.cube.shares(best.params))
        step = np.random.default_rng(seed).normal(0, self.width, len(start))
        return self.problem.cube.params(np.clip(start + step, 0, 1).tolist())


class Second(Pruner):
    def __init__(self, config, resource, problem, after=2):
        self.after = after

    def decide(self, history, trial, epoch):
        return Decision.STOP if epoch == self.after and trial.number else Decision.GO


class NoDraw:
    pass


VALUE = 3
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def problem() -> SearchProblem:
    space = space_of(
        {
            "x": {"type": "float", "low": 0, "high": 1},
            "y": {"type": "float", "low": 1e-3, "high": 1, "log": True},
            "kind": {"type": "categorical", "choices": ["a", "b", "c"]},
        }
    )
    return SearchProblem(space, CommandTrial(command=("true",)), Limits())


def history(searched: SearchProblem, sampler: SamplerConfig, count: int) -> list[TrialRecord]:
    """Return the trials that a sampler makes on a bowl whose lowest point is x 0.8."""
    found: list[TrialRecord] = []
    for number in range(count):
        params = suggest(searched, sampler, found, 3, number)
        value = (float(params["x"]) - 0.8) ** 2 + (params["kind"] != "b")
        state = "pruned" if number % 7 == 6 else "complete"
        found.append(TrialRecord(number, state, params, {1: value}, value))
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("optuna.samplers:RandomSampler", {}),
        ("optuna.samplers:TPESampler", {"n_startup_trials": 2}),
        ("optuna.samplers:QMCSampler", {"scramble": True}),
        ("optuna.samplers:NSGAIISampler", {"population_size": 5}),
        ("optuna.samplers:BruteForceSampler", {}),
    ],
)
def test_any_sampler_of_optunas_is_asked_the_same_again(
    name: str, options: dict[str, Any]
) -> None:
    searched = problem()
    if name.endswith("BruteForceSampler"):
        whole = {"x": {"type": "int", "low": 0, "high": 9}, "kind": {"type": "bool"}}
        searched = SearchProblem(space_of(whole), CommandTrial(command=("true",)), Limits())
    sampler = SamplerConfig(name=name, options=options, startup_trials=2, start="random")
    before = history(searched, sampler, 16)
    keys = {searched.key(trial.params) for trial in before}
    assert len(keys) == 16
    running = TrialRecord(16, "running", suggest(searched, sampler, before, 3, 16))
    asked = [suggest(searched, sampler, [*before, running], 3, 17) for _ in range(2)]
    assert asked[0] == asked[1]
    assert searched.reason(asked[0]) is None
    if not name.endswith("BruteForceSampler"):  # which needs no seed here
        assert asked[0] != suggest(searched, sampler, [*before, running], 4, 17)


def test_a_sampler_that_notes_its_state_in_trials_learns() -> None:
    """NSGA-II keeps generations in the attributes of trials, which our history has not."""
    searched = problem()
    options = {"population_size": 8}
    sampler = SamplerConfig(
        name="optuna.samplers:NSGAIISampler", options=options, startup_trials=1, start="random"
    )
    found = history(searched, sampler, 48)
    first, last = (sum(float(t.values[1]) for t in part) / 8 for part in (found[:8], found[-8:]))
    assert last < 0.7 * first


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("magic", "must be a class of your own"),
        ("a b:C", "must be"),
        ("x.py:", "must be"),
        (":C", "must be"),
        ("../up:C", "must be"),
    ],
)
def test_a_name_that_names_nothing_is_refused_without_loading(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        SamplerConfig(name=name)
    with pytest.raises(ValueError, match="must be"):
        PrunerConfig(name=name)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("mine.py:Gone", {}, "cannot be loaded .AttributeError"),
        ("gone.py:Near", {}, "no such file"),
        ("mine.py:VALUE", {}, "is no class"),
        ("mine.py:NoDraw", {}, r"has no draw\(seed\)"),
        ("mine.py:Near", {"depth": 3}, "sampler.options: Near: got an unexpected keyword"),
        ("hpsearch_nonesuch.deep:C", {}, "cannot be loaded .ModuleNotFoundError"),
        ("optuna.samplers:TPESampler", {"depth": 3}, "sampler.options: TPESampler"),
        ("optuna.samplers:PartialFixedSampler", {}, "takes no seed"),
    ],
)
def test_a_class_that_is_no_sampler_is_refused(
    own: Path, name: str, options: dict[str, Any], why: str
) -> None:
    config = SamplerConfig(name=extensions.whole(name, own.parent), options=options)
    with pytest.raises(InputError, match=why) as error:
        check_foreign(config)
    assert "\n" not in str(error.value)


def test_a_file_that_fails_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(InputError, match=r"broken\.py:C: cannot be loaded .SyntaxError") as error:
        extensions.load("hpsearch.samplers", f"{tmp_path / 'broken.py'}:C")
    assert "\n" not in str(error.value)


def test_a_pruner_of_the_shipped_ones_takes_no_options() -> None:
    with pytest.raises(ValueError, match="options: asha has none"):
        PrunerConfig(name="asha", options={"a": 1})
    assert fewest_trials(PrunerConfig(name="x.py:P"), None) == 1  # type: ignore[arg-type]


SETTINGS: dict[str, Any] = {
    "sampler": {"name": "mine.py:Near", "startup_trials": 2, "options": {"width": 0.1}},
    "pruner": {"name": "mine.py:Second", "audit_share": 0},
    "budget": {"trials": 4},
}


def test_own_classes_search_are_verified_and_trusted_only_from_their_user(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One study: it prunes by its own rule, replays, and is refused as somebody else's."""
    folder = own.parent
    study = write_command_study(folder, **SETTINGS)
    done = run("search", study, "--output", folder / "r")
    assert done.code == 0, done.err
    assert f"trial 1 pruned, value 0.7 (pruned by {own}:Second after epoch 2)" in done.out
    assert "trial 0 complete, value 0.6" in done.out
    verified = run("verify", folder / "r")
    assert verified.out.startswith("program: 4 trials: 4 derived again and equal")
    assert f"by {own}:Near" in run("show", folder / "r", 3).out
    assert run("search", study, "--output", folder / "r", "--trials", 5).code == 0
    shutil.copytree(folder / "r", folder / "theirs")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "another user"))
    own.write_text("raise SystemExit('it ran')\n")
    for command in (("verify",), ("search", "--dry-run"), ("search", "--trials", 9)):
        refused = run(command[0], folder / "theirs", *command[1:])
        assert refused.code == 2, refused
        assert "was not begun by this user on this machine" in refused.err, refused
    assert "was not begun by this user" in run("show", folder / "theirs", 3).out
    for command in ("status", "trials", "doctor", "export"):
        assert run(command, folder / "theirs").code == 0


def test_a_wrong_class_is_refused_before_anything_is_written(own: Path) -> None:
    folder = own.parent
    for part, values in (
        ("sampler", {"name": "mine.py:NoDraw"}),
        ("pruner", {"name": "mine.py:Near"}),
        ("pruner", {"name": "mine.py:Second", "options": {"before": 1}}),
    ):
        study = write_command_study(folder, **{part: values})
        done = run("search", study, "--output", folder / "r")
        assert (done.code, f"{part}." in done.err) == (2, True), done.err
        assert not (folder / "r").exists()


@pytest.mark.parametrize(
    ("proposal", "why"),
    [
        ('{"x": 1.5, "kind": "a"}', "x 1.5 is outside"),
        ('{"x": 0.5}', "kind is missing"),
        ('{"x": 0.5, "kind": "a", "z": 1}', "z is not a parameter"),
    ],
)
def test_a_proposal_outside_the_space_is_one_line(own: Path, proposal: str, why: str) -> None:
    own.write_text(
        "class Wrong:\n    def __init__(self, problem, observations): pass\n"
        f"    def draw(self, seed): return {proposal}\n"
    )
    sampler = {"name": "mine.py:Wrong", "startup_trials": 1}
    program = 'echo "{\\"result\\": 0.$HPSEARCH_TRIAL}" >>"$HPSEARCH_REPORT"'
    study = write_command_study(own.parent, program, sampler=sampler, pruner={"name": "none"})
    done = run("search", study, "--output", own.parent / "r")
    assert (done.code, done.err.count("\n")) == (3, 1), done.err
    assert f"{own}:Wrong: draw returned" in done.err
    assert why in done.err


def test_an_installed_package_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "near_package.py").write_text(OWN)
    about = tmp_path / "near_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: near-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[hpsearch.samplers]\nnear = near_package:Near\n\n"
        "[hpsearch.pruners]\nsecond = near_package:Second\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with pytest.raises(ValueError, match="or installed: near"):
        SamplerConfig(name="nearer")
    changes = {"sampler": {"name": "near", "startup_trials": 2}, "pruner": {"name": "second"}}
    study = write_command_study(tmp_path, **changes, budget={"trials": 4})
    done = run("search", study, "--output", tmp_path / "r")
    assert done.code == 0, done.err
    assert not (tmp_path / "r/code-trust.json").exists()  # the user installed it
    assert "4 derived again and equal" in run("verify", tmp_path / "r").out


def test_what_the_page_shows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, classes, commands = blocks("howto/own-classes.md")
    (tmp_path / "bowl.yaml").write_text(study.text)
    (tmp_path / "mine.py").write_text(classes.text)
    monkeypatch.chdir(tmp_path)
    searched, verified = (run(*line.split()[1:]) for line in commands.commands)
    assert searched.code == 0, searched.err
    assert verified.out.startswith("bowl: 6 trials: 6 derived again and equal")
