"""Initial weights: the paper's normal distributions, or He's."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from hpsearch.network.siamese import Alignment, SiameseNetwork


def initialise(
    network: SiameseNetwork,
    init: Literal["koch", "he"],
    generator: torch.Generator,
    *,
    tau: float = 1.0,
) -> None:
    """Draw all weights and biases.

    Args:
        network: Changed in place.
        init: koch: convolutions N(0, 0.01), fully connected N(0, 0.2), biases N(0.5, 0.01), as
            mean and standard deviation. he: N(0, 2 / inputs) before ReLU, N(0, 1 / inputs) before
            the sigmoid and in the projection, biases 0, alpha negative so that unlike images score
            low.
        generator: The only source of randomness, on the network's device.
        tau: First scale of the aligned comparison; a move of one pixel starts at 0.0007.

    Reference:
        Koch et al. 2015, section 3.2; He et al. 2015, equation 10.
    """
    with torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, nn.BatchNorm2d):  # scale 1, shift 0, no averages yet
                layer.reset_parameters()
            elif isinstance(layer, Alignment):
                layer.tau.fill_(tau)
                layer.raw_price.zero_()
            if not isinstance(layer, nn.Conv2d | nn.Linear):
                continue
            fan_in = layer.weight[0].numel()
            if init == "koch":
                std = 0.01 if isinstance(layer, nn.Conv2d) else 0.2
                layer.weight.normal_(0.0, std, generator=generator)
                if layer.bias is not None:
                    layer.bias.normal_(0.5, 0.01, generator=generator)
            else:
                rectified = isinstance(layer, nn.Conv2d) and name != "projection"
                gain = 2.0 if rectified else 1.0
                layer.weight.normal_(0.0, math.sqrt(gain / fan_in), generator=generator)
                if name == "output":
                    layer.weight.abs_().neg_()
                if layer.bias is not None:
                    layer.bias.zero_()
