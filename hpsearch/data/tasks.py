"""One-shot tasks and verification pairs as rows of images, and how scores earn credit.

Letters: R runs, W ways, C characters, D drawers. Must not know networks or where images come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Characters
from hpsearch.errors import InputError
from hpsearch.seeding import generator

VALIDATION_DRAWERS = 4
"""Drawers whose images make the validation tasks (Koch et al. 2015, section 4.2)."""
DENSE_DRAWERS = 8
"""Drawers of dense validation: all but twelve."""
FEW_DRAWERS = 16
"""With fewer drawers than this all of them train and all of them validate."""


@dataclass(frozen=True, eq=False)
class OneShotTasks:
    """R runs of W ways within one alphabet; every query of a run is one task: R * W tasks."""

    query: NDArray[np.int64]
    """[R, W] image rows, one per character of the run."""
    support: NDArray[np.int64]
    """[R, W] image rows of the same characters by other drawers, in another order."""
    target: NDArray[np.int64]
    """[R, W] position in `support` of the query's character."""
    alphabet: tuple[str, ...]
    """[R] names."""

    @property
    def n_tasks(self) -> int:
        """The number of tasks, R * W."""
        return int(self.query.size)

    @property
    def ways(self) -> int:
        """The number of candidates W; chance is 1 / W."""
        return int(self.query.shape[1])


def split_drawers(
    n_drawers: int, n_training: int, seed: int, *, people: bool = True
) -> tuple[list[int], list[int]]:
    """Choose who is trained on and who is validated on.

    The validation drawers do not depend on `n_training`. Where fewer than four others are left,
    training drawers fill the place: in other alphabets they are other people anyway.

    Args:
        n_drawers: How many there are, at least 1.
        n_training: How many to train on; more than there are means all.
        seed: The study's seed.
        people: False where drawings are only counted (own images): then there is none to choose.

    Returns:
        Training drawers and four validation drawers, both ascending; all and all when there are
        fewer than 16, or they are no people.

    Reference:
        Koch et al. 2015, section 4.2: 12 of 20 to train, 4 others to validate.
    """
    if n_drawers < FEW_DRAWERS or not people:
        return list(range(n_drawers)), list(range(n_drawers))
    order = generator(seed, "drawers").permutation(n_drawers).tolist()
    return sorted(order[:n_training]), sorted(order[-VALIDATION_DRAWERS:])


def dense_drawers(n_drawers: int, seed: int, *, people: bool = True) -> list[int]:
    """Return the eight drawers of dense validation, ascending: the four of the tasks are in it.

    They are those that twelve training drawers leave; all where there are fewer than 16, or where
    they are no people.
    """
    if n_drawers < FEW_DRAWERS or not people:
        return list(range(n_drawers))
    order = generator(seed, "drawers").permutation(n_drawers).tolist()
    return sorted(order[-DENSE_DRAWERS:])


def fresh_drawers(n_drawers: int, seed: int, *, people: bool = True) -> list[int]:
    """Return the drawers that no validation of the study shows, ascending.

    In validation alphabets nobody trains on them, so a figure on their drawings is news. All where
    there are fewer than 16, or they are no people: then only the tasks are fresh.
    """
    if n_drawers < FEW_DRAWERS or not people:
        return list(range(n_drawers))
    order = generator(seed, "drawers").permutation(n_drawers).tolist()
    return sorted(order[:-DENSE_DRAWERS])


def validation_tasks(
    characters: Characters, *, ways: int, n_runs: int = 16, drawers: Sequence[int], seed: int
) -> OneShotTasks:
    """Draw runs: every alphabet equally often, seeded ones once more; ordered pairs of drawers.

    In each run the queries are by the pair's first drawer, the candidates by its second. Where
    too few characters have drawings by both, each character takes any two drawings of its own
    instead. Where drawers are no people (own images), each character shows its pictures two by
    two, all of them before any comes again.

    Args:
        characters: The role to draw from.
        ways: Characters per run, at least 2.
        n_runs: How many runs, at least 1.
        drawers: Who may appear, at least 2.
        seed: The study's seed; the same one gives the same tasks.

    Raises:
        InputError: An alphabet has fewer than `ways` characters with two drawings.

    Reference:
        Koch et al. 2015, section 4.3, and Lake's demo: within-alphabet, 20 ways.
    """
    rng = generator(seed, "one-shot tasks")
    index = characters.index()  # [C, D]
    pairs = list(permutations([d for d in drawers if d < index.shape[1]], 2))
    n_alphabets = len(characters.alphabets)
    turns, rest = divmod(n_runs, n_alphabets)
    extra = rng.permutation(n_alphabets)[:rest]
    run_alphabets = [*(list(range(n_alphabets)) * turns), *extra.tolist()]
    order = rng.permutation(len(pairs)).tolist()
    pictures = None if characters.people else Pictures(index, rng)
    query = np.empty((n_runs, ways), np.int64)
    support = np.empty((n_runs, ways), np.int64)
    target = np.empty((n_runs, ways), np.int64)
    for run, alphabet in enumerate(run_alphabets):
        members, name = characters.of_alphabet(alphabet), characters.alphabets[alphabet]
        if pictures is not None:
            first, second = pictures.two_of_each(pictures.some(members, ways, name))
        else:
            in_turn = [pairs[order[(run + turn) % len(order)]] for turn in range(len(order))]
            first, second = _drawings(index[members], in_turn, ways, name, rng)
        shuffled = rng.permutation(ways)
        query[run], support[run] = first, second[shuffled]
        target[run] = np.argsort(shuffled)
    names = tuple(characters.alphabets[alphabet] for alphabet in run_alphabets)
    return OneShotTasks(query, support, target, names)


def _drawings(
    index: NDArray[np.int64],
    pairs: Sequence[tuple[int, int]],
    ways: int,
    name: str,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose `ways` characters of one alphabet and two drawings of each, rows [W] and [W]."""
    for first, second in pairs:
        both = np.flatnonzero((index[:, first] >= 0) & (index[:, second] >= 0))
        if len(both) >= ways:
            chosen = rng.permutation(both)[:ways]
            return index[chosen, first], index[chosen, second]
    chosen = rng.permutation(with_two_drawings(index, ways, name))[:ways]
    two = [rng.permutation(row[row >= 0])[:2] for row in index[chosen]]
    return np.array([rows[0] for rows in two]), np.array([rows[1] for rows in two])


def with_two_drawings(index: NDArray[np.int64], ways: int, name: str) -> NDArray[np.int64]:
    """Return the characters of an alphabet that can be asked and offered, rows of `index`.

    Raises:
        InputError: They are fewer than `ways`.
    """
    usable = np.flatnonzero((index >= 0).sum(axis=1) >= 2)
    if len(usable) < ways:
        raise InputError(
            f"alphabet {name}: {len(usable)} characters with two drawings or more, "
            f"a {ways}-way task needs {ways}; add drawings or characters"
        )
    return usable


class Pictures:
    """Hands out each character's pictures two by two, all of them before any comes again.

    Args:
        index: The image row of (character, picture), [C, D], -1 where there is none.
        chance: Decides their order.
    """

    def __init__(self, index: NDArray[np.int64], rng: np.random.Generator) -> None:
        self._index, self._chance = index, rng
        self._waiting: dict[int, list[int]] = {}

    def some(self, members: NDArray[np.int64], count: int, name: str) -> NDArray[np.int64]:
        """Choose characters of one alphabet.

        Raises:
            InputError: Fewer than `count` have two pictures.
        """
        usable = members[with_two_drawings(self._index[members], count, name)]
        return np.asarray(self._chance.permutation(usable)[:count])

    def two_of_each(
        self, characters: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return two different pictures of each character, rows [W] and [W]."""
        two = np.array([self._two(character) for character in characters.tolist()], np.int64)
        return two[:, 0], two[:, 1]

    def _two(self, character: int) -> list[int]:
        left = self._waiting.setdefault(character, [])
        if len(left) < 2:
            row = self._index[character]
            more = self._chance.permutation(row[row >= 0]).tolist()
            if left and more[0] == left[0]:  # the odd one of the last round
                more.append(more.pop(0))
            left += more
        two = left[:2]
        del left[:2]
        return two


def score_tasks(scores: NDArray[np.floating], tasks: OneShotTasks) -> NDArray[np.float64]:
    """Return the credit of every task: 1 / k when the target is among the k best, else 0.

    Scores that are not finite rank last and tie among themselves, so a constant scorer and one
    that returns NaN earn exactly 1 / W.

    Args:
        scores: [R, W (query), W (support)], higher is more alike.
        tasks: The R runs they belong to.

    Returns:
        float64 [R, W], each within 0 to 1; the mean is the accuracy.

    Raises:
        ValueError: The shapes do not fit.
    """
    expected = (*tasks.query.shape, tasks.ways)
    if scores.shape != expected:
        raise ValueError(f"scores have shape {scores.shape}, the tasks need {expected}")
    ranked = np.where(np.isfinite(scores), scores, -np.inf)
    best = ranked == ranked.max(axis=2, keepdims=True)  # [R, W, W]
    hit = np.take_along_axis(best, tasks.target[:, :, None], axis=2)[:, :, 0]
    return np.asarray(hit / best.sum(axis=2), np.float64)


def verification_pairs(
    characters: Characters, n: int, drawers: Sequence[int], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Draw pairs of images: half the same character, half different; alphabets in equal number.

    Different pairs are in equal parts within one alphabet and across two. The two images of a
    pair are by different drawers wherever the character has them, so that a drawer's hand
    never tells the answer.

    Args:
        characters: The role to draw from.
        n: How many pairs, at least 1.
        drawers: Who may appear; characters with fewer than two drawings by them use all theirs.
        seed: The study's seed.

    Returns:
        Rows of the left and of the right images, int64 [n] each, and whether they are the same
        character, bool [n].

    Reference:
        Koch et al. 2015, section 4.2: 10,000 pairs for validation.
    """
    rng = generator(seed, "verification pairs")
    index = characters.index()
    drawers = drawers if characters.people else ()
    several = len(characters.alphabets) > 1
    members = [characters.of_alphabet(a) for a in range(len(characters.alphabets))]
    left, right = np.empty(n, np.int64), np.empty(n, np.int64)
    for pair in range(n):
        # Four kinds of pair in turn; within each kind the alphabets in turn.
        kind, alphabet = pair % 4, (pair // 4) % len(members)
        one = other = int(rng.choice(members[alphabet]))
        if kind == 1 and several:
            away = (alphabet + 1 + int(rng.integers(len(members) - 1))) % len(members)
            other = int(rng.choice(members[away]))
        elif kind % 2 == 1 and len(members[alphabet]) > 1:
            rest = members[alphabet][members[alphabet] != one]
            other = int(rng.choice(rest))
        left[pair], right[pair] = _two_drawings(index, one, other, drawers, rng)
    return left, right, characters.character[left] == characters.character[right]


def _two_drawings(
    index: NDArray[np.int64],
    one: int,
    other: int,
    drawers: Sequence[int],
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Choose a drawing of each of two characters, by two drawers where that is possible."""
    drawer = int(rng.choice(_drawers_of(index, one, drawers)))
    others = _drawers_of(index, other, drawers)
    different = [d for d in others if d != drawer] or others
    return int(index[one, drawer]), int(index[other, int(rng.choice(different))])


def _drawers_of(index: NDArray[np.int64], character: int, drawers: Sequence[int]) -> list[int]:
    """Return whose drawings of a character may be used."""
    have = [d for d in drawers if d < index.shape[1] and index[character, d] >= 0]
    return have if len(have) >= 2 else np.flatnonzero(index[character] >= 0).tolist()
