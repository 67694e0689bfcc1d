"""The paper's optimiser: momentum SGD with a learning rate, momentum and L2 weight per layer."""

from __future__ import annotations

import torch
from torch import Tensor

from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.config import TrialConfig


class LayerwiseSgd:
    """v = mu v + grad; w = w - eta v, with eta, mu and lambda of each layer.

    Reference:
        Koch et al. 2015, section 3.2: eta_j -> learning_rate, mu_j -> momentum, lambda_j -> l2.
    """

    def __init__(self, network: SiameseNetwork, config: TrialConfig) -> None:
        """Set the schedule to the first epoch."""
        self._config = config
        self._layers: list[tuple[str, Tensor, bool]] = []
        for name, parameter in network.named_parameters():
            decayed = name.endswith("weight") or config.decay_biases
            self._layers.append((name, parameter, decayed))
        self.velocities = {name: torch.zeros_like(p) for name, p, _ in self._layers}
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Move learning rates and momenta to an epoch, from 1."""
        self._rates, self._momenta = schedule(self._config, epoch)

    @torch.no_grad()
    def step(self) -> None:
        """Take one step from the parameters' gradients, and forget them."""
        inside = self._config.l2_gradient == "inside"
        for name, parameter, decayed in self._layers:
            layer = name.split(".")[0]
            l2 = self._config.layers.all[layer].l2 if decayed else 0.0
            gradient = parameter.grad
            if gradient is None:
                continue
            if l2 and inside:
                gradient.add_(parameter, alpha=2 * l2)
            velocity = self.velocities[name].mul_(self._momenta[layer]).add_(gradient)
            if l2 and not inside:
                parameter.sub_(parameter.abs(), alpha=2 * l2)
            parameter.sub_(velocity, alpha=self._rates[layer])
            parameter.grad = None


def schedule(config: TrialConfig, epoch: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return every layer's learning rate and momentum in an epoch, from 1.

    Reference:
        Koch et al. 2015, section 3.2: eta_j(T) = 0.99 eta_j(T-1); momentum rises linearly from
        0.5 to mu_j, here over `momentum_ramp` of the epochs.
    """
    decay = config.learning_rate_decay ** (epoch - 1)
    ramp = config.momentum_ramp * config.max_epochs
    share = 1.0 if ramp <= 0 else min(1.0, (epoch - 1) / ramp)
    layers, start = config.layers.all, config.momentum_start
    rates = {name: layer.learning_rate * decay for name, layer in layers.items()}
    momenta = {name: start + share * (layer.momentum - start) for name, layer in layers.items()}
    return rates, momenta
