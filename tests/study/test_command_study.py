"""A study file that names a command: what is refused, and what may change between runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hpsearch.app.command import find_program
from hpsearch.errors import InputError
from hpsearch.json_files import NO_DATA, read_dataset
from hpsearch.maintenance.restore import restore
from hpsearch.paths import StudyFolder
from hpsearch.study.plan import plan_study, save_plan
from hpsearch.study.trust import is_trusted, note_trust
from tests.support.command_line import run
from tests.support.programs import write_command_study


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"trainer": "resnet"}, "trainer: write siamese, or {command: [PROGRAM, ...]"),
        ({"trainer": {}}, "trainer.command: is missing"),
        ({"trainer": {"command": []}}, "trainer.command"),
        ({"trainer": {"command": "python train.py"}}, "must be a list of words"),
        ({"trainer": {"command": [""]}}, "its first word, the program, is empty"),
        ({"trainer__command": ["sh", "${arg}"]}, "${arg}: unknown macro"),
        ({"trainer__command": ["sh", "-x=${args}"]}, "several words"),
        ({"trainer__command": ["sh", "${parameter:y}"]}, "no such parameter; it has x, kind"),
        ({"trainer__max_steps": 0}, "trainer.max_steps: must be at least 1"),
        ({"trainer__time_limit_s": -1}, "trainer.time_limit_s: must be above 0"),
        ({"trainer__memory_gb": "much"}, "trainer.memory_gb: must be a number"),
        ({"trainer__shell": True}, "trainer.shell: unknown key"),
        ({"trainer__environment": {"A B": "1"}}, "trainer.environment"),
        ({"trainer__environment": {"ALL": "${args}"}}, "several words"),
        ({"trainer__directory": "nowhere"}, "nowhere is no folder"),
        ({"direction": "up"}, "direction: must be 'minimize' or 'maximize'"),
        ({"space": {"name": "x", "parameters": {}}}, "space"),
        ({"space": 3}, "space: must be text, or KEY: VALUE lines"),
        ({"objective": "dense"}, "objective: belongs to the siamese trainer"),
        ({"dataset": "glyphs"}, "dataset: belongs to the siamese trainer"),
        ({"pruner__resource": "compute"}, "pruner.resource: a command has no multiply-adds"),
        ({"budget__compute": 1e9}, "a command has no multiply-adds"),
        ({"enqueue": ["paper"]}, "give a command's parameters by name"),
        ({"freeze": {"y": 1}}, "freeze.y: not a parameter"),
    ],
)
def test_a_wrong_study_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    path = write_command_study(tmp_path, **changes)
    with pytest.raises(InputError) as error:
        plan_study(str(path), tmp_path / "r", {})
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_the_siamese_trainer_keeps_its_own_settings(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: x\nspace: quickstart\n")
    with pytest.raises(InputError, match="trial: is missing"):
        plan_study(str(path), tmp_path / "r", {})
    with pytest.raises(InputError, match="direction: belongs to a command"):
        plan_study("quickstart", tmp_path / "r", {"direction": "maximize"})
    plan = plan_study("quickstart", tmp_path / "r", {})
    assert plan.run is None
    assert not {"trainer", "direction", "measure"} & plan.config.plain().keys()


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("nonesuch", "no such program on PATH"),
        ("./nonesuch", "no such file"),
        ("./plain", "cannot be executed"),
    ],
)
def test_a_program_that_is_not_there_is_named(tmp_path: Path, word: str, why: str) -> None:
    (tmp_path / "plain").write_text("exit 0\n")
    plan = plan_study(
        str(write_command_study(tmp_path, trainer__command=[word])), tmp_path / "r", {}
    )
    assert plan.config.trainer is not None
    with pytest.raises(InputError, match=why):
        find_program(plan.config.trainer)


def begun(folder: Path, **changes: Any) -> StudyFolder:
    plan = plan_study(str(write_command_study(folder, **changes)), folder / "r", {})
    save_plan(plan, NO_DATA)
    return plan.folder


@pytest.mark.parametrize("text", [None, "", "[1]"])
def test_a_lost_or_damaged_dataset_json_is_written_again(tmp_path: Path, text: str | None) -> None:
    folder = begun(tmp_path)
    folder.dataset.unlink() if text is None else folder.dataset.write_text(text)
    (told,) = restore(folder)
    assert told.startswith("dataset.json: wrote it again")
    assert NO_DATA.items() <= read_dataset(folder.dataset).items()


def test_a_study_without_its_study_file_is_not_called_empty(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.trial(0).root.mkdir(parents=True)
    folder.study_file.unlink()
    with pytest.raises(InputError, match=r"study\.yaml: no such file.*--repair"):
        plan_study(str(write_command_study(tmp_path)), folder.root, {})


def test_what_runs_may_change_and_what_is_found_may_not(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for changes in (
        {"trainer__directory": "elsewhere"},
        {"trainer__time_limit_s": 60},
        {"trainer__memory_gb": 2},
        {"budget__trials": 9},
    ):
        plan_study(str(write_command_study(tmp_path, **changes)), folder.root, {})
    for changes in (
        {"trainer__max_steps": 4},
        {"trainer__command": ["sh", "other.sh"]},
        {"trainer__environment": {"A": "1"}},
        {"direction": "maximize"},
        {"space": {"name": "program", "parameters": {"x": {"type": "bool"}}}},
    ):
        path = write_command_study(tmp_path, **changes)
        with pytest.raises(InputError, match="the study was begun with"):
            plan_study(str(path), folder.root, {})
    assert plan_study(str(folder.root), None, {}).config.trainer is not None


def test_a_space_in_the_study_file_may_take_the_name_of_its_study(tmp_path: Path) -> None:
    path = write_command_study(tmp_path, space={"parameters": {"x": {"type": "bool"}}})
    plan = plan_study(str(path), tmp_path / "s", {})
    assert plan.space.name == plan.config.name


def test_a_command_is_trusted_by_its_words_and_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    folder = begun(tmp_path)
    trainer = plan_study(str(folder.root), None, {}).config.trainer
    assert trainer is not None
    assert not is_trusted(folder, trainer)
    note_trust(folder, trainer)
    assert is_trusted(folder, trainer)
    assert (tmp_path / "mine" / "hpsearch" / "key").stat().st_mode & 0o077 == 0
    other = trainer.model_copy(update={"command": ("rm", "-r", "x")})
    assert not is_trusted(folder, other)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "theirs"))
    assert not is_trusted(folder, trainer)
    folder.trust.write_text(json.dumps({"mark": 3}))
    assert not is_trusted(folder, trainer)


@pytest.mark.parametrize("command", ["search", "check"])
def test_a_strangers_folder_runs_nothing_without_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    folder = begun(tmp_path, script=f"touch {tmp_path}/ran; exit 1")
    for named in (folder.root, folder.study_file):
        done = run(command, named, *(["--output", folder.root] if command == "search" else []))
        assert done.code == 2
        assert "--trust" in done.err
        assert "touch" in done.out
    assert not (tmp_path / "ran").exists()
    if command == "check":
        run(command, folder.root, "--trust")
        assert (tmp_path / "ran").exists()


def test_a_command_finds_its_data_itself(tmp_path: Path) -> None:
    done = run("search", write_command_study(tmp_path), "--data", tmp_path, "--dry-run")
    assert done.code == 2
    assert "a command finds its data itself" in done.err
