"""Dense validation against enumeration of every subset, and what earns exactly chance."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from hpsearch.data import Characters, score_tasks, split_drawers
from hpsearch.data.dense import (
    DenseTasks,
    DrawerPair,
    dense_accuracy,
    dense_tasks,
    expected_credits,
)
from hpsearch.data.task_size import TaskSize
from hpsearch.data.tasks import OneShotTasks, dense_drawers, fresh_drawers
from hpsearch.errors import InputError

WAYS = 20


def characters(sizes: tuple[int, ...], n_drawers: int, missing: float = 0.0) -> Characters:
    """Return characters without pictures; some drawings may be missing."""
    rng = np.random.default_rng(3)
    kept = rng.random((sum(sizes), n_drawers)) >= missing
    character, drawer = np.nonzero(kept)
    return Characters(
        images=np.zeros((len(character), 1, 1), np.uint8),
        character=character,
        drawer=drawer,
        alphabet_of=np.repeat(np.arange(len(sizes)), sizes),
        names=tuple(f"c{n}" for n in range(sum(sizes))),
        alphabets=tuple(f"a{n}" for n in range(len(sizes))),
    )


def enumerated(scores: NDArray[np.float64], ways: int) -> list[float]:
    """Score every subset of the other characters, one at a time."""
    n, means = len(scores), []
    for right in range(n):
        others = [c for c in range(n) if c != right]
        credits = []
        for drawn in combinations(others, ways - 1):
            shown = [right, *drawn]
            row = [s if np.isfinite(s) else -np.inf for s in scores[right, shown]]
            best = max(row)
            credits.append((row[0] == best) / row.count(best))
        means.append(sum(credits) / len(credits))
    return means


@pytest.mark.parametrize("ways", [2, 4, 8])
@pytest.mark.parametrize("kind", ["distinct", "tied", "holes"])
def test_expected_credit_is_the_mean_over_every_subset(ways: int, kind: str) -> None:
    rng = np.random.default_rng(ways)
    scores = rng.normal(size=(8, 8))
    if kind != "distinct":
        scores = np.round(2 * scores)
    if kind == "holes":
        scores[rng.random((8, 8)) < 0.3] = np.nan
        scores[0, 0], scores[1, 2] = -np.inf, np.inf
    found = expected_credits(scores, ways)
    np.testing.assert_allclose(found, enumerated(scores, ways), rtol=1e-13)


def test_dense_is_what_drawn_tasks_approach() -> None:
    data = characters((30,), 4)
    tasks = dense_tasks(data, TaskSize(WAYS), drawers=[0, 1, 2, 3], seed=0)
    assert len(tasks.pairs) == 12
    assert tasks.n_tasks == 12 * 30
    rng = np.random.default_rng(1)
    scores = [rng.normal(size=(30, 30)) + 1.5 * np.eye(30) for _ in tasks.pairs]
    dense = dense_accuracy(scores, tasks)
    drawn = []
    for _ in range(3000):
        pair, chosen = rng.integers(12), rng.permutation(30)[:WAYS]
        rows = np.arange(WAYS)[None]
        one = OneShotTasks(rows, rows, rows, ("a0",))
        drawn.append(score_tasks(scores[pair][np.ix_(chosen, chosen)][None], one).mean())
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert abs(dense.accuracy - np.mean(drawn)) < 4 * error
    assert dense.per_alphabet == {"a0": dense.accuracy}


def test_constant_and_nan_scorers_earn_exactly_chance_and_random_ones_within_noise() -> None:
    data = characters((20, 26, 47, 55), 20)
    tasks = dense_tasks(data, TaskSize(WAYS), drawers=dense_drawers(20, 0), seed=0)
    shapes = [(len(p.query), len(p.support)) for p in tasks.pairs]
    for value in (0.0, -3.7, np.nan, np.inf):
        constant = dense_accuracy([np.full(shape, value) for shape in shapes], tasks)
        assert constant.accuracy == 0.05
        assert set(constant.per_alphabet.values()) == {0.05}
    rng = np.random.default_rng(5)
    found = [
        dense_accuracy([rng.normal(size=shape) for shape in shapes], tasks).accuracy
        for _ in range(30)
    ]
    assert abs(np.mean(found) - 0.05) < 3 * np.std(found, ddof=1) / np.sqrt(len(found))
    right = dense_accuracy([np.eye(shape[0]) for shape in shapes], tasks)
    assert right.accuracy == 1.0


def test_alphabets_count_in_equal_parts() -> None:
    rows = np.arange(4)
    pairs = tuple(
        DrawerPair(name, rows, rows[:, None]) for name in ("few", "many", "many", "many")
    )
    scores = [np.eye(4), *([np.zeros((4, 4))] * 3)]
    found = dense_accuracy(scores, DenseTasks(2, pairs))
    assert found.per_alphabet == {"few": 1.0, "many": 0.5}
    assert found.accuracy == 0.75


def test_every_ordered_pair_of_drawers_shows_the_same_characters_in_the_same_order() -> None:
    data = characters((25, 31), 20, missing=0.05)
    drawers = dense_drawers(20, 4)
    tasks = dense_tasks(data, TaskSize(WAYS), drawers=drawers, seed=4)
    shown = {
        (
            p.alphabet,
            *{data.drawer[r] for r in p.query},
            *{data.drawer[r] for r in p.support[:, 0]},
        )
        for p in tasks.pairs
    }
    assert shown == {(a, *pair) for a in ("a0", "a1") for pair in permutations(drawers, 2)}
    for pair in tasks.pairs:
        assert (data.character[pair.query][:, None] == data.character[pair.support]).all()
        assert len(set(data.character[pair.query])) == len(pair.query) >= WAYS
    rows = tasks.rows
    again = tasks.renumbered(rows)
    np.testing.assert_array_equal(rows[again.pairs[7].query], tasks.pairs[7].query)


def test_own_images_pair_any_two_drawings_and_too_few_are_refused() -> None:
    data = characters((16,), 6, missing=0.5)
    first = dense_tasks(data, TaskSize(10), drawers=range(6), seed=1)
    again = dense_tasks(data, TaskSize(10), drawers=range(6), seed=1)
    assert len(first.pairs) == 12
    for one, two in zip(first.pairs, again.pairs, strict=True):
        np.testing.assert_array_equal(one.query, two.query)
        assert (one.query[:, None] != one.support).all()
        assert (data.character[one.query][:, None] == data.character[one.support]).all()
    with pytest.raises(InputError, match="add drawings or characters"):
        dense_tasks(characters((5,), 4), TaskSize(10), drawers=range(4), seed=1)


@pytest.mark.parametrize("seed", range(5))
def test_dense_drawers_hold_those_of_the_tasks_and_fresh_ones_are_the_others(seed: int) -> None:
    training, validation = split_drawers(20, 12, seed)
    dense, fresh = dense_drawers(20, seed), fresh_drawers(20, seed)
    assert set(validation) < set(dense)
    assert fresh == training
    assert sorted(dense + fresh) == list(range(20))
    assert dense_drawers(8, seed) == fresh_drawers(8, seed) == list(range(8))


@pytest.mark.parametrize("people", [True, False])
def test_several_shots_are_other_drawings_of_the_same_character(people: bool) -> None:
    data = replace(characters((12, 9), 8), people=people)
    tasks = dense_tasks(data, TaskSize(5, shots=3), drawers=range(8), seed=2)
    assert {pair.alphabet for pair in tasks.pairs} == {"a0", "a1"}
    for pair in tasks.pairs:
        assert pair.support.shape == (len(pair.query), 3)
        assert (data.character[pair.query][:, None] == data.character[pair.support]).all()
        for rows in np.column_stack([pair.query, pair.support]):
            assert len(set(rows)) == 4
    if people:
        drawn = {tuple(data.drawer[pair.support[0]]) for pair in tasks.pairs}
        assert len(drawn) > 8  # each drawer supports beside several others


def test_few_own_classes_get_more_pairings_and_no_picture_is_shown_twice_too_early() -> None:
    data = replace(characters((5,), 8), people=False)
    few = dense_tasks(data, TaskSize(5), drawers=range(8), seed=0)
    many = dense_tasks(data, TaskSize(5, many=True), drawers=range(8), seed=0)
    assert (len(few.pairs), len(many.pairs)) == (12, 8 * 7)
    for mine, theirs in zip(few.pairs, many.pairs, strict=False):  # the first ones stay
        np.testing.assert_array_equal(mine.query, theirs.query)
    for shots in (1, 2, 4):
        size = TaskSize(5, shots=shots, many=True)
        pairs = dense_tasks(data, size, drawers=range(8), seed=0).pairs
        shown = np.concatenate([[p.query[0], *p.support[0]] for p in pairs])
        counts = [np.bincount(shown[:end], minlength=8)[:8] for end in range(len(shown))]
        assert max(np.ptp(count) for count in counts) <= 2


def test_own_groups_that_are_too_small_are_left_out_and_named_if_all_are() -> None:
    data = replace(characters((9, 4), 6), people=False)
    size = TaskSize(7, shots=2)
    assert {p.alphabet for p in dense_tasks(data, size, drawers=range(6), seed=0).pairs} == {"a0"}
    with pytest.raises(InputError, match=r"ways: 7, shots: 6: .* a0 has 0 classes of 7 pictures"):
        dense_tasks(data, TaskSize(7, shots=6), drawers=range(6), seed=0)
