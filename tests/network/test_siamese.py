"""The network's numbers against naive numpy, and its comparison against all pairs in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from hpsearch.network import siamese
from hpsearch.network.geometry import Convolution, NetworkShape
from hpsearch.network.siamese import SiameseNetwork, WeightedL1

Array = NDArray[np.float64]

SHAPES = {
    "pools, one of them odd": NetworkShape(
        16, (Convolution(4, 3, pool=True), Convolution(2, 5, pool=True)), 6
    ),
    "a convolution without pooling": NetworkShape(9, (Convolution(3, 2, pool=False),), 4),
    "no convolution": NetworkShape(8, (), 5),
}


def random_network(shape: NetworkShape, *, bias: bool = False, seed: int = 0) -> SiameseNetwork:
    """Return a float64 network whose values keep every unit off its flat ends."""
    network = SiameseNetwork(shape, output_bias=bias).double()
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, parameter[0].numel() ** -0.5, generator=source)
    return network


def naive_encode(network: SiameseNetwork, images: Array) -> Array:
    """Encode [B, 1, S, S] by one product per output pixel."""
    values = {name: p.detach().numpy() for name, p in network.named_parameters()}
    codes = []
    for maps in images:
        for number, layer in enumerate(network.shape.convolutions, start=1):
            weight, bias = values[f"conv{number}.weight"], values[f"conv{number}.bias"]
            size, k = maps.shape[1] - layer.filter_size + 1, layer.filter_size
            out = np.empty((layer.filter_count, size, size))
            for f, row, column in np.ndindex(out.shape):
                patch = maps[:, row : row + k, column : column + k]
                out[f, row, column] = max(0.0, (patch * weight[f]).sum() + bias[f])
            if layer.pool:
                half = np.empty((layer.filter_count, size // 2, size // 2))
                for f, row, column in np.ndindex(half.shape):
                    block = out[f, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                    half[f, row, column] = block.max()
                out = half
            maps = out
        codes.append(values["fc.weight"] @ maps.ravel() + values["fc.bias"])
    return 1 / (1 + np.exp(-np.array(codes)))


def naive_scores(network: SiameseNetwork, queries: Tensor, supports: Tensor) -> Array:
    """Return sum_d alpha_d |q_d - s_d| (+ bias) for all pairs, [A, B]."""
    alpha = network.output.weight.detach().numpy()[0]
    bias = 0.0 if network.output.bias is None else network.output.bias.item()
    scores = np.empty((len(queries), len(supports)))
    for a, b in np.ndindex(scores.shape):
        distance = [abs(float(queries[a, d]) - float(supports[b, d])) for d in range(len(alpha))]
        scores[a, b] = sum(w * x for w, x in zip(alpha, distance, strict=True)) + bias
    return scores


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor any operation makes."""

    values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_iter(out) if isinstance(x, Tensor)]
        self.values = max([self.values, *sizes])
        return out


def uniform(*shape: int, seed: int = 0, grad: bool = False) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=source, dtype=torch.float64).requires_grad_(grad)


@pytest.fixture(params=["one row at once", "two rows at once", "all at once"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bound the comparison of supports [4, 6]; return the bound in values."""
    bound = {"one row at once": 5, "two rows at once": 59, "all at once": 1 << 22}[request.param]
    monkeypatch.setattr(siamese, "CHUNK_VALUES", bound)
    return bound


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_encoding_is_the_naive_forward_pass(shape: NetworkShape) -> None:
    network = random_network(shape)
    images = uniform(3, 1, shape.input_size, shape.input_size)
    expected = naive_encode(network, images.numpy())
    assert expected.std() > 0.01
    with torch.no_grad():
        found = network.encode(images)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_encoding_does_not_depend_on_the_memory_format() -> None:
    shape = SHAPES["pools, one of them odd"]
    images = uniform(3, 1, 16, 16)
    with torch.no_grad():
        plain = random_network(shape).encode(images)
        last = random_network(shape).to(memory_format=torch.channels_last).encode(images)
    torch.testing.assert_close(plain, last, rtol=1e-12, atol=0)


@pytest.mark.parametrize("bias", [False, True])
def test_score_is_the_weighted_l1_distance(bias: bool) -> None:
    network = random_network(NetworkShape(8, (), 6), bias=bias)
    assert len(set(network.output.weight[0].sign().tolist())) == 2  # alpha of both signs
    first, second = uniform(4, 6, seed=1), uniform(4, 6, seed=2)
    with torch.no_grad():
        found = network.score(first, second)
        assert torch.equal(found, network.score(second, first))
    expected = np.diag(naive_scores(network, first, second))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
def test_score_matrix_is_every_pairs_score(chunks: int, bias: bool) -> None:
    network = random_network(NetworkShape(8, (), 6), bias=bias)
    queries, supports = uniform(5, 6, seed=1), uniform(4, 6, seed=2)
    with torch.no_grad():
        found = network.score_matrix(queries, supports)
        single = network.score(queries[:, None], supports[None])
    np.testing.assert_allclose(found.numpy(), naive_scores(network, queries, supports), rtol=1e-12)
    torch.testing.assert_close(found, single, rtol=1e-12, atol=0)


def test_score_matrix_of_encodings_with_themselves_is_symmetric(chunks: int) -> None:
    network = random_network(NetworkShape(8, (), 6))
    codes = uniform(4, 6)
    with torch.no_grad():
        found = network.score_matrix(codes, codes)
    torch.testing.assert_close(found, found.T, rtol=1e-12, atol=0)
    assert (found.diag() == 0).all()


def test_score_matrix_keeps_single_precision() -> None:
    network = random_network(NetworkShape(8, (), 6))
    found = network.score_matrix(uniform(5, 6).float(), uniform(4, 6).float())
    assert found.dtype == torch.float32


def test_weighted_l1_has_the_numeric_gradient(chunks: int) -> None:
    queries, supports = uniform(5, 6, seed=1, grad=True), uniform(4, 6, seed=2, grad=True)
    alpha = (uniform(6, seed=3) - 0.5).requires_grad_()
    assert torch.autograd.gradcheck(WeightedL1.apply, (queries, supports, alpha))


def test_weighted_l1_has_the_numeric_gradient_where_queries_are_supports(chunks: int) -> None:
    codes, alpha = uniform(4, 6, grad=True), (uniform(6, seed=3) - 0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, a: WeightedL1.apply(x, x, a), (codes, alpha))


def test_comparison_holds_only_a_chunk_of_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, others, units = 40, 10, 6
    queries, supports = uniform(rows, units, grad=True), uniform(others, units, grad=True)
    alpha = uniform(units, seed=3).requires_grad_()
    sizes = []
    for bound in (500, rows * others * units):
        monkeypatch.setattr(siamese, "CHUNK_VALUES", bound)
        with Largest() as largest:
            WeightedL1.apply(queries, supports, alpha).sum().backward()
        sizes.append(largest.values)
    assert sizes == [480, 2400]  # 8 rows at once; all 40


def test_a_new_network_leaves_the_global_random_state() -> None:
    before = torch.random.get_rng_state()
    SiameseNetwork(SHAPES["pools, one of them odd"], output_bias=True)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_on_the_meta_device_nothing_is_made() -> None:
    network = SiameseNetwork(NetworkShape(105, (), 65536), device="meta")
    assert {p.device.type for p in network.parameters()} == {"meta"}
    assert network.encode(torch.empty(2, 1, 105, 105, device="meta")).shape == (2, 65536)
