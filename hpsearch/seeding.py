"""One random generator per purpose, derived from a study's seed. No global random state."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Derive an independent seed for one purpose.

    Args:
        seed: The study's or the trial's seed, any non-negative integer.
        purpose: Names and numbers that identify the purpose, e.g. ``"pairs", 3``.

    Returns:
        An integer in [0, 2**63), the same on every machine and in every process.
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(p).__name__}:{p}" for p in purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a numpy generator for one purpose; see `derive_seed` for the arguments."""
    return np.random.default_rng(derive_seed(seed, *purpose))


def trial_seed(study_seed: int, number: int) -> int:
    """Return the seed of a trial's training, in [0, 2**32)."""
    return derive_seed(study_seed, "trial", number) % 2**32
