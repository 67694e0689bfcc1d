"""Convolution forward and backward, our ways against torch's better direct layout, one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from benchmarks.timing import interleaved_medians
from hpsearch.network.convolution import convolve
from hpsearch.network.convolution_cost import Way, choose_way

SEED = 20150710
PAPER_FILTERS = range(3, 21)
PAPER_COUNTS = range(16, 257, 16)


@dataclass(frozen=True)
class Shape:
    """One convolution: images B x C x S x S, D filters of K x K."""

    images: int
    channels: int
    filters: int
    side: int
    taps: int

    @property
    def first(self) -> bool:
        """Whether it sees the image, so that no gradient of its input is needed."""
        return self.channels == 1

    @property
    def way(self) -> Way:
        """The cost model's choice."""
        return choose_way(self.images, self.channels, self.filters, self.side, self.taps)

    def __str__(self) -> str:
        """Return e.g. 32 x 64 > 128, 48 px, filter 12."""
        layers = f"{self.images} x {self.channels} > {self.filters}"
        return f"{layers}, {self.side} px, filter {self.taps}"


def measure(shape: Shape, ways: Sequence[Way], repeats: int = 7) -> dict[str, float]:
    """Return median seconds forward and backward: of both direct layouts, and of each way."""
    functions = {"contiguous": _step(shape, "direct", channels_last=False)}
    functions["channels_last"] = _step(shape, "direct", channels_last=True)
    for way in ways:
        if way != "direct":
            functions[way] = _step(shape, way, channels_last=True)
    return interleaved_medians(functions, repeats)


def _step(shape: Shape, way: Way, *, channels_last: bool) -> Callable[[], object]:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    chance = torch.Generator().manual_seed(SEED)
    images = torch.rand(shape.images, shape.channels, shape.side, shape.side, generator=chance)
    weight = torch.randn(
        shape.filters, shape.channels, shape.taps, shape.taps, generator=chance
    ).mul_(0.01)
    out = shape.side - shape.taps + 1
    errors = torch.rand(shape.images, shape.filters, out, out, generator=chance)
    images, weight, errors = (t.contiguous(memory_format=layout) for t in (images, weight, errors))
    leaves = [weight.requires_grad_()]
    if not shape.first:
        leaves.append(images.requires_grad_())

    def step() -> object:
        if way == "direct":
            maps = functional.conv2d(images, weight)
        else:
            maps = convolve(images, weight, None, pool=False, way=way)
        return torch.autograd.grad(maps, leaves, errors)

    return step


def speed_up(times: dict[str, float], way: Way) -> float:
    """Return how many times faster a way is than torch's better direct layout."""
    direct = min(times["contiguous"], times["channels_last"])
    return 1.0 if way == "direct" else direct / times[way]


def paper_shapes(count: int, seed: int = SEED) -> list[Shape]:
    """Draw convolutions of the paper's box: a layer of a random network that fits its input."""
    chance = np.random.default_rng(seed)
    shapes: list[Shape] = []
    while len(shapes) < count:
        side, channels = int(chance.choice([35, 52, 105])), 1
        images = int(chance.choice([32, 64]))
        network: list[Shape] = []
        for _ in range(4):
            taps = int(chance.choice(PAPER_FILTERS))
            if taps > side:
                break
            filters = int(chance.choice(PAPER_COUNTS))
            network.append(Shape(images, channels, filters, side, taps))
            side, channels = (side - taps + 1) // 2, filters
        shapes.append(network[int(chance.integers(len(network)))])
    return shapes
