"""The command doctor: checks a study and its environment, and repairs the study."""

from __future__ import annotations

import platform
import shutil
import sqlite3
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import JsonOption, StudyArgument
from hpsearch.errors import InputError, one_line
from hpsearch.output import say, say_json

if TYPE_CHECKING:
    from hpsearch.paths import StudyFolder

PACKAGES = ("torch", "optuna", "numpy", "sqlalchemy")
MARKS = {"holds": "ok", "pending": "next run", "broken": "BROKEN"}


def doctor(
    study: StudyArgument,
    repair: Annotated[bool, typer.Option("--repair", help="Make a backup, then repair.")] = False,
    json: JsonOption = False,
) -> None:
    """Check a study's folder; exit code 2 if an invariant is broken."""
    from hpsearch.maintenance.invariants import check_invariants
    from hpsearch.study.plan import find_begun

    folder = find_begun(study)
    done: list[str] = []
    if repair:
        from hpsearch.maintenance.repair import repair as repair_study

        done = repair_study(folder)
    verdicts = check_invariants(folder)
    around = _around(folder)
    broken = [v.key for v in verdicts if v.standing == "broken"]
    if json:
        rows = [vars(v) for v in verdicts]
        say_json({"environment": around, "repaired": done, "invariants": rows})
    else:
        for name, text in around.items():
            say(f"{name:10} {one_line(text)}")
        nothing = ["nothing: no repair was needed"] if repair else []
        for line in done or nothing:
            say(f"repaired   {one_line(line)}")
        for v in verdicts:
            say(f"{v.key:4} {MARKS[v.standing]:8} {v.claim}: {one_line(v.seen)}")
    if broken:
        advice = "restore it from a copy" if repair else "run hpsearch doctor with --repair"
        raise InputError(f"{folder.root}: {', '.join(broken)} broken; {advice}")


def _size(path: Path) -> int:
    """Return a file's size in bytes; 0 for a folder and for a file that is gone."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def _around(folder: StudyFolder) -> dict[str, str]:
    """Return versions, data, disk and device as text."""
    import importlib.metadata

    from hpsearch import __version__
    from hpsearch.execution import devices

    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    usage = shutil.disk_usage(folder.root)
    used = sum(_size(path) for path in folder.root.rglob("*"))
    return {
        "hpsearch": f"{__version__}, Python {platform.python_version()} on {sys.platform}",
        "packages": packages,
        "libraries": f"SQLite {sqlite3.sqlite_version}, {ssl.OPENSSL_VERSION}",
        "data": _data(folder),
        "disk": f"{used / 1e6:.1f} MB used by the study, {usage.free / 1e9:.1f} GB free",
        "device": devices.in_words(),
        "precision": _precision(folder),
    }


def _precision(folder: StudyFolder) -> str:
    """Return the study's precision, and those in which its trials were trained."""
    from hpsearch.storage.trial_files import read_provenance
    from hpsearch.study.begun import read_as_begun

    try:
        config = read_as_begun(folder)
    except InputError as error:
        return str(error)
    if config.trial is None:
        return "the program's own"
    asked = config.trial.precision
    numbers = [int(path.name) for path in folder.trials.glob("*") if path.name.isdecimal()]
    entries = [e for number in numbers for e in read_provenance(folder.trial(number))]
    real = sorted({str(entry["precision"]) for entry in entries if entry.get("precision")})
    return ", trained in ".join([asked, " and ".join(real)] if real else [asked])


def _data(folder: StudyFolder) -> str:
    from hpsearch.json_files import read_dataset

    try:
        held = read_dataset(folder.dataset)
    except InputError as error:
        return str(error)
    if held["kind"] == "command":
        return "the program's own"
    packed = Path(str(held.get("packed")))
    there = f"packed in {packed}" if (packed / "meta.json").is_file() else ""
    mark = f"{held['kind']}, fingerprint {held['fingerprint'][:12]}"
    return f"{mark}, {there or 'no longer packed: the next run packs it again'}"
