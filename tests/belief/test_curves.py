"""Final errors from curves, against a slow solution with whole matrices."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.belief.curves import Shape, sums

EPOCHS = 9


def drawn(rng: np.random.Generator, trials: int, shape: Shape, epochs: list[int]) -> tuple[
    list[dict[int, float]], np.ndarray
]:  # fmt: skip
    finals = rng.normal(10, 1, trials)
    curves = []
    for final, last in zip(finals, epochs, strict=True):
        slope = shape.slope * final + shape.drop + rng.normal(0, math.sqrt(shape.spread))
        g = places(dict.fromkeys(range(1, last + 1), 0.0), shape.exponent)
        noise = rng.normal(0, math.sqrt(shape.noise), last)
        curves.append({e: final + slope * g[e - 1] + float(noise[e - 1])
                       for e in range(1, last + 1)})  # fmt: skip
    return curves, finals


def covariance(shape: Shape, curve: dict[int, float]) -> np.ndarray:
    """Noise and walk of a curve, float64 [epochs, epochs]."""
    left = (EPOCHS - np.array(list(curve))) / (EPOCHS - 1)
    return shape.noise * (np.eye(len(left)) + shape.walk * np.minimum.outer(left, left))


def places(curve: dict[int, float], power: float = 0.0) -> np.ndarray:
    """g of a curve's epochs."""
    if power:
        return np.array([(e**-power - EPOCHS**-power) / (1 - EPOCHS**-power) for e in curve])
    return np.array([1 - math.log(e) / math.log(EPOCHS) for e in curve])


@pytest.mark.parametrize(("walk", "power"), [(0.0, 0.0), (8.0, 0.5), (0.0, 1.0), (512.0, 0.0)])
def test_final_errors_agree_with_generalised_least_squares(walk: float, power: float) -> None:
    shape = Shape(-0.2, 3.0, spread=0.1, noise=0.05, centre=10, width=1, walk=walk, exponent=power)
    rng = np.random.default_rng(0)
    curves, _ = drawn(rng, 6, shape, [1, 2, 3, 5, 9, 9])
    del curves[5][4]
    finals, variances = shape.finals(shape.sums(curves, [EPOCHS] * 6))
    for curve, final, variance in zip(curves, finals, variances, strict=True):
        g = places(curve, power)
        design = 1 + shape.slope * g
        inverse = np.linalg.inv(covariance(shape, curve) + shape.spread * np.outer(g, g))
        information = design @ inverse @ design
        told = design @ inverse @ (np.array(list(curve.values())) - shape.drop * g) / information
        assert math.isclose(final, told, rel_tol=1e-9)
        assert math.isclose(variance, 1 / information, rel_tol=1e-9)


@pytest.mark.parametrize("walk", [0.0, 64.0])
def test_the_evidence_is_the_likelihood_of_the_curves(walk: float) -> None:
    true = Shape(slope=-0.2, drop=3.0, spread=0.1, noise=0.05, centre=10, width=1)
    curves, _ = drawn(np.random.default_rng(2), 5, true, [1, 2, 4, 9, 9])
    seen = sums(curves, [EPOCHS] * 5, walk)
    found = replace(Shape.fit(seen), walk=walk)
    slope, mean = found.slope, found.drop + found.slope * found.centre
    spreads = found.width * np.array([[1, slope], [slope, slope**2]]) + [[0, 0], [0, found.spread]]
    likely = 0.0
    for curve in curves:
        g = places(curve)
        effects = np.stack([np.ones(len(g)), g], axis=1)
        whole = covariance(found, curve) + effects @ spreads @ effects.T
        rest = np.array(list(curve.values())) - found.centre - mean * g
        likely -= (np.linalg.slogdet(whole)[1] + rest @ np.linalg.solve(whole, rest)) / 2
    assert math.isclose(found.evidence(seen), likely, rel_tol=1e-9)


@pytest.mark.parametrize("short", [12, 150])
def test_curves_that_stay_at_chance_for_a_while_are_told_by_their_last_epochs(short: int) -> None:
    rng = np.random.default_rng(3)
    ends, starts = rng.uniform(0.1, 0.6, 12), rng.uniform(1, 6, 12)
    late = [
        {e: 0.9 if e < t else end + (0.9 - end) * math.exp(t - e) for e in range(1, EPOCHS + 1)}
        for end, t in zip(ends, starts, strict=True)
    ]
    curves = [{e: v + rng.normal(0, 0.01) for e, v in curve.items()} for curve in late]
    first = [{1: 0.9 + rng.normal(0, 0.01)} for _ in range(short)]
    lengths = [EPOCHS] * (12 + short)
    found = Shape.learn([*curves, *first], lengths)
    finals, variances = found.finals(found.sums([*curves, *first], lengths))
    assert found.walk > 0
    assert np.abs(finals[:12] - [c[EPOCHS] for c in curves]).mean() < 0.04
    assert variances[12:].min() > 20 * variances[:12].max()


def test_curves_that_run_as_assumed_have_no_walk() -> None:
    true = Shape(slope=-0.2, drop=3.0, spread=0.1, noise=0.05, centre=10, width=1)
    for seed in range(5):
        curves, _ = drawn(np.random.default_rng(seed), 40, true, [9, 1, 1, 3] * 10)
        assert Shape.learn(curves, [EPOCHS] * 40).walk == 0
        assert Shape.learn(curves, [EPOCHS] * 40).exponent == 0


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_curves_that_fall_soon_and_flatten_are_told_by_a_power(power: float) -> None:
    """By the logarithm a trial that begins badly and falls fast would end better than all."""
    true = Shape(-0.2, 4.0, spread=0.5, noise=0.002, centre=10, width=1, exponent=power)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        curves, finals = drawn(rng, 40, true, [9, 2, 3, 2] * 10)
        steep = {e: 11 + 12 * g for e, g in zip((1, 2), places({1: 0, 2: 0}, power), strict=True)}
        found = Shape.learn([*curves, steep], [EPOCHS] * 41)
        assert abs(found.exponent - power) <= 0.25
        told, _ = found.finals(found.sums([*curves, steep], [EPOCHS] * 41))
        assert np.abs(told[:40] - finals).mean() < 0.35
        assert told[40] > 9


def test_the_shape_is_found_although_bad_trials_are_pruned() -> None:
    """Five of six trials have one epoch: all but the best after it, and one in twenty."""
    true = Shape(slope=0.0, drop=2.0, spread=0.04, noise=0.04, centre=10, width=1)
    curves, finals = drawn(np.random.default_rng(1), 200, true, [EPOCHS] * 200)
    bar = sorted(c[1] for c in curves)[25]
    cut = [c if c[1] <= bar or n % 20 == 0 else {1: c[1]} for n, c in enumerate(curves)]
    seen = sums(cut, [EPOCHS] * 200)
    found = Shape.fit(seen)
    assert abs(found.slope * 10 + found.drop - 2.0) < 0.3
    assert 0.02 < found.noise < 0.06
    told, variances = found.finals(seen)
    early = [k for k, c in enumerate(cut) if len(c) == 1]
    assert abs(np.mean(told[early] - finals[early])) < 0.3
    whole = [k for k, c in enumerate(cut) if len(c) > 1]
    assert variances[whole].max() < variances[early].min() / 3


def test_a_trial_of_one_epoch_is_its_own_final_error() -> None:
    curves = [{1: 0.3}, {1: 0.5}, {1: 0.9}]
    seen = sums(curves, [1, 1, 1])
    finals, variances = Shape.fit(seen).finals(seen)
    np.testing.assert_allclose(finals, [0.3, 0.5, 0.9])
    assert (variances > 0).all()


def test_ends_that_first_epochs_do_not_tell_are_not_counted() -> None:
    """Of curves that fall late a first epoch says as good as nothing, and what it says is wild."""
    shape = Shape(slope=-0.99, drop=1.0, spread=0.1, noise=0.1, centre=0.4, width=1.0, walk=1.0)
    whole = {e: 1.2 - 0.05 * e for e in range(1, EPOCHS + 1)}
    curves = [{1: 0.9}, {1: 1.1}, {1: 1.0}, whole, {e: v + 0.5 for e, v in whole.items()}]
    finals, variances = shape.finals(sums(curves, [EPOCHS] * 5))
    assert np.abs(finals[:3]).max() > 5
    telling = shape.telling(variances)
    assert telling.tolist() == [False] * 3 + [True] * 2
    assert replace(shape, walk=0.0).telling(variances).all()
    mean, deviation = shape.moments(finals, telling)
    assert math.isclose(mean, finals[3:].mean())
    assert math.isclose(deviation, finals[3:].std())
    assert shape.moments(finals[:4], telling[:4]) == (0.4, 1.0)  # one end is no spread
