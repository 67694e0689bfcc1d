"""Optimisers with a learning rate and L2 weight per layer: the paper's momentum SGD, and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.config import TrialConfig


class Optimiser(Protocol):
    """What the loop needs; its state goes into checkpoints."""

    def set_position(self, epoch: int, share: float = 0.0) -> None:
        """Move learning rates and momenta to an epoch, from 1, of which a share is done."""

    def step(self) -> None:
        """Take one step from the parameters' gradients, and forget them."""

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint holds, by name."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the tensors of a checkpoint back."""


def make_optimiser(network: SiameseNetwork, config: TrialConfig) -> Optimiser:
    """Return the optimiser that the configuration names, at the first step."""
    return LayerwiseSgd(network, config) if config.optimiser == "sgd" else AdamW(network, config)


class LayerwiseSgd:
    """v = mu v + grad; w = w - eta v, with eta, mu and lambda of each layer.

    Reference:
        Koch et al. 2015, section 3.2: eta_j -> learning_rate, mu_j -> momentum, lambda_j -> l2.
    """

    def __init__(self, network: SiameseNetwork, config: TrialConfig) -> None:
        """Set the schedule to the first step."""
        self._config = config
        self._layers = [
            (name, parameter, _decayed(name, config))
            for name, parameter in network.named_parameters()
        ]
        self.velocities = {name: torch.zeros_like(p) for name, p, _ in self._layers}
        self.set_position(1)

    def set_position(self, epoch: int, share: float = 0.0) -> None:
        """Move learning rates and momenta to an epoch, from 1, of which a share is done."""
        self._rates, self._momenta = schedule(self._config, epoch, share)

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

    def state(self) -> dict[str, Tensor]:
        """Return the velocities."""
        return {f"velocity.{name}": velocity for name, velocity in self.velocities.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the velocities of a checkpoint back."""
        for name, velocity in self.velocities.items():
            velocity.copy_(tensors[f"velocity.{name}"])


class AdamW:
    """torch's AdamW with each layer's learning rate, and its l2 as weight decay.

    Reference:
        Loshchilov and Hutter 2019, algorithm 2: eta_t alpha -> learning_rate under the schedule,
        lambda -> l2, decoupled from the gradient.
    """

    def __init__(self, network: SiameseNetwork, config: TrialConfig) -> None:
        """Set the schedule to the first step."""
        self._config = config
        self._named = dict(network.named_parameters())
        groups: dict[tuple[str, bool], list[Tensor]] = {}
        for name, parameter in self._named.items():
            key = (name.split(".")[0], _decayed(name, config))
            groups.setdefault(key, []).append(parameter)
        self._torch = torch.optim.AdamW(
            [
                {
                    "params": members,
                    "weight_decay": config.layers.all[layer].l2 if decayed else 0.0,
                }
                for (layer, decayed), members in groups.items()
            ],
            betas=(0.9, 0.999),
            eps=1e-8,
            foreach=False,
            fused=True,
        )
        self._layers = [layer for layer, _ in groups]
        for parameter in self._named.values():  # there from the first checkpoint on
            self._torch.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        self.set_position(1)

    def set_position(self, epoch: int, share: float = 0.0) -> None:
        """Move the learning rates to an epoch, from 1, of which a share is done."""
        rates, _ = schedule(self._config, epoch, share)
        for layer, group in zip(self._layers, self._torch.param_groups, strict=True):
            group["lr"] = rates[layer]

    def step(self) -> None:
        """Take one step from the parameters' gradients, and forget them."""
        self._torch.step()
        self._torch.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Return steps taken and both moments of every parameter."""
        return {
            f"adamw.{name}.{key}": value
            for name, parameter in self._named.items()
            for key, value in self._torch.state[parameter].items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the state of a checkpoint back."""
        for name, value in self.state().items():
            value.copy_(tensors[name])


def _decayed(name: str, config: TrialConfig) -> bool:
    """Say whether L2 acts on a parameter: on weights, and on the rest where biases decay."""
    is_weight = name.endswith("weight") and ".norm." not in name
    return is_weight or config.decay_biases


def schedule(
    config: TrialConfig, epoch: int, share: float = 0.0
) -> tuple[dict[str, float], dict[str, float]]:
    """Return every layer's learning rate and momentum.

    Args:
        config: Rates, momenta and their schedule.
        epoch: From 1.
        share: How much of the epoch is done, 0 to 1; the paper's schedule moves only with the
            epoch.

    Reference:
        Koch et al. 2015, section 3.2: eta_j(T) = 0.99 eta_j(T-1); momentum rises linearly from
        0.5 to mu_j, here over `momentum_ramp` of the epochs. Loshchilov and Hutter 2017,
        equation 5: the cosine, without restarts.
    """
    done = epoch - 1 + share
    if config.schedule == "cosine":
        left = max(config.max_epochs - config.warmup_epochs, 1e-9)
        place = min(max(done - config.warmup_epochs, 0.0) / left, 1.0)
        factor = 0.5 * (1 + math.cos(math.pi * place))
    else:
        factor = config.learning_rate_decay ** (epoch - 1)
    if done < config.warmup_epochs:
        step = 1 / config.steps_per_epoch
        factor *= min(1.0, (done + step) / config.warmup_epochs)
    factor *= config.learning_rate_factor
    ramp = config.momentum_ramp * config.max_epochs
    risen = 1.0 if ramp <= 0 else min(1.0, (epoch - 1) / ramp)
    layers, start = config.layers.all, config.momentum_start
    rates = {name: layer.learning_rate * factor for name, layer in layers.items()}
    momenta = {name: start + risen * (layer.momentum - start) for name, layer in layers.items()}
    return rates, momenta
