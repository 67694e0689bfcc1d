"""The loss against explicit loops over pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hpsearch.network.loss import batch_loss, pair_loss


def cross_entropy(logit: float, same: float) -> float:
    """Return -log of the probability given to what is true."""
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p if same else 1 - p)


def batch(labels: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return random logits [N, N], who is the same, and who is distinct."""
    n = len(labels)
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (n, n)))
    same = torch.tensor([[float(a == b) for a in labels] for b in labels]).double()
    return logits, same, 1 - torch.eye(n, dtype=torch.float64)


def test_pair_loss_is_the_mean_cross_entropy() -> None:
    logits, same = [2.0, -1.0, 0.5, -3.0, 0.0], [1, 1, 0, 0, 1]
    expected = sum(map(cross_entropy, logits, same)) / 5
    found = pair_loss(torch.tensor(logits, dtype=torch.float64), torch.tensor(same))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_pair_loss_of_sure_and_wrong_logits_stays_finite() -> None:
    found = pair_loss(torch.tensor([500.0, -500.0]), torch.tensor([0, 1]))
    assert found.item() == pytest.approx(500)


def test_batch_loss_is_half_same_and_half_different() -> None:
    labels = [0, 0, 0, 1, 1, 2]
    logits, same, distinct = batch(labels)
    losses: dict[bool, list[float]] = {True: [], False: []}
    for a, b in np.ndindex(6, 6):
        if a != b:
            alike = labels[a] == labels[b]
            losses[alike].append(cross_entropy(logits[a, b].item(), alike))
    assert (len(losses[True]), len(losses[False])) == (8, 22)
    expected = sum(losses[True]) / 8 / 2 + sum(losses[False]) / 22 / 2
    assert batch_loss(logits, same, distinct).item() == pytest.approx(expected, rel=1e-12)


def test_same_and_different_pull_equally_however_few_the_same_are() -> None:
    _, same, distinct = batch([0, 0, 1, 1, 2, 2, 3, 3])
    logits = torch.zeros(8, 8, dtype=torch.float64, requires_grad=True)
    batch_loss(logits, same, distinct).backward()
    pull = logits.grad
    assert pull is not None
    assert (pull * same).sum().item() == pytest.approx(-0.25)
    assert (pull * (1 - same)).sum().item() == pytest.approx(0.25)


def test_an_image_against_itself_does_not_count() -> None:
    logits, same, distinct = batch([0, 0, 1])
    changed = logits + 100 * torch.eye(3, dtype=torch.float64)
    assert torch.equal(batch_loss(logits, same, distinct), batch_loss(changed, same, distinct))


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]], ids=["no same", "no different"])
def test_a_batch_of_one_kind_counts_half(labels: list[int]) -> None:
    logits, same, distinct = batch(labels)
    losses = [
        cross_entropy(logits[a, b].item(), same[a, b].item())
        for a, b in np.ndindex(3, 3)
        if a != b
    ]
    expected = sum(losses) / 6 / 2
    assert batch_loss(logits, same, distinct).item() == pytest.approx(expected, rel=1e-12)
