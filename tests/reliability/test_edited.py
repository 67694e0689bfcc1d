"""What a study began with is compared with its files: an edit is refused, and can be undone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.data import Dataset
from hpsearch.data.pack import packed_name
from hpsearch.errors import InputError
from hpsearch.json_files import read_dataset
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.maintenance.migrate import migrate
from hpsearch.maintenance.repair import repair
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from hpsearch.study.begun import DATA, MAY_CHANGE, EditedError
from hpsearch.study.config import StudyConfig
from hpsearch.study.plan import find_study, plan_study
from tests.support.cases import DATASET, SPACE, STUDY, search, write_study
from tests.support.command_line import run
from tests.support.slow import rest_slow

from .make_asset import ASSETS

See = Callable[[object], None]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two trials."""
    folder = tmp_path_factory.mktemp("edited")
    search(folder / "study", budget__trials=2)
    return folder / "study"


@pytest.fixture
def study(ended: Path, tmp_path: Path) -> StudyFolder:
    """A copy of it."""
    shutil.copytree(ended, tmp_path / "study")
    return StudyFolder(tmp_path / "study")


def edit(path: Path, key: str, value: Any) -> None:
    """Set a value in a YAML or JSON file, by path."""
    plain = path.suffix == ".json"
    values: Any = json.loads(path.read_text()) if plain else read_yaml(path)
    place, (*parents, last) = values, key.split("/")
    for parent in parents:
        place = place[parent]
    place[last] = value
    path.write_text(json.dumps(values) if plain else dump_yaml(values))


EDITS: dict[str, tuple[str, str, Any]] = {
    "space": ("space.yaml", "parameters/fc.width/high", 32),
    "data": ("dataset.json", "fingerprint", "0" * 64),
    "name": ("study.yaml", "name", "another"),
    "dataset": ("study.yaml", "dataset", "glyphs"),
    "pictures": ("study.yaml", "pictures", "plain"),
    "trial": ("study.yaml", "trial/max_epochs", 4),
    "a layer": ("study.yaml", "trial/layers/fc/momentum", 0.5),
    "a choice": ("study.yaml", "trial/init", "koch"),
    "objective": ("study.yaml", "objective", "dense"),
    "objectives": ("study.yaml", "objectives", ["validation_error", "multiply_adds"]),
    "constraints": ("study.yaml", "constraints", {"latency_ms": {"max": 5.0}}),
    "ways": ("study.yaml", "ways", 3),
    "sampler": ("study.yaml", "sampler/name", "tpe"),
    "pruner": ("study.yaml", "pruner", {"name": "median"}),
    "limits": ("study.yaml", "limits/parameters", 1e6),
    "enqueue": ("study.yaml", "enqueue", []),
    "freeze": ("study.yaml", "freeze", {"init": "he"}),
    "warm_start": ("study.yaml", "warm_start", {"study": "elsewhere"}),
    "seed": ("study.yaml", "seed", 9),
}


def test_every_setting_that_may_not_change_is_tried() -> None:
    keys = {path.partition("/")[0] for _, path, _ in EDITS.values()}
    of_a_command = {"trainer", "direction"}  # tests/study/test_command_study.py
    others = {"shots"}  # several of them need another objective, too
    assert set(StudyConfig.model_fields) - set(MAY_CHANGE) - of_a_command - others <= keys


@pytest.mark.parametrize("case", rest_slow(EDITS, 6))
def test_OD1_an_edit_is_refused_and_undone(study: StudyFolder, case: str, see: See) -> None:
    """every command names file, key and both values; doctor says it, --repair undoes it"""
    name, key, value = EDITS[case]
    path = study.root / name
    before = path.read_text()
    edit(path, key, value)
    edited = path.read_text()
    for command in ("status", "search", "doctor"):
        done = run(command, study.root)
        assert done.code == 2, done
        said = done.out if command == "doctor" else done.err
        assert f"{path}: {key.partition('/')[0] if name != 'space.yaml' else 'space'}" in said
        assert "Traceback" not in said
    see(done.out)
    assert path.read_text() == edited
    told = repair(study)
    assert any(line.startswith(f"{name}: wrote ") for line in told)
    assert path.read_text() == before
    assert (study.root / f"{name}.edited-1").read_text() == edited
    assert all(v.standing == "holds" for v in check_invariants(study))


CHANGES = {
    "budget": {"trials": 9},
    "workers": 2,
    "description": "longer",
    "worker_timeout_s": 60.0,
    "step_timeout_s": 60.0,
}


def test_what_may_change_may_be_edited(study: StudyFolder) -> None:
    for key, value in CHANGES.items():
        edit(study.study_file, key, value)
    space = study.space_file.read_text()
    study.space_file.write_text(f"# a remark\n{space}")
    assert read_study(study).config.budget.trials == 9
    assert plan_study(str(study.root), None, {}).config.workers == 2
    edit(study.study_file, "seed", 3)
    repair(study)
    assert read_yaml(study.study_file)["workers"] == 2


def test_a_damaged_study_file_or_record_has_a_way_out(study: StudyFolder) -> None:
    study.begun.write_text("[]")
    with pytest.raises(InputError, match=r"begun\.json.*--repair"):
        read_study(study)
    assert repair(study) == ["set the damaged begun.json aside as begun.json.damaged-1"]
    assert len(read_study(study).trials) == 2


def test_a_lost_space_is_written_again(study: StudyFolder) -> None:
    before = study.space_file.read_text()
    study.space_file.unlink()
    with pytest.raises(EditedError, match=r"space\.yaml.*missing"):
        read_study(study)
    repair(study)
    assert study.space_file.read_text() == before


@pytest.mark.parametrize("name", ["study.yaml", "space.yaml", "dataset.json"])
@pytest.mark.parametrize("text", [None, "", "[1]\n", "a: [\n"])
def test_a_file_that_is_gone_or_unreadable_is_written_again(
    study: StudyFolder, name: str, text: str | None
) -> None:
    path = study.root / name
    before = path.read_text()
    path.unlink() if text is None else path.write_text(text)
    for refused in (read_study, lambda folder: plan_study(str(folder.root), None, {})):
        with pytest.raises(InputError, match=rf"{name}.*--repair"):
            refused(study)
    assert run("doctor", study.root).code == 2
    assert run("doctor", study.root, "--repair").code == 0
    if path == study.dataset:  # where the images lie is lost
        now, was = json.loads(path.read_text()), json.loads(before)
        assert {key: now[key] for key in DATA} == {key: was[key] for key in DATA}
    else:
        assert path.read_text() == before
    assert (study.root / f"{name}.edited-1").exists() == (text is not None)
    assert len(read_study(study).trials) == 2


@pytest.mark.parametrize("packed", [True, False])
def test_a_lost_dataset_json_names_the_packed_images_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    """Without them the next search has to be told where the images are."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    there = tmp_path / "packed" / packed_name(dataset.kind, dataset.fingerprint)
    if packed:
        shutil.copytree(dataset.folder, there)
        shutil.copytree(dataset.folder, there.with_name(f"another-{dataset.fingerprint[:16]}"))
        (there.with_name(f"another-{dataset.fingerprint[:16]}") / "meta.json").write_text("{")
    was = {**DATASET, "fingerprint": dataset.fingerprint, "packed": str(there)}
    search(tmp_path / "study", dataset=was)
    study = StudyFolder(tmp_path / "study")
    study.dataset.unlink()
    (told,) = repair(study)
    assert ("--data" in told) is not packed
    now = read_dataset(study.dataset)
    assert {key: now[key] for key in DATA} == {key: was[key] for key in DATA}
    assert (now["kind"], now["packed"]) == (("glyphs", str(there)) if packed else ("auto", None))


def test_a_move_to_another_space_may_be_cut_anywhere(
    study: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tmp_path / "wider.yaml"
    space.write_text(SPACE.replace("high: 16", "high: 32"))
    from hpsearch.maintenance import migrate as move
    from hpsearch.study import begun as module

    write = module.write_atomically
    for count in range(4):
        left = [count]

        def cut(path: Path, text: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            write(path, text)

        with monkeypatch.context() as patch:
            patch.setattr(module, "write_atomically", cut)
            patch.setattr(move, "write_atomically", cut)
            with pytest.raises(KeyboardInterrupt):
                migrate(study, space)
        assert len(read_study(study).trials) == 2
    migrate(study, space)
    assert "before" not in json.loads(study.begun.read_text())
    assert "high: 32" in study.space_file.read_text()
    edit(study.space_file, "parameters/fc.width/high", 16)
    with pytest.raises(EditedError, match=r"begun with 32, the file says 16"):
        read_study(study)


@pytest.mark.parametrize(("key", "value"), [("seed", 5), ("trial/images_per_epoch", 128)])
def test_OD1_of_an_older_folder_the_first_trial_tells(
    tmp_path: Path, key: str, value: int
) -> None:
    """0.1.0 kept no record: the trial's seed and its config.yaml show the edit"""
    shutil.copytree(ASSETS / "0.1.0", tmp_path / "study")
    old = StudyFolder(tmp_path / "study")
    read_study(old)
    edit(old.study_file, key, value)
    key = key.replace("/", ".")
    assert key in run("status", old.root).err
    assert key in run("search", old.root).err
    assert key in run("doctor", old.root).out


def test_OD3_a_users_own_study_file_is_no_saved_study(here: Path) -> None:
    """named study.yaml beside space.yaml: its space, comments and queue count, none is replaced"""
    write_study(here, space=SPACE)
    own = here / "study.yaml"
    own.write_text(STUDY.replace("space: space.yaml", "space: other.yaml  # mine"))
    (here / "other.yaml").write_text(SPACE.replace("high: 16", "high: 32"))
    before = own.read_text()
    plan = plan_study(str(own), here / "out", {})
    assert plan.space.parameters["fc.width"].high == 32
    for arguments in (("search", here), ("search", own, "--output", here), ("status", here)):
        done = run(*arguments)
        assert done.code == 2
        assert f"{own}" in done.err
    assert own.read_text() == before


def test_a_folder_is_known_by_its_mark_or_what_0_1_0_left(study: StudyFolder) -> None:
    for path in (study.begun, study.dataset):
        path.unlink()
        assert find_study(str(study.root)) == study
    study.database.unlink()
    with pytest.raises(InputError, match="no search wrote"):
        find_study(str(study.root))


def test_the_folder_of_a_commands_study_is_known_without_its_mark(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.study_file.write_text("name: digits\n")
    folder.dataset.write_text('{"kind": "command"}')
    assert find_study(str(tmp_path)) == folder
