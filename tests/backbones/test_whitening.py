"""Whitening by the spread within classes, against the whole matrix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hpsearch.backbones import whitening as module
from hpsearch.backbones.whitening import Whitening, fit


def known(n: int = 60, places: int = 1, inputs: int = 8) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    classes = torch.arange(n) % 5
    spread = torch.rand(inputs, generator=draw) + 0.1
    codes = torch.randn(n, places, inputs, generator=draw) * spread
    return codes + classes[:, None, None] * 0.5 + 3, classes


def by_the_whole_matrix(codes: Tensor, classes: Tensor, shrinkage: float) -> Tensor:
    """Return the whitened codes, up to one factor."""
    flat = codes.double()
    means = torch.stack([flat[classes == c].mean(0) for c in range(5)])
    within = (flat - means[classes]).flatten(0, 1)
    scatter = within.T @ within / len(within)
    size = len(scatter)
    shrunk = (1 - shrinkage) * scatter + shrinkage * scatter.trace() / size * torch.eye(size)
    values, vectors = torch.linalg.eigh(shrunk)
    return (flat - flat.mean(0)) @ (vectors * values.rsqrt()) @ vectors.T


@pytest.mark.parametrize(("n", "places", "inputs"), [(60, 1, 8), (60, 4, 8), (10, 1, 40)])
@pytest.mark.parametrize("shrinkage", [0.05, 0.5, 1.0])
def test_it_divides_by_the_spread_within_classes(
    n: int, places: int, inputs: int, shrinkage: float
) -> None:
    codes, classes = known(n, places, inputs)
    whitening = Whitening(inputs, inputs, places)
    fit(whitening, codes, classes, centring=True, shrinkage=shrinkage)
    found = whitening(codes).detach().double()
    wanted = by_the_whole_matrix(codes, classes, shrinkage)
    factor = float(found.norm() / wanted.norm())
    torch.testing.assert_close(found, wanted * factor, rtol=1e-3, atol=1e-4)


def test_fewer_directions_are_those_that_spread_most() -> None:
    codes, classes = known()
    every, few = Whitening(8, 8, 1), Whitening(8, 3, 1)
    for one in (every, few):
        fit(one, codes, classes, centring=False, shrinkage=0.1)
    torch.testing.assert_close(few.directions, every.directions[:3])
    torch.testing.assert_close(few.gains, every.gains[:3])
    assert not few.mean.any()
    assert (few.gains.diff() >= 0).all()  # the more spread, the less weight


def test_many_codes_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, classes = known(400, 1, 60)
    every, some = Whitening(60, 20, 1), Whitening(60, 20, 1)
    fit(every, codes, classes, centring=True, shrinkage=0.5)
    monkeypatch.setattr(module, "MOST_CODES", 50)
    fit(some, codes, classes, centring=True, shrinkage=0.5)
    assert not torch.equal(some.directions, every.directions)
    torch.testing.assert_close(some.gains.mean(), every.gains.mean(), rtol=0.3, atol=0)
