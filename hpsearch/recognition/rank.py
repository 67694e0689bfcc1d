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

SUPPORTS_AT_ONCE = 1024
"""Bounds the memory of one comparison."""
COHORT = 100
"""Support images compared with all classes, at most, to judge how alike different classes are."""
NOT_FINITE = "the model's scores are not finite: its training diverged; retrain it"


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


class EncodedSupport:
    """A support set and the encodings of its images, each made once; ranks any number of queries.

    Args:
        network: A trained network.
        input_size: Side of its input images, px.
        support: The classes.
        calibration: Turns scores into probabilities.
        rejection: Tells queries of known classes from others.

    Raises:
        InputError: The model's scores are not finite.
    """

    def __init__(
        self,
        network: SiameseNetwork,
        input_size: int,
        support: Support,
        calibration: Calibration = UNCALIBRATED,
        rejection: Rejection | None = None,
    ) -> None:
        self.support = support
        self._network, self._input_size, self._calibration = network, input_size, calibration
        self._row_of: dict[bytes, int] = {}
        """By image: equal ones are encoded once, so that they tie exactly."""
        keys = [image.tobytes() for image in support.images]
        for key in keys:
            self._row_of.setdefault(key, len(self._row_of))
        self._candidate = np.array([self._row_of[key] for key in keys])  # [M]
        self._codes = self._encoded(
            support.images[np.unique(self._candidate, return_index=True)[1]]
        )
        self.setting: Setting | None = None
        """What validation measured with as many classes; None without `rejection`."""
        if rejection is not None:
            self.setting = rejection.at(len(support.names), _shots(support))
            self._cohort = self._compared()

    def rank(self, queries: NDArray[np.uint8]) -> Ranking:
        """Compare every query with every class; reject none.

        Args:
            queries: Ink = 255, uint8 [Q, 105, 105].

        Raises:
            InputError: The model's scores are not finite.

        Reference:
            Koch et al. 2015, section 3.1 (p) and 4.3 (argmax over the candidates).
        """
        shown = {image.tobytes(): image for image in queries}
        unknown = {key: image for key, image in shown.items() if key not in self._row_of}
        codes = {key: self._codes[self._row_of[key]] for key in shown if key not in unknown}
        if unknown:
            made = self._encoded(np.stack(list(unknown.values())))
            codes |= dict(zip(unknown, made, strict=True))
        place = {key: number for number, key in enumerate(codes)}
        means = self._means(torch.stack(list(codes.values())))
        means = means[[place[image.tobytes()] for image in queries]]  # [Q, C]
        if not np.isfinite(means).all():
            raise InputError(NOT_FINITE)
        by_name = np.argsort(np.array(self.support.names, object), kind="stable")
        order = by_name[np.argsort(-means[:, by_name], axis=1, kind="stable")]
        ranking = Ranking(self.support.names, self._calibration.probability(means), order)
        if self.setting is None:
            return ranking
        evidence = self.setting.evidence(means.max(axis=1), self._cohort)
        return replace(ranking, evidence=evidence, setting=self.setting)

    def _compared(self) -> Cohort:
        """Compare some support images with all classes."""
        count = len(self._candidate)
        some = np.unique(np.linspace(0, count - 1, min(count, COHORT)).astype(np.int64))
        means = self._means(self._codes[torch.from_numpy(self._candidate[some])])
        if not np.isfinite(means).all():
            raise InputError(NOT_FINITE)
        return Cohort.of(means, self.support.class_of[some])

    @torch.inference_mode()
    def _encoded(self, images: NDArray[np.uint8]) -> Tensor:
        """Encode images [U, 105, 105]."""
        reduced = torch.from_numpy(area_average(images, self._input_size))
        return encode(self._network, reduced.to(self._network.device))  # [U, D]

    @torch.inference_mode()
    def _means(self, codes: Tensor) -> NDArray[np.float64]:
        """Return the mean logits of encodings and each class's images, [Q, C]."""
        parts = [
            self._network.score_matrix(codes, part)
            for part in torch.split(self._codes, SUPPORTS_AT_ONCE)
        ]
        logits = np.asarray(torch.cat(parts, dim=1).cpu().double())  # [Q, U]
        return _class_means(logits[:, self._candidate], self.support)


def rank(
    network: SiameseNetwork,
    input_size: int,
    queries: NDArray[np.uint8],
    support: Support,
    calibration: Calibration = UNCALIBRATED,
    rejection: Rejection | None = None,
) -> Ranking:
    """Compare every query with every class once; see `EncodedSupport`."""
    return EncodedSupport(network, input_size, support, calibration, rejection).rank(queries)


def _class_means(logits: NDArray[np.float64], support: Support) -> NDArray[np.float64]:
    """Return the mean of each class's columns, [.., C] from [.., M]."""
    counts = np.bincount(support.class_of)
    starts = np.cumsum(counts) - counts
    return np.asarray(np.add.reduceat(logits, starts, axis=1) / counts)


def _shots(support: Support) -> float:
    """Return the geometric mean of the classes' numbers of images."""
    return float(np.exp(np.log(np.bincount(support.class_of)).mean()))
