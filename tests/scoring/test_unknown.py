"""Queries of unknown classes: thresholds against a slow count, on classes that no fit has seen."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.data import Characters
from hpsearch.json_files import RejectionFigures
from hpsearch.recognition.rejection import PRIOR_CLASSES, Cohort, Rejection
from hpsearch.records import check
from hpsearch.scoring.unknown import (
    alphabet_scores,
    answers,
    check_rejection,
    fit_rejection,
    measure_rejection,
)
from hpsearch.scoring.verification import calibration_error


def alphabet(
    rng: np.random.Generator, classes: int = 26, images: int = 4, shift: float = 0.0
) -> np.ndarray:
    """Return the scores of points in 8 dimensions, those of a class close together."""
    points = rng.normal(size=(classes, 1, 8)) + 0.35 * rng.normal(size=(classes, images, 8))
    flat = points.reshape(-1, 8)
    distances = np.linalg.norm(flat[:, None] - flat, axis=-1)
    return (shift - 4 * distances).reshape(classes, images, classes, images)


def alphabets(count: int, seed: int = 0, spread: float = 2.0) -> list[np.ndarray]:
    """Return alphabets whose scores differ in their level."""
    rng = np.random.default_rng(seed)
    return [alphabet(rng, shift=spread * rng.normal()) for _ in range(count)]


@cache
def fitted(count: int) -> Rejection | None:
    """Return what is fitted to some alphabets."""
    return fit_rejection(alphabets(count), 0)


def accepted(
    rejection: Rejection, scores: list[np.ndarray], ways: int, shots: int, rate: float
) -> Any:
    """Return each alphabet's share of unknown queries that are accepted."""
    setting = rejection.at(ways, shots)
    threshold = rejection.cut(setting, rate).evidence
    shares = []
    for one in scores:
        hits = [
            setting.evidence(np.asarray(asked.unknown), asked.cohort) > threshold
            for asked in answers(one, ways, shots, np.random.default_rng(9))
        ]
        shares.append(np.concatenate(hits).mean())
    return np.array(shares)


def test_the_best_scores_are_those_of_a_slow_loop() -> None:
    scores = alphabet(np.random.default_rng(1), classes=7, images=3)
    one = answers(scores, 4, 2, np.random.default_rng(5), sets=1)[0]
    rng = np.random.default_rng(5)
    order = rng.permutation(7)
    place = rng.permuted(np.tile(np.arange(3), (4, 1)), axis=1)

    def fit(c: int, p: int, candidate: int) -> float:
        return float(np.mean([scores[c, p, order[candidate], k] for k in place[candidate, :2]]))

    unknown = [max(fit(c, p, w) for w in range(4)) for c in order[4:] for p in range(3)]
    assert one.unknown == pytest.approx(unknown)
    assert one.unknown_class.tolist() == np.repeat(order[4:], 3).tolist()
    asked = [(w, order[w], place[w, 2]) for w in range(4)]
    assert one.known == pytest.approx([max(fit(c, p, v) for v in range(4)) for _, c, p in asked])
    best = [max(range(4), key=lambda v, c=c, p=p: fit(c, p, v)) for _, c, p in asked]
    assert one.right.tolist() == [b == w for b, (w, _, _) in zip(best, asked, strict=True)]
    impostors = [
        max(fit(order[w], p, v) for v in range(4) if v != w)
        for w in range(4)
        for p in place[w, :2]
    ]
    assert one.cohort.mean == pytest.approx(np.mean(impostors))
    assert one.cohort.variance == pytest.approx(np.var(impostors))


@pytest.mark.parametrize(("ways", "shots"), [(2, 1), (7, 1), (20, 1), (20, 3)])
def test_the_stated_rate_is_met_on_unseen_alphabets(ways: int, shots: int) -> None:
    """Also between the measured ways and shots, and where scores lie on another level."""
    rejection = fitted(12)
    assert rejection is not None
    for rate in (0.05, 0.2):
        shares = accepted(rejection, alphabets(12, seed=1, spread=4.0), ways, shots, rate)
        assert abs(shares.mean() - rate) < 3 * shares.std() / 12**0.5 + 0.25 * rate


def test_more_candidates_do_not_raise_the_rate_but_the_scores() -> None:
    scores = alphabets(6)
    few, many = (
        np.concatenate([a.unknown for a in answers(scores[0], w, 1, np.random.default_rng(0))])
        for w in (2, 20)
    )
    assert np.quantile(many, 0.95) > np.quantile(few, 0.95) + 1
    rejection = fit_rejection(scores, 0)
    assert rejection is not None
    rates = [accepted(rejection, scores, ways, 1, 0.1).mean() for ways in (2, 20)]
    assert rates == pytest.approx([0.1, 0.1], abs=0.03)


def test_the_check_judges_each_half_by_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The halves' unknown queries differ; a threshold of the own half would hide it."""
    rng = np.random.default_rng(0)
    close = [alphabet(rng) for _ in range(8)]
    for one in close[1::2]:  # one candidate fits everything, so the cohort is no warning
        one[:13, :, 13:] += 3 * rng.random()
    found = check_rejection(close, 0)
    assert found is not None
    assert (found["ways"], found["unit"], found["units"]) == (20, "alphabet", 8)
    stated = [point["false_accept"] for point in found["points"]]
    measured = [point["measured"] for point in found["points"]]
    assert stated == sorted(stated)
    assert measured == sorted(measured)
    for point in found["points"]:
        assert point["right"] <= point["kept"]
        assert point["sets"][0] <= point["measured"] <= point["sets"][1]
        for name in ("measured", "kept", "right"):
            low, high = point[f"{name}_interval"]
            assert low <= point[name] <= high


def test_the_check_finds_the_stated_rate_in_its_interval() -> None:
    found = check_rejection(alphabets(16, seed=3), 0)
    assert found is not None
    within = [
        low <= point["false_accept"] <= high
        for point in found["points"]
        for low, high in [point["measured_interval"]]
    ]
    assert sum(within) >= len(within) - 1
    assert found["probability_error"] < 0.05
    by_class = check_rejection(alphabets(2, seed=3), 0)
    assert by_class is not None
    assert (by_class["unit"], by_class["ways"]) == ("class", 10)
    assert by_class["units"] == 2 * 26


def test_the_probability_is_the_share_of_right_answers() -> None:
    rejection = fitted(12)
    assert rejection is not None
    setting = rejection.at(10, 1)
    p, right = [], []
    for one in alphabets(12, seed=1):
        for asked in answers(one, 10, 1, np.random.default_rng(2)):
            count = len(asked.known)
            bests = np.concatenate([asked.known, asked.unknown[:count]])
            p.append(setting.probability(setting.evidence(bests, asked.cohort)))
            right.append(np.concatenate([asked.right, np.zeros(count, bool)]))
    probability, same = np.concatenate(p), np.concatenate(right)
    assert calibration_error(probability, same) < 0.06


def test_a_small_cohort_counts_for_little() -> None:
    rejection = fit_rejection(alphabets(6), 0)
    assert rejection is not None
    setting = rejection.at(2, 1)
    best = np.array([setting.mean])
    assert setting.evidence(best, Cohort(setting.mean, setting.variance, 2)) == pytest.approx(0)
    off = setting.evidence(best, Cohort(setting.mean - 7, setting.variance, 2))
    assert off * setting.variance**0.5 == pytest.approx(7 * 2 / (2 + PRIOR_CLASSES))


def characters(counts: list[list[int]], *, people: bool) -> Characters:
    """Return alphabets of classes with so many images."""
    classes = [n for one in counts for n in one]
    return Characters(
        images=np.zeros((sum(classes), 1, 1), np.uint8),
        character=np.repeat(np.arange(len(classes)), classes),
        drawer=np.concatenate([np.arange(n) for n in classes]),
        alphabet_of=np.repeat(np.arange(len(counts)), [len(one) for one in counts]),
        names=tuple(f"a/{n}" for n in range(len(classes))),
        alphabets=tuple(f"a{n}" for n in range(len(counts))),
        people=people,
    )


NETWORK: Any = SimpleNamespace(score_matrix=lambda a, b: -(a[:, None] - b).norm(dim=-1))


def test_images_are_of_the_drawers_and_classes_with_too_few_are_left_out() -> None:
    held = characters([[5, 5, 5, 2], [5, 5]], people=False)
    codes = torch.arange(27.0)[:, None]
    (scores,) = alphabet_scores(NETWORK, codes, held, [], 0)
    assert scores.shape == (3, 5, 3, 5)  # the second alphabet has two classes only
    assert np.unique(-scores).tolist() == list(range(15))
    drawn = characters([[5, 5, 5, 5]], people=True)
    (scores,) = alphabet_scores(NETWORK, torch.arange(20.0)[:, None], drawn, [1, 3], 0)
    assert scores.shape == (4, 2, 4, 2)
    assert (scores[0, 0, 0, 1], scores[0, 0, 0, 0]) == (-2, 0)


@pytest.mark.parametrize("counts", [[[2, 2]], [[1] * 9], [[3, 3, 3]]])
def test_too_little_measures_nothing(counts: list[list[int]]) -> None:
    held = characters(counts, people=False)
    codes = torch.randn(len(held.character), 3, generator=torch.Generator().manual_seed(0))
    assert measure_rejection(NETWORK, codes, held, [], 0) is None


def test_scores_that_are_not_finite_measure_nothing() -> None:
    held = characters([[4] * 12], people=False)
    codes = torch.full((48, 3), torch.nan)
    assert measure_rejection(NETWORK, codes, held, [], 0) is None


def test_what_is_measured_is_read_back_and_the_same_seed_gives_the_same() -> None:
    held = characters([[4] * 12, [4] * 9], people=False)
    classes = torch.randn(21, 3, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(84, 3, generator=torch.Generator().manual_seed(1))
    codes = classes.repeat_interleave(4, dim=0) + 0.2 * noise
    found = measure_rejection(NETWORK, codes, held, [], 0)
    assert found is not None
    assert found == measure_rejection(NETWORK, codes, held, [], 0)
    import json

    read = check(json.loads(json.dumps(found)), RejectionFigures)
    again = Rejection.of({"none_of_these": read})
    assert again is not None
    assert again.to_json() == {k: v for k, v in found.items() if k != "check"}
    assert again.at(5, 1).mean == next(
        one["mean"] for one in found["settings"] if (one["ways"], one["shots"]) == (5, 1)
    )
