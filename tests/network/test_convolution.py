"""Convolution by every way, against torch's conv2d and max_pool2d in float64, gradients too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from hpsearch.network import convolution, convolution_cost
from hpsearch.network.convolution import convolve
from hpsearch.network.convolution_cost import Way, choose_way, filters_at_once
from hpsearch.network.geometry import Convolution, NetworkShape
from hpsearch.network.siamese import SiameseNetwork

SHAPES = {
    "many channels": (5, 3, 4, 13, 4),
    "an odd map, wide filters": (3, 5, 2, 14, 10),
    "one channel": (5, 1, 4, 13, 3),
    "one channel, an odd map": (3, 1, 2, 12, 4),
    "one pixel filters": (2, 1, 2, 12, 1),
}
"""Images, channels, filters, side, taps."""

CASES = [
    pytest.param(way, pool, SHAPES[name], id=f"{way}, {name}{', pooled' if pool else ''}")
    for name in SHAPES
    for way in ("direct", "fft", "patches")
    for pool in (False, True)
    if way != "patches" or SHAPES[name][1] == 1
]


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=dtype)


def operands(
    images: int, channels: int, filters: int, side: int, taps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, weight and bias."""
    return (
        random(images, channels, side, side, seed=1).requires_grad_(),
        random(filters, channels, taps, taps, seed=2).requires_grad_(),
        random(filters, seed=3).requires_grad_(),
    )


def reference(images: Tensor, weight: Tensor, bias: Tensor, *, pool: bool) -> Tensor:
    maps = functional.conv2d(images, weight, bias)
    return functional.max_pool2d(maps, 2) if pool else maps


def gradients(maps: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(maps, leaves, random(*maps.shape, seed=4).to(maps.dtype))


@pytest.fixture(params=["in parts", "at once"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in parts":
        monkeypatch.setattr(convolution, "MAP_VALUES", 400)
        monkeypatch.setattr(convolution, "FEW_VALUES", 0)
        monkeypatch.setattr(convolution, "SPECTRUM_VALUES", 2500)
        monkeypatch.setattr(convolution, "RESTING_VALUES", 0)
        monkeypatch.setattr(convolution_cost, "MOST_FILTER_VALUES", 1200)  # one or two filters


@pytest.mark.parametrize(("way", "pool", "shape"), CASES)
def test_maps_and_gradients_are_torchs(
    way: Way, pool: bool, shape: tuple[int, ...], parts: None
) -> None:
    leaves = operands(*shape)
    found, expected = convolve(*leaves, pool=pool, way=way), reference(*leaves, pool=pool)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for ours, theirs in zip(gradients(found, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("way", ["direct", "fft", "patches"])
def test_single_precision_loses_no_more_than_rounding(way: Way) -> None:
    leaves = [t.detach().float().requires_grad_() for t in operands(4, 1, 8, 30, 7)]
    exact = [t.detach().double().requires_grad_() for t in leaves]
    found, expected = convolve(*leaves, pool=False, way=way), reference(*exact, pool=False)
    pairs = [(found, expected)]
    pairs += zip(gradients(found, *leaves), gradients(expected, *exact), strict=True)
    for ours, theirs in pairs:
        assert (ours - theirs).abs().max() < 2e-6 * theirs.abs().max()


@pytest.mark.parametrize("way", ["direct", "fft", "patches"])
def test_layout_does_not_matter(way: Way) -> None:
    leaves = [t.detach().float().requires_grad_() for t in operands(3, 1, 4, 12, 3)]
    last = [t.detach().to(memory_format=torch.channels_last).requires_grad_() for t in leaves[:2]]
    plain = convolve(*leaves, pool=True, way=way)
    other = convolve(*last, leaves[2], pool=True, way=way)
    torch.testing.assert_close(plain, other, rtol=1e-5, atol=1e-6)
    for a, b in zip(gradients(plain, *leaves[:2]), gradients(other, *last), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", ["direct", "patches"])
def test_of_equal_values_the_first_is_the_maximum(way: Way) -> None:
    """A blank image gives equal maps everywhere; torch sends the gradient to the first."""
    images = torch.ones(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    images.data[1, 0, 3:, 3:] = 0
    weight = random(3, 1, 3, 3, seed=1).round().requires_grad_()  # whole numbers: exact sums
    leaves = (images, weight)
    found = convolve(*leaves, None, pool=True, way=way)
    expected = functional.max_pool2d(functional.conv2d(*leaves), 2)
    for ours, theirs in zip(gradients(found, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_an_image_without_gradient_gets_none() -> None:
    images, weight, bias = operands(3, 1, 2, 10, 3)
    images.requires_grad_(False)
    for way in ("direct", "fft", "patches"):
        convolve(images, weight, bias, pool=True, way=way).sum().backward()
        assert images.grad is None


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor any operation makes."""

    values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [x.untyped_storage().nbytes() for x in tree_iter(out) if isinstance(x, Tensor)]
        self.values = max([self.values, *(s // 8 for s in sizes)])
        return out


@pytest.mark.parametrize("way", ["direct", "fft", "patches"])
def test_maps_before_pooling_are_made_a_part_at_a_time(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "MAP_VALUES", 4 * 8 * 16**2)
    monkeypatch.setattr(convolution, "FEW_VALUES", 0)
    monkeypatch.setattr(convolution, "SPECTRUM_VALUES", 4 * 9 * 18 * 10 * 2)
    images, weight, _ = operands(64, 1, 8, 18, 3)
    with Largest() as largest:
        convolve(images, weight, None, pool=True, way=way).sum().backward()
    assert largest.values == 64 * 8 * 8**2  # the pooled maps; 64 images' maps would be 131,072


def test_spectra_of_many_filters_are_never_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    per_filter = 2 * 7 * 12 * 4
    monkeypatch.setattr(convolution_cost, "MOST_FILTER_VALUES", 20 * per_filter)
    assert filters_at_once(4, 64, 12) == 16
    assert filters_at_once(4, 20, 12) == 20
    assert filters_at_once(256, 64, 12) == 1
    with Largest() as largest:
        convolve(*operands(1, 4, 64, 12, 2), pool=True, way="fft").sum().backward()
    assert largest.values < 20 * per_filter  # all would be 43,008


def test_without_gradients_nothing_is_kept() -> None:
    _, weight, _ = operands(1, 1, 8, 18, 3)
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(kept.append, lambda t: t)
    with torch.no_grad(), hooks:
        convolve(random(4, 1, 18, 18, seed=1), weight, None, pool=True, way="fft")
    assert kept == []


CHOICES = {
    (32, 64, 128, 48, 3): "direct",
    (32, 64, 128, 48, 7): "fft",
    (32, 64, 128, 48, 12): "fft",
    (32, 64, 128, 48, 20): "fft",
    (32, 64, 64, 6, 3): "direct",
    (32, 256, 256, 48, 12): "fft",
    (32, 1, 64, 105, 3): "direct",
    (32, 1, 16, 105, 20): "patches",
    (32, 1, 16, 35, 3): "direct",
}
"""What was the fastest by far where it was measured (benchmarks/tables/convolution.jsonl)."""


@pytest.mark.parametrize(("shape", "way"), CHOICES.items(), ids=str)
def test_the_choice_is_a_fixed_function_of_the_shape(shape: tuple[int, ...], way: Way) -> None:
    assert choose_way(*shape) == way


def test_the_network_goes_the_chosen_way(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = NetworkShape(20, (Convolution(5, 3, pool=True), Convolution(3, 4, pool=False)), 6)
    used: list[Way] = []
    chosen = iter(["patches", "fft"])
    monkeypatch.setattr(
        convolution, "choose_way", lambda *_: used.append(next(chosen)) or used[-1]
    )
    networks = [SiameseNetwork(shape, convolution=way).double() for way in ("direct", "auto")]
    with torch.no_grad():
        for number, parameter in enumerate(networks[0].parameters()):
            parameter.copy_(random(*parameter.shape, seed=number))
    networks[1].load_state_dict(networks[0].state_dict())
    images = random(4, 1, 20, 20, seed=9).abs()
    codes = [network.encode(images) for network in networks]
    torch.testing.assert_close(*codes, rtol=0, atol=1e-9)
    for code in codes:
        code.square().sum().backward()
    for one, other in zip(*(n.parameters() for n in networks), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-9)
    assert used == ["patches", "fft"]


@pytest.mark.parametrize("setting", ["auto", "direct"])
def test_either_setting_runs_on_the_meta_device(setting: Any) -> None:
    shape = NetworkShape(105, (Convolution(10, 64, pool=True),), 8)
    network = SiameseNetwork(shape, convolution=setting, device="meta")
    assert network.encode(torch.empty(2, 1, 105, 105, device="meta")).shape == (2, 8)


def test_in_bf16_only_the_layers_own_arithmetic_is_used() -> None:
    leaves = [t.detach().float().requires_grad_() for t in operands(3, 4, 4, 20, 9)]
    with torch.autocast("cpu", torch.bfloat16):
        found = convolve(*leaves, pool=True, way="fft")
    expected = reference(*leaves, pool=True)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()
    assert all(g.dtype == torch.float32 for g in gradients(found, *leaves))
