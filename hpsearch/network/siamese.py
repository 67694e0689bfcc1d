"""Koch's siamese network for any layers (Koch et al. 2015, section 3.1). Knows no data.

Letters: B images, S side, C channels, D units of the fully connected layer, P places of the last
map, A and B rows compared.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpsearch.network.aligned import aligned_scores, pair_scores
from hpsearch.network.convolution import convolve, even_out
from hpsearch.network.geometry import Convolution, NetworkShape

CHUNK_VALUES = 1 << 19
"""Values of |h1 - h2| held at once by `score_matrix`: as many as a core's cache holds."""
CARD_VALUES = 1 << 24
"""The same on a card, where each piece costs launches."""


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
    values = CHUNK_VALUES if s.device.type == "cpu" else CARD_VALUES
    return max(1, values // max(1, s.shape[0] * s.shape[1]))


class Alignment(nn.Module):
    """The learned values of the aligned comparison: its scale tau and the price of a move."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.empty((), device=device))
        self.raw_price = nn.Parameter(torch.empty((), device=device))

    @property
    def price(self) -> Tensor:
        """lambda, the price of a move of one pixel, at least 0."""
        return functional.softplus(self.raw_price) / 1000


class SiameseNetwork(nn.Module):
    """Twin network with tied weights and a learned comparison.

    The parameters are uninitialised until `initialise` or load_state_dict sets them: torch's own
    initial values use its global random state. With batch normalisation, train mode normalises by
    the batch, eval mode by running averages.

    Args:
        shape: Sizes of all layers.
        output_bias: Add a bias to the logit of the weighted L1 distance; the paper prints none.
        reach: How far the aligned comparison looks, pixels of the last map.
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
        reach: int = 0,
        convolution: Literal["auto", "direct"] = "direct",
        device: str = "cpu",
    ) -> None:
        super().__init__()
        if not shape.fits():
            raise ValueError(f"the layers do not fit an input of {shape.input_size} px")
        self.shape, self.reach = shape, reach
        self.convolution: Literal["auto", "direct"] = convolution
        self.aligned = shape.comparison == "aligned"
        channels = shape.inputs
        for number, layer in enumerate(shape.convolutions, start=1):
            self.add_module(f"conv{number}", self._filters(layer, channels))
            channels = layer.filter_count
        if self.aligned:
            self.projection = self._convolution(channels, shape.width, 1)
            self.output: nn.Module = Alignment("meta")
        else:
            self.fc = nn.Linear(shape.features, shape.width, device="meta")
            self.output = nn.Linear(shape.width, 1, bias=output_bias, device="meta")
        # Not to_empty: it loads sympy, which takes half a second.
        self._apply(  # type: ignore[no-untyped-call]
            lambda held: torch.empty(held.shape, dtype=held.dtype, device=device)
        )

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    def blank(self, count: int) -> Tensor:
        """Return grey images that are all alike, to time a step on; [count, C, S, S]."""
        shape = self.shape
        size = (count, shape.inputs, shape.input_size, shape.input_size)
        return torch.full(size, 0.5, device=self.device)

    def _filters(self, layer: Convolution, channels: int) -> nn.Module:
        """Return a layer's first convolution; a block's other ones are its children."""
        count, size, padded = layer.filter_count, layer.filter_size, layer.padded
        first = self._convolution(channels, count, size, padded=padded)
        if layer.residual:
            first.add_module("second", self._convolution(count, count, size, padded=padded))
            if channels != count:
                first.add_module("shortcut", self._convolution(channels, count, 1))
        return first

    def _convolution(
        self, channels: int, filters: int, size: int, *, padded: bool = False
    ) -> nn.Module:
        bias, padding = not self.shape.batch_norm, (size - 1) // 2 if padded else 0
        module = nn.Conv2d(channels, filters, size, bias=bias, padding=padding, device="meta")
        if self.shape.batch_norm:
            module.add_module("norm", nn.BatchNorm2d(filters, device="meta"))
        return module

    def encode(self, images: Tensor) -> Tensor:
        """Return what is compared.

        Args:
            images: Ink in [0, 1], shape [B, 1, S, S]; or red, green and blue, [B, 3, S, S].

        Returns:
            The sigmoid units h, [B, D], each within (0, 1); under aligned the last feature maps,
            [B, P, C], each with Euclidean norm 1 as a whole.
        """
        return self.code(self.features(images))

    def encode_upright(self, images: Tensor) -> Tensor:
        """Return the encodings of the images as they are, without other views; see `encode`."""
        return self.code(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Return the maps of the last convolution, [B, C, S, S]."""
        x = images
        for number, layer in enumerate(self.shape.convolutions, start=1):
            # Pooling before ReLU: the same values and gradients from a quarter of the work.
            x = functional.relu(self._responses(self.get_submodule(f"conv{number}"), layer, x))
        return x

    def code(self, features: Tensor) -> Tensor:
        """Return what is compared, from the last maps; see `encode`."""
        if not self.aligned:
            inputs: Tensor = self.fc(features.flatten(1))
            return torch.sigmoid(inputs.to(self.fc.weight.dtype))
        maps = self._convolve(self.projection, features).to(torch.float32)
        codes: Tensor = maps.flatten(2).transpose(1, 2)  # [B, P, C]
        norms: Tensor = codes.flatten(1).norm(dim=1).clamp(min=1e-12)
        return codes.div(norms[:, None, None])

    def _responses(self, first: nn.Module, layer: Convolution, x: Tensor) -> Tensor:
        """Return a layer's maps before ReLU, [B, C, S, S]."""
        padded, pool = layer.padded, layer.pool
        if not layer.residual:
            return self._convolve(first, x, padded=padded, pool=pool)
        inner = functional.relu(self._convolve(first, x, padded=padded))
        y = self._convolve(first.get_submodule("second"), inner, padded=padded)
        short = first._modules.get("shortcut")
        y = y + (x if short is None else self._convolve(short, x))
        return functional.max_pool2d(y, 2) if pool else y

    def _convolve(
        self, module: nn.Module, x: Tensor, *, padded: bool = False, pool: bool = False
    ) -> Tensor:
        """Convolve, pool and normalise."""
        layer = cast(nn.Conv2d, module)
        if self.convolution == "auto" and x.device.type == "cpu":
            x = convolve(x, layer.weight, layer.bias, pool=pool, padded=padded)
        else:
            x = layer(even_out(x, layer.kernel_size[0]) if padded else x)
            x = functional.max_pool2d(x, 2) if pool else x
        return cast(Tensor, module.get_submodule("norm")(x)) if self.shape.batch_norm else x

    def score(self, first: Tensor, second: Tensor) -> Tensor:
        """Return logits of "same" for encodings of equal shape, [..., D] or [..., P, C]."""
        if isinstance(self.output, Alignment):
            return pair_scores(first, second, *self._alignment(self.output))
        return cast(Tensor, self.output((first - second).abs())).squeeze(-1)

    def score_matrix(self, queries: Tensor, supports: Tensor) -> Tensor:
        """Return logits [A, B] of all pairs of encodings of A and of B images."""
        if isinstance(self.output, Alignment):
            return aligned_scores(queries, supports, *self._alignment(self.output))
        output = cast(nn.Linear, self.output)
        alpha = output.weight[0]
        scores: Tensor = WeightedL1.apply(queries, supports, alpha.to(queries.dtype))  # type: ignore[no-untyped-call]
        return scores if output.bias is None else scores + output.bias

    def _alignment(self, output: Alignment) -> tuple[Tensor, Tensor, int, int]:
        return output.tau, output.price, self.shape.final_size, self.reach
