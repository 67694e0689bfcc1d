"""The picture of sealed tasks that models get wrong, and the shipped model's half precision."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.mistakes import COLUMNS, Mistake, draw
from benchmarks.ship_weights import halved
from hpsearch.data.resize import SIDE


def test_a_row_shows_query_right_and_every_answer() -> None:
    images = np.stack([np.full((SIDE, SIDE), value, np.uint8) for value in (255, 0, 128)])
    one = Mistake("Letters", 0, 1, (1, 2))
    assert one.wrong == 1
    sheet = np.asarray(draw([one] * 3, images, models=2))
    assert sheet.shape[1] % COLUMNS == 0
    greys, counts = np.unique(sheet[:, : sheet.shape[1] // COLUMNS], return_counts=True)
    shown = dict(zip(greys.tolist(), counts.tolist(), strict=True))
    assert shown[127] >= 2 * (SIDE - 4) ** 2  # the wrong answer, in both rows of the first column


def test_half_precision_leaves_counts_alone() -> None:
    weights = {"w": torch.tensor([1 / 3, 70.5]), "n": torch.tensor(100_000)}
    half = halved(weights)
    assert half["w"].dtype == torch.float16
    assert half["n"].dtype == torch.int64
    assert int(half["n"]) == 100_000
