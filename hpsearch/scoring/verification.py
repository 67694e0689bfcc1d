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
from torch import Tensor

from hpsearch.data import Characters
from hpsearch.data.tasks import verification_pairs
from hpsearch.intervals import wilson
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.recognition.calibration import Calibration
from hpsearch.training.evaluation import pair_logits

N_PAIRS = 10_000
"""Number of verification pairs (Koch et al. 2015, section 4.2)."""
BINS = 10


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scored pairs: logits [P], and whether both show the same character, [P]."""

    logits: NDArray[np.float64]
    same: NDArray[np.bool_]

    @property
    def judgeable(self) -> bool:
        """Whether the scores are finite and both kinds of pairs are there."""
        return bool(np.isfinite(self.logits).all() and len(np.unique(self.same)) == 2)


def verify(
    network: SiameseNetwork,
    codes: Tensor,
    characters: Characters,
    drawers: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """Return the calibrated verification accuracy, its interval, and the calibration.

    Args:
        network: A trained network.
        codes: Its encodings of the characters' images.
        characters: Characters that it was not trained on.
        drawers: The drawers to use.
        seed: The study's seed.

    Returns:
        calibration (slope, bias); calibrated_accuracy, its interval, calibration_error
        (the mean difference between probability and frequency, over ten groups of equal size).
        All None where scores are not finite; all but the calibration, which is of all characters,
        where a half has one character only.
    """
    halves, pictures = [], 0
    for half, rows in _halves(characters):
        left, right, same = verification_pairs(half, N_PAIRS // 2, drawers, seed)
        halves.append(Pairs(pair_scores(network, codes, rows[left], rows[right]), same))
        pictures += n_pictures(left, right)
    if not all(half.judgeable for half in halves):
        left, right, same = verification_pairs(characters, N_PAIRS, drawers, seed)
        whole = Pairs(pair_scores(network, codes, left, right), same)
        kept = asdict(fit(whole)) if whole.judgeable else None
        unknown = ("calibrated_accuracy", "calibrated_interval", "calibration_error")
        return {"calibration": kept, **dict.fromkeys(unknown)}
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
        "calibrated_interval": list(wilson(accuracy, min(len(same), pictures))),
        "calibration_error": calibration_error(probability, same),
    }


def n_pictures(left: NDArray[np.int64], right: NDArray[np.int64]) -> int:
    """Return how many pictures pairs show: a picture shown again is no new evidence."""
    return len(np.unique(np.concatenate([left, right])))


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


def _halves(characters: Characters) -> list[tuple[Characters, NDArray[np.int64]]]:
    """Return every other alphabet and the rest, each with the rows of its images.

    Of fewer than four alphabets: every other character.
    """
    groups = characters.alphabet_of
    if len(characters.alphabets) < 4:
        groups = np.arange(len(groups))
    return [_part(characters, groups % 2 == half) for half in (0, 1)]


def _part(characters: Characters, kept: NDArray[np.bool_]) -> tuple[Characters, NDArray[np.int64]]:
    """Return some characters numbered anew, and the rows of their images."""
    rows = np.flatnonzero(kept[characters.character])
    number = np.cumsum(kept) - 1
    alphabets, alphabet_of = np.unique(characters.alphabet_of[kept], return_inverse=True)
    part = replace(
        characters,
        images=np.empty((len(rows), 0, 0), np.uint8),  # only its labels are asked for
        character=number[characters.character[rows]],
        drawer=characters.drawer[rows],
        alphabet_of=alphabet_of,
        names=tuple(name for name, one in zip(characters.names, kept, strict=True) if one),
        alphabets=tuple(characters.alphabets[place] for place in alphabets),
    )
    return part, rows


def pair_scores(
    network: SiameseNetwork, codes: Tensor, left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the scores [P] of pairs of rows of the encodings."""
    ends = (torch.from_numpy(rows).to(codes.device) for rows in (left, right))
    return np.asarray(pair_logits(network, codes, *ends).double().cpu())
