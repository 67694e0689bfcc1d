"""OD2, OD5, OD7, OD8: what was edited, lost or left over is seen, and what is believed again."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest

from hpsearch.data.pack import sweep
from hpsearch.data.packed_files import images_of, verify_packed
from hpsearch.errors import InputError
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.sources.find import find_dataset
from hpsearch.storage.agreement import trained_config
from hpsearch.storage.view import read_study
from tests.support.cases import Silent, search, sql, table
from tests.support.command_line import run
from tests.support.slow import rest_slow

See = Callable[[object], None]
Edit = Callable[[StudyFolder], object]


def broken(folder: StudyFolder) -> set[str]:
    return {v.key for v in check_invariants(folder) if v.standing == "broken"}


def edit_json(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def unsealed(folder: StudyFolder) -> None:
    """Make a folder what version 0.1.0 wrote: no checksum anywhere."""
    for path in folder.trials.glob("*/result.json"):
        edit_json(path, lambda values: values.pop("checksum"))
    for path in folder.trials.glob("*/config.yaml"):
        path.write_text(path.read_text().split("# checksum")[0])
    for path in folder.trials.glob("*/epochs.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({**r, "checksum": None}) + "\n" for r in rows))


def lower(values: dict[str, object]) -> None:
    trial = values["trial"]
    assert isinstance(trial, dict)
    trial["value"] = 0.0
    trial["values"] = {epoch: 0.0 for epoch in trial["values"]}


def replace_in(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


WIDTH = (
    "UPDATE trial_params SET param_value = 16 - param_value "
    "WHERE trial_id=2 AND param_name='fc.width'"
)
EDITS: dict[str, tuple[str, Edit]] = {
    "a lower error in a result": ("I2", lambda f: edit_json(f.trial(1).result, lower)),
    "a parameter in the database": ("I12", lambda f: sql(f, WIDTH)),
    "an epoch's error": ("I8", lambda f: replace_in(f.trial(1).epochs, "0.", "0.0")),
    "a certificate of -7": (
        "I13", lambda f: f.certificate.write_text('{"format": 1, "error": -7}'),
    ),
    "NaN in a result": (
        "I2", lambda f: replace_in(f.trial(1).result, '"value": 0', '"value": NaN'),
    ),
    "a list for a result": ("I2", lambda f: f.trial(1).result.write_text("[]")),
    "a setting": ("I12", lambda f: replace_in(f.trial(1).config, "width: ", "width: 1")),
    "attempts as a list": ("I13", lambda f: f.trial(1).attempts.write_text("[1]")),
    "provenance of numbers": ("I13", lambda f: f.trial(1).provenance.write_text("[1]")),
    "a metric that is NaN": (
        "I13",
        lambda f: (f.model.mkdir(), (f.model / "metrics.json").write_text('{"epochs": NaN}')),
    ),
    "half a line of openings": ("I13", lambda f: f.openings.write_text('{"time": "no')),
}  # fmt: skip


@pytest.mark.parametrize("case", rest_slow(EDITS, 4))
def test_OD2_what_was_edited_is_seen_and_put_right(
    study: StudyFolder, case: str, see: See
) -> None:
    """doctor names it; --repair believes what fits its checksum and keeps the rest under a name"""
    before, (key, edit) = table(read_study(study)), EDITS[case]
    edit(study)
    assert key in broken(study), check_invariants(study)
    done = run("doctor", study.root, "--repair")
    assert done.code == 0, done
    assert {v.standing for v in check_invariants(study)} == {"holds"}
    assert table(read_study(study)) == before
    kept = [path.name for path in study.root.rglob("*.damaged")]
    assert kept or key == "I12", "nothing was set aside"
    see(f"{key} broken; {kept or 'the database'} set aside")


def test_OD2_a_folder_of_an_older_version_is_not_recorded(study: StudyFolder, see: See) -> None:
    """no checksum is no fault, but types, ranges and the other files count"""
    unsealed(study)
    verdicts = check_invariants(study)
    assert {v.standing for v in verdicts} == {"holds"}, verdicts
    told = {v.key: v.seen for v in verdicts}
    assert all("not recorded" in told[key] for key in ("I2", "I12"))
    edit_json(study.trial(1).result, lower)
    assert "I2" in broken(study)
    before = [(t.state, t.value) for t in read_study(study).trials]
    done = run("doctor", study.root, "--repair")
    assert "result.json.damaged (epochs.jsonl has another curve)" in done.out
    assert [(t.state, t.value) for t in read_study(study).trials] == before
    see(told["I2"])


@pytest.mark.parametrize("value", rest_slow([-7.0, 1.5, float("nan"), "0.1", None]))
def test_OD2_a_result_that_is_not_believed_is_not_adopted(
    study: StudyFolder, value: object, see: See
) -> None:
    """the trial goes on from its epochs, said in one line; the same trials in the end"""
    before = table(read_study(study))
    sql(study, "UPDATE trials SET state='RUNNING', datetime_complete=NULL WHERE number=1")
    sql(study, "DELETE FROM trial_values WHERE trial_id=2")
    path = study.trial(1).result

    def change(values: dict[str, object]) -> None:
        values.pop("checksum")
        assert isinstance(values["trial"], dict)
        values["trial"]["value"] = value

    edit_json(path, change)
    observer = Silent()
    search(study.root, file=study.root, observer=observer)
    told = [m for m in observer.messages if "result.json" in m]
    assert len(told) == 1
    assert "continues from its checkpoint" in told[0]
    assert path.with_name("result.json.damaged").exists()
    assert table(read_study(study)) == before
    see(told[0])


@pytest.mark.parametrize("command", ["search", "export"])
def test_OD2_parameters_changed_in_the_database_are_refused(
    study: StudyFolder, command: str
) -> None:
    """one line that names file, key and both values, and the way out"""
    sql(study, WIDTH)
    if command == "export":
        done = run("export", study.root, "--trial", "1")
        told, code = done.err, done.code
    else:
        with pytest.raises(InputError) as error:
            search(study.root, file=study.root)
        told, code = str(error.value), error.value.exit_code
    assert code == 2
    assert "00001/result.json: fc.width: " in told
    assert "in the database; `hpsearch doctor" in told


def test_OD2_prior_and_dataset_that_are_damaged_are_named(study: StudyFolder) -> None:
    """where nothing else says what they held they stay, and the database is left alone"""
    database = study.database.read_bytes()
    content = study.dataset.read_text()
    study.dataset.write_text(content.replace('"ways": 20', '"ways": NaN'))
    held = study.begun.read_text()
    study.begun.unlink()
    done = run("doctor", study.root, "--repair")
    assert done.code == 2
    assert "dataset.json: " in done.err
    assert "NaN is no number" in done.err
    assert done.err.strip().endswith("restore it from a copy")
    assert study.database.read_bytes() == database
    study.begun.write_text(held)
    study.dataset.write_text(content)
    study.prior.write_text('{"study": "x", "trials": [{"number": -1, "value": NaN}]}')
    done = run("doctor", study.root)
    assert done.code == 2
    assert "BROKEN" in done.out
    assert "prior.json: " in done.out


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.fixture
def own(packed: Path, tmp_path: Path) -> Path:
    """A copy of a packed folder with one reduced file."""
    folder = tmp_path / packed.name
    shutil.copytree(packed, folder)
    images_of(folder, "background", 20)
    verify_packed(folder)
    return folder


@pytest.mark.parametrize(
    "name", rest_slow(["background.npy", "validation.npy", "background-labels.npz"])
)
def test_OD2_a_flipped_byte_in_packed_data_is_refused(
    own: Path, study: StudyFolder, name: str, see: See
) -> None:
    """by doctor, and by whoever reads the file"""
    flip(own / name)
    with pytest.raises(
        InputError, match=r"checksum does not fit; delete .* to pack again"
    ) as told:
        verify_packed(own)
    edit_json(study.dataset, lambda v: v.update(packed=str(own)))
    assert "I14" in broken(study)
    see(told.value)


@pytest.mark.parametrize("noted", [True, False], ids=["with its note", "of version 0.1.0"])
def test_OD2_a_flipped_byte_in_reduced_images_is_mended(own: Path, *, noted: bool) -> None:
    """seen, and made again from what fits"""
    path = own / "background-20.npy"
    good = np.load(path)
    flip(path)
    if not noted:
        path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="its checksum does not fit; delete it"):
        verify_packed(own)
    assert (images_of(own, "background", 20) == good).all()
    verify_packed(own)


def test_OD2_data_that_were_damaged_are_packed_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """reading the source anew replaces them; the fingerprint is the same"""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    found = find_dataset("folder", images)
    flip(found.folder / "background.npy")
    again = find_dataset("folder", images, afresh=True)
    assert (again.folder, again.fingerprint) == (found.folder, found.fingerprint)
    verify_packed(again.folder)


@pytest.mark.parametrize("zone", rest_slow(["KIR-14", "XXX+11", "UTC"]))
def test_OD5_times_of_a_rebuilt_database_are_utc(
    study: StudyFolder, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna's columns hold UTC and it shows local time: of a new trial and of a rebuilt one"""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        search(study.root.parent / "new")
        study.database.write_bytes(bytes(300))
        assert run("doctor", study.root, "--repair").code == 0
        for folder in (study, StudyFolder(study.root.parent / "new")):
            with closing(sqlite3.connect(folder.database)) as connection:
                rows = connection.execute("SELECT datetime_start, datetime_complete FROM trials")
                stamps = [datetime.datetime.fromisoformat(s) for row in rows for s in row]
            now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
            assert all(abs(now - stamp) < datetime.timedelta(hours=1) for stamp in stamps)
            url = f"sqlite:///{folder.database}"
            shown = optuna.load_study(study_name=None, storage=url).trials[0].datetime_start
            assert shown is not None
            assert abs(datetime.datetime.now() - shown) < datetime.timedelta(hours=1)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_OD7_lost_trial_folders_are_seen_and_configurations_written_again(
    study: StudyFolder, see: See
) -> None:
    """doctor says it; export writes the configuration from the database"""
    before = {n: study.trial(n).config.read_text() for n in study.trial_numbers()}
    shutil.rmtree(study.trials)
    seen = {v.key: v for v in check_invariants(study) if v.standing != "holds"}
    assert "config.yaml is gone" in seen["I12"].seen
    assert run("export", study.root, "--output", study.root.parent / "best.yaml").code == 0
    view = read_study(study)
    for number, text in before.items():
        trained_config(view, view.trials[number])
        assert study.trial(number).config.read_text() == text
    shutil.rmtree(study.trials)
    assert run("doctor", study.root, "--repair").code == 0
    assert {n: study.trial(n).config.read_text() for n in study.trial_numbers()} == before
    see(seen["I12"].seen)


def test_OD8_what_a_killed_repair_left_is_swept_at_the_next_start(study: StudyFolder) -> None:
    """by a search, and by a repair"""
    starts: tuple[Callable[[], object], ...] = (
        lambda: search(study.root, file=study.root), lambda: run("doctor", study.root, "--repair")
    )  # fmt: skip
    for start in starts:
        left = study.root / ".rebuilt-abc" / "study.db"
        left.parent.mkdir()
        left.touch()
        (study.confirmation / "00001-0").mkdir(parents=True, exist_ok=True)
        (study.confirmation / "00001-0" / ".result.json.x.tmp").touch()
        assert {v.key for v in check_invariants(study) if v.standing == "pending"} == {"I10"}
        start()
        assert {v.standing for v in check_invariants(study)} == {"holds"}


def test_OD8_what_a_killed_packing_left_is_swept(tmp_path: Path) -> None:
    """a folder that nobody holds, and old files aside; not what is packed at this moment"""
    import fcntl

    dead, alive, new = (tmp_path / f".packing-{name}" for name in ("dead", "alive", "new"))
    for folder in (dead, alive, new):
        folder.mkdir()
        (folder / "background.npy").touch()
    held = os.open(alive, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    aside = tmp_path / "glyphs-1" / ".x.npy.1.tmp"
    aside.parent.mkdir()
    aside.touch()
    for path in (dead, alive, aside):
        os.utime(path, (time.time() - 7200,) * 2)
    sweep(tmp_path)
    assert [p.exists() for p in (dead, alive, new, aside)] == [False, True, True, False]
    os.close(held)
