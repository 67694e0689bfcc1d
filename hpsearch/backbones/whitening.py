"""Whiten codes by their covariance within classes.

Letters: N codes, P places, D numbers of a place, K directions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROUNDING = 1e-12
MOST_CODES = 2000
"""Of more codes, with more numbers each, so many show the spread: evenly chosen ones."""


class Whitening(nn.Module):
    """Subtract a mean, and divide by the spread within classes along K directions.

    Along every other direction the spread is the same, so only K need be kept. Training changes
    the weight of each number and of each direction.

    Args:
        inputs: D.
        directions: K; unused ones are 0.
        places: P, each with its own mean.
        tail: What is trained in its place: the last part of the backbone.
    """

    mean: Tensor
    directions: Tensor

    def __init__(
        self, inputs: int, directions: int, places: int, tail: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(places, inputs))
        self.register_buffer("directions", torch.zeros(directions, inputs))
        self.numbers = nn.Parameter(torch.zeros(inputs))
        """Logarithm of the weight of each number."""
        self.gains = nn.Parameter(torch.zeros(directions))
        """Weight along each direction, beside 1 for every other."""
        self.tail = tail
        if tail is not None:
            self.numbers.requires_grad_(False)
            self.gains.requires_grad_(False)

    def forward(self, codes: Tensor) -> Tensor:
        """Whiten codes [N, P, D]."""
        centred = codes - self.mean
        along = (centred @ self.directions.T) * (self.gains - 1)
        return (centred + along @ self.directions) * self.numbers.exp()


@torch.no_grad()
def fit(
    whitening: Whitening, codes: Tensor, classes: Tensor, *, centring: bool, shrinkage: float
) -> None:
    """Set mean, directions and gains by the codes of known classes.

    Args:
        whitening: Changed in place.
        codes: [N, P, D].
        classes: [N] the class of each, from 0.
        centring: Whether the mean is subtracted.
        shrinkage: Share of the mean variance in each direction's own, above 0, at most 1.

    Reference:
        Ledoit and Wolf (2004), equation 3, with the weight as a setting: a S + (1 - a) m I.
    """
    codes = codes.double()
    count = int(classes.max()) + 1
    members = _rows_of(classes, count)  # [N, count]
    flat = codes.flatten(1)
    means = members.T @ flat / members.sum(0).clamp(min=1)[:, None]
    within = (flat - means[classes]).view_as(codes).flatten(0, 1)  # [N P, D]
    within /= max(1, len(within)) ** 0.5
    if min(within.shape) > MOST_CODES:
        places = torch.linspace(0, len(within) - 1, MOST_CODES, device=within.device)
        within = within[places.round().long()] * (len(within) / MOST_CODES) ** 0.5
    variance = float(within.square().sum()) / within.shape[1]
    if centring:
        whitening.mean.copy_(codes.mean(0))
    else:
        whitening.mean.zero_()
    values, vectors = _principal(within, len(whitening.gains))
    own = (1 - shrinkage) * values + shrinkage * variance
    gains = (shrinkage * variance / own.clamp(min=ROUNDING)).sqrt()
    whitening.directions.zero_()
    whitening.directions[: len(values)].copy_(vectors)
    whitening.gains.fill_(1)
    whitening.gains[: len(values)].copy_(gains)
    whitening.numbers.zero_()


def _rows_of(classes: Tensor, count: int) -> Tensor:
    """Return the classes as rows of 0 and one 1, float64 [N, count]."""
    return torch.eye(count, dtype=torch.float64, device=classes.device)[classes]


def _principal(rows: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the largest eigenvalues of rows' rows, [K], and their eigenvectors, [K, D].

    Of fewer rows than numbers the products of the rows are decomposed, which is far cheaper.
    """
    few = len(rows) < rows.shape[1]
    values, vectors = torch.linalg.eigh(rows @ rows.T if few else rows.T @ rows)
    values, vectors = values.flip(0)[:most], vectors.flip(1)[:, :most]
    kept = values > ROUNDING * values[0].clamp(min=ROUNDING)
    values, vectors = values[kept], vectors[:, kept]
    if few:
        vectors = rows.T @ vectors / values.sqrt()
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return values, (vectors * largest).T
