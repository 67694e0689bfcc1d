"""One-shot tasks: what they are made of, and what scorers earn on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.task_size import TaskSize
from hpsearch.data.tasks import (
    OneShotTasks,
    score_tasks,
    split_drawers,
    validation_tasks,
    verification_pairs,
)
from hpsearch.errors import InputError
from tests.support.trees import role

TEN = (20, 26, 21, 22, 23, 24, 25, 20, 30, 40)
DRAWERS = (3, 7, 11, 19)


def tasks_of(seed: int = 0) -> OneShotTasks:
    return validation_tasks(role(TEN), TaskSize(20), drawers=DRAWERS, seed=seed)


def test_320_tasks_are_within_one_alphabet_by_two_drawers() -> None:
    characters = role(TEN)
    tasks = tasks_of()
    assert tasks.query.shape == (16, 20)
    assert tasks.n_tasks == 320
    matched = np.take_along_axis(tasks.support, tasks.target, axis=1)
    np.testing.assert_array_equal(characters.character[tasks.query], characters.character[matched])
    for run in range(16):
        query, support = tasks.query[run], tasks.support[run]
        (first,), (second,) = set(characters.drawer[query]), set(characters.drawer[support])
        assert first != second
        assert {first, second} <= set(DRAWERS)
        assert len(set(characters.character[query])) == 20
        (alphabet,) = set(characters.alphabet_of[characters.character[query]])
        assert characters.alphabets[alphabet] == tasks.alphabet[run]


def test_every_alphabet_once_and_seeded_six_twice() -> None:
    counts = Counter(tasks_of().alphabet)
    assert sorted(counts.values()) == [1] * 4 + [2] * 6
    assert {a for a, n in counts.items() if n == 2} != {
        a for a, n in Counter(tasks_of(1).alphabet).items() if n == 2
    }


def test_the_seed_alone_decides() -> None:
    np.testing.assert_array_equal(tasks_of(5).support, tasks_of(5).support)
    assert (tasks_of(5).support != tasks_of(6).support).any()


def test_targets_are_permuted() -> None:
    """Always candidate 0, or always the diagonal, is how others report 100 % for a constant."""
    target = tasks_of().target
    assert len(np.unique(target[:, 0])) > 5
    assert (target == np.arange(20)).mean() < 0.15


@pytest.mark.parametrize("value", [0.0, -3.5, np.nan, np.inf, -np.inf])
def test_constant_scorers_earn_exactly_chance(value: float) -> None:
    credit = score_tasks(np.full((16, 20, 20), value), tasks_of())
    np.testing.assert_array_equal(credit, np.full((16, 20), 1 / 20))


def test_a_mix_of_non_finite_scores_ties_and_ranks_last() -> None:
    tasks = OneShotTasks(np.array([[0]]), np.array([[0, 1, 2]]), np.array([[0]]), ("A",))
    tasks = replace(tasks, query=np.array([[0, 1, 2]]), target=np.array([[0, 1, 2]]))
    nan, inf = np.nan, np.inf
    scores = np.array([[[nan, inf, -inf], [-9.0, nan, inf], [inf, nan, -1e30]]])
    np.testing.assert_array_equal(score_tasks(scores, tasks), [[1 / 3, 0.0, 1.0]])


def test_a_random_scorer_earns_chance_within_three_standard_errors() -> None:
    rng = np.random.default_rng(0)
    credits = [score_tasks(rng.normal(size=(16, 20, 20)), tasks_of(s)) for s in range(10)]
    error = np.sqrt(0.05 * 0.95 / 3200)
    assert abs(np.mean(credits) - 0.05) < 3 * error


def test_an_oracle_earns_everything() -> None:
    tasks = tasks_of()
    scores = np.zeros((16, 20, 20))
    np.put_along_axis(scores, tasks.target[:, :, None], 1.0, axis=2)
    assert (score_tasks(scores, tasks) == 1).all()


def test_ties_equal_a_slow_loop() -> None:
    tasks = tasks_of()
    scores = np.random.default_rng(1).integers(0, 4, (16, 20, 20)).astype(float)
    credit = score_tasks(scores, tasks)
    for run in range(16):
        for query in range(20):
            row = scores[run, query].tolist()
            best = [index for index, value in enumerate(row) if value == max(row)]
            expected = 1 / len(best) if tasks.target[run, query] in best else 0.0
            assert credit[run, query] == expected


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        score_tasks(np.zeros((16, 20, 19)), tasks_of())


def test_too_few_characters_are_refused() -> None:
    with pytest.raises(InputError, match=r"A1.*19 characters"):
        validation_tasks(role((20, 19)), TaskSize(20), drawers=DRAWERS, seed=0)


def test_own_images_with_few_drawings_still_give_tasks() -> None:
    """Characters with two to four drawings, no pair of drawers common to enough of them."""
    full = role((8,), drawers=4)
    kept = np.array([r for r in range(32) if full.drawer[r] < 2 + full.character[r] % 3])
    few = replace(
        full, images=full.images[kept], character=full.character[kept], drawer=full.drawer[kept]
    )
    tasks = validation_tasks(few, TaskSize(8), drawers=[2, 3], seed=0)
    matched = np.take_along_axis(tasks.support, tasks.target, axis=1)
    assert (few.character[matched] == few.character[tasks.query]).all()
    assert (few.drawer[matched] != few.drawer[tasks.query]).all()


def test_drawers_are_apart_and_validation_ignores_the_number_trained_on() -> None:
    training, validation = split_drawers(20, 12, seed=3)
    assert len(training) == 12
    assert len(validation) == 4
    assert not set(training) & set(validation)
    assert split_drawers(20, 5, seed=3)[1] == validation
    assert split_drawers(20, 12, seed=4) != (training, validation)
    assert split_drawers(9, 12, seed=3) == (list(range(9)), list(range(9)))


def test_verification_pairs_are_balanced() -> None:
    characters = role(TEN)
    left, right, same = verification_pairs(characters, 2000, DRAWERS, seed=0)
    assert same.mean() == 0.5
    np.testing.assert_array_equal(same, characters.character[left] == characters.character[right])
    assert (characters.drawer[left] != characters.drawer[right]).all()
    assert set(characters.drawer[left]) == set(DRAWERS)
    alphabet = characters.alphabet_of[characters.character]
    within = alphabet[left] == alphabet[right]
    assert (within & ~same).mean() == 0.25
    np.testing.assert_array_equal(np.bincount(alphabet[left]), np.full(10, 200))
    again = verification_pairs(characters, 2000, DRAWERS, seed=0)
    np.testing.assert_array_equal(again[0], left)
