"""Dense validation: the expected one-shot accuracy over all drawer pairs and character subsets.

Exact from the scores of all pairs of images. Must not know networks.
Letters: N characters of an alphabet, W ways, H candidates above the right one, T tied with it.
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
"""Pairings of drawings per alphabet where drawers say nothing (own images); as of 4 drawers."""


@dataclass(frozen=True, eq=False)
class DrawerPair:
    """All characters of one alphabet, drawn twice: by one drawer to ask, by another to choose."""

    alphabet: str
    query: NDArray[np.int64]
    """[N] image rows, one per character, N at least the number of ways."""
    support: NDArray[np.int64]
    """[N] image rows of the same characters in the same order."""


@dataclass(frozen=True, eq=False)
class DenseTasks:
    """Every W-way task within an alphabet that the drawers' images allow."""

    ways: int
    pairs: tuple[DrawerPair, ...]

    @property
    def n_tasks(self) -> int:
        """Queries scored, each against every subset of W - 1 other characters."""
        return sum(len(pair.query) for pair in self.pairs)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The image rows shown, ascending, each once."""
        return np.unique(np.concatenate([r for p in self.pairs for r in (p.query, p.support)]))

    def renumbered(self, rows: NDArray[np.int64]) -> DenseTasks:
        """Return the same tasks with rows that count within `rows`, which ascend."""
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

    Where an alphabet has no such pair, or drawers are no people (own images), each character
    pairs two seeded drawings of its own, twelve times over; of own images no picture comes again
    before all have been shown.

    Args:
        characters: The role to draw from.
        ways: Characters per task, at least 2.
        drawers: Who may appear, at least 2.
        seed: The study's seed; it matters only where drawings are paired at random.

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

    Of N characters, W - 1 others are drawn beside the right one. Let L = N - 1 - H - T lie below
    it. The credit is 1 / (1 + j) when none of H and j of T are drawn, so its expectation is
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
        scores: [..., N (query), N (support)], the right ones on the diagonal.
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
    """The expected one-shot accuracy, 0 to 1: of all alphabets in equal parts, and of each."""

    accuracy: float
    per_alphabet: dict[str, float]


def dense_accuracy(scores: Sequence[NDArray[np.floating]], tasks: DenseTasks) -> DenseAccuracy:
    """Average expected credits over queries, drawer pairs, then alphabets, in exact arithmetic.

    So a scorer for which every query earns 1 / W earns exactly 1 / W.

    Args:
        scores: [N, N] for each of `tasks.pairs`.
        tasks: What was scored.
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
