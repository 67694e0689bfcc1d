"""The optimisers, with a learning rate and an L2 weight for each layer: momentum SGD and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from hpsearch.network.siamese import SiameseNetwork
from hpsearch.network.together import Together, step_adamw, step_sgd
from hpsearch.network.uncompiled import leave_compiler_unloaded, take_step
from hpsearch.training.config import TrialConfig

STATE_NAMES = {
    "sgd": {"momentum_buffer": "velocity.{}"},
    "adamw": {key: f"adamw.{{}}.{key}" for key in ("step", "exp_avg", "exp_avg_sq")},
}
"""For each tensor that torch keeps of a parameter its name in a checkpoint."""
BETAS, EPS = (0.9, 0.999), 1e-8
NO_MOMENTUM = 5e-324
"""Stands for momentum 0, with which torch would not update the velocity; it rounds to 0 itself."""


class LayerwiseOptimiser:
    """torch's SGD or AdamW with one parameter group for each parameter; on cards all at once.

    sgd is v = mu v + grad; w = w - eta v, with eta, mu and lambda of each layer. adamw has each
    layer's learning rate, and its l2 as weight decay.

    Reference:
        Koch et al. 2015, section 3.2: eta_j -> learning_rate, mu_j -> momentum, lambda_j -> l2.
        Loshchilov and Hutter 2019, algorithm 2: eta_t alpha -> learning_rate under the schedule,
        lambda -> l2, decoupled from the gradient.
    """

    def __init__(self, network: SiameseNetwork, config: TrialConfig) -> None:
        """Set the schedule to the first step."""
        self._config, self._sgd = config, config.optimiser == "sgd"
        self._at_once = network.device.type != "cpu"
        self._named = {n: p for n, p in network.named_parameters() if p.requires_grad}
        groups = [
            {"params": [parameter], "layer": name.split(".")[0], "l2": _l2(name, config)}
            for name, parameter in self._named.items()
        ]
        leave_compiler_unloaded()
        self._torch: torch.optim.Optimizer
        if self._sgd:
            self._torch = torch.optim.SGD(groups, foreach=False)
        else:
            for group in groups:
                group["weight_decay"] = group["l2"]
            self._torch = torch.optim.AdamW(
                groups, betas=BETAS, eps=EPS, foreach=False, fused=True
            )
        for parameter in self._named.values():  # there from the first checkpoint on
            self._torch.state[parameter] = {
                key: torch.zeros(()) if key == "step" else torch.zeros_like(parameter)
                for key in STATE_NAMES[config.optimiser]
            }
        self.set_position(1)

    def set_position(self, epoch: int, share: float = 0.0) -> None:
        """Move learning rates and momenta to an epoch, from 1, of which a share is done."""
        rates, momenta = schedule(self._config, epoch, share)
        for group in self._torch.param_groups:
            group["lr"] = rates[group["layer"]]
            if self._sgd:
                group["momentum"] = momenta[group["layer"]] or NO_MOMENTUM

    def step(self) -> None:
        """Take one step from the parameters' gradients, and forget them."""
        inside = self._config.l2_gradient == "inside"
        if self._at_once and self._sgd:
            step_sgd(Together(self._torch), inside=inside)
        elif self._at_once:
            step_adamw(Together(self._torch), betas=BETAS, eps=EPS)
        else:
            if self._sgd:
                self._add_l2(inside=inside)
            take_step(self._torch)
        self._torch.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _add_l2(self, *, inside: bool) -> None:
        """Add SGD's L2 in place; torch's own weight decay would copy every gradient."""
        for group in self._torch.param_groups:
            (parameter,) = group["params"]
            if not group["l2"] or parameter.grad is None:
                continue
            if inside:
                parameter.grad.add_(parameter, alpha=2 * group["l2"])
            else:
                parameter.sub_(parameter.abs(), alpha=2 * group["l2"])

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint holds, by name."""
        return {
            STATE_NAMES[self._config.optimiser][key].format(name): value
            for name, parameter in self._named.items()
            for key, value in self._torch.state[parameter].items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the tensors of a checkpoint back."""
        for name, value in self.state().items():
            value.copy_(tensors[name])


def _l2(name: str, config: TrialConfig) -> float:
    """Return the L2 weight of a parameter; 0 for biases and norms unless biases decay too."""
    is_weight = name.endswith("weight") and ".norm." not in name
    return config.layers.all[name.split(".")[0]].l2 if is_weight or config.decay_biases else 0.0


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
