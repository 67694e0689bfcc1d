"""Sizes and costs of the siamese network, from its configuration only. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Comparison = Literal["weighted_l1", "aligned"]
"""weighted_l1: sum_j alpha_j |h1_j - h2_j| over one code (Koch et al. 2015, section 3.1).
aligned: both feature maps place by place, within a small reach (see `network.aligned`)."""


@dataclass(frozen=True)
class Convolution:
    """One convolution: stride 1, ReLU, then max-pooling 2 x 2 if `pool`.

    Args:
        filter_size: Height and width of the filters, pixels.
        filter_count: Number of filters.
        pool: Max-pooling 2 x 2 after it.
        padded: Pad with zeros so that the map keeps its size.
        residual: A block of two padded convolutions, whose input is added to its output.
    """

    filter_size: int
    filter_count: int
    pool: bool
    padded: bool = False
    residual: bool = False

    def after(self, size: int) -> int:
        """Return the size of the map before pooling, from the size of the map that enters."""
        return size if self.padded else size - self.filter_size + 1

    def filters(self, channels: int) -> int:
        """Return the number of filter weights with `channels` maps entering."""
        each, count = self.filter_size**2, self.filter_count
        if not self.residual:
            return count * channels * each
        shortcut = 0 if channels == count else channels * count
        return count * (channels + count) * each + shortcut

    def norms(self, channels: int) -> int:
        """Return how many maps are normalised, or have a bias."""
        if not self.residual:
            return self.filter_count
        return self.filter_count * (2 if channels == self.filter_count else 3)


@dataclass(frozen=True)
class NetworkShape:
    """The shape of a siamese network (Koch et al. 2015, section 3.1).

    Args:
        input_size: Height and width of the image, pixels.
        convolutions: From the image upwards; may be empty.
        width: Units of the fully connected layer; under aligned channels of the projection.
        batch_norm: Normalise each filter's responses before ReLU.
        comparison: How two images are compared.
        inputs: Channels of the image: 1 in grey, 3 in colour; of a backbone its averages.
    """

    input_size: int
    convolutions: tuple[Convolution, ...]
    width: int
    batch_norm: bool = False
    comparison: Comparison = "weighted_l1"
    inputs: int = 1

    def map_sizes(self) -> list[tuple[int, int]]:
        """Return each convolution's map size before and after pooling, in pixels.

        Poolings round down. A size below 1 means that the network cannot be built.
        """
        size, sizes = self.input_size, []
        for layer in self.convolutions:
            after = layer.after(size)
            size = after // 2 if layer.pool else after
            sizes.append((after, size))
            if size < 1:
                break
        return sizes

    def fits(self) -> bool:
        """Return whether every map has at least one pixel."""
        sizes = self.map_sizes()
        return not sizes or sizes[-1][1] >= 1

    @property
    def final_size(self) -> int:
        """Height and width of the last map, pixels."""
        sizes = self.map_sizes()
        return sizes[-1][1] if sizes else self.input_size

    @property
    def convolves(self) -> bool:
        """Whether any filter is smaller than its input; one as large is fully connected."""
        return any(after > 1 for after, _ in self.map_sizes())

    @property
    def channels(self) -> int:
        """Maps that leave the last convolution."""
        return self.convolutions[-1].filter_count if self.convolutions else self.inputs

    @property
    def features(self) -> int:
        """Values that enter the fully connected layer."""
        return self.channels * self.final_size**2

    @property
    def places(self) -> int:
        """Places at which codes are compared: one, or every pixel of the last map."""
        return 1 if self.comparison == "weighted_l1" else self.final_size**2

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of encoding one image, forward."""
        total, channels = 0, self.inputs
        for layer, (after, _) in zip(self.convolutions, self.map_sizes(), strict=False):
            total += after**2 * layer.filters(channels)
            channels = layer.filter_count
        return total + self.features * self.width

    @property
    def parameters(self) -> int:
        """Weights and biases of the twin network and the output layer (without output bias)."""
        total, channels = 0, self.inputs
        own = 2 if self.batch_norm else 1  # scale and shift, or the bias
        for layer in self.convolutions:
            total += layer.filters(channels) + own * layer.norms(channels)
            channels = layer.filter_count
        if self.comparison == "aligned":
            return total + (channels + own) * self.width + 2  # tau and lambda
        return total + (self.features + 1) * self.width + self.width

    def memory_bytes(self, images: int) -> int:
        """Estimate the memory of one training step.

        Args:
            images: Images encoded at once in a step.

        Returns:
            Bytes for weights, gradients, momenta and best weights, and for the activations
            (with their gradients and the unfolded patches of the widest layer) in float32.
        """
        activations, channels, patches = self.input_size**2 * self.inputs, self.inputs, 0
        for layer, (after, pooled) in zip(self.convolutions, self.map_sizes(), strict=False):
            maps = (3 if self.batch_norm else 2) * layer.norms(channels)
            activations += after**2 * maps + pooled**2 * layer.filter_count
            patches = max(patches, after**2 * channels * layer.filter_size**2)
            channels = layer.filter_count
        activations += 2 * self.width * self.places
        compared = 0 if self.comparison == "weighted_l1" else 2 * (images * self.places) ** 2
        return 4 * (4 * self.parameters + 2 * images * activations + patches + compared)
