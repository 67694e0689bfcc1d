"""Initial weights: the paper's normal distributions, or He's."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from hpsearch.network.siamese import SiameseNetwork


def initialise(
    network: SiameseNetwork, init: Literal["koch", "he"], generator: torch.Generator
) -> None:
    """Draw all weights and biases.

    Args:
        network: Changed in place.
        init: koch: convolutions N(0, 0.01), fully connected N(0, 0.2), biases N(0.5, 0.01), as
            mean and standard deviation. he: N(0, 2 / inputs) before ReLU, N(0, 1 / inputs) before
            the sigmoid, biases 0, alpha negative so that unlike images score low.
        generator: The only source of randomness, on the network's device.

    Reference:
        Koch et al. 2015, section 3.2; He et al. 2015, equation 10.
    """
    with torch.no_grad():
        for name, layer in network.named_children():
            if not isinstance(layer, nn.Conv2d | nn.Linear):
                continue
            fan_in = layer.weight[0].numel()
            if init == "koch":
                std = 0.01 if isinstance(layer, nn.Conv2d) else 0.2
                layer.weight.normal_(0.0, std, generator=generator)
                if layer.bias is not None:
                    layer.bias.normal_(0.5, 0.01, generator=generator)
            else:
                gain = 2.0 if isinstance(layer, nn.Conv2d) else 1.0
                layer.weight.normal_(0.0, math.sqrt(gain / fan_in), generator=generator)
                if name == "output":
                    layer.weight.abs_().neg_()
                if layer.bias is not None:
                    layer.bias.zero_()
            for norm in layer.children():  # nothing random: scale 1, shift 0, no averages yet
                norm.reset_parameters()  # type: ignore[operator]
