"""Final errors from curves, against a slow solution with whole matrices."""

from __future__ import annotations

import math

import numpy as np

from hpsearch.belief.curves import Shape, sums

EPOCHS = 9


def drawn(rng: np.random.Generator, trials: int, shape: Shape, epochs: list[int]) -> tuple[
    list[dict[int, float]], np.ndarray
]:  # fmt: skip
    finals = rng.normal(10, 1, trials)
    curves = []
    for final, last in zip(finals, epochs, strict=True):
        slope = shape.slope * final + shape.drop + rng.normal(0, math.sqrt(shape.spread))
        g = [1 - math.log(e) / math.log(EPOCHS) for e in range(1, last + 1)]
        noise = rng.normal(0, math.sqrt(shape.noise), last)
        curves.append({e: final + slope * g[e - 1] + float(noise[e - 1])
                       for e in range(1, last + 1)})  # fmt: skip
    return curves, finals


def test_final_errors_agree_with_generalised_least_squares() -> None:
    shape = Shape(slope=-0.2, drop=3.0, spread=0.1, noise=0.05, centre=10, width=1)
    rng = np.random.default_rng(0)
    curves, _ = drawn(rng, 6, shape, [1, 2, 3, 5, 9, 9])
    finals, variances = shape.finals(sums(curves, [EPOCHS] * 6))
    for curve, final, variance in zip(curves, finals, variances, strict=True):
        g = np.array([1 - math.log(e) / math.log(EPOCHS) for e in curve])
        design = 1 + shape.slope * g
        inverse = np.linalg.inv(shape.noise * np.eye(len(g)) + shape.spread * np.outer(g, g))
        information = design @ inverse @ design
        told = design @ inverse @ (np.array(list(curve.values())) - shape.drop * g) / information
        assert math.isclose(final, told, rel_tol=1e-9)
        assert math.isclose(variance, 1 / information, rel_tol=1e-9)


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
    shape = Shape(slope=-0.99, drop=1.0, spread=0.1, noise=0.1, centre=0.4, width=1.0)
    whole = {e: 1.2 - 0.05 * e for e in range(1, EPOCHS + 1)}
    curves = [{1: 0.9}, {1: 1.1}, {1: 1.0}, whole, {e: v + 0.5 for e, v in whole.items()}]
    finals, variances = shape.finals(sums(curves, [EPOCHS] * 5))
    assert np.abs(finals[:3]).max() > 5
    mean, deviation = shape.moments(finals, variances)
    assert math.isclose(mean, finals[3:].mean())
    assert math.isclose(deviation, finals[3:].std())
    assert shape.moments(finals[:4], variances[:4]) == (0.4, 1.0)  # one end is no spread
