"""Dense validation: the expected one-shot accuracy over all drawer pairs and character subsets.

Computed exactly from the scores of all pairs of images. Must not know networks.
Letters: N characters of an alphabet, W ways, H candidates above the target, T tied with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Characters
from hpsearch.data.tasks import Pictures, with_two_drawings
from hpsearch.seeding import generator

REDRAWN_PAIRS = 12
"""Pairings of drawings per alphabet of own images; as many as 4 drawers give."""


@dataclass(frozen=True, eq=False)
class DrawerPair:
    """All characters of one alphabet: queries by one drawer, candidates by another."""

    alphabet: str
    query: NDArray[np.int64]
    """[N] image rows, one per character, N at least the number of ways."""
    support: NDArray[np.int64]
    """[N] image rows of the same characters in the same order."""


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
    def rows(self) -> NDArray[np.int64]:
        """The image rows of the tasks, ascending, each once."""
        return np.unique(np.concatenate([r for p in self.pairs for r in (p.query, p.support)]))

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
    characters: Characters, *, ways: int, drawers: Sequence[int], seed: int
) -> DenseTasks:
    """Return all ordered pairs of drawers who both drew `ways` characters of an alphabet.

    If an alphabet has no such pair, or drawers are unknown (own images), each character pairs two
    of its drawings at random, twelve times. No own image is repeated before all have been shown.

    Args:
        characters: The role to draw from.
        ways: Characters per task, at least 2.
        drawers: The drawers to use, at least 2.
        seed: The study's seed; used only for pairing drawings at random.

    Raises:
        InputError: An alphabet has fewer than `ways` characters with two drawings.
    """
    index = characters.index()  # [C, D]
    present = [d for d in drawers if d < index.shape[1]]
    pairs: list[DrawerPair] = []
    pictures = None if characters.people else Pictures(index, generator(seed, "dense pictures"))
    for number, name in enumerate(characters.alphabets):
        if pictures is not None:
            pairs += _by_pictures(name, characters.of_alphabet(number), ways, index, pictures)
            continue
        rows = index[characters.of_alphabet(number)]
        by_drawer = [_by_drawers(name, rows, *pair) for pair in permutations(present, 2)]
        usable = [pair for pair in by_drawer if len(pair.query) >= ways]
        pairs += usable or _by_drawings(name, rows, ways, seed)
    return DenseTasks(ways, tuple(pairs))


def _by_drawers(name: str, rows: NDArray[np.int64], first: int, second: int) -> DrawerPair:
    both = rows[(rows[:, first] >= 0) & (rows[:, second] >= 0)]
    return DrawerPair(name, both[:, first], both[:, second])


def _by_drawings(name: str, rows: NDArray[np.int64], ways: int, seed: int) -> list[DrawerPair]:
    usable = [row[row >= 0] for row in rows[with_two_drawings(rows, ways, name)]]
    rng = generator(seed, "dense drawings", name)
    drawn = []
    for _ in range(REDRAWN_PAIRS):
        two = np.array([rng.permutation(row)[:2] for row in usable])
        drawn.append(DrawerPair(name, two[:, 0], two[:, 1]))
    return drawn


def _by_pictures(
    name: str,
    members: NDArray[np.int64],
    ways: int,
    index: NDArray[np.int64],
    pictures: Pictures,
) -> list[DrawerPair]:
    usable = members[with_two_drawings(index[members], ways, name)]
    return [DrawerPair(name, *pictures.two_of_each(usable)) for _ in range(REDRAWN_PAIRS)]


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
    """Average expected credits over queries, drawer pairs, then alphabets, in exact arithmetic.

    If every query earns 1 / W, the result is exactly 1 / W.

    Args:
        scores: [N, N] for each of `tasks.pairs`.
        tasks: The scored tasks.
    """
    means: dict[str, list[Fraction]] = {}
    for matrix, pair in zip(scores, tasks.pairs, strict=True):
        credit, count = np.unique(expected_credits(matrix, tasks.ways), return_counts=True)
        total = sum(
            (Fraction(c) * k for c, k in zip(credit.tolist(), count.tolist(), strict=True)),
            Fraction(),
        )
        means.setdefault(pair.alphabet, []).append(total / len(pair.query))
    exact = {name: sum(parts, Fraction()) / len(parts) for name, parts in means.items()}
    overall = sum(exact.values(), Fraction()) / len(exact)
    return DenseAccuracy(float(overall), {name: float(share) for name, share in exact.items()})
