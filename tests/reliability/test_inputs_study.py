"""B34 to B56: a study's folder that changed, is another's, or is damaged."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hpsearch.paths import StudyFolder, network_filesystem
from hpsearch.storage.view import read_study
from tests.support.cases import SPACE, STUDY, as_nobody, refused, search, snapshot, write_study
from tests.support.command_line import run

See = Callable[[object], None]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Path:
    """A study of four trials on own images."""
    output = tmp_path_factory.mktemp("searched") / "study"
    fingerprint = json.loads((packed / "meta.json").read_text())["fingerprint"]
    facts = {"kind": "folder", "fingerprint": fingerprint, "packed": str(packed), "source": None}
    search(output, dataset={**facts, "ways": 5, "n_tasks": 320, "description": "images"})
    return output


@pytest.fixture
def study(searched: Path, here: Path) -> StudyFolder:
    """A copy of it in an empty folder, the study file beside."""
    write_study(here)
    shutil.copytree(searched, here / "study")
    return StudyFolder(here / "study")


@pytest.mark.parametrize("command", ["status", "export", "trials", "doctor", "dashboard"])
def test_B34_the_study_is_absent(here: Path, command: str, see: See) -> None:
    """exit 2, names the folder; no database made"""
    see(refused(here, "absent", command, "runs/absent"))
    assert not list(here.rglob("*.db"))


CHANGES: dict[str, tuple[str, str, str]] = {
    "B36 choices changed": (STUDY, SPACE.replace("[he, koch]", "[he]"), "init"),
    "B37 choices reordered": (STUDY, SPACE.replace("[he, koch]", "[koch, he]"), "init"),
    "B38 int became float": (
        STUDY, SPACE.replace("type: int, low: 4", "type: float, low: 4.0"), "fc.width",
    ),
    "B39 log dropped": (STUDY, SPACE.replace(", log: true", ""), "conv1.learning_rate"),
    "B40 range changed": (STUDY, SPACE.replace("high: 16", "high: 20"), "fc.width"),
    "B40 sampler changed": (STUDY.replace("random", "tpe"), SPACE, "sampler"),
    "B40 seed changed": (STUDY + "seed: 3\n", SPACE, "seed"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_changed(study: StudyFolder, here: Path, case: str, see: See) -> None:
    """exit 2, names what was and what is; nothing changed"""
    content, space, named = CHANGES[case]
    write_study(here, content, space)
    line = refused(here, named, "search", "small.yaml", "--output", study.root)
    assert "begun with" in line or "is int" in line
    see(line)


def test_B43_the_data_differ(study: StudyFolder, here: Path, see: See) -> None:
    """exit 2, names both fingerprints; nothing changed"""
    held = json.loads(study.dataset.read_text())
    study.dataset.write_text(json.dumps({**held, "fingerprint": "0" * 64}))
    see(refused(here, "0" * 12, "search", study.root))


def test_B44_the_database_is_of_a_newer_optuna(study: StudyFolder, here: Path, see: See) -> None:
    """exit 2, names the database and what to do; results kept"""
    with closing(sqlite3.connect(study.database)) as connection:
        connection.execute("UPDATE version_info SET schema_version = 99")
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
        connection.commit()
    done = run("search", study.root)
    assert done.code == 2, done
    assert "study.db" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert run("doctor", study.root, "--repair").code == 0
    assert [t.state for t in read_study(study).trials] == ["complete"] * 4
    see(f"exit {done.code}: {done.err}")


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


def overwrite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:16384] = b"\xff" * 12288
    path.write_bytes(content)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def bad_state(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE trials SET state='BOGUS' WHERE number=1")
        connection.commit()


def bad_json(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE trial_params SET distribution_json='{' WHERE trial_id=1")
        connection.commit()


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
        connection.commit()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "B46 garbage": garbage,
    "B47 of 0 bytes": empty,
    "B48 cut off": cut,
    "B49 pages overwritten": overwrite,
    "B53 a folder": folder,
    "B54 an unknown state": bad_state,
    "B54 broken JSON": bad_json,
    "B55 of another program": foreign,
}


@pytest.mark.parametrize("command", ["status", "search"])
@pytest.mark.parametrize("case", DAMAGES)
def test_database(study: StudyFolder, here: Path, case: str, command: str, see: See) -> None:
    """exit 2 (3 where only a run can tell), names the file, and its mending; file untouched"""
    DAMAGES[case](study.database)
    content = study.database.read_bytes() if study.database.is_file() else b""
    done = run(command, study.root)
    assert done.code in (2, 3), done
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert "study.db" in done.err
    assert "Traceback" not in done.err
    if not case.startswith("B54") or command == "status":  # a driver notes its time
        assert not study.database.is_file() or study.database.read_bytes() == content
    see(f"exit {done.code}: {done.err}")


@pytest.mark.parametrize(
    "case", ["B46 garbage", "B47 of 0 bytes", "B48 cut off", "B54 broken JSON"]
)
def test_a_damaged_database_is_built_again(study: StudyFolder, here: Path, case: str) -> None:
    """`doctor --repair` builds it from the trials' folders, the damaged one is kept"""
    before = [(t.number, t.state, t.value, dict(t.params)) for t in read_study(study).trials]
    DAMAGES[case](study.database)
    assert run("doctor", study.root, "--repair").code == 0
    after = [(t.number, t.state, t.value, dict(t.params)) for t in read_study(study).trials]
    assert after == before
    assert list(study.root.glob("study.db.*"))


@pytest.mark.parametrize("case", ["B50 file", "B51 folder"])
def test_read_only(study: StudyFolder, here: Path, case: str, see: See) -> None:
    """reading works; searching: exit 2 or 3, one line names the file, nothing changed"""
    assert run("status", study.root).code == 0  # imports what nobody may be unable to read
    assert run("search", study.root).code == 0
    held = json.loads(study.dataset.read_text())
    shutil.copytree(held["packed"], here / "packed")
    study.dataset.write_text(json.dumps({**held, "packed": str(here / "packed")}))
    databases = {study.root / f"study.db{end}" for end in ("", "-journal", "-wal", "-shm")}
    for path in [
        here / "packed",
        *(here / "packed").rglob("*"),
        study.root,
        *study.root.rglob("*"),
    ]:
        kept = case == "B51 folder" or path in databases
        path.chmod((0o555 if kept else 0o777) if path.is_dir() else (0o444 if kept else 0o666))
    before = snapshot(here)
    with as_nobody(here):
        told = run("status", study.root)
        done = run("search", study.root, "--trials", 9)
    assert told.code == 0, told
    assert done.code in (2, 3), done
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert str(study.database if case == "B50 file" else study.root) in done.err
    assert snapshot(here) == before
    see(f"exit {done.code}: {done.err}")


def test_B52_the_parent_is_missing(here: Path) -> None:
    """made, with the study's folder for its owner only"""
    search(here / "a" / "b" / "study")
    assert (here / "a" / "b" / "study").stat().st_mode & 0o777 == 0o700


def test_B56_a_network_file_system_is_told(tmp_path: Path, see: See) -> None:
    """named, so that the search can warn"""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "disk / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\nx /home/fast ext4 rw 0 0\n"
    )
    assert network_filesystem(Path("/home/me/runs"), mounts) == "nfs4"
    assert network_filesystem(Path("/home/fast/runs"), mounts) is None
    assert network_filesystem(Path("/srv"), mounts) is None
    assert network_filesystem(Path("/srv"), tmp_path / "absent") is None
    see("nfs4 named below /home only")
