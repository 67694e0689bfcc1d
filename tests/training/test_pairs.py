"""Which images a step sees: labels, shares and evenness, also of gaps and small data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hpsearch.errors import InputError
from hpsearch.training.config import TrialConfig
from hpsearch.training.pairs import Sampler
from tests.support.trainings import tiny_config

Rows = NDArray[np.int64]

ALPHABETS = (3, 10, 25)
DRAWINGS = 12


class Drawings:
    """Characters with drawings in shuffled rows, some of them missing.

    Args:
        alphabets: Characters of each alphabet.
        missing: (character, drawer) that have no drawing.
    """

    def __init__(self, alphabets: tuple[int, ...], missing: Rows | None = None) -> None:
        self.alphabet_of = np.repeat(np.arange(len(alphabets)), alphabets)
        present = np.ones((len(self.alphabet_of), DRAWINGS), bool)
        if missing is not None:
            present[tuple(missing.T)] = False
        self.index = np.full(present.shape, -1)
        self.index[present] = np.random.default_rng(5).permutation(int(present.sum()))
        self.character = np.empty(int(present.sum()), np.int64)
        self.character[self.index[present]] = np.nonzero(present)[0]

    @property
    def sampler(self) -> Sampler:
        return Sampler(self.index, self.alphabet_of)

    def pairs(self, count: int = 20_000, within: float = 0.5) -> tuple[Rows, Rows]:
        config = tiny_config(batch_pairs=count, within_alphabet=within)
        return self.sampler.independent(config, np.random.default_rng(0))

    def alphabet(self, rows: Rows) -> Rows:
        return self.alphabet_of[self.character[rows]]


def even(values: Rows, expected: int | Rows) -> bool:
    """Say whether counts of 0, 1, ... do not contradict a share each (chi-square)."""
    shares = np.ones(expected) if isinstance(expected, int) else expected
    counts = np.bincount(values, minlength=len(shares))
    return bool(stats.chisquare(counts, shares / shares.sum() * counts.sum()).pvalue > 1e-3)


def uneven_gaps() -> Rows:
    """Return what is missing: character c lacks c % 12 drawings, but keeps at least two."""
    rng = np.random.default_rng(3)
    gaps = [(c, d) for c in range(sum(ALPHABETS)) for d in rng.permutation(DRAWINGS)[: c % 11]]
    return np.array(gaps)


@pytest.mark.parametrize("count", [20_000, 7])
def test_half_the_pairs_are_the_same_and_labelled_so(count: int) -> None:
    drawings = Drawings(ALPHABETS)
    rows, same = drawings.pairs(count)
    assert rows.shape == (count, 2)
    assert same.sum() == count // 2
    characters = drawings.character[rows]
    np.testing.assert_array_equal(characters[:, 0] == characters[:, 1], same == 1)


@pytest.mark.parametrize("missing", [None, uneven_gaps()], ids=["whole", "with gaps"])
def test_a_same_pair_shows_two_drawings_every_two_equally_often(missing: Rows | None) -> None:
    drawings = Drawings(ALPHABETS, missing)
    rows, same = drawings.pairs(60_000)
    rows = rows[same == 1]
    assert (rows[:, 0] != rows[:, 1]).all()
    for character in (0, 1, 2):
        mine = rows[drawings.character[rows[:, 0]] == character]
        own = np.sort(drawings.index[character])
        first, second = np.searchsorted(own[own >= 0], mine).T
        k = int((own >= 0).sum())
        assert even(first * (k - 1) + second - (second > first), k * (k - 1))


@pytest.mark.parametrize("within", [0.0, 0.3, 1.0])
def test_the_share_of_different_pairs_within_an_alphabet(within: float) -> None:
    drawings = Drawings(ALPHABETS)
    rows, same = drawings.pairs(within=within)
    alphabets = drawings.alphabet(rows[same == 0])
    share = (alphabets[:, 0] == alphabets[:, 1]).mean()
    assert abs(share - within) <= 4 * math.sqrt(within * (1 - within) / len(alphabets))


def test_a_pair_across_joins_any_two_alphabets_equally_often() -> None:
    drawings = Drawings(ALPHABETS)
    rows, same = drawings.pairs(within=0)
    first, second = drawings.alphabet(rows[same == 0]).T
    assert even(first * 2 + second - (second > first), 3 * 2)


@pytest.mark.parametrize("kind", [0, 1], ids=["different", "same"])
@pytest.mark.parametrize("side", [0, 1])
def test_alphabets_come_equally_often_and_their_characters_too(kind: int, side: int) -> None:
    drawings = Drawings(ALPHABETS)
    rows, same = drawings.pairs()
    shown = rows[same == kind, side]
    assert even(drawings.alphabet(shown), len(ALPHABETS))
    assert even(drawings.character[shown], 1 / np.repeat(ALPHABETS, ALPHABETS))


@pytest.mark.parametrize("side", [0, 1])
def test_every_drawing_of_a_character_comes_equally_often_also_with_gaps(side: int) -> None:
    drawings = Drawings(ALPHABETS, uneven_gaps())
    rows, _ = drawings.pairs(60_000)
    size = np.repeat(ALPHABETS, ALPHABETS)
    have = (drawings.index >= 0).sum(1)
    assert even(rows[:, side], 1 / (size * have)[drawings.character])


def batches(drawings: Drawings, config: TrialConfig, count: int = 600) -> list[tuple[Rows, Rows]]:
    chance, sampler = np.random.default_rng(1), drawings.sampler
    return [sampler.batch(config, chance) for _ in range(count)]


def test_a_batch_is_c_characters_with_k_drawings_each() -> None:
    drawings = Drawings(ALPHABETS)
    config = tiny_config(batch_characters=6, batch_drawings=5, within_alphabet=0)
    for rows, labels in batches(drawings, config, 50):
        assert len(set(rows.tolist())) == len(rows) == 30
        np.testing.assert_array_equal(np.bincount(labels), [5] * 6)
        characters = drawings.character[rows]
        assert len({*zip(characters.tolist(), labels.tolist(), strict=True)}) == 6
        assert len(set(characters.tolist())) == 6


@pytest.mark.parametrize("within", [0.0, 0.3, 1.0])
def test_the_share_of_batches_within_an_alphabet(within: float) -> None:
    drawings = Drawings(ALPHABETS)
    config = tiny_config(batch_characters=6, within_alphabet=within)
    alone = [len(set(drawings.alphabet(rows))) == 1 for rows, _ in batches(drawings, config)]
    # Six of all 38 characters come from one alphabet by chance with probability 0.064.
    share = within + (1 - within) * (math.comb(25, 6) + math.comb(10, 6)) / math.comb(38, 6)
    assert abs(np.mean(alone) - share) <= 4 * math.sqrt(share * (1 - share) / 600)


def test_batches_within_show_alphabets_equally_often_and_small_ones_whole() -> None:
    drawings = Drawings(ALPHABETS)
    config = tiny_config(batch_characters=6, within_alphabet=1)
    drawn = batches(drawings, config)
    alphabets = np.array([drawings.alphabet(rows)[0] for rows, _ in drawn])
    assert even(alphabets, len(ALPHABETS))
    for alphabet, (rows, labels) in zip(alphabets, drawn, strict=True):
        shown = len(set(drawings.character[rows]))
        assert labels.max() + 1 == shown == (3 if alphabet == 0 else 6)


def test_batches_across_show_every_drawing_equally_often() -> None:
    drawings = Drawings(ALPHABETS)
    config = tiny_config(batch_characters=6, within_alphabet=0)
    rows = np.concatenate([rows for rows, _ in batches(drawings, config, 2000)])
    counts = np.bincount(rows, minlength=38 * DRAWINGS)
    expected = 2000 * 12 / len(counts)
    assert abs(counts - expected).max() < 5 * math.sqrt(expected)
    assert 0.8 < counts.var() / expected < 1.2


def test_a_batch_takes_all_drawings_of_a_character_with_few() -> None:
    missing = np.array([(c, d) for c in range(38) for d in range(3, DRAWINGS)])
    config = tiny_config(batch_characters=6, batch_drawings=5, within_alphabet=0)
    for rows, labels in batches(Drawings(ALPHABETS, missing), config, 20):
        assert len(set(rows.tolist())) == len(rows)
        np.testing.assert_array_equal(np.bincount(labels), [3] * 6)


def test_characters_with_less_than_two_drawings_never_show() -> None:
    missing = np.array([(c, d) for c in (0, 1, 7) for d in range(c > 0, DRAWINGS)])
    drawings = Drawings(ALPHABETS, missing)
    config = tiny_config(batch_characters=40, within_alphabet=0.5)
    shown = [drawings.pairs()[0].ravel(), *(rows for rows, _ in batches(drawings, config, 50))]
    expected = sorted(set(range(38)) - {0, 1, 7})
    for rows in (shown[0], np.concatenate(shown[1:])):
        assert rows.min() >= 0
        assert np.unique(drawings.character[rows]).tolist() == expected


def test_an_alphabet_of_one_character_meets_others() -> None:
    drawings = Drawings((1, 10))
    rows, same = drawings.pairs(2000, within=1)
    first, second = drawings.character[rows[same == 0]].T
    assert (first != second).all()
    assert set(second[first == 0].tolist()) == set(range(1, 11))


def test_a_batch_within_an_alphabet_never_has_one_character_alone() -> None:
    drawings = Drawings((1, 10))
    drawn = batches(drawings, tiny_config(batch_characters=6, within_alphabet=1), 50)
    assert all(labels.max() + 1 == 6 for _, labels in drawn)


def test_one_alphabet_gives_pairs_and_batches() -> None:
    drawings = Drawings((5,))
    rows, same = drawings.pairs(2000, within=0)
    characters = drawings.character[rows]
    np.testing.assert_array_equal(characters[:, 0] == characters[:, 1], same == 1)
    assert even(characters[same == 0].ravel(), 5)
    for within in (0.0, 1.0):
        config = tiny_config(batch_characters=8, batch_drawings=2, within_alphabet=within)
        for drawn, labels in batches(drawings, config, 10):
            assert len(set(drawn.tolist())) == 10
            np.testing.assert_array_equal(np.bincount(labels), [2] * 5)


@pytest.mark.parametrize("alphabets", [(1,), (1, 1)])
def test_too_few_characters_are_refused_before_training(alphabets: tuple[int, ...]) -> None:
    missing = np.array([(0, d) for d in range(1, DRAWINGS)])
    with pytest.raises(InputError, match=r"^\d characters have two drawings"):
        _ = Drawings(alphabets, missing).sampler


def test_the_generator_alone_decides() -> None:
    drawings, config = Drawings(ALPHABETS), tiny_config()
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002  # the state that must not change
    for draw in (drawings.sampler.independent, drawings.sampler.batch):
        one, again, other = (draw(config, np.random.default_rng(s))[0] for s in (1, 1, 2))
        assert (one == again).all()
        assert one.shape != other.shape or (one != other).any()
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002
