"""Ranks the classes of a support set for each query (Koch et al. 2015, section 4.3).

Letters: Q queries, M support images, C classes, U distinct images, D units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hpsearch.data.resize import area_average
from hpsearch.errors import InputError
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.recognition.calibration import UNCALIBRATED, Calibration
from hpsearch.recognition.support import Support
from hpsearch.training.evaluation import encode

Rows = NDArray[np.int64]
SUPPORTS_AT_ONCE = 1024
"""Bounds the memory of one comparison."""


class Candidate(NamedTuple):
    """A class and its similarity to the query, p within 0 to 1."""

    name: str
    score: float


@dataclass(frozen=True, eq=False)
class Ranking:
    """The similarity of every query to every class."""

    names: tuple[str, ...]
    """C names."""
    scores: NDArray[np.float64]
    """[Q, C], p of the class's mean score."""
    order: NDArray[np.int64]
    """[Q, C], classes by falling similarity; equal ones by name."""
    below: float | None = None
    """A query with a lower best score is unknown; with None no query is."""

    def unknown(self, query: int) -> bool:
        """Return whether a query counts as none of the classes."""
        return self.below is not None and float(self.scores[query].max()) < self.below

    def candidates(self, query: int, top: int | None = None) -> list[Candidate]:
        """Return one query's classes, the best first; at most `top`."""
        chosen = self.order[query, :top]
        return [Candidate(self.names[c], float(self.scores[query, c])) for c in chosen]


def rank(
    network: SiameseNetwork,
    input_size: int,
    queries: NDArray[np.uint8],
    support: Support,
    calibration: Calibration = UNCALIBRATED,
) -> Ranking:
    """Compare every query with every class.

    The score of a class with several images is the mean of their logits. Equal images are encoded
    and compared once, so that they tie exactly.

    Args:
        network: A trained network.
        input_size: Side of its input images, px.
        queries: Ink = 255, uint8 [Q, 105, 105].
        support: The classes.
        calibration: Turns scores into probabilities.

    Raises:
        InputError: The model's scores are not finite.

    Reference:
        Koch et al. 2015, section 3.1 (p) and 4.3 (argmax over the candidates).
    """
    both = np.concatenate([queries, support.images])
    shown, place = np.unique(both, axis=0, return_inverse=True)
    place = place.reshape(-1)
    asked, query = np.unique(place[: len(queries)], return_inverse=True)
    offered, candidate = np.unique(place[len(queries) :], return_inverse=True)
    images = area_average(shown, input_size)
    logits = _logits(network, images, asked, offered)[query][:, candidate]  # [Q, M]
    if not np.isfinite(logits).all():
        raise InputError("the model's scores are not finite: its training diverged; retrain it")
    counts = np.bincount(support.class_of)
    starts = np.cumsum(counts) - counts
    means = np.add.reduceat(logits, starts, axis=1) / counts  # [Q, C]
    by_name = np.argsort(np.array(support.names, object), kind="stable")
    order = by_name[np.argsort(-means[:, by_name], axis=1, kind="stable")]
    return Ranking(support.names, calibration.probability(means), order)


@torch.inference_mode()
def _logits(
    network: SiameseNetwork, shown: NDArray[np.uint8], asked: Rows, offered: Rows
) -> NDArray[np.float64]:
    """Encode the images [U, side, side]; compare rows `asked` with rows `offered`."""
    device = network.device
    codes = encode(network, torch.from_numpy(shown).to(device))  # [U, D]
    queries = codes[torch.from_numpy(asked).to(device)]
    supports = codes[torch.from_numpy(offered).to(device)]
    parts = [
        network.score_matrix(queries, supports[start : start + SUPPORTS_AT_ONCE])
        for start in range(0, len(supports), SUPPORTS_AT_ONCE)
    ]
    return np.asarray(torch.cat(parts, dim=1).cpu().double())
