"""The report's Gaussian process: what it is fitted to, and that it says nothing of its own."""

from __future__ import annotations

import warnings

import numpy as np

from hpsearch.report.surrogate import fit


def test_values_without_noise_are_fitted_without_a_warning() -> None:
    """The noise is at its lower bound then, which is no fault of the user's."""
    points = np.linspace(0, 1, 12)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(points, points[:, 0])
