"""One-shot tasks and verification pairs as rows of images, and the credit of scores.

Letters: R runs, W ways, C characters, D drawers. Must not know networks or the images' source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Characters
from hpsearch.data.task_size import TaskSize
from hpsearch.errors import InputError
from hpsearch.seeding import generator

VALIDATION_DRAWERS = 4
"""Drawers of the validation tasks (Koch et al. 2015, section 4.2)."""
DENSE_DRAWERS = 8
"""Drawers of dense validation: all but twelve."""
FEW_DRAWERS = 16
"""With fewer drawers, all of them train and all of them validate."""


@dataclass(frozen=True, eq=False)
class OneShotTasks:
    """R runs of W ways within one alphabet; every query of a run is one task: R * W tasks.

    A run may ask for fewer classes than it has: then its queries are [R, Q], Q below W.
    """

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
        """The number of tasks, R * W, or R * Q."""
        return int(self.query.size)

    @property
    def n_pictures(self) -> int:
        """The number of pictures that they ask for: a picture asked again is no new evidence."""
        return len(np.unique(self.query))

    @property
    def ways(self) -> int:
        """The number of candidates W; chance is 1 / W."""
        return int(self.support.shape[1])


def split_drawers(
    n_drawers: int, n_training: int, seed: int, *, people: bool = True
) -> tuple[list[int], list[int]]:
    """Choose the training drawers and the validation drawers.

    The validation drawers do not depend on `n_training`. If fewer than four drawers are left,
    training drawers also validate: in other alphabets they are other people.

    Args:
        n_drawers: Number of drawers, at least 1.
        n_training: Number of training drawers; a larger number means all.
        seed: The study's seed.
        people: False if drawers are unknown (own images).

    Returns:
        Training drawers and four validation drawers, both ascending. With fewer than 16 drawers,
        or with unknown ones, both are all drawers.

    Reference:
        Koch et al. 2015, section 4.2: 12 of 20 to train, 4 others to validate.
    """
    parts = (slice(n_training), slice(-VALIDATION_DRAWERS, None))
    training, validating = (_drawers(n_drawers, seed, people, part) for part in parts)
    return training, validating


def _drawers(n_drawers: int, seed: int, people: bool, part: slice) -> list[int]:
    """Return a part of the drawers in random order, ascending; all if they are few or unknown."""
    if n_drawers < FEW_DRAWERS or not people:
        return list(range(n_drawers))
    order = generator(seed, "drawers").permutation(n_drawers).tolist()
    return sorted(order[part])


def dense_drawers(n_drawers: int, seed: int, *, people: bool = True) -> list[int]:
    """Return the eight drawers of dense validation, ascending; they include those of the tasks.

    These are the drawers that twelve training drawers leave. With fewer than 16 drawers, or with
    unknown ones, all are returned.
    """
    return _drawers(n_drawers, seed, people, slice(-DENSE_DRAWERS, None))


def fresh_drawers(n_drawers: int, seed: int, *, people: bool = True) -> list[int]:
    """Return the drawers that the study never validates on, ascending.

    In validation alphabets their drawings are not trained on either, so a score on them is
    independent of the search. With fewer than 16 drawers, or with unknown ones, all are returned;
    then only the tasks are fresh.
    """
    return _drawers(n_drawers, seed, people, slice(-DENSE_DRAWERS))


def validation_tasks(
    characters: Characters,
    size: TaskSize,
    *,
    drawers: Sequence[int],
    seed: int,
    n_runs: int | None = None,
) -> OneShotTasks:
    """Draw one-shot runs with ordered pairs of drawers, from every alphabet equally often.

    If the runs cannot be divided equally, random alphabets get one more. In each run the pair's
    first drawer drew the queries, the second the candidates. If too few characters have drawings
    by both, each character takes any two of its drawings. If drawers are unknown (own images),
    each character shows its images two at a time, and all of them before one is repeated; groups
    that are too small are left out.

    Args:
        characters: The role to draw from.
        size: Characters per run; its shots do not count.
        drawers: The drawers to use, at least 2.
        seed: The study's seed; equal seeds give equal tasks.
        n_runs: Number of runs, at least 1; None takes that of `size`.

    Raises:
        InputError: An alphabet, or every group of own images, has too few characters with two
            drawings.

    Reference:
        Koch et al. 2015, section 4.3, and Lake's demo: within-alphabet, 20 ways.
    """
    rng = generator(seed, "one-shot tasks")
    index = characters.index()  # [C, D]
    present = [d for d in drawers if d < index.shape[1]]
    ways, n_runs = size.ways, n_runs or size.runs
    if characters.people:
        groups = {n: characters.of_alphabet(n) for n in range(len(characters.alphabets))}
    else:
        groups = usable_groups(characters, size.one_shot())
    numbers = list(groups)
    turns, rest = divmod(n_runs, len(numbers))
    extra = rng.permutation(len(numbers))[:rest]
    run_alphabets = [*(numbers * turns), *(numbers[place] for place in extra.tolist())]
    order = rng.permutation(len(present) * (len(present) - 1))
    pairs = list(permutations(present, 2)) if characters.people else []
    pictures = None if characters.people else Pictures(index, rng)
    query = np.empty((n_runs, ways), np.int64)
    support = np.empty((n_runs, ways), np.int64)
    target = np.empty((n_runs, ways), np.int64)
    for run, alphabet in enumerate(run_alphabets):
        members, name = groups[alphabet], characters.alphabets[alphabet]
        if pictures is not None:
            chosen = rng.permutation(members)[:ways]
            first, second = pictures.some_of_each(chosen, 2).T
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
    chosen = rng.permutation(with_drawings(index, 2, ways, name))[:ways]
    two = [rng.permutation(row[row >= 0])[:2] for row in index[chosen]]
    return np.array([rows[0] for rows in two]), np.array([rows[1] for rows in two])


def with_drawings(index: NDArray[np.int64], count: int, ways: int, name: str) -> NDArray[np.int64]:
    """Return the characters of an alphabet that have so many drawings, as rows of `index`.

    Raises:
        InputError: There are fewer than `ways`.
    """
    usable = np.flatnonzero((index >= 0).sum(axis=1) >= count)
    if len(usable) < ways:
        raise InputError(
            f"alphabet {name}: {len(usable)} characters with {count} drawings or more, a "
            f"{ways}-way task needs {ways}; add drawings or characters, or set fewer ways or shots"
        )
    return usable


def usable_groups(characters: Characters, size: TaskSize) -> dict[int, NDArray[np.int64]]:
    """Return, by group, the classes of own images with one picture more than shots.

    Groups with fewer such classes than ways are left out.

    Raises:
        InputError: Every group has fewer.
    """
    counts = np.bincount(characters.character, minlength=len(characters.names))
    of = characters.alphabet_of
    usable = {
        number: np.flatnonzero((of == number) & (counts > size.shots))
        for number in range(len(characters.alphabets))
    }
    kept = {number: members for number, members in usable.items() if len(members) >= size.ways}
    if not kept:
        largest = max(usable, key=lambda number: len(usable[number]))
        raise InputError(
            f"ways: {size.ways}, shots: {size.shots}: the validation group "
            f"{characters.alphabets[largest]} has {len(usable[largest])} classes of "
            f"{size.shots + 1} pictures or more, others no more; set fewer ways or shots, or add "
            "pictures"
        )
    return kept


class Pictures:
    """Hands out each character's images, and all of them before one is repeated.

    Args:
        index: The image row of (character, image), [C, D], -1 if there is none.
        rng: Decides their order.
    """

    def __init__(self, index: NDArray[np.int64], rng: np.random.Generator) -> None:
        self._index, self._rng = index, rng
        self._waiting: dict[int, list[int]] = {}

    def some_of_each(self, characters: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Return different pictures of each character, rows [W, count]; each has so many."""
        drawn = [self._some(character, count) for character in characters.tolist()]
        return np.array(drawn, np.int64)

    def _some(self, character: int, count: int) -> list[int]:
        waiting = self._waiting.setdefault(character, [])
        if len(waiting) < count:
            row = self._index[character]
            more = self._rng.permutation(row[row >= 0]).tolist()
            left = set(waiting)  # the remaining images of the last round are not shown twice now
            place = 0
            while place < count - len(left):
                if more[place] in left:
                    more.append(more.pop(place))
                else:
                    place += 1
            waiting += more
        some = waiting[:count]
        del waiting[:count]
        return some


def score_tasks(scores: NDArray[np.floating], tasks: OneShotTasks) -> NDArray[np.float64]:
    """Return the credit of every task: 1 / k when the target is among the k best, else 0.

    Non-finite scores rank last and tie, so a constant scorer and one that returns NaN both earn
    exactly 1 / W.

    Args:
        scores: [R, W (query), W (support)], higher is more alike.
        tasks: The R scored runs.

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
    """Draw pairs of images: half of the same character, half different; alphabets equally often.

    Half of the different pairs lie within one alphabet, half across two. The two images of a pair
    are by different drawers where possible, so that handwriting does not reveal the answer.

    Args:
        characters: The role to draw from.
        n: Number of pairs, at least 1.
        drawers: The drawers to use; a character with fewer than two drawings by them uses all.
        seed: The study's seed.

    Returns:
        Rows of the left and the right images, int64 [n] each, and whether both show the same
        character, bool [n].

    Reference:
        Koch et al. 2015, section 4.2: 10,000 pairs for validation.
    """
    rng = generator(seed, "verification pairs")
    index = characters.index()
    drawers = drawers if characters.people else ()
    several = len(characters.alphabets) > 1
    members = [characters.of_alphabet(a) for a in range(len(characters.alphabets))]
    usable = [_drawers_of(index, character, drawers) for character in range(len(index))]
    left, right = np.empty(n, np.int64), np.empty(n, np.int64)
    for pair in range(n):
        # Four kinds of pair in turn; within each kind the alphabets in turn.
        kind, alphabet = pair % 4, (pair // 4) % len(members)
        one = other = _one_of(members[alphabet], rng)
        if kind == 1 and several:
            away = (alphabet + 1 + int(rng.integers(len(members) - 1))) % len(members)
            other = _one_of(members[away], rng)
        elif kind % 2 == 1 and len(members[alphabet]) > 1:
            rest = members[alphabet][members[alphabet] != one]
            other = _one_of(rest, rng)
        first = _one_of(usable[one], rng)
        others = [drawer for drawer in usable[other] if drawer != first] or usable[other]
        left[pair], right[pair] = index[one, first], index[other, _one_of(others, rng)]
    return left, right, characters.character[left] == characters.character[right]


def _one_of(values: Sequence[int] | NDArray[np.int64], rng: np.random.Generator) -> int:
    """Draw one of some values: the one that `rng.choice` draws, in a quarter of its time."""
    return int(values[int(rng.integers(len(values)))])


def _drawers_of(index: NDArray[np.int64], character: int, drawers: Sequence[int]) -> list[int]:
    """Return the drawers whose drawings of a character may be used."""
    have = [d for d in drawers if d < index.shape[1] and index[character, d] >= 0]
    return have if len(have) >= 2 else np.flatnonzero(index[character] >= 0).tolist()
