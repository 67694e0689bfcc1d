"""Dense validation: the expected one-shot accuracy over all drawer pairs and character subsets.

Computed exactly from the scores of all pairs of images. Must not know networks.
Letters: N characters of an alphabet, W ways, K shots, H candidates above the target, T tied
with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Characters
from hpsearch.data.task_size import PAIRINGS, TaskSize
from hpsearch.data.tasks import Pictures, usable_groups, with_drawings
from hpsearch.seeding import generator


@dataclass(frozen=True, eq=False)
class DrawerPair:
    """All characters of one alphabet: queries by one drawer, candidates by others."""

    alphabet: str
    query: NDArray[np.int64]
    """[N] image rows, one per character, N at least the number of ways."""
    support: NDArray[np.int64]
    """[N, K] image rows of the same characters in the same order."""


@dataclass(frozen=True, eq=False)
class DenseTasks:
    """All W-way tasks within an alphabet that the drawers' images allow."""

    ways: int
    pairs: tuple[DrawerPair, ...]

    @property
    def n_tasks(self) -> int:
        """Queries scored, each against every subset of W - 1 other characters."""
        return sum(len(pair.query) for pair in self.pairs)

    @property
    def n_pictures(self) -> int:
        """The number of pictures that they ask for: a picture asked again is no new evidence."""
        return len(np.unique(np.concatenate([pair.query for pair in self.pairs])))

    @property
    def rows(self) -> NDArray[np.int64]:
        """The image rows of the tasks, ascending, each once."""
        parts = [rows for p in self.pairs for rows in (p.query, p.support.ravel())]
        return np.unique(np.concatenate(parts))

    def renumbered(self, rows: NDArray[np.int64]) -> DenseTasks:
        """Return the same tasks with rows as positions in the ascending `rows`."""
        pairs = tuple(
            DrawerPair(
                p.alphabet, np.searchsorted(rows, p.query), np.searchsorted(rows, p.support)
            )
            for p in self.pairs
        )
        return DenseTasks(self.ways, pairs)


def dense_tasks(
    characters: Characters, size: TaskSize, *, drawers: Sequence[int], seed: int
) -> DenseTasks:
    """Return all ordered pairs of drawers who both drew `ways` characters of an alphabet.

    With several shots, the drawers who follow the second one support too. If an alphabet has no
    such pair, each character pairs its drawings at random, twelve times. If drawers are unknown
    (own images), so does every class with enough pictures, as often as `size` says, and no
    picture is repeated before all have been shown; smaller groups are left out.

    Args:
        characters: The role to draw from.
        size: Ways and shots.
        drawers: The drawers to use, at least 2.
        seed: The study's seed; used only for pairing drawings at random.

    Raises:
        InputError: An alphabet, or every group of own images, has too few characters with one
            drawing more than shots.
    """
    index = characters.index()  # [C, D]
    if not characters.people:
        return DenseTasks(size.ways, tuple(_by_pictures(characters, size, index, seed)))
    present = [d for d in drawers if d < index.shape[1]]
    pairs: list[DrawerPair] = []
    for number, name in enumerate(characters.alphabets):
        rows = index[characters.of_alphabet(number)]
        by_drawer = [_by_drawers(name, rows, one) for one in _turns(present, size.shots)]
        usable = [pair for pair in by_drawer if len(pair.query) >= size.ways]
        pairs += usable or _by_drawings(name, rows, size, seed)
    return DenseTasks(size.ways, tuple(pairs))


def _turns(drawers: Sequence[int], shots: int) -> list[list[int]]:
    """Return the drawer of the queries and those of the support, for every ordered pair."""
    found = []
    for first, second in permutations(drawers, 2):
        others = [drawer for drawer in drawers if drawer != first]
        place = others.index(second)
        if shots <= len(others):
            found.append([first, *(others[place:] + others[:place])[:shots]])
    return found


def _by_drawers(name: str, rows: NDArray[np.int64], drawers: list[int]) -> DrawerPair:
    drawn = rows[:, drawers]
    drawn = drawn[(drawn >= 0).all(axis=1)]
    return DrawerPair(name, drawn[:, 0], drawn[:, 1:])


def _by_drawings(
    name: str, rows: NDArray[np.int64], size: TaskSize, seed: int
) -> list[DrawerPair]:
    count = 1 + size.shots
    usable = [row[row >= 0] for row in rows[with_drawings(rows, count, size.ways, name)]]
    rng = generator(seed, "dense drawings", name)
    drawn = []
    for _ in range(PAIRINGS):
        some = np.array([rng.permutation(row)[:count] for row in usable])
        drawn.append(DrawerPair(name, some[:, 0], some[:, 1:]))
    return drawn


def _by_pictures(
    characters: Characters, size: TaskSize, index: NDArray[np.int64], seed: int
) -> Iterator[DrawerPair]:
    groups = usable_groups(characters, size)
    pictures = Pictures(index, generator(seed, "dense pictures"))
    counts = (index >= 0).sum(axis=1)
    classes = sum(map(len, groups.values()))
    for number, members in groups.items():
        for _ in range(size.pairings(classes, int(counts[members].max()))):
            some = pictures.some_of_each(members, 1 + size.shots)
            yield DrawerPair(characters.alphabets[number], some[:, 0], some[:, 1:])


@cache
def credit_table(n: int, ways: int) -> NDArray[np.float64]:
    """Return the expected credit of a query, [N, N] by H and T; NaN where H + T exceeds N - 1.

    W - 1 of the N - 1 others are drawn beside the target; L = N - 1 - H - T score below it. The
    credit is 1 / (1 + j) if none of H and j of T are drawn, so its expectation is
    sum_j C(T, j) C(L, W-1-j) / (1 + j) / C(N-1, W-1)
    = (C(L + T + 1, W) - C(L, W)) / ((T + 1) C(N-1, W-1)).

    Args:
        n: Characters N of the alphabet, at least `ways`.
        ways: W, at least 2.
    """
    table = np.full((n, n), np.nan)
    for above in range(n):
        for tied in range(n - above):
            below = n - 1 - above - tied
            favourable = math.comb(below + tied + 1, ways) - math.comb(below, ways)
            table[above, tied] = favourable / ((tied + 1) * math.comb(n - 1, ways - 1))
    return table


def expected_credits(scores: NDArray[np.floating], ways: int) -> NDArray[np.float64]:
    """Return each query's expected credit, [..., N].

    Non-finite scores rank last and tie among themselves, as in `score_tasks`.

    Args:
        scores: [..., N (query), N (support)], targets on the diagonal.
        ways: W, at most N.
    """
    n = scores.shape[-1]
    ranked = np.where(np.isfinite(scores), scores, -np.inf)
    right = np.diagonal(ranked, axis1=-2, axis2=-1)[..., None]  # [..., N, 1]
    above = (ranked > right).sum(axis=-1)
    tied = (ranked == right).sum(axis=-1) - 1
    return np.asarray(credit_table(n, ways)[above, tied], np.float64)


@dataclass(frozen=True)
class DenseAccuracy:
    """The expected one-shot accuracy, 0 to 1: the mean over alphabets, and of each alphabet."""

    accuracy: float
    per_alphabet: dict[str, float]


def dense_accuracy(scores: Sequence[NDArray[np.floating]], tasks: DenseTasks) -> DenseAccuracy:
    """Return the accuracy from scores [N, N] of each of the tasks' pairs; see `mean_credit`."""
    return mean_credit([expected_credits(matrix, tasks.ways) for matrix in scores], tasks)


def mean_credit(credits: Sequence[NDArray[np.float64]], tasks: DenseTasks) -> DenseAccuracy:
    """Average expected credits over queries, drawer pairs, then alphabets, in exact arithmetic.

    If every query earns 1 / W, the result is exactly 1 / W.

    Args:
        credits: [N] for each of `tasks.pairs`.
        tasks: The scored tasks.
    """
    means: dict[str, list[Fraction]] = {}
    for earned, pair in zip(credits, tasks.pairs, strict=True):
        credit, count = np.unique(earned, return_counts=True)
        total = sum(
            (Fraction(c) * k for c, k in zip(credit.tolist(), count.tolist(), strict=True)),
            Fraction(),
        )
        means.setdefault(pair.alphabet, []).append(total / len(pair.query))
    exact = {name: sum(parts, Fraction()) / len(parts) for name, parts in means.items()}
    overall = sum(exact.values(), Fraction()) / len(exact)
    return DenseAccuracy(float(overall), {name: float(share) for name, share in exact.items()})
