"""Sizes and costs of the siamese network, from its configuration only. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Convolution:
    """One convolution: stride 1, no padding, ReLU, then max-pooling 2 x 2 if `pool`."""

    filter_size: int
    filter_count: int
    pool: bool


@dataclass(frozen=True)
class NetworkShape:
    """The shape of a siamese network (Koch et al. 2015, section 3.1).

    Args:
        input_size: Height and width of the image, pixels.
        convolutions: From the image upwards; may be empty.
        width: Units of the fully connected layer.
        batch_norm: Normalise each filter's responses before ReLU.
    """

    input_size: int
    convolutions: tuple[Convolution, ...]
    width: int
    batch_norm: bool = False

    def map_sizes(self) -> list[tuple[int, int]]:
        """Return each convolution's map size before and after pooling, in pixels.

        Poolings round down. A size below 1 means that the network cannot be built.
        """
        size, sizes = self.input_size, []
        for layer in self.convolutions:
            after = size - layer.filter_size + 1
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
    def features(self) -> int:
        """Values that enter the fully connected layer."""
        channels = self.convolutions[-1].filter_count if self.convolutions else 1
        return channels * self.final_size**2

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of encoding one image, forward."""
        total, channels = 0, 1
        for layer, (after, _) in zip(self.convolutions, self.map_sizes(), strict=False):
            total += after**2 * layer.filter_count * channels * layer.filter_size**2
            channels = layer.filter_count
        return total + self.features * self.width

    @property
    def parameters(self) -> int:
        """Weights and biases of the twin network and the output layer (without output bias)."""
        total, channels = 0, 1
        own = 2 if self.batch_norm else 1  # scale and shift, or the bias
        for layer in self.convolutions:
            total += layer.filter_count * (channels * layer.filter_size**2 + own)
            channels = layer.filter_count
        return total + (self.features + 1) * self.width + self.width

    def memory_bytes(self, images: int) -> int:
        """Estimate the memory of one training step.

        Args:
            images: Images encoded at once in a step.

        Returns:
            Bytes for weights, gradients, momenta and best weights, and for the activations
            (with their gradients and the unfolded patches of the widest layer) in float32.
        """
        activations, channels, patches = self.input_size**2, 1, 0
        for layer, (after, pooled) in zip(self.convolutions, self.map_sizes(), strict=False):
            maps = 3 if self.batch_norm else 2
            activations += (after**2 * maps + pooled**2) * layer.filter_count
            patches = max(patches, after**2 * channels * layer.filter_size**2)
            channels = layer.filter_count
        activations += 2 * self.width
        return 4 * (4 * self.parameters + 2 * images * activations + patches)
