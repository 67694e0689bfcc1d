"""The sealed test set. Only this module opens it, and it records every opening of it first.

Called by evaluate and baselines. Must never be imported by search or training.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from hpsearch.data.cache import in_first, places_beside
from hpsearch.data.dataset import OMNIGLOT, Characters, Dataset, characters_from
from hpsearch.data.pack import SEALED_FILE
from hpsearch.data.packed_files import UNREADABLE, check_file, check_size
from hpsearch.data.resize import SIDE, area_average
from hpsearch.data.tasks import OneShotTasks
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.records import dump_line


@dataclass(frozen=True, eq=False)
class TestSet:
    """The test characters and their one-shot tasks; rows of `tasks` index `characters.images`."""

    __test__ = False  # not a test case, whatever its name says to pytest

    characters: Characters
    tasks: OneShotTasks


def open_test_set(
    dataset: Dataset,
    reason: str,
    *,
    log: Path | None = None,
    input_size: int = SIDE,
    recorded: bool = True,
) -> TestSet:
    """Open the sealed test set; the images are reduced in memory, never cached.

    Args:
        dataset: The packed data set.
        reason: One line for the log: who opens it, and why.
        log: The study's openings.jsonl; None uses the one in the packed folder.
        input_size: Side in pixels, 1 to 105; of colour pictures 1 to 224.
        recorded: Whether the opening is logged. False only for a model trained on other data,
            from which nothing here is sealed; Omniglot's openings are always logged.

    Raises:
        InputError: The size is out of range, or the sealed file is missing or damaged.
        EnvironmentFailure: The opening cannot be recorded; then nothing is opened.
    """
    check_size(input_size, colour=dataset.colour_px > 0)
    path = dataset.folder / SEALED_FILE
    if not path.exists():
        raise InputError(
            f"{path}: there are no test tasks, since all_runs.zip was missing; put it into the "
            "folder of Omniglot's other archives, name that with --data, and run this again"
        )
    if recorded or dataset.kind in OMNIGLOT:
        places = [place / "openings.jsonl" for place in places_beside(dataset.folder)]
        logs = [log] if log else places
        in_first(logs, lambda place: _write_down(place, dataset.fingerprint, reason))
    check_file(dataset.folder, SEALED_FILE)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            tasks = OneShotTasks(
                query=arrays["query"],
                support=arrays["support"],
                target=arrays["target"],
                alphabet=tuple(str(name) for name in arrays["run_alphabet"]),
            )
            images = area_average(arrays["images"], input_size)
            return TestSet(characters_from(images, arrays), tasks)
    except UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({error}); delete {dataset.folder}") from None


def _write_down(log: Path, fingerprint: str, reason: str) -> None:
    """Append one line to the log of openings, and fsync."""
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": reason,
        "fingerprint": fingerprint,
    }
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(dump_line(entry))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EnvironmentFailure(
            f"{log}: the opening of the test set cannot be written down ({error.strerror}); "
            "nothing was opened"
        ) from error
