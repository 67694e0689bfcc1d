"""Wilson's interval against scipy and against values known by hand."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest, norm

from hpsearch.intervals import Z_95, around, of_pictures, wilson


@pytest.mark.parametrize("n", [1, 2, 19, 320, 400, 10_000])
def test_wilson_is_scipys(n: int) -> None:
    for k in sorted({0, 1, n // 20, n // 3, n // 2, n - 1, n}):
        expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert wilson(k / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("share", "n", "low", "high"),
    [
        (0.0, 10, 0.0, 0.2775),
        (0.1, 10, 0.0179, 0.4042),
        (0.5, 100, 0.4038, 0.5962),
        (1.0, 10, 0.7225, 1.0),
        (0.92, 400, 0.8892, 0.9428),
    ],
)
def test_wilson_by_hand(share: float, n: int, low: float, high: float) -> None:
    assert wilson(share, n) == pytest.approx((low, high), abs=5e-5)


def test_the_quantile() -> None:
    assert pytest.approx(norm.ppf(0.975), abs=1e-15) == Z_95


@pytest.mark.parametrize("share", [0.0, 1.0, 1 + 1e-16, -1e-17])
def test_both_ends_are_shares(share: float) -> None:
    low, high = wilson(share, 320)
    assert 0 <= low < high <= 1


def test_an_interval_around_a_share_is_wilsons_of_as_many_tries_as_have_its_error() -> None:
    assert around(0.2, (0.2 * 0.8 / 320) ** 0.5) == pytest.approx(wilson(0.2, 320))
    low, high = around(0.014, 0.02)  # symmetric, it would begin at -0.025
    assert 0 < low < 0.014 < high
    assert around(0.0, 0.0) == (0.0, 0.0)


def test_trainings_that_agree_on_few_pictures_leave_the_doubt_about_pictures() -> None:
    assert of_pictures((0.0, 0.0), 0.0, 4) == list(wilson(0.0, 4))
    assert of_pictures((0.1, 0.9), 0.5, 1000) == [0.1, 0.9]
    assert of_pictures((0.0, 0.0), 0.0, None) == [0.0, 0.0]
