"""I1 to I16: each invariant holds after a search, is seen when it breaks, and is put right."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hpsearch.maintenance.invariants import Verdict, check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from hpsearch.study.lock import study_lock
from tests.support.cases import search, sql, table
from tests.support.command_line import run
from tests.support.fake_executor import FakeExecutor
from tests.support.slow import rest_slow

See = Callable[[object], None]


def verdict(folder: StudyFolder, key: str) -> Verdict:
    return next(v for v in check_invariants(folder) if v.key == key)


def test_all_hold_after_a_search(finished: Path) -> None:
    verdicts = check_invariants(StudyFolder(finished))
    assert [v.key for v in verdicts] == [f"I{n}" for n in range(1, 17)]
    assert {v.standing for v in verdicts} == {"holds"}, verdicts


TABLES = ("trial_params", "trial_values", "trial_intermediate_values", "trial_user_attributes")
TABLES += ("trial_system_attributes", "trials")
Break = Callable[[StudyFolder], object]
BREAKS: dict[str, tuple[str, Break]] = {
    "I1 a trial left running": ("pending", lambda f: (unend(f), f.trial(best(f)).result.unlink())),
    "I2 a result that the database lacks": ("pending", lambda f: unend(f)),
    "I3 a trial the database lost": (
        "broken", lambda f: [sql(f, f"DELETE FROM {t} WHERE trial_id=4") for t in TABLES],
    ),
    "I4 a number twice": ("broken", lambda f: sql(f, "UPDATE trials SET number=2 WHERE number=3")),
    "I5 a best that is not": (
        "broken",
        lambda f: (
            sql(f, "UPDATE trial_values SET value=0.001 WHERE trial_id=2"),
            sql(f, "UPDATE trials SET state='COMPLETE' WHERE trial_id=2"),
        ),
    ),
    "I6 a page overwritten": ("broken", lambda f: overwrite(f.database)),
    "I7 a failure with a value": (
        "broken", lambda f: sql(f, "UPDATE trials SET state='FAIL' WHERE number=1"),
    ),
    "I8 an epoch twice": (
        "broken",
        lambda f: f.trial(1).epochs.write_text(f.trial(1).epochs.read_text() * 2),
    ),
    "I9 an end before the beginning": (
        "broken",
        lambda f: sql(f, "UPDATE trials SET datetime_complete='2001-01-01 00:00:00.000000'"),
    ),
    "I10 a temporary file": ("pending", lambda f: (f.trials / "00001" / ".x.tmp").touch()),
    "I11 a changed byte in a checkpoint": ("broken", lambda f: flip(kept(f))),
    "I2 another value": ("broken", lambda f: sql(f, "UPDATE trial_values SET value=0.01")),
    "I2 a folder that is gone": ("broken", lambda f: shutil.rmtree(f.trial(1).root)),
    "I9 an infinite value": (
        "broken",
        lambda f: sql(
            f, "UPDATE trial_values SET value=NULL, value_type='INF_NEG' WHERE trial_id=2"
        ),
    ),
}  # fmt: skip


def best(folder: StudyFolder) -> int:
    return int(kept(folder).parent.name)


def unend(folder: StudyFolder) -> None:
    number = best(folder)
    sql(
        folder,
        f"UPDATE trials SET state='RUNNING', datetime_complete=NULL WHERE number={number}",
    )
    sql(folder, f"DELETE FROM trial_values WHERE trial_id={number + 1}")


def overwrite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    path.write_bytes(content)


def kept(folder: StudyFolder) -> Path:
    return sorted(folder.trials.glob("*/checkpoint"))[0]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("case", rest_slow(BREAKS, -3))
def test_a_break_is_seen_and_repaired(study: StudyFolder, case: str, see: See) -> None:
    """seen as broken or pending; `doctor --repair` or the next run puts it right"""
    key = case.split()[0]
    before = table(read_study(study))
    standing, break_it = BREAKS[case]
    break_it(study)
    seen = verdict(study, key)
    assert seen.standing == standing, seen
    told = run("doctor", study.root)
    assert told.code == (2 if standing == "broken" else 0), told
    repaired = run("doctor", study.root, "--repair")
    assert repaired.code == 0, repaired
    if key == "I1":
        assert read_study(study).trials[best(study)].state == "running"
    else:
        assert {v.standing for v in check_invariants(study)} == {"holds"}
    search(study.root, file=study.root)
    assert {v.standing for v in check_invariants(study)} == {"holds"}
    assert table(read_study(study)) == before
    see(f"{standing}: {seen.seen}; repaired")


def test_I11_an_ended_trial_that_the_database_lacks_needs_no_checkpoint(
    study: StudyFolder,
) -> None:
    """its result is in its folder and reaches the database with the next run"""
    before = table(read_study(study))
    unend(study)
    kept(study).unlink()
    assert {v.key for v in check_invariants(study) if v.standing == "broken"} == set()
    search(study.root, file=study.root)
    assert table(read_study(study)) == before


def test_I12_continuing_a_finished_study_adds_nothing(study: StudyFolder) -> None:
    """0 new trials, exit 0, the same table"""
    before = table(read_study(study))
    executor = FakeExecutor()
    search(study.root, executor, file=study.root)
    assert executor.submitted == []
    assert table(read_study(study)) == before


def test_repair_keeps_a_backup_and_says_what_it_did(study: StudyFolder) -> None:
    sql(study, "UPDATE trials SET state='FAIL' WHERE number=1")
    done = run("doctor", study.root, "--repair")
    backups = list(study.root.glob("study.db.backup-*"))
    assert len(backups) == 1
    assert backups[0].name in done.out
    with closing(sqlite3.connect(backups[0])) as connection:
        state = connection.execute("SELECT state FROM trials WHERE number=1").fetchone()
    assert state == ("FAIL",)


def test_a_lost_database_is_built_again_with_running_trials(study: StudyFolder) -> None:
    before = read_study(study)
    number = best(study)
    study.trial(number).result.unlink()
    study.database.unlink()
    assert run("doctor", study.root).code == 2
    assert run("doctor", study.root, "--repair").code == 0
    after = read_study(study)
    assert after.trials[number].state == "running"
    assert dict(after.trials[number].params) == dict(before.trials[number].params)
    search(study.root, file=study.root)
    assert table(read_study(study)) == table(before)


def test_doctor_shows_what_is_around_and_prints_json(study: StudyFolder) -> None:
    done = run("doctor", study.root, "--json")
    told = json.loads(done.out)
    assert {"hpsearch", "packages", "libraries", "data", "disk", "device"} <= set(
        told["environment"]
    )
    assert "SQLite" in told["environment"]["libraries"]
    assert "OpenSSL" in told["environment"]["libraries"]
    assert [row["key"] for row in told["invariants"]][-1] == "I16"


def test_doctor_looks_on_while_a_search_holds_the_study(study: StudyFolder) -> None:
    with study_lock(study):
        assert run("doctor", study.root).code == 0
        done = run("doctor", study.root, "--repair")
    assert done.code == 2
    assert "held by pid" in done.err
