"""Initial weights: their moments, and that the generator alone decides them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hpsearch.network.geometry import Convolution, NetworkShape
from hpsearch.network.initialisation import initialise
from hpsearch.network.siamese import SiameseNetwork

WIDE = NetworkShape(8, (Convolution(3, 400, pool=True), Convolution(2, 300, pool=False)), 500)
SMALL = NetworkShape(8, (Convolution(3, 4, pool=True),), 5)


def drawn(
    init: str, shape: NetworkShape = WIDE, seed: int = 0, *, bias: bool = True
) -> dict[str, np.ndarray]:
    """Return new parameters by name; what the initialisation leaves out is NaN."""
    network = SiameseNetwork(shape, output_bias=bias)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(math.nan)
    initialise(network, init, torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
    return {name: p.detach().double().numpy() for name, p in network.named_parameters()}


def assert_normal(values: np.ndarray, mean: float, std: float) -> None:
    """Compare mean, variance and fourth moment with a normal distribution's."""
    z = (values.ravel() - mean) / std
    errors = 4 / math.sqrt(z.size)
    assert abs(z.mean()) < errors
    assert abs((z**2).mean() - 1) < errors * math.sqrt(2)
    assert abs((z**4).mean() - 3) < errors * math.sqrt(96)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("conv1.weight", 0, 0.01),
        ("conv1.bias", 0.5, 0.01),
        ("conv2.weight", 0, 0.01),
        ("conv2.bias", 0.5, 0.01),
        ("fc.weight", 0, 0.2),
        ("fc.bias", 0.5, 0.01),
        ("output.weight", 0, 0.2),
    ],
)
def test_koch_is_the_papers_normal_distributions(name: str, mean: float, std: float) -> None:
    assert_normal(drawn("koch")[name], mean, std)


def test_koch_draws_the_output_bias_like_other_biases() -> None:
    biases = [drawn("koch", SMALL, seed)["output.bias"] for seed in range(200)]
    assert_normal(np.array(biases), 0.5, 0.01)


@pytest.mark.parametrize(
    ("name", "variance"),
    [("conv1.weight", 2 / 9), ("conv2.weight", 2 / (400 * 4)), ("fc.weight", 1 / (300 * 4))],
)
def test_he_scales_by_the_inputs(name: str, variance: float) -> None:
    assert_normal(drawn("he")[name], 0, math.sqrt(variance))


def test_he_starts_with_unlike_images_scoring_low_and_no_biases() -> None:
    values = drawn("he")
    alpha = values["output.weight"]
    assert (alpha < 0).all()
    signs = np.random.default_rng(0).choice([-1, 1], alpha.shape)
    assert_normal(alpha * signs, 0, math.sqrt(1 / 500))
    assert all((v == 0).all() for name, v in values.items() if name.endswith("bias"))


@pytest.mark.parametrize("init", ["koch", "he"])
@pytest.mark.parametrize("bias", [False, True])
def test_every_parameter_is_drawn(init: str, bias: bool) -> None:
    values = drawn(init, SMALL, bias=bias)
    assert ("output.bias" in values) == bias
    assert all(np.isfinite(v).all() for v in values.values())


@pytest.mark.parametrize("init", ["koch", "he"])
def test_the_generator_alone_decides(init: str) -> None:
    one, again, other = drawn(init, seed=3), drawn(init, seed=3), drawn(init, seed=4)
    for name in one:
        assert one[name].tobytes() == again[name].tobytes()
        if name.endswith("weight"):
            assert (one[name] != other[name]).any()


@pytest.mark.parametrize("init", ["koch", "he"])
def test_the_global_random_state_is_neither_used_nor_changed(init: str) -> None:
    first = drawn(init, SMALL)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        before = torch.random.get_rng_state()
        second = drawn(init, SMALL)
        assert torch.equal(torch.random.get_rng_state(), before)
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)
