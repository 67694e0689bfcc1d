"""The area average against a slow loop, and the stored form."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hpsearch.data.resize import SIDE, area_average, from_stored, to_stored


def slow_pixel(image: np.ndarray, size: int, row: int, column: int) -> int:
    """Average one new pixel with exact fractions, rounded half up."""
    ratio = Fraction(SIDE, size)

    def shares(index: int) -> dict[int, Fraction]:
        low, high = index * ratio, (index + 1) * ratio
        found = {}
        for old in range(SIDE):
            overlap = min(high, Fraction(old + 1)) - max(low, Fraction(old))
            if overlap > 0:
                found[old] = overlap
        return found

    total = sum(
        y_share * x_share * int(image[y, x])
        for y, y_share in shares(row).items()
        for x, x_share in shares(column).items()
    )
    return int(total / ratio**2 + Fraction(1, 2))


@pytest.mark.parametrize("size", [1, 28, 35, 52, 64, 104])
@pytest.mark.parametrize("binary", [True, False])
def test_area_average_equals_exact_fractions(size: int, binary: bool) -> None:
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (2, SIDE, SIDE)).astype(np.uint8)
    if binary:
        images = np.where(images > 128, 255, 0).astype(np.uint8)
    averaged = area_average(to_stored(images), size)
    assert averaged.shape == (2, size, size)
    for row, column in rng.integers(0, size, (12, 2)):
        expected = slow_pixel(images[1], size, int(row), int(column))
        assert averaged[1, row, column] == expected


def test_stored_form_is_exact_and_small() -> None:
    rng = np.random.default_rng(0)
    binary = np.where(rng.random((3, SIDE, SIDE)) < 0.2, 255, 0).astype(np.uint8)
    assert to_stored(binary).shape == (3, SIDE, 14)
    np.testing.assert_array_equal(from_stored(to_stored(binary)), binary)
    grey = rng.integers(0, 256, (3, SIDE, SIDE)).astype(np.uint8)
    np.testing.assert_array_equal(from_stored(to_stored(grey)), grey)
    np.testing.assert_array_equal(area_average(to_stored(binary), SIDE), binary)
