"""Own images by rules 1 and 2, for studies that were begun with them. See `read_folder`.

Must not know the cache.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Characters, Progress, flatten
from hpsearch.data.pack import Contents
from hpsearch.data.task_size import TaskSize
from hpsearch.data.tasks import OneShotTasks, split_drawers, validation_tasks
from hpsearch.errors import InputError
from hpsearch.pictures.folder import MAX_IMAGES, SUFFIXES, convert_and_look, folders_in, images_in
from hpsearch.pictures.looks import Looks, layout_notices, left_out
from hpsearch.seeding import generator

MIN_ROLE = 5
"""Smallest number of characters in validation and in test."""
MIN_CHARACTERS = 15
MAX_WAYS = 20
TEST_RUNS = 20
_SPLIT_SEED = 0
"""Fixed: the split belongs to the data set, not to a study."""

Drawings = dict[str, list[Path]]
"""Character name to its files, ordered by name."""


def read_folder(folder: Path, progress: Progress | None = None, rule: int = 2) -> Contents:
    """Read, convert and split a user's own images.

    Characters with only one image are left out. The rest is split 60/20/20 by a fixed seed. If
    there are three or more alphabets, two of them with five characters, the alphabets are split.
    Otherwise, or if fewer than five characters would be left to train on, the characters are
    split.

    By rule 2 images have no drawers. By rule 1 an image's rank by name within its character is its
    drawer, and with 16 ranks or more some images are not shown.

    Args:
        folder: Holds ALPHABET/CHARACTER/* or CHARACTER/*.
        progress: Called after every 50 images.
        rule: 1 for studies of version 0.1.0.

    Raises:
        InputError: Another layout, fewer than 15 characters, or an image that cannot be used.
    """
    # Rule 1 took `.` for a folder without a name.
    title = folder.name if rule == 1 else folder.resolve().name
    alphabets = _scan(folder, title)
    used = {path for one in alphabets.values() for files in one.values() for path in files}
    single = [n for one in alphabets.values() for n, files in one.items() if len(files) < 2]
    usable = {
        alphabet: {name: files for name, files in one.items() if len(files) >= 2}
        for alphabet, one in alphabets.items()
    }
    usable = {alphabet: one for alphabet, one in usable.items() if one}
    count = sum(len(one) for one in usable.values())
    if count < MIN_CHARACTERS:
        raise InputError(
            f"{folder}: {count} characters with two images or more; at least {MIN_CHARACTERS} "
            f"are needed to train, validate and test on different ones"
        )
    roles = _split(usable)
    total = sum(len(files) for one in usable.values() for files in one.values())
    if total > MAX_IMAGES:
        raise InputError(f"{folder}: {total} images; at most {MAX_IMAGES} are taken")
    looks = Looks()

    def read(name: str, path: Path) -> NDArray[np.uint8]:
        image, look = convert_and_look(path)
        looks.add(name, str(path.relative_to(folder)), image, look)
        if progress is not None and looks.count % 50 == 0:
            progress("reading your images", looks.count, total)
        return image

    background, validation, test = (
        flatten(
            {
                alphabet: {
                    name: [read(name, path) for path in files] for name, files in one.items()
                }
                for alphabet, one in role.items()
            },
            people=rule == 1,
        )
        for role in roles
    )
    ways = min(MAX_WAYS, _smallest(validation))
    alone = f"; {len(single)} characters with a single image left out" if single else ""
    return Contents(
        kind="folder",
        background=background,
        validation=validation,
        test=test,
        runs=_test_runs(test, min(ways, _smallest(test))),
        ways=ways,
        turns=False,
        description=(
            f"own images in {title}: {len(background.names)} background, "
            f"{len(validation.names)} validation and {len(test.names)} test characters, "
            f"{ways} ways{alone}"
        ),
        rule=rule,
        notices=(
            *layout_notices(usable),
            *left_out(folder, used, single, SUFFIXES),
            *looks.notices(),
        ),
    )


def _scan(folder: Path, title: str) -> dict[str, Drawings]:
    """Return the files by alphabet and character; without alphabets all belong to `title`."""
    flat: Drawings = {}
    deep: dict[str, Drawings] = {}
    for first in folders_in(folder):
        files = images_in(first)
        if files:
            flat[first.name] = files
        for second in folders_in(first):
            if files := images_in(second):
                deep.setdefault(first.name, {})[f"{first.name}/{second.name}"] = files
    if flat and deep:
        raise InputError(
            f"{folder}: images both as CHARACTER/* (in {next(iter(flat))}) and as "
            f"ALPHABET/CHARACTER/* (in {next(iter(deep))}); keep to one layout"
        )
    return deep or {title: {f"{title}/{name}": files for name, files in flat.items()}}


def _split(alphabets: dict[str, Drawings]) -> list[dict[str, Drawings]]:
    """Return background, validation and test; see `read_folder` for the rule."""
    rng = generator(_SPLIT_SEED, "own images")
    large = sorted(name for name, one in alphabets.items() if len(one) >= MIN_ROLE)
    if len(alphabets) >= 3 and len(large) >= 2:
        held = max(1, round(0.2 * len(alphabets)))
        held = min(held, len(large) // 2)
        order = rng.permutation(large).tolist()
        names = [set(alphabets) - set(order[: 2 * held]), order[:held], order[held : 2 * held]]
        roles = [{name: alphabets[name] for name in sorted(part)} for part in names]
        if sum(len(one) for one in roles[0].values()) >= MIN_ROLE:
            return roles
    # Too few alphabets to hold some out: one pool of characters.
    pool = {name: files for one in alphabets.values() for name, files in one.items()}
    order = rng.permutation(sorted(pool)).tolist()
    held = max(MIN_ROLE, round(0.2 * len(pool)))
    parts = [order[2 * held :], order[:held], order[held : 2 * held]]
    label = "+".join(sorted(alphabets))
    return [{label: {name: pool[name] for name in sorted(part)}} for part in parts]


def _smallest(role: Characters) -> int:
    return int(np.bincount(role.alphabet_of).min())


def _test_runs(test: Characters, ways: int) -> OneShotTasks:
    drawers = split_drawers(test.n_drawers, 0, _SPLIT_SEED, people=test.people)[1]
    size = TaskSize(ways)
    return validation_tasks(test, size, n_runs=TEST_RUNS, drawers=drawers, seed=_SPLIT_SEED)
