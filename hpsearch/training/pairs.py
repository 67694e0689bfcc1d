"""Draw the images of each training step, as rows. Must not know networks.

Letters: P pairs, N images, C characters, K drawings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import InputError
from hpsearch.training.config import TrialConfig

Rows = NDArray[np.int64]


class Sampler:
    """Draws the rows of each step from the training images.

    Args:
        index: Rows of (character, training drawer), [C, K], -1 where missing.
        alphabet_of: Alphabet of each character, [C].

    Raises:
        InputError: Fewer than two characters have two drawings, so no pairs can be formed.
    """

    def __init__(self, index: Rows, alphabet_of: Rows) -> None:
        usable = np.flatnonzero((index >= 0).sum(1) >= 2)
        if len(usable) < 2:
            raise InputError(
                f"{len(usable)} characters have two drawings by training drawers; pairs need two "
                "such characters: add drawings or raise drawers"
            )
        self._counts = (index[usable] >= 0).sum(1)
        self._rows = np.sort(index[usable], axis=1)[:, ::-1]  # present drawings first
        alphabets = alphabet_of[usable]
        self._members = [np.flatnonzero(alphabets == a) for a in np.unique(alphabets)]
        self._wide = [m for m in self._members if len(m) >= 2]

    def classes(self) -> tuple[Rows, Rows]:
        """Return the row of every image that may be drawn, and its character; both [N]."""
        character, place = np.nonzero(self._rows >= 0)
        return self._rows[character, place], character

    def independent(self, config: TrialConfig, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Draw pairs: the first half same, the second half different.

        Returns:
            Rows [P, 2] and whether they are the same, int64 [P].
        """
        count = config.batch_pairs
        same = np.arange(count) < count // 2
        alphabet = rng.integers(len(self._members), size=count)
        first = self._characters(alphabet, rng)
        within = rng.random(count) < config.within_alphabet
        other = np.where(
            within,
            self._another_within(alphabet, first, rng),
            self._across(alphabet, first, rng),
        )
        second = np.where(same, first, other)
        left = rng.random(count)
        one = np.floor(left * self._counts[first]).astype(np.int64)
        jump = 1 + np.floor(rng.random(count) * (self._counts[second] - 1)).astype(np.int64)
        two = np.where(
            same,
            (one + jump) % self._counts[second],
            np.floor(rng.random(count) * self._counts[second]).astype(np.int64),
        )
        rows = np.stack([self._rows[first, one], self._rows[second, two]], axis=1)
        return rows, same.astype(np.int64)

    def _characters(self, alphabet: Rows, rng: np.random.Generator) -> Rows:
        sizes = np.array([len(m) for m in self._members])
        place = np.floor(rng.random(len(alphabet)) * sizes[alphabet]).astype(np.int64)
        return np.array([self._members[a][p] for a, p in zip(alphabet, place, strict=True)])

    def _another_within(self, alphabet: Rows, first: Rows, rng: np.random.Generator) -> Rows:
        others = np.empty(len(first), np.int64)
        for i, (a, character) in enumerate(zip(alphabet, first, strict=True)):
            members = self._members[a]
            if len(members) < 2:
                members = np.arange(len(self._rows))
            pick = members[int(rng.integers(len(members)))]
            while pick == character:
                pick = members[int(rng.integers(len(members)))]
            others[i] = pick
        return others

    def _across(self, alphabet: Rows, first: Rows, rng: np.random.Generator) -> Rows:
        n = len(self._members)
        if n < 2:
            return self._another_within(alphabet, first, rng)
        other = (alphabet + rng.integers(1, n, size=len(alphabet))) % n
        return self._characters(other, rng)

    def batch(self, config: TrialConfig, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Draw C characters x K drawings, from one alphabet or from all.

        Returns:
            Rows [N] and the character of each, [N]. For `loss: softmax` rows [K, C], where K is at
            most the smallest number of drawings of a chosen character.
        """
        characters, drawings = config.batch_characters, config.batch_drawings
        pool = np.arange(len(self._rows))
        if self._wide and rng.random() < config.within_alphabet:
            pool = self._wide[int(rng.integers(len(self._wide)))]
        chosen = rng.permutation(pool)[:characters]
        if config.loss == "softmax":
            drawings = min(drawings, int(self._counts[chosen].min()))
        rows, labels = [], []
        for label, character in enumerate(chosen):
            picked = rng.permutation(self._counts[character])[:drawings]
            rows.append(self._rows[character, picked])
            labels.append(np.full(len(picked), label))
        if config.loss == "softmax":
            return np.stack(rows, axis=1), np.tile(np.arange(len(rows)), drawings)
        return np.concatenate(rows), np.concatenate(labels)
