"""Measures "none of these" on validation: queries of known and of unknown classes.

Support sets are drawn at random from the classes of one alphabet; the alphabet's other classes
are unknown. Thresholds are fitted on one half of the alphabets and checked on the other, and the
reverse. The model keeps those that are fitted on all of them.

Letters: N classes of an alphabet, P images of each, W ways, K shots, U queries, R support sets,
L rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.data import Characters
from hpsearch.intervals import around, wilson
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.recognition.rejection import Array, Cohort, Rejection, Setting
from hpsearch.scoring.verification import calibration_error
from hpsearch.seeding import generator

RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
WAYS = (2, 5, 10, 20, 50)
SHOTS = (1, 2, 5)
CHECKED_WAYS = 20
"""The check takes at most that many candidates, and one image of each."""
MOST_ALPHABETS, MOST_CLASSES, MOST_IMAGES = 20, 60, 6
"""Bound the number of comparisons."""
SUPPORT_SETS, SUPPORT_CLASSES = 20, 200
"""Least number of support sets of each alphabet and setting, and of classes in all of them."""
FEW = 4
"""With fewer alphabets every other class is a half, and classes are the unit of intervals."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The best scores of a support set's queries.

    Args:
        cohort: The support set's own.
        known: [U] of the queries whose class is a candidate.
        right: [U] whether the best class is theirs.
        known_class: [U] their class.
        unknown: [U'] of the queries whose class is no candidate.
        unknown_class: [U'] their class.
    """

    cohort: Cohort
    known: Array
    right: NDArray[np.bool_]
    known_class: NDArray[np.int64]
    unknown: Array
    unknown_class: NDArray[np.int64]


def measure_rejection(
    network: SiameseNetwork,
    codes: Tensor,
    characters: Characters,
    drawers: Sequence[int],
    seed: int,
) -> dict[str, Any] | None:
    """Return the thresholds of false-accept rates, and what they are on unseen classes.

    Args:
        network: A trained network.
        codes: Its encodings of the characters' images.
        characters: Characters that it was not trained on.
        drawers: The drawers to use; all if they are unknown.
        seed: The study's seed.

    Returns:
        `rates` and `settings` of a `Rejection`, and its `check`; None where there are too few
        classes or images, or the scores are not finite or do not tell known from unknown.
    """
    scores = alphabet_scores(network, codes, characters, drawers, seed)
    if not scores or not all(np.isfinite(one).all() for one in scores):
        return None
    rejection, check = fit_rejection(scores, seed), check_rejection(scores, seed)
    if rejection is None or check is None:
        return None
    return {**rejection.to_json(), "check": check}


@torch.no_grad()
def alphabet_scores(
    network: SiameseNetwork,
    codes: Tensor,
    characters: Characters,
    drawers: Sequence[int],
    seed: int,
) -> list[Array]:
    """Return the scores of each alphabet's images with one another, [N, P, N, P].

    P is the same for all: the median of the classes' numbers of images, at most 6. Classes with
    fewer images, and alphabets with fewer than three classes, are left out.
    """
    rng = generator(seed, "none of these")
    index = characters.index()
    if characters.people:
        index = index[:, [d for d in drawers if d < index.shape[1]]]
    counts = (index >= 0).sum(axis=1)
    images = min(MOST_IMAGES, int(np.median(counts[counts >= 2]))) if (counts >= 2).any() else 0
    held = []
    for alphabet in rng.permutation(len(characters.alphabets))[:MOST_ALPHABETS].tolist():
        members = characters.of_alphabet(alphabet)
        usable = rng.permutation(members[counts[members] >= images])[:MOST_CLASSES]
        if images < 2 or len(usable) < 3:
            continue
        rows = np.stack([rng.permutation(row[row >= 0])[:images] for row in index[usable]])
        own = codes[torch.from_numpy(rows.ravel()).to(codes.device)]
        scores = network.score_matrix(own, own).double().cpu().numpy()
        held.append(scores.reshape(*rows.shape, *rows.shape))
    return held


def answers(
    scores: Array, ways: int, shots: int, rng: np.random.Generator, sets: int | None = None
) -> list[Answers]:
    """Draw support sets from one alphabet and ask all other images.

    Args:
        scores: [N, P, N, P], N above `ways` and P above `shots`.
        ways: W.
        shots: K.
        rng: Draws the support sets.
        sets: Number of support sets; None for as many as the fit takes.
    """
    count, images = scores.shape[:2]
    held = []
    for _ in range(sets or max(SUPPORT_SETS, SUPPORT_CLASSES // ways)):
        order = rng.permutation(count)
        inside, outside = order[:ways, None], order[ways:]
        place = rng.permuted(np.tile(np.arange(images), (ways, 1)), axis=1)
        support, rest = place[:, :shots], place[:, shots:]
        means = scores[:, :, inside, support].mean(axis=-1)  # [N, P, W]
        known = means[inside, rest]  # [W, P - K, W]
        unknown = means[outside].max(axis=-1)  # [N - W, P]
        cohort = Cohort.of(
            means[inside, support].reshape(-1, ways), np.repeat(np.arange(ways), shots)
        )
        held.append(
            Answers(
                cohort,
                known.max(axis=-1).ravel(),
                (known.argmax(axis=-1) == np.arange(ways)[:, None]).ravel(),
                np.repeat(inside.ravel(), images - shots),
                unknown.ravel(),
                np.repeat(outside, images),
            )
        )
    return held


def fit_rejection(scores: Sequence[Array], seed: int) -> Rejection | None:
    """Return thresholds and probabilities for several numbers of ways and shots.

    Every alphabet counts the same. Ways that fewer than half of the alphabets allow are left out.

    Args:
        scores: [N, P, N, P] of each alphabet.
        seed: Seed of the support sets.
    """
    images = scores[0].shape[1]
    all_ways = [w for w in WAYS if 2 * sum(len(s) > w for s in scores) >= len(scores)]
    all_shots = [shots for shots in SHOTS if shots < images]
    queries = sum(len(one) * images for one in scores)
    rates = tuple(rate for rate in RATES if rate * queries >= 1)
    settings = []
    for ways in all_ways:
        for shots in all_shots:
            rng = generator(seed, "none of these", "fit", ways, shots)
            asked = [answers(one, ways, shots, rng) for one in scores if len(one) > ways]
            setting = _fit(asked, ways, shots, rates)
            if setting is None:
                return None
            settings.append(setting)
    return Rejection(rates, tuple(settings)) if settings else None


def _fit(
    asked: Sequence[Sequence[Answers]], ways: int, shots: int, rates: tuple[float, ...]
) -> Setting | None:
    """Return the setting of the answers of each alphabet; None where known ones fit no better."""
    both = [[(one.cohort.mean, one.unknown.var()) for one in alphabet] for alphabet in asked]
    mean, variance = np.mean([np.mean(one, axis=0) for one in both], axis=0).tolist()
    if variance <= 0:
        return None
    blank = Setting(ways, shots, mean, variance, 1.0, 0.0, (), ())
    known, right, unknown = ([_evidence(blank, one, kind) for one in asked] for kind in range(3))
    weight = np.concatenate([np.full(len(one), 1 / len(one)) for one in unknown])
    levels = 1 - np.array(rates)
    thresholds = np.quantile(
        np.concatenate(unknown), levels, weights=weight, method="inverted_cdf"
    )
    kept = np.mean([(one[:, None] > thresholds).mean(axis=0) for one in known], axis=0)
    calibration = _platt(known, right, unknown)
    if calibration is None:
        return None
    return Setting(
        ways, shots, mean, variance, *calibration, tuple(thresholds.tolist()), tuple(kept.tolist())
    )


def _evidence(setting: Setting, asked: Sequence[Answers], kind: int) -> Array:
    """Return the evidence of known queries (0) or unknown ones (2), or which are right (1)."""
    if kind == 1:
        return np.concatenate([one.right for one in asked]).astype(np.float64)
    bests = [(one.unknown if kind else one.known, one.cohort) for one in asked]
    return np.concatenate([setting.evidence(*best) for best in bests])


def _platt(
    known: list[Array], right: list[Array], unknown: list[Array]
) -> tuple[float, float] | None:
    """Return slope and bias; half of the weight is on known queries, in each alphabet."""
    from sklearn.linear_model import LogisticRegression

    evidence = np.concatenate([*known, *unknown])
    same = np.concatenate([*right, *(np.zeros(len(one)) for one in unknown)]) > 0
    weights = np.concatenate([np.full(len(one), 1 / len(one)) for one in (*known, *unknown)])
    if same.all() or not same.any():
        return None
    model = LogisticRegression(C=1e6).fit(
        evidence[:, None], same, sample_weight=weights * (len(weights) / weights.sum())
    )
    slope = float(model.coef_[0, 0])
    return (slope, float(model.intercept_[0])) if slope > 0 else None


def check_rejection(scores: Sequence[Array], seed: int) -> dict[str, Any] | None:
    """Return what the thresholds of each half do on the other half.

    Args:
        scores: [N, P, N, P] of each alphabet.
        seed: Seed of the support sets.

    Returns:
        The check's ways, shots, unit and number of units; `probability_error`, the mean difference
        of probability and frequency; and `points`: for each rate the measured one, the share of
        known queries kept, and that of known queries both kept and right, with intervals over
        units; and the 5th and 95th percentile of the rates of single support sets (`sets`). None
        where a half has too few classes.
    """
    by_class = len(scores) < FEW
    if by_class:
        halves = [[one[half::2, :, half::2] for one in scores] for half in (0, 1)]
    else:
        halves = [list(scores[half::2]) for half in (0, 1)]
    fits = [fit_rejection(half, seed) for half in halves]
    first, second = fits
    if first is None or second is None:
        return None
    rates = tuple(rate for rate in first.rates if rate in second.rates)
    ways = int(min(CHECKED_WAYS, *(one.settings[-1].ways for one in (first, second))))
    rng = generator(seed, "none of these", "check")
    judged = [
        judgement
        for rejection, half in zip((second, first), halves, strict=True)
        for judgement in _judge(rejection, half, ways, rates, rng, by_class=by_class)
    ]
    accepted, kept, right = (
        [one for judgement in judged for one in judgement[kind]] for kind in range(3)
    )
    probability, same, of_sets = (
        np.concatenate([one[kind] for one in judged]) for kind in (3, 4, 5)
    )
    ranges = np.percentile(of_sets, (5, 95), axis=0).T.tolist()
    points = [
        {
            "false_accept": rate,
            **_share("measured", [one[place] for one in accepted]),
            **_share("kept", [one[place] for one in kept]),
            **_share("right", [one[place] for one in right]),
            "sets": ranges[place],
        }
        for place, rate in enumerate(rates)
    ]
    return {
        "ways": ways,
        "shots": 1,
        "unit": "class" if by_class else "alphabet",
        "units": len(accepted),
        "probability_error": calibration_error(probability, same),
        "points": points,
    }


Judgement = tuple[list[Array], list[Array], list[Array], Array, NDArray[np.bool_], Array]
"""Shares [L] of units: accepted, kept, right; queries' probabilities, and whether their best class
is right; shares accepted of each support set, [R, L]."""


def _judge(
    rejection: Rejection,
    scores: Sequence[Array],
    ways: int,
    rates: tuple[float, ...],
    rng: np.random.Generator,
    *,
    by_class: bool,
) -> list[Judgement]:
    """Return what thresholds do on each alphabet that allows as many ways."""
    setting = rejection.at(ways, 1)
    cuts = np.array([rejection.cut(setting, rate).evidence for rate in rates])
    judged: list[Judgement] = []
    for one in scores:
        if len(one) <= ways:
            continue
        asked = answers(one, ways, 1, rng)
        known, right, unknown = (_evidence(setting, asked, kind) for kind in range(3))
        above, is_right = known[:, None] > cuts, right > 0
        units = [
            np.concatenate([a.known_class for a in asked]) if by_class else np.zeros(len(known)),
            np.concatenate([a.unknown_class for a in asked])
            if by_class
            else np.zeros(len(unknown)),
        ]
        # As many unknown queries as known ones count for the probability.
        some = rng.permutation(unknown)[: len(known)]
        judged.append(
            (
                _by_unit(unknown[:, None] > cuts, units[1]),
                _by_unit(above, units[0]),
                _by_unit(above & is_right[:, None], units[0]),
                setting.probability(np.concatenate([known[: len(some)], some])),
                np.concatenate([is_right[: len(some)], np.zeros(len(some), np.bool_)]),
                (unknown.reshape(len(asked), -1, 1) > cuts).mean(axis=1),
            )
        )
    return judged


def _by_unit(hit: NDArray[np.bool_], unit: NDArray[Any]) -> list[Array]:
    """Return the mean [L] of each unit's rows."""
    return [hit[unit == one].mean(axis=0) for one in np.unique(unit)]


def _share(name: str, of_units: Sequence[float]) -> dict[str, Any]:
    """Return the mean over units and its 95 % interval."""
    share = min(1.0, max(0.0, float(np.mean(of_units))))
    count = len(of_units)
    error = float(np.std(of_units, ddof=1)) / count**0.5 if count > 1 else 0.0
    ends = around(share, error) if error > 0 and 0 < share < 1 else wilson(share, count)
    return {name: share, f"{name}_interval": list(ends)}
