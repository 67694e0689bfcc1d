"""Ranks the classes of a support set for each query (Koch et al. 2015, section 4.3).

Letters: Q queries, M support images, C classes, U distinct images, D units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.data.resize import area_average
from hpsearch.errors import InputError
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.recognition.calibration import UNCALIBRATED, Calibration
from hpsearch.recognition.rejection import Cohort, Rejection, Setting
from hpsearch.recognition.support import Support
from hpsearch.training.evaluation import encode

Rows = NDArray[np.int64]
SUPPORTS_AT_ONCE = 1024
"""Bounds the memory of one comparison."""
COHORT = 100
"""Support images compared with all classes, at most, to judge how alike different classes are."""


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
    evidence: NDArray[np.float64] | None = None
    """[Q], how far the best class fits better than impostors do; None without a `setting`."""
    setting: Setting | None = None
    """What validation measured with as many classes; None if it measured nothing."""
    threshold: float | None = None
    """A query with no more evidence is none of the classes; with None no query is."""

    def probability(self, query: int) -> float | None:
        """Return the probability that a query is of its best class; None without a `setting`."""
        if self.setting is None or self.evidence is None:
            return None
        return float(self.setting.probability(self.evidence[query]))

    def none_of_these(self, query: int) -> bool:
        """Return whether a query counts as none of the classes."""
        if self.threshold is None or self.evidence is None:
            return False
        return not float(self.evidence[query]) > self.threshold

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
    rejection: Rejection | None = None,
) -> Ranking:
    """Compare every query with every class; reject none.

    The score of a class with several images is the mean of their logits. Equal images are encoded
    and compared once, so that they tie exactly.

    Args:
        network: A trained network.
        input_size: Side of its input images, px.
        queries: Ink = 255, uint8 [Q, 105, 105].
        support: The classes.
        calibration: Turns scores into probabilities.
        rejection: Tells queries of known classes from others.

    Raises:
        InputError: The model's scores are not finite.

    Reference:
        Koch et al. 2015, section 3.1 (p) and 4.3 (argmax over the candidates).
    """
    both = np.concatenate([queries, support.images])
    number: dict[bytes, int] = {}
    place = np.array([number.setdefault(image.tobytes(), len(number)) for image in both])
    shown = both[np.unique(place, return_index=True)[1]]
    asked, query = np.unique(place[: len(queries)], return_inverse=True)
    offered, candidate = np.unique(place[len(queries) :], return_inverse=True)
    codes = _encoded(network, area_average(shown, input_size))
    logits = _logits(network, codes, asked, offered)[query][:, candidate]  # [Q, M]
    if not np.isfinite(logits).all():
        raise InputError("the model's scores are not finite: its training diverged; retrain it")
    means = _class_means(logits, support)
    by_name = np.argsort(np.array(support.names, object), kind="stable")
    order = by_name[np.argsort(-means[:, by_name], axis=1, kind="stable")]
    ranking = Ranking(support.names, calibration.probability(means), order)
    if rejection is None:
        return ranking
    count = len(support.class_of)
    some = np.unique(np.linspace(0, count - 1, min(count, COHORT)).astype(np.int64))
    among = _logits(network, codes, offered[candidate[some]], offered)[:, candidate]
    cohort = Cohort.of(_class_means(among, support), support.class_of[some])
    setting = rejection.at(len(support.names), _shots(support))
    evidence = setting.evidence(means.max(axis=1), cohort)
    return replace(ranking, evidence=evidence, setting=setting)


def _class_means(logits: NDArray[np.float64], support: Support) -> NDArray[np.float64]:
    """Return the mean of each class's columns, [.., C] from [.., M]."""
    counts = np.bincount(support.class_of)
    starts = np.cumsum(counts) - counts
    return np.asarray(np.add.reduceat(logits, starts, axis=1) / counts)


def _shots(support: Support) -> float:
    """Return the geometric mean of the classes' numbers of images."""
    return float(np.exp(np.log(np.bincount(support.class_of)).mean()))


@torch.inference_mode()
def _encoded(network: SiameseNetwork, images: NDArray[np.uint8]) -> Tensor:
    """Encode the images [U, side, side]."""
    return encode(network, torch.from_numpy(images).to(network.device))  # [U, D]


@torch.inference_mode()
def _logits(
    network: SiameseNetwork, codes: Tensor, asked: Rows, offered: Rows
) -> NDArray[np.float64]:
    """Compare rows `asked` of the encodings with rows `offered`."""
    device = network.device
    queries = codes[torch.from_numpy(asked).to(device)]
    supports = codes[torch.from_numpy(offered).to(device)]
    parts = [
        network.score_matrix(queries, supports[start : start + SUPPORTS_AT_ONCE])
        for start in range(0, len(supports), SUPPORTS_AT_ONCE)
    ]
    return np.asarray(torch.cat(parts, dim=1).cpu().double())
