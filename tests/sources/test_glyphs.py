"""The drawn alphabets: Omniglot's form, the same every time, not to be told apart by pixels."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from hpsearch.data.pack import Contents, fingerprint
from hpsearch.data.resize import area_average
from hpsearch.data.task_size import TaskSize
from hpsearch.data.tasks import score_tasks, split_drawers, validation_tasks
from hpsearch.sources.glyphs import draw_glyphs


@pytest.fixture(scope="module")
def contents() -> Contents:
    return draw_glyphs()


def test_form_is_omniglots(contents: Contents) -> None:
    for role in (contents.background, contents.validation, contents.test):
        assert role.images.shape[1:] == (105, 14)  # 105 x 105, 1 bit
        assert (role.index() >= 0).all()
        assert role.n_drawers == 20
        assert np.bincount(role.alphabet_of).min() >= contents.ways == 20
    assert len(contents.background.alphabets) >= 12
    assert contents.runs.n_tasks == 400


def test_every_drawing_has_ink_and_none_is_a_copy(contents: Contents) -> None:
    images = contents.background.images
    ink = np.unpackbits(images, axis=-1).sum(axis=(1, 2))
    assert ink.min() > 20
    assert ink.max() < 105 * 105 // 3
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.slow
def test_the_same_in_another_process(contents: Contents) -> None:
    code = (
        "from hpsearch.sources.glyphs import draw_glyphs\n"
        "from hpsearch.data.pack import fingerprint\n"
        "import sys; sys.stdout.write(fingerprint(draw_glyphs()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == fingerprint(contents)


@pytest.mark.parametrize("size", [35, 105])
def test_nearest_neighbour_in_pixels_fails_mostly(contents: Contents, size: int) -> None:
    validation = contents.validation
    _, drawers = split_drawers(20, 12, seed=0)
    tasks = validation_tasks(validation, TaskSize(20), drawers=drawers, seed=0)
    images = area_average(validation.images, size).reshape(len(validation.images), -1)
    flat = images.astype(np.float32) / 255
    scores = np.stack(
        [
            -((flat[query][:, None] - flat[support][None]) ** 2).sum(axis=-1)
            for query, support in zip(tasks.query, tasks.support, strict=True)
        ]
    )
    assert 0.10 < score_tasks(scores, tasks).mean() < 0.60
