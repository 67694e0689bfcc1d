"""Average a network's scores over views of the images.

Letters: M images, V views, D units, A and B images compared.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hpsearch.network.siamese import SiameseNetwork
from hpsearch.network.views import View


class AveragingNetwork(SiameseNetwork):
    """A network whose score is the mean over views of both images, each pair seen alike.

    Its encodings have one more dimension: [M, V, ...].
    """

    def __init__(self, *arguments: Any, views: tuple[View, ...], **settings: Any) -> None:
        """Take what `SiameseNetwork` takes, and the views."""
        super().__init__(*arguments, **settings)
        self.views = views

    def encode(self, images: Tensor) -> Tensor:
        """Return the encodings of every view, [M, V, ...]."""
        encode = super().encode
        return torch.stack([encode(view.of(images)) for view in self.views], dim=1)

    def score(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the mean over views of the logits of "same", [...] for [..., V, D]."""
        score = super().score
        place = -3 if self.aligned else -2  # before the code's own dimensions
        pairs = zip(first.unbind(place), second.unbind(place), strict=True)
        return torch.stack([score(one, two) for one, two in pairs]).mean(0)

    def score_matrix(self, queries: Tensor, supports: Tensor) -> Tensor:
        """Return the mean over views of the logits [A, B] of all pairs."""
        compare = super().score_matrix
        own, others = queries.unbind(1), supports.unbind(1)
        pairs = zip(own, own if queries is supports else others, strict=True)
        return torch.stack([compare(q, s) for q, s in pairs]).mean(0)
