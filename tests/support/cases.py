"""What the cases are made of: the command line in this process, small studies, damaged files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from hpsearch.driver.driver import Driver
from hpsearch.execution import Executor
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.lock import study_lock
from hpsearch.study.plan import DataPlace, plan_study, save_plan

from .command_line import run
from .fake_executor import FakeExecutor
from .observer import Silent

SPACE = """\
name: small
parameters:
  conv1.learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}
  fc.width: {type: int, low: 4, high: 16}
  init: {type: categorical, choices: [he, koch]}
"""
ENQUEUED = [
    {"conv1.learning_rate": 0.001 * (1 + number), "fc.width": 4 + number % 12, "init": "he"}
    for number in range(40)
]
"""Parameters that need no sampler, and so no helper process: a search of some milliseconds."""


STUDY = """\
name: small
dataset: auto
space: space.yaml
trial:
  input_size: 20
  layers:
    conv1: {filter_size: 5, filter_count: 4}
    conv2: {filter_size: 3, filter_count: 6, pool: false}
    fc: {width: 12}
    output: {}
  init: he
  batch_pairs: 8
  images_per_epoch: 64
  max_epochs: 3
sampler: {name: random}
pruner: {name: none}
budget: {trials: 4}
device: cpu
workers: 1
"""
STUDY += f"enqueue: {json.dumps(ENQUEUED[:4])}\n"
FINGERPRINT = "f" * 64
DATASET = {
    "kind": "glyphs", "fingerprint": FINGERPRINT, "packed": "/nowhere", "source": None, "ways": 20,
    "n_tasks": 320, "description": "glyphs",
}  # fmt: skip


def snapshot(folder: Path) -> dict[str, str]:
    """Return every file below a folder with its content's hash."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b"folder"
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def refused(folder: Path, named: str, *arguments: object, codes: tuple[int, ...] = (2,)) -> str:
    """Run a command that must be refused in one line, with nothing changed; return the line."""
    before = snapshot(folder)
    done = run(*arguments)
    lines = done.err.strip().splitlines()
    assert done.code in codes, done
    assert len(lines) == 1, done.err
    assert named.lower() in lines[0].lower(), lines[0]
    assert "Traceback" not in done.err + done.out
    assert lines[0].isprintable()
    assert len(lines[0]) < 600, lines[0]
    assert snapshot(folder) == before, "something was written"
    return f"exit {done.code}: {lines[0]}"


def write_study(folder: Path, study: str = STUDY, space: str = SPACE) -> Path:
    """Write a study file and its space."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "space.yaml").write_text(space)
    path = folder / "small.yaml"
    path.write_text(study)
    return path


def search(
    output: Path,
    executor: Executor | None = None,
    *,
    file: Path | None = None,
    interrupted: Callable[[], int] = lambda: 0,
    observer: Silent | None = None,
    dataset: dict[str, Any] | None = None,
    **changes: object,
) -> StudyView:
    """Run a search in this process with an executor that trains nothing.

    Args:
        output: The study's folder.
        executor: By default one slot, nothing fails.
        file: The study file; by default the small one, beside the folder.
        interrupted: As the driver's.
        observer: Keeps the messages.
        dataset: What dataset.json is to hold.
        changes: Settings, __ for a dot.
    """
    source = file or write_study(output.parent / "file")
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    plan = plan_study(str(source), output, settings)
    with study_lock(plan.folder):
        save_plan(plan, dataset or DATASET)
        place = DataPlace("/nowhere", FINGERPRINT)
        watcher = observer or Silent()
        Driver(plan, place, executor or FakeExecutor(), watcher, interrupted).run()
    return read_study(StudyFolder(output))


def table(view: StudyView) -> list[tuple[object, ...]]:
    """Return what must be the same however often a search was disturbed."""
    return [
        (t.number, t.state, t.value, tuple(t.values.items()), tuple(t.params.items()))
        for t in view.trials
    ]


def sql(folder: StudyFolder, statement: str) -> None:
    """Change the study's database by hand."""
    with contextlib.closing(sqlite3.connect(folder.database)) as connection:
        connection.execute(statement)
        connection.commit()


def in_child(function: Callable[[], object]) -> int:
    """Run a function in a forked process; return its exit code, -9 where it was killed.

    The process sees what this one sees, so tests can let it be killed at any place.
    """
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@contextlib.contextmanager
def as_nobody(*folders: Path) -> Iterator[None]:
    """Act as a user without rights; root would be refused nothing."""
    if os.geteuid() != 0:
        yield
        return
    for folder in folders:
        for path in (folder, *folder.parents):
            if path.stat().st_uid == 0 and path.stat().st_mode & 0o055 != 0o055:
                path.chmod(path.stat().st_mode | 0o055)
            if path == Path("/tmp"):
                break
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def images_folder(folder: Path, characters: int = 15, drawings: int = 4) -> Path:
    """Write tiny images as CHARACTER/*.png."""
    for character in range(characters):
        place = folder / f"character{character:02}"
        place.mkdir(parents=True)
        for drawing in range(drawings):
            image = Image.new("L", (24, 24), 255)
            for step in range(12):
                image.putpixel((4 + step, 3 + (character * step + drawing) % 18), 0)
            image.save(place / f"{drawing}.png")
    return folder
