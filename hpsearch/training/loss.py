"""The paper's cross entropy over pairs (Koch et al. 2015, section 3.2, Learning)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pair_loss(logits: Tensor, same: Tensor) -> Tensor:
    """Return the mean cross entropy of logits [P] against same = 1, different = 0, [P]."""
    return functional.binary_cross_entropy_with_logits(logits, same.to(logits.dtype))


def batch_loss(logits: Tensor, same: Tensor, distinct: Tensor) -> Tensor:
    """Return the cross entropy of all pairs of a batch, same and different weighted equally.

    Args:
        logits: [N, N], every image against every image.
        same: 1 where the two are the same character, [N, N].
        distinct: 0 on the diagonal, 1 elsewhere, [N, N].
    """
    losses = functional.binary_cross_entropy_with_logits(logits, same, reduction="none")
    positive, negative = same * distinct, (1 - same) * distinct
    return 0.5 * (losses * positive).sum() / positive.sum().clamp(min=1) + 0.5 * (
        losses * negative
    ).sum() / negative.sum().clamp(min=1)
