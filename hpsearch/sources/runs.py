"""Lake's one-shot runs (all_runs) as tasks on the sealed characters.

Must not know how the characters were read, nor score anything.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from hpsearch.data.dataset import Characters
from hpsearch.data.tasks import OneShotTasks
from hpsearch.errors import InputError
from hpsearch.pictures.archive import decode_drawing, read_files

RUN_FOLDERS = "run[0-9][0-9]"
"""Pattern of the folders that all_runs.zip holds."""
_MEMBER = re.compile(r"(?:[^/]+/)?run(\d\d)/((?:test|training)/[a-z]+\d\d\.png|class_labels\.txt)")


def read_runs(source: Path, test: Characters, n_runs: int, ways: int) -> OneShotTasks:
    """Read the runs, and find all their images among the sealed characters.

    class_labels.txt assigns a training image to each test image. Both must be drawings of one
    character by different drawers.

    Args:
        source: all_runs.zip, or the folder into which it was unpacked; other files are ignored.
        test: The sealed characters, images in the stored form.
        n_runs: Required number of runs.
        ways: Required number of test and of training images in each run.

    Raises:
        InputError: A run is missing, or does not match the sealed characters.
    """
    runs: dict[int, dict[str, bytes]] = {}
    for name, content in read_files(source, RUN_FOLDERS if holds_runs(source) else "*"):
        match = _MEMBER.fullmatch(name)
        if match is not None:
            runs.setdefault(int(match[1]), {})[match[2]] = content
    if sorted(runs) != list(range(1, n_runs + 1)):
        raise InputError(f"{source}: {len(runs)} runs instead of {n_runs}; fetch it again")
    rows = {image.tobytes(): row for row, image in enumerate(test.images)}
    query = np.empty((n_runs, ways), np.int64)
    support, target = np.empty_like(query), np.empty_like(query)
    for run, files in sorted(runs.items()):
        where = f"{source}: run{run:02}"
        pairs = _labels(where, files, ways)
        order = sorted({training for _, training in pairs})
        if len(order) != ways:
            raise InputError(f"{where}: {len(order)} training images instead of {ways}")
        support[run - 1] = [_row(where, name, files, rows) for name in order]
        query[run - 1] = [_row(where, name, files, rows) for name, _ in pairs]
        target[run - 1] = [order.index(training) for _, training in pairs]
    _check(source, test, OneShotTasks(query, support, target, ()))
    alphabets = test.alphabet_of[test.character[query[:, 0]]]
    names = tuple(test.alphabets[alphabet] for alphabet in alphabets)
    return OneShotTasks(query, support, target, names)


def holds_runs(folder: Path) -> bool:
    """Return whether all_runs.zip was unpacked directly into a folder."""
    return (folder / "run01").is_dir()


def _labels(where: str, files: dict[str, bytes], ways: int) -> list[tuple[str, str]]:
    """Return (test image, training image) pairs, in the order of class_labels.txt."""
    text = files.get("class_labels.txt", b"").decode("ascii", errors="replace")
    pairs = []
    for line in text.split("\n"):
        names = [name.strip().split("/", 1)[-1] for name in line.split()]
        if len(names) == 2:
            pairs.append((names[0], names[1]))
    if len({test for test, _ in pairs}) != ways or len(pairs) != ways:
        raise InputError(f"{where}/class_labels.txt: {len(pairs)} lines instead of {ways}")
    return pairs


def _row(where: str, name: str, files: dict[str, bytes], rows: dict[bytes, int]) -> int:
    """Return the row of the sealed image that equals one of the run's images."""
    if name not in files:
        raise InputError(f"{where}/{name}: missing; fetch all_runs.zip again")
    row = rows.get(decode_drawing(files[name], f"{where}/{name}").tobytes())
    if row is None:
        raise InputError(f"{where}/{name}: not among the sealed characters; fetch the parts again")
    return row


def _check(source: Path, test: Characters, tasks: OneShotTasks) -> None:
    """Refuse runs whose labels contradict the characters the images belong to."""
    matched = np.take_along_axis(tasks.support, tasks.target, axis=1)
    same = test.character[tasks.query] == test.character[matched]
    apart = test.drawer[tasks.query] != test.drawer[matched]
    alphabet = test.alphabet_of[test.character[tasks.query]]
    if not (same.all() and apart.all() and (alphabet == alphabet[:, :1]).all()):
        raise InputError(
            f"{source}: the labels do not join drawings of one character by two drawers; "
            "fetch it again"
        )
