"""Decides whether a query belongs to none of the candidate classes. No torch.

The more candidates there are, the better the best of them fits a query of an unknown class; and
pictures of one kind are all more alike than those of another. So the best score is compared with
the scores of known impostors, the cohort: each support image against the best of the classes that
are not its own. These are scores of the same kind of pictures, against as many candidates.

What is left depends little on the pictures. Validation measured it for several numbers of
candidates and of images per class; between them all figures are interpolated in the logarithm of
both numbers, beyond them the last ones count.

Letters: C classes, M support images, Q queries, L false-accept rates.

Reference:
    Auckenthaler, Carey and Lloyd-Thomas (2000), "Score normalization for text-independent speaker
    verification systems"; Platt 1999, equation 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import InputError
from hpsearch.recognition.calibration import Calibration

Array = NDArray[np.float64]
PRIOR_CLASSES = 5.0
"""Weight of validation's mean and variance beside the cohort's, in classes.

On Omniglot the mean of a cohort of C classes varies from alphabet to alphabet as much as it varies
within one at C = 4 to 5.
"""


@dataclass(frozen=True)
class Cohort:
    """The scores of a support set's images against the best of the other classes.

    Args:
        mean: Their mean.
        variance: Their variance.
        classes: C.
    """

    mean: float
    variance: float
    classes: int

    @classmethod
    def of(cls, scores: Array, own: NDArray[np.int64]) -> Cohort:
        """Return the cohort of some support images.

        Args:
            scores: Of each image against each class, [M, C].
            own: The column of each image's class, [M].
        """
        others = scores.copy()
        others[np.arange(len(own)), own] = -np.inf
        best = others.max(axis=1)
        return cls(float(best.mean()), float(best.var()), scores.shape[1])


@dataclass(frozen=True)
class Setting:
    """What validation measured with one number of candidates and of images per class.

    Args:
        ways: Candidates.
        shots: Images per class.
        mean: Mean of its cohorts' means.
        variance: Mean variance of unknown queries' best scores with one support set, above 0.
        slope: Turns evidence into a probability, above 0.
        bias: Added to the scaled evidence.
        thresholds: [L] evidence that a query must exceed, for falling strictness.
        kept: [L] share of the queries of known classes that exceed it.
    """

    ways: float
    shots: float
    mean: float
    variance: float
    slope: float
    bias: float
    thresholds: tuple[float, ...]
    kept: tuple[float, ...]

    def evidence(self, best: Array, cohort: Cohort) -> Array:
        """Return how far best scores [Q] exceed the cohort, in standard deviations."""
        weight = PRIOR_CLASSES / (PRIOR_CLASSES + cohort.classes)
        mean = (1 - weight) * cohort.mean + weight * self.mean
        variance = (1 - weight) * cohort.variance + weight * self.variance
        return np.asarray((best - mean) / np.sqrt(variance))

    def probability(self, evidence: Array) -> Array:
        """Return the probability that a query is of its best class.

        It holds where half of all queries are of a candidate class.
        """
        return Calibration(self.slope, self.bias).probability(evidence)


@dataclass(frozen=True)
class Cut:
    """A threshold and its effect on validation.

    Args:
        evidence: Queries with no more are none of the classes.
        probability: The same threshold as a probability.
        kept: Share of the queries of known classes with more.
    """

    evidence: float
    probability: float
    kept: float


@dataclass(frozen=True)
class Rejection:
    """Validation's settings; `rates` are the L false-accept rates of their thresholds."""

    rates: tuple[float, ...]
    settings: tuple[Setting, ...]
    """For all pairs of ways and shots, both ascending."""

    @classmethod
    def of(cls, metrics: Mapping[str, Any]) -> Rejection | None:
        """Return what a model's metrics.json holds; None in older ones."""
        found = metrics.get("none_of_these")
        if not found:
            return None
        return cls(tuple(found["rates"]), tuple(map(_setting, found["settings"])))

    def at(self, ways: float, shots: float) -> Setting:
        """Return the setting of C classes, by interpolation.

        Args:
            ways: C, at least 2.
            shots: Images per class, at least 1; of uneven classes the geometric mean.
        """
        all_ways, all_shots = (
            np.unique([getattr(one, name) for one in self.settings]) for name in ("ways", "shots")
        )
        table = np.array([_flat(one) for one in self.settings])
        table = table.reshape(len(all_ways), len(all_shots), -1)
        row = _between(table, all_ways, ways)  # [shots, values]
        mean, variance, slope, bias, *rest = _between(row, all_shots, shots).tolist()
        count = len(self.rates)
        figures = mean, variance, slope, bias
        return Setting(ways, shots, *figures, tuple(rest[:count]), tuple(rest[count:]))

    def cut(self, setting: Setting, false_accept: float) -> Cut:
        """Return the threshold of a false-accept rate, interpolated in its log-odds.

        Args:
            setting: From `at`.
            false_accept: Share of the queries of unknown classes that are accepted.

        Raises:
            InputError: Validation cannot measure this rate.
        """
        low, high = self.rates[0], self.rates[-1]
        if not low <= false_accept <= high:
            raise InputError(
                f"--false-accept {false_accept:g}: must be from {low:g} to {high:g}, the rates "
                "that this model's validation measured"
            )
        places = _log_odds(np.array(self.rates))
        place = _log_odds(np.array(false_accept))
        evidence = np.interp(place, places, setting.thresholds)
        kept = float(np.interp(place, places, setting.kept))
        return Cut(float(evidence), float(setting.probability(evidence)), kept)

    def to_json(self) -> dict[str, Any]:
        """Return what `of` reads."""
        settings = [
            {**asdict(one), "thresholds": list(one.thresholds), "kept": list(one.kept)}
            for one in self.settings
        ]
        return {"rates": list(self.rates), "settings": settings}


def _setting(values: Mapping[str, Any]) -> Setting:
    known: dict[str, Any] = {one.name: values[one.name] for one in fields(Setting)}
    known |= {name: tuple(known[name]) for name in ("thresholds", "kept")}
    return Setting(**known)


def _flat(setting: Setting) -> list[float]:
    four = [setting.mean, setting.variance, setting.slope, setting.bias]
    return [*four, *setting.thresholds, *setting.kept]


def _between(table: Array, places: Array, place: float) -> Array:
    """Interpolate the first axis of a table in the logarithm of its places."""
    position = float(np.interp(np.log(place), np.log(places), np.arange(len(places))))
    low = min(int(position), len(places) - 1)
    high = min(low + 1, len(places) - 1)
    return np.asarray(table[low] + (position - low) * (table[high] - table[low]))


def _log_odds(rate: Array) -> Array:
    return np.asarray(np.log(rate / (1 - rate)))
