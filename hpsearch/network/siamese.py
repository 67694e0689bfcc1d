"""Koch's siamese network for any layers (Koch et al. 2015, section 3.1). Knows no data.

Letters: B images, S side, C channels, D units of the fully connected layer, A and B rows compared.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpsearch.network.convolution import convolve
from hpsearch.network.geometry import NetworkShape

CHUNK_VALUES = 1 << 19
"""Values of |h1 - h2| held at once by `score_matrix`."""


class WeightedL1(torch.autograd.Function):
    """score[a, b] = sum_d alpha_d |q_ad - s_bd| in bounded memory, exact for signed alpha."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, s: Tensor, alpha: Tensor) -> Tensor:
        """Compare all rows of q [A, D] with all rows of s [B, D]; return [A, B]."""
        ctx.save_for_backward(q, s, alpha)
        step = _rows(s)
        parts = [(q[i : i + step, None] - s).abs_() @ alpha for i in range(0, len(q), step)]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Recompute the differences piece by piece."""
        q, s, alpha = ctx.saved_tensors
        g = grads[0]
        grad_q, grad_s = torch.empty_like(q), torch.zeros_like(s)
        grad_alpha = torch.zeros_like(alpha)
        step = _rows(s)
        for i in range(0, len(q), step):
            difference = q[i : i + step, None] - s  # [A', B, D]
            part = g[i : i + step]
            grad_alpha += part.reshape(-1) @ difference.abs().flatten(0, 1)
            signed = difference.sign_().mul_(part[..., None])
            grad_q[i : i + step] = signed.sum(1)
            grad_s -= signed.sum(0)
        return grad_q * alpha, grad_s * alpha, grad_alpha


def _rows(s: Tensor) -> int:
    return max(1, CHUNK_VALUES // max(1, s.shape[0] * s.shape[1]))


class SiameseNetwork(nn.Module):
    """Twin network with tied weights and a weighted L1 distance.

    The parameters are uninitialised until `initialise` or load_state_dict sets them: torch's own
    initial values use its global random state. With batch normalisation, train mode normalises by
    the batch, eval mode by running averages.

    Args:
        shape: Sizes of all layers.
        output_bias: Add a bias to the logit; the paper prints none.
        convolution: auto computes each convolution on the CPU in the cheapest way for its shape.
            direct, and every other device, use torch's own.
        device: Device of the parameters; "meta" allocates nothing.

    Raises:
        ValueError: The layers do not fit.
    """

    def __init__(
        self,
        shape: NetworkShape,
        *,
        output_bias: bool = False,
        convolution: Literal["auto", "direct"] = "direct",
        device: str = "cpu",
    ) -> None:
        super().__init__()
        if not shape.fits():
            raise ValueError(f"the layers do not fit an input of {shape.input_size} px")
        self.shape, self.convolution = shape, convolution
        channels = 1
        for number, layer in enumerate(shape.convolutions, start=1):
            module = nn.Conv2d(
                channels,
                layer.filter_count,
                layer.filter_size,
                bias=not shape.batch_norm,
                device="meta",
            )
            self.add_module(f"conv{number}", module)
            if shape.batch_norm:
                norm = nn.BatchNorm2d(layer.filter_count, device="meta")
                module.add_module("norm", norm)
            channels = layer.filter_count
        self.fc = nn.Linear(shape.features, shape.width, device="meta")
        self.output = nn.Linear(shape.width, 1, bias=output_bias, device="meta")
        self.to_empty(device=device)

    def encode(self, images: Tensor) -> Tensor:
        """Return the sigmoid units h.

        Args:
            images: Ink in [0, 1], shape [B, 1, S, S].

        Returns:
            Shape [B, D], each within (0, 1).
        """
        x, auto = images, self.convolution == "auto" and images.device.type == "cpu"
        for number, layer in enumerate(self.shape.convolutions, start=1):
            module = cast(nn.Conv2d, self.get_submodule(f"conv{number}"))
            # Pooling before ReLU: the same values and gradients from a quarter of the work.
            if auto:
                x = convolve(x, module.weight, module.bias, pool=layer.pool)
            else:
                x = module(x)
                x = functional.max_pool2d(x, 2) if layer.pool else x
            if self.shape.batch_norm:
                x = module.get_submodule("norm")(x)
            x = functional.relu(x)
        return torch.sigmoid(self.fc(x.flatten(1)).to(self.fc.weight.dtype))

    def score(self, first: Tensor, second: Tensor) -> Tensor:
        """Return logits of "same" for encodings [..., D] of equal shape."""
        return self.output((first - second).abs()).squeeze(-1)  # type: ignore[no-any-return]

    def score_matrix(self, queries: Tensor, supports: Tensor) -> Tensor:
        """Return logits [A, B] of all pairs of encodings [A, D] and [B, D]."""
        alpha = self.output.weight[0]
        scores: Tensor = WeightedL1.apply(queries, supports, alpha.to(queries.dtype))  # type: ignore[no-untyped-call]
        return scores if self.output.bias is None else scores + self.output.bias
