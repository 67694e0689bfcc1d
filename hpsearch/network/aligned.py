"""The aligned comparison: two feature maps, place by place within a small reach.

s(a, b) = tau / 2 [sum over p of max over |q - p|_inf <= r of (<a_p, b_q> - lambda |q - p|^2)
+ the same with a and b exchanged]. A stroke may lie a little elsewhere in another drawing; it is
compared with the best place near it, and lambda is the price of a move. Each map has the Euclidean
norm 1 as a whole, so a place with more ink counts for more.

Letters: A and B images compared, C channels, P places (side squared), r the reach.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

CHUNK_VALUES = 1 << 21
"""Products <a_p, b_q> held at once where no gradient is needed."""


def aligned_scores(
    a: Tensor, b: Tensor, tau: Tensor, price: Tensor, side: int, reach: int
) -> Tensor:
    """Compare all maps of a [A, P, C] with all of b [B, P, C]; return scores [A, B].

    Args:
        a: Feature maps, one row of channels for each place.
        b: Feature maps; the same tensor as `a` takes half the time.
        tau: Factor of all scores, a scalar.
        price: lambda, at least 0, a scalar.
        side: Height and width of the maps, pixels.
        reach: r, pixels; 0 compares equal places only.
    """
    squares, outside = _moves(side, reach, a)
    if reach == 0:  # only equal places, so one product of whole maps
        return tau * (a.flatten(1) @ b.flatten(1).T)
    moves = torch.where(outside, -torch.inf, -price * squares)  # [P, P]
    if torch.is_grad_enabled():
        best: Tensor = SumOfBest.apply(a, b, moves)  # type: ignore[no-untyped-call]
        return tau / 2 * best
    step = max(1, CHUNK_VALUES // (len(b) * len(squares) ** 2))
    scores, alike = a.new_empty(len(a), len(b)), a is b
    a, b = a.contiguous(), b.contiguous()
    for i in range(0, len(a), step):
        rows, first = slice(i, i + step), i if alike else 0  # the score is symmetric
        moved = _moved(a[rows], b[first:], moves)
        scores[rows, first:] = moved.amax(3).sum(1) + moved.amax(1).sum(2)
        if first:
            scores[rows, :first] = scores[:first, rows].T
    return tau / 2 * scores


def pair_scores(a: Tensor, b: Tensor, tau: Tensor, price: Tensor, side: int, reach: int) -> Tensor:
    """Compare each map of a with one of b, both [..., P, C]; return scores [...]."""
    squares, outside = _moves(side, reach, a)
    products = a @ b.transpose(-1, -2)  # [..., P, P]
    moved = products + torch.where(outside, -torch.inf, -price * squares)
    return tau / 2 * (moved.amax(-1).sum(-1) + moved.amax(-2).sum(-1))


class SumOfBest(torch.autograd.Function):
    """sum over p of max over q of (<a_p, b_q> + moves_pq) + the same with a and b exchanged.

    One mask holds both maxima, as both get the same gradient: half of autograd's time.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, moves: Tensor) -> Tensor:
        """Compare a [A, P, C] with b [B, P, C] under moves [P, P]; return [A, B]."""
        moved = _moved(a, b, moves)
        along_b, along_a = moved.amax(3), moved.amax(1)
        ctx.save_for_backward(a, b, moved, along_b, along_a)
        return along_b.sum(1) + along_a.sum(2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give each best pair of places the gradient of its score."""
        a, b, moved, along_b, along_a = ctx.saved_tensors
        times = (moved == along_b[..., None]).view(torch.uint8)  # 0, 1 or 2 maxima, [A, P, B, P]
        times += moved == along_a[:, None]
        toward = times * grads[0][:, None, :, None]
        products = toward.view(a.shape[0] * a.shape[1], -1)
        toward_a = (products @ b.flatten(0, 1)).view_as(a)
        return toward_a, (products.T @ a.flatten(0, 1)).view_as(b), toward.sum((0, 2))


def _moved(a: Tensor, b: Tensor, moves: Tensor) -> Tensor:
    """Return <a_p, b_q> + moves_pq of all pairs, [A, P, B, P]."""
    products = (a.flatten(0, 1) @ b.flatten(0, 1).T).view(*a.shape[:2], *b.shape[:2])
    return products.add_(moves[:, None])


def _moves(side: int, reach: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return |q - p|^2 of all places, [P, P], and whether q is out of p's reach."""
    return _moves_on(side, reach, like.device, like.dtype)


@lru_cache(maxsize=64)
def _moves_on(side: int, reach: int, device: Any, dtype: Any) -> tuple[Tensor, Tensor]:
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    place = torch.stack([row.flatten(), column.flatten()], 1)  # [P, 2]
    distance = (place[:, None] - place).abs()  # [P, P, 2]
    squares = distance.square().sum(2)
    return squares.to(device, dtype), (distance.amax(2) > reach).to(device)
