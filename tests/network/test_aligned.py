"""The aligned comparison, against a slow loop over places."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hpsearch.network import aligned
from hpsearch.network.aligned import aligned_scores, pair_scores

SIDE, CHANNELS = 3, 5
TAU, PRICE = torch.tensor(7.0), torch.tensor(0.3)


def maps(count: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, SIDE**2, CHANNELS, generator=source, dtype=torch.float64)


def slow_score(a: Tensor, b: Tensor, reach: int) -> float:
    """Return s(a, b) of one pair as the formula is written."""

    def one_way(x: Tensor, y: Tensor) -> float:
        total = 0.0
        for p in range(SIDE**2):
            best = -float("inf")
            for q in range(SIDE**2):
                down, right = abs(p // SIDE - q // SIDE), abs(p % SIDE - q % SIDE)
                if max(down, right) <= reach:
                    moved = float(x[p] @ y[q]) - float(PRICE) * (down**2 + right**2)
                    best = max(best, moved)
            total += best
        return total

    return float(TAU) / 2 * (one_way(a, b) + one_way(b, a))


@pytest.mark.parametrize("reach", [0, 1, 2, 9])
def test_scores_are_those_of_a_loop_over_places(reach: int) -> None:
    a, b = maps(3, 1), maps(4, 2)
    expected = torch.tensor([[slow_score(x, y, reach) for y in b] for x in a])
    found = aligned_scores(a, b, TAU, PRICE, SIDE, reach)
    torch.testing.assert_close(found, expected.double())
    pairs = pair_scores(a, b[:3], TAU, PRICE, SIDE, reach)
    torch.testing.assert_close(pairs, expected.diagonal().double())


@pytest.mark.parametrize("reach", [0, 2])
@pytest.mark.parametrize("values", [1, 400, 1 << 20])
def test_parts_and_symmetry_change_no_score(
    values: int, reach: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = maps(7, 3)
    expected = aligned_scores(a.requires_grad_(), a, TAU, PRICE, SIDE, reach).detach()
    monkeypatch.setattr(aligned, "CHUNK_VALUES", values)
    with torch.no_grad():
        whole = aligned_scores(a, a, TAU, PRICE, SIDE, reach)
        torch.testing.assert_close(whole, expected)
        torch.testing.assert_close(whole, whole.T)
        torch.testing.assert_close(
            aligned_scores(a, a[2:4], TAU, PRICE, SIDE, reach), expected[:, 2:4]
        )


def test_gradients_reach_maps_scale_and_price() -> None:
    given = [maps(2, 4), maps(3, 5), TAU.double(), PRICE.double()]
    values = [value.clone().requires_grad_() for value in given]
    assert torch.autograd.gradcheck(
        lambda a, b, tau, price: aligned_scores(a, b, tau, price, SIDE, 1), values
    )


def test_a_stroke_moved_within_reach_costs_only_the_move() -> None:
    a, b = torch.zeros(1, 9, 1), torch.zeros(1, 9, 1)
    a[0, 4], b[0, 5] = 1.0, 1.0  # one pixel to the right
    still = float(aligned_scores(a, a, TAU, PRICE, SIDE, 0))
    assert still == pytest.approx(float(TAU))
    assert float(aligned_scores(a, b, TAU, PRICE, SIDE, 0)) == 0
    moved = float(aligned_scores(a, b, TAU, PRICE, SIDE, 1))
    assert moved == pytest.approx(still - float(TAU * PRICE))
