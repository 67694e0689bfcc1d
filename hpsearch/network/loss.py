"""Losses over the weighted L1 score: the paper's cross entropy over pairs, and softmax.

Letters: P pairs, N images, C characters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def pair_loss(logits: Tensor, same: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross entropy of logits [P] against same = 1, different = 0, [P].

    Reference:
        Koch et al. 2015, section 3.2, Learning.
    """
    targets = _smooth(same.to(logits.dtype), smoothing)
    return functional.binary_cross_entropy_with_logits(logits, targets)


def batch_loss(logits: Tensor, same: Tensor, distinct: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the cross entropy of all pairs of a batch, same and different weighted equally.

    Args:
        logits: [N, N], every image against every image.
        same: 1 where the two are the same character, [N, N].
        distinct: 0 on the diagonal, 1 elsewhere, [N, N].
        smoothing: Share of the target spread evenly over same and different.
    """
    targets = _smooth(same, smoothing)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    positive, negative = same * distinct, (1 - same) * distinct
    return 0.5 * (losses * positive).sum() / positive.sum().clamp(min=1) + 0.5 * (
        losses * negative
    ).sum() / negative.sum().clamp(min=1)


def softmax_loss(blocks: Sequence[Tensor], smoothing: float = 0.0) -> Tensor:
    """Return the cross entropy of choosing a character among those of the batch.

    Args:
        blocks: Scores [C, C] for each pair of drawings: the first drawing of every character
            against the second. Each block is used in both directions.
        smoothing: Share of the target spread evenly over the C characters.
    """
    asked = torch.cat([scores for block in blocks for scores in (block, block.T)])
    target = torch.arange(asked.shape[1], device=asked.device).repeat(2 * len(blocks))
    return functional.cross_entropy(asked, target, label_smoothing=smoothing)


def _smooth(same: Tensor, smoothing: float) -> Tensor:
    return same * (1 - smoothing) + smoothing / 2 if smoothing else same
