"""The optimiser against numpy and against torch's own; the schedule of rates and momenta."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.config import TrialConfig
from hpsearch.training.optimiser import LayerwiseOptimiser, schedule
from tests.support.trainings import LAYERS, tiny_config

Arrays = dict[str, NDArray[np.float64]]

OWN = {  # eta, mu, lambda
    "conv1": (0.1, 0.9, 0.01),
    "conv2": (0.02, 0.2, 0.0),
    "fc": (0.3, 0.0, 0.003),
    "output": (0.05, 1.0, 0.05),
}


def layerwise(**settings: Any) -> TrialConfig:
    layers = {
        name: {"learning_rate": eta, "momentum": mu, "l2": l2}
        for name, (eta, mu, l2) in OWN.items()
    }
    layers["output"]["bias"] = True
    return tiny_config(layers=layers, **settings)


def random_network(config: TrialConfig) -> SiameseNetwork:
    bias = config.layers.output.bias
    network = SiameseNetwork(config.shape(), output_bias=bias).double()
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=source)
    return network


def gradients(network: SiameseNetwork, step: int) -> Arrays:
    rng = np.random.default_rng(step)
    return {n: rng.standard_normal(p.shape) for n, p in network.named_parameters()}


def set_gradients(network: SiameseNetwork, values: Arrays) -> None:
    for name, parameter in network.named_parameters():
        parameter.grad = torch.from_numpy(values[name].copy())


def weights(network: SiameseNetwork) -> Arrays:
    return {n: p.detach().numpy().copy() for n, p in network.named_parameters()}


def numpy_training(start: Arrays, config: TrialConfig, steps: list[Arrays], epochs: int) -> Arrays:
    """Take the same steps in every epoch, by the formulas of section 3.2."""
    w, v = dict(start), {name: np.zeros_like(x) for name, x in start.items()}
    for epoch in range(epochs):
        share = min(epoch / (config.max_epochs / 2), 1)
        for gradient in steps:
            for name in w:
                eta, mu, l2 = OWN[name.split(".")[0]]
                eta, mu = eta * 0.99**epoch, 0.5 * (1 - share) + mu * share
                if name.endswith("bias") and not config.decay_biases:
                    l2 = 0.0
                inside = 2 * l2 * w[name] if config.l2_gradient == "inside" else 0
                outside = 2 * l2 * abs(w[name]) if config.l2_gradient == "as_printed" else 0
                v[name] = mu * v[name] + gradient[name] + inside
                w[name] = w[name] - eta * v[name] - outside
    return w


def make(network: SiameseNetwork, config: TrialConfig, *, at_once: bool) -> LayerwiseOptimiser:
    """Return the optimiser of a CPU, or one that steps as on a card."""
    optimiser = LayerwiseOptimiser(network, config)
    optimiser._at_once = at_once
    return optimiser


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("l2_gradient", ["inside", "as_printed"])
@pytest.mark.parametrize("decay_biases", [False, True])
def test_steps_are_those_of_numpy_layer_by_layer(
    l2_gradient: str, decay_biases: bool, at_once: bool
) -> None:
    config = layerwise(l2_gradient=l2_gradient, decay_biases=decay_biases, max_epochs=8)
    network = random_network(config)
    steps = [gradients(network, step) for step in range(3)]
    expected = numpy_training(weights(network), config, steps, epochs=6)
    optimiser = make(network, config, at_once=at_once)
    for epoch in range(1, 7):
        optimiser.set_position(epoch)
        for values in steps:
            set_gradients(network, values)
            optimiser.step()
    for name, value in weights(network).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("decay_biases", [False, True])
def test_with_equal_settings_it_is_torchs_sgd(decay_biases: bool) -> None:
    each = {"learning_rate": 0.05, "momentum": 0.8, "l2": 0.01}
    config = tiny_config(each, decay_biases=decay_biases, momentum_ramp=0)
    ours, theirs = random_network(config), random_network(config)
    optimiser = LayerwiseOptimiser(ours, config)
    named = list(theirs.named_parameters())
    reference = torch.optim.SGD(
        [
            {"params": [p for n, p in named if "weight" in n], "weight_decay": 2 * 0.01},
            {
                "params": [p for n, p in named if "bias" in n],
                "weight_decay": 2 * 0.01 * decay_biases,
            },
        ],
        lr=0.05,
        momentum=0.8,
    )
    for step in range(6):
        values = gradients(ours, step)
        set_gradients(ours, values)
        set_gradients(theirs, values)
        optimiser.step()
        reference.step()
    for name, value in weights(ours).items():
        np.testing.assert_allclose(value, weights(theirs)[name], rtol=1e-12, err_msg=name)


def test_adamw_at_once_is_torchs_layer_by_layer_and_goes_on_from_a_checkpoint() -> None:
    config = layerwise(optimiser="adamw", schedule="cosine", warmup_epochs=1)
    networks = [random_network(config), random_network(config)]
    torchs, ours = (
        make(net, config, at_once=one) for net, one in zip(networks, (False, True), strict=True)
    )
    for step in range(6):
        if step == 3:
            kept = {name: value.clone() for name, value in ours.state().items()}
            ours = make(networks[1], config, at_once=True)
            ours.restore(kept)
        for optimiser, network in ((torchs, networks[0]), (ours, networks[1])):
            optimiser.set_position(1 + step // 2, step % 2 / 2)
            set_gradients(network, gradients(network, step))
            if step != 4:
                network.fc.bias.grad = None  # rests, and does not count
            optimiser.step()
    for name, value in weights(networks[0]).items():
        np.testing.assert_allclose(value, weights(networks[1])[name], rtol=1e-12, err_msg=name)
    for name, tensor in torchs.state().items():
        torch.testing.assert_close(ours.state()[name], tensor, rtol=1e-12, atol=0)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_step_forgets_the_gradients(at_once: bool) -> None:
    network = random_network(layerwise())
    optimiser = make(network, layerwise(), at_once=at_once)
    set_gradients(network, gradients(network, 0))
    optimiser.step()
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("at_once", [False, True])
def test_a_parameter_without_gradient_rests(at_once: bool) -> None:
    network = random_network(layerwise())
    optimiser = make(network, layerwise(), at_once=at_once)
    values = gradients(network, 0)
    set_gradients(network, values)
    network.fc.weight.grad = None
    before = weights(network)
    optimiser.step()
    after = weights(network)
    assert (after["fc.weight"] == before["fc.weight"]).all()
    assert all((after[n] != before[n]).all() for n in after if n != "fc.weight")


def test_learning_rates_fall_by_a_hundredth_each_epoch() -> None:
    config = layerwise(max_epochs=200)
    for epoch, factor in ((1, 1.0), (2, 0.99), (3, 0.9801), (200, 0.99**199)):
        rates, _ = schedule(config, epoch)
        assert rates == pytest.approx({name: OWN[name][0] * factor for name in LAYERS}, rel=1e-12)


def test_momenta_move_linearly_to_their_ends_over_half_the_epochs() -> None:
    config = layerwise(max_epochs=200)
    expected = {
        1: (0.5, 0.5, 0.5, 0.5),
        26: (0.6, 0.425, 0.375, 0.625),
        51: (0.7, 0.35, 0.25, 0.75),
        101: (0.9, 0.2, 0.0, 1.0),
        200: (0.9, 0.2, 0.0, 1.0),
    }
    for epoch, values in expected.items():
        _, momenta = schedule(config, epoch)
        assert momenta == pytest.approx(dict(zip(LAYERS, values, strict=True)), abs=1e-12)


@pytest.mark.parametrize("epoch", [1, 2, 5])
def test_without_a_ramp_momenta_are_final_at_once(epoch: int) -> None:
    _, momenta = schedule(layerwise(momentum_ramp=0), epoch)
    assert momenta == {name: mu for name, (_, mu, _) in OWN.items()}


def test_a_full_ramp_ends_after_the_last_epoch() -> None:
    config = layerwise(momentum_ramp=1, max_epochs=4, momentum_start=0.1)
    assert [schedule(config, e)[1]["conv1"] for e in (1, 2, 3, 4)] == pytest.approx(
        [0.1, 0.3, 0.5, 0.7]
    )


def test_rates_can_stay() -> None:
    rates, _ = schedule(layerwise(learning_rate_decay=1), 77)
    assert rates == {name: eta for name, (eta, _, _) in OWN.items()}
