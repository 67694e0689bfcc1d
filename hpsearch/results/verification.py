"""Verification: are two images of the same character? With a calibrated probability.

The calibration is fitted on one half of the validation alphabets and scored on the other half, and
the reverse, so that no figure is of alphabets that it was fitted on. The model keeps one that is
fitted on both halves. Letters: P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hpsearch.data import Characters
from hpsearch.data.tasks import verification_pairs
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.recognition.calibration import Calibration
from hpsearch.results.intervals import wilson
from hpsearch.training.evaluation import encode, pair_logits

N_PAIRS = 10_000
"""Number of verification pairs (Koch et al. 2015, section 4.2)."""
BINS = 10


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scored pairs: logits [P], and whether both show the same character, [P]."""

    logits: NDArray[np.float64]
    same: NDArray[np.bool_]


def verify(
    network: SiameseNetwork, characters: Characters, drawers: Sequence[int], seed: int
) -> dict[str, Any]:
    """Return the calibrated verification accuracy, its interval, and the calibration.

    Args:
        network: A trained network, on the device to score on.
        characters: Characters that it was not trained on.
        drawers: The drawers to use.
        seed: The study's seed.

    Returns:
        calibration (slope, bias) or None; calibrated_accuracy, its interval, calibration_error
        (the mean difference between probability and frequency, over ten groups of equal size).
    """
    count = N_PAIRS // 2
    halves = [_scored(network, half, count, drawers, seed) for half in _halves(characters)]
    if not all(np.isfinite(half.logits).all() for half in halves):
        return dict.fromkeys(
            ("calibration", "calibrated_accuracy", "calibrated_interval", "calibration_error")
        )
    probability = np.concatenate(
        [
            fit(other).probability(half.logits)
            for half, other in zip(halves, reversed(halves), strict=True)
        ]
    )
    same = np.concatenate([half.same for half in halves])
    accuracy = float(((probability > 0.5) == same).mean())
    both = Pairs(np.concatenate([half.logits for half in halves]), same)
    return {
        "calibration": asdict(fit(both)),
        "calibrated_accuracy": accuracy,
        "calibrated_interval": list(wilson(accuracy, len(same))),
        "calibration_error": calibration_error(probability, same),
    }


def fit(pairs: Pairs) -> Calibration:
    """Return the calibration of highest likelihood; a slope of 0 or below keeps the scores."""
    from sklearn.linear_model import LogisticRegression

    spread = float(pairs.logits.std()) or 1.0
    scaled = (pairs.logits / spread)[:, None]
    model = LogisticRegression(C=1e6).fit(scaled, pairs.same)
    slope = float(model.coef_[0, 0]) / spread
    return Calibration(slope, float(model.intercept_[0])) if slope > 0 else Calibration()


def calibration_error(probability: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Return the mean difference between probability and frequency in groups of equal size.

    Reference:
        Guo et al. 2017, equation 3, with groups of equal size.
    """
    groups = np.array_split(np.argsort(probability, kind="stable"), BINS)
    differences = [abs(probability[g].mean() - same[g].mean()) * len(g) for g in groups if len(g)]
    return float(sum(differences) / len(probability))


def _halves(characters: Characters) -> tuple[Characters, Characters]:
    """Return every other alphabet, and the rest; of one alphabet, every other character."""
    groups = characters.alphabet_of
    if len(characters.alphabets) < 4:
        groups = np.arange(len(groups))
    return _part(characters, groups % 2 == 0), _part(characters, groups % 2 == 1)


def _part(characters: Characters, kept: NDArray[np.bool_]) -> Characters:
    """Return some characters with their images, numbered anew."""
    rows = kept[characters.character]
    number = np.cumsum(kept) - 1
    alphabets, alphabet_of = np.unique(characters.alphabet_of[kept], return_inverse=True)
    return replace(
        characters,
        images=characters.images[rows],
        character=number[characters.character[rows]],
        drawer=characters.drawer[rows],
        alphabet_of=alphabet_of,
        names=tuple(name for name, one in zip(characters.names, kept, strict=True) if one),
        alphabets=tuple(characters.alphabets[place] for place in alphabets),
    )


def _scored(
    network: SiameseNetwork, characters: Characters, count: int, drawers: Sequence[int], seed: int
) -> Pairs:
    left, right, same = verification_pairs(characters, count, drawers, seed)
    return Pairs(pair_scores(network, characters, left, right), same)


def pair_scores(
    network: SiameseNetwork,
    characters: Characters,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the scores [P] of pairs of image rows."""
    device, rows = network.device, np.unique(np.concatenate([left, right]))
    images = torch.from_numpy(np.array(characters.images[rows])).to(device)
    first, second = (
        torch.from_numpy(np.searchsorted(rows, ends)).to(device) for ends in (left, right)
    )
    logits = pair_logits(network, encode(network, images), first, second)
    return np.asarray(logits.double().cpu())
