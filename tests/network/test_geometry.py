"""The network's sizes and costs: the paper's numbers, and torch's own count of any network."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hpsearch.network.geometry import Convolution, NetworkShape
from hpsearch.network.siamese import SiameseNetwork

PAPER = NetworkShape(
    105,
    (
        Convolution(10, 64, pool=True),
        Convolution(7, 128, pool=True),
        Convolution(4, 128, pool=True),
        Convolution(4, 256, pool=False),
    ),
    4096,
)

shapes = st.builds(
    NetworkShape,
    input_size=st.integers(8, 36),
    convolutions=st.lists(
        st.builds(Convolution, st.integers(1, 9), st.integers(1, 6), st.booleans()), max_size=4
    ).map(tuple),
    width=st.integers(1, 9),
)
padded_shapes = st.builds(
    NetworkShape,
    input_size=st.integers(8, 36),
    convolutions=st.lists(
        st.builds(
            Convolution,
            st.integers(1, 5),
            st.integers(1, 4),
            st.booleans(),
            padded=st.just(value=True),
            residual=st.booleans(),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    width=st.integers(1, 9),
    batch_norm=st.booleans(),
    comparison=st.sampled_from(["weighted_l1", "aligned"]),
)


def runs_in_torch(shape: NetworkShape) -> bool:
    """Say whether torch's own layers accept an image, built without the code under test."""
    layers: list[nn.Module] = []
    channels = 1
    for layer in shape.convolutions:
        layers.append(nn.Conv2d(channels, layer.filter_count, layer.filter_size))
        layers += [nn.MaxPool2d(2)] if layer.pool else []
        channels = layer.filter_count
    try:
        with torch.no_grad():
            nn.Sequential(*layers)(torch.zeros(1, 1, shape.input_size, shape.input_size))
    except RuntimeError:
        return False
    return True


def test_the_papers_network_has_the_papers_sizes() -> None:
    assert PAPER.map_sizes() == [(96, 48), (42, 21), (18, 9), (6, 6)]
    assert PAPER.final_size == 6
    assert PAPER.features == 9216
    assert PAPER.fits()


def test_a_filter_as_large_as_its_input_is_no_convolution() -> None:
    assert PAPER.convolves
    assert not NetworkShape(35, (), 512).convolves
    assert not NetworkShape(35, (Convolution(35, 512, pool=False),), 512).convolves
    assert NetworkShape(35, (Convolution(34, 512, pool=False),), 512).convolves


def test_the_papers_network_has_the_papers_costs() -> None:
    convolutions = 64 * 101 + 128 * (64 * 49 + 1) + 128 * (128 * 16 + 1) + 256 * (128 * 16 + 1)
    assert PAPER.parameters == convolutions + 9217 * 4096 + 4096 == 38_951_744
    assert PAPER.multiply_adds == 908_623_872
    assert round(PAPER.multiply_adds / 1e9, 2) == 0.91


@pytest.mark.parametrize(("size", "pooled"), [(10, 4), (11, 4), (12, 5), (13, 5)])
def test_poolings_round_down(size: int, pooled: int) -> None:
    shape = NetworkShape(size, (Convolution(3, 1, pool=True),), 1)
    assert shape.map_sizes() == [(size - 2, pooled)]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(shapes)
def test_sizes_and_costs_are_those_of_the_built_network(shape: NetworkShape) -> None:
    assume(shape.fits())
    network = SiameseNetwork(shape)
    entered: list[Tensor] = []
    left: list[Tensor] = []

    def note(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        entered.append(inputs[0])
        left.append(output)

    for layer in network.children():
        layer.register_forward_hook(note)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.encode(torch.zeros(3, 1, shape.input_size, shape.input_size))
    assert entered[-1].shape == (3, shape.features)
    assert left[-1].shape == (3, shape.width)
    pooled = [x.shape[-1] for x in entered[1:-1]] + [shape.final_size] * bool(shape.convolutions)
    assert shape.map_sizes() == [(y.shape[-1], p) for y, p in zip(left[:-1], pooled, strict=True)]
    assert counter.get_total_flops() == 2 * 3 * shape.multiply_adds
    assert sum(p.numel() for p in network.parameters()) == shape.parameters


@settings(max_examples=80, deadline=None, derandomize=True)
@given(padded_shapes)
def test_costs_of_padded_and_residual_layers_are_those_of_the_built_network(
    shape: NetworkShape,
) -> None:
    assume(shape.fits())
    network = SiameseNetwork(shape)
    images = torch.zeros(3, 1, shape.input_size, shape.input_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        code = network.eval().encode(images)
        maps = network.features(images)
    assert maps.shape == (3, shape.channels, shape.final_size, shape.final_size)
    per_image = (shape.places, shape.width) if shape.comparison == "aligned" else (shape.width,)
    assert code.shape == (3, *per_image)
    again = 2 * 3 * (shape.multiply_adds - shape.features * shape.width)
    assert counter.get_total_flops() == 2 * 3 * shape.multiply_adds + again
    assert sum(p.numel() for p in network.parameters()) == shape.parameters


@settings(max_examples=150, deadline=None, derandomize=True)
@given(shapes)
def test_fits_exactly_where_torch_can_run_it(shape: NetworkShape) -> None:
    assert shape.fits() == runs_in_torch(shape)
    if not shape.fits():
        with pytest.raises(ValueError, match="do not fit"):
            SiameseNetwork(shape)


def test_without_convolutions_the_pixels_enter_the_fully_connected_layer() -> None:
    shape = NetworkShape(20, (), 7)
    assert shape.fits()
    assert (shape.map_sizes(), shape.final_size, shape.features) == ([], 20, 400)
    assert shape.multiply_adds == 2800
    assert shape.parameters == 401 * 7 + 7


def test_estimated_memory_covers_what_a_training_step_keeps() -> None:
    shape = NetworkShape(30, (Convolution(5, 8, pool=True), Convolution(4, 16, pool=True)), 64)
    network = SiameseNetwork(shape)
    kept: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        kept[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        codes = network.encode(torch.zeros(32, 1, 30, 30))
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    activations = sum(size for place, size in kept.items() if place not in weights)
    states = 4 * 4 * sum(p.numel() for p in network.parameters())  # w, gradient, v, best
    assert len(codes) == 32
    assert activations + states < shape.memory_bytes(32) < 4 * (activations + states)


def test_geometry_is_usable_without_torch() -> None:
    code = "import sys, hpsearch.network.geometry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
