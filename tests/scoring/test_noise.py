"""The noise of both measures, against redraws of whole tasks one at a time."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from hpsearch.data import Dataset, score_tasks, validation_tasks
from hpsearch.data.dense import dense_accuracy, dense_tasks
from hpsearch.data.task_size import TaskSize
from hpsearch.recognition.model import load_model
from hpsearch.results.retrain import retrain
from hpsearch.scoring.noise import _all_scores, measure_noise, noise_of_scores
from hpsearch.seeding import generator
from hpsearch.training.evaluation import encode
from tests.support.made_study import STUDY_SEED, tiny, write_best

WAYS = 20


def scores(sizes: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Return scores [N, D, N, D] with a drawer's and a character's own share in them."""
    rng = np.random.default_rng(seed)
    made = []
    for n in sizes:
        s = rng.normal(size=(n, 20, n, 20)) + rng.normal(size=(n, 1, n, 1))
        own = np.arange(n)
        s[own, :, own, :] += 2 + rng.normal(size=(1, 20, 1)) + rng.normal(size=(n, 1, 1))
        made.append(s.astype(np.float32))
    return made


def test_both_standard_errors_are_those_of_redrawn_tasks() -> None:
    """Whole data sets are drawn anew by the functions that draw a study's tasks."""
    made = scores((20, 26, 31), 1)
    found = noise_of_scores(made, ways=WAYS, seed=0, redraws=1000)
    names = ("a", "b", "c")
    rng = np.random.default_rng(4)
    paper, dense = [], []
    for _ in range(200):
        drawers = rng.permutation(20)[:8]
        parts = []
        for s, name in zip(made, names, strict=True):
            n = len(s)
            for first in drawers:
                parts += [(name, s[:, first, :, second]) for second in drawers if first != second]
            assert n >= WAYS
        by_name = {name: [_accuracy(m) for other, m in parts if other == name] for name in names}
        dense.append(np.mean([np.mean(v) for v in by_name.values()]))
        credits = []
        for run in range(16):
            s = made[run % 3]
            one, two = rng.permutation(drawers[:4])[:2]
            chosen = rng.permutation(len(s))[:WAYS]
            credits.append(_accuracy(s[:, one, :, two][np.ix_(chosen, chosen)]))
        paper.append(np.mean(credits))
    # A standard deviation of 200 values is known to 5 %, one of 1,000 to 2 %.
    assert found.dense == pytest.approx(np.std(dense, ddof=1), rel=0.2)
    assert found.tasks_320 == pytest.approx(np.std(paper, ddof=1), rel=0.2)
    assert found.dense_alphabets > found.dense
    assert found.tasks_320_alphabets > found.tasks_320


def _accuracy(matrix: np.ndarray) -> float:
    """Score by ranks: no ties, so the credit is the share of subsets that avoid all above."""
    above = (matrix > np.diagonal(matrix)[:, None]).sum(axis=1)
    return float(np.mean([avoided(len(matrix), int(h)) for h in above]))


@cache
def avoided(n: int, above: int) -> float:
    """Draw W - 1 of N - 1 one after the other, none of those above."""
    return float(np.prod([(n - 1 - above - k) / (n - 1 - k) for k in range(WAYS - 1)]))


def test_the_same_seed_gives_the_same_noise_and_few_drawers_none(dataset: Dataset) -> None:
    made = scores((20, 22), 2)
    first, again = (noise_of_scores(made, ways=WAYS, seed=3, redraws=50) for _ in range(2))
    assert first == again
    assert first != noise_of_scores(made, ways=WAYS, seed=4, redraws=50)


@pytest.mark.usefixtures("few_figures")
def test_dense_validation_has_a_fraction_of_the_tasks_noise(
    dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of a trained network, drawers and tasks redrawn 1,000 times, alphabets fixed."""
    folder = tmp_path_factory.mktemp("model")
    best = write_best(folder / "best.yaml", dataset, tiny(pairs="batch", images_per_epoch=2000))
    retrain(best, dataset, folder / "model")
    network = load_model(folder / "model").network
    characters = dataset.validation(20)
    codes = encode(network, torch.from_numpy(np.array(characters.images)))
    noise = measure_noise(network, codes, characters, ways=WAYS, seed=STUDY_SEED)
    assert noise is not None
    assert noise.redraws == 1000
    assert 0 < noise.dense <= 0.6 * noise.tasks_320
    index = characters.index()
    rows = index[characters.of_alphabet(0)]
    all_scores = _all_scores(network, codes, rows)
    tasks = dense_tasks(characters, TaskSize(WAYS), drawers=[3, 8], seed=0)
    pair = tasks.pairs[0]  # drawer 3 asks, drawer 8 is to choose from
    expected = dense_accuracy([all_scores[:, 3, :, 8]], type(tasks)(WAYS, (pair,)))
    runs = validation_tasks(characters, TaskSize(WAYS), n_runs=2, drawers=[3, 8], seed=0)
    assert expected.accuracy > 2 / WAYS
    assert score_tasks(generator(0, "x").random((2, WAYS, WAYS)), runs).shape == (2, WAYS)
