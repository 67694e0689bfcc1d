"""Optimiser steps of all parameters at once, each with its own settings, for cards.

A small network's step is as long as its launches. torch's own optimisers share one learning rate
among the parameters that they change at once; these take one for each. Rounding differs from
torch's, so on the CPU torch's are used.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Together:
    """The parameters of an optimiser that have gradients, with their settings and state."""

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        """Collect them; each parameter has a group of its own."""
        groups = [g for g in optimiser.param_groups if g["params"][0].grad is not None]
        self._groups = groups
        self.weights: list[Tensor] = [group["params"][0] for group in groups]
        self.gradients: list[Tensor] = [w.grad for w in self.weights if w.grad is not None]
        self._state = optimiser.state

    def settings(self, key: str) -> list[float]:
        """Return a setting of each parameter."""
        return [group[key] for group in self._groups]

    def state(self, key: str) -> list[Tensor]:
        """Return what is kept of each parameter under a name."""
        return [self._state[weight][key] for weight in self.weights]


@torch.no_grad()
def step_sgd(held: Together, *, inside: bool) -> None:
    """Take a step of momentum SGD.

    Args:
        held: The parameters.
        inside: Whether L2 joins the gradient (see `TrialConfig.l2_gradient`).
    """
    weights, gradients = held.weights, held.gradients
    velocities = held.state("momentum_buffer")
    l2 = [2 * share for share in held.settings("l2")]
    if inside:
        torch._foreach_add_(gradients, torch._foreach_mul(weights, l2))
    else:
        torch._foreach_sub_(weights, torch._foreach_mul(torch._foreach_abs(weights), l2))
    torch._foreach_mul_(velocities, held.settings("momentum"))
    torch._foreach_add_(velocities, gradients)
    torch._foreach_sub_(weights, torch._foreach_mul(velocities, held.settings("lr")))


@torch.no_grad()
def step_adamw(held: Together, *, betas: tuple[float, float], eps: float) -> None:
    """Take a step of AdamW.

    Reference:
        Loshchilov and Hutter 2019, algorithm 2: weight_decay is scaled by the learning rate.
    """
    weights, gradients, rates = held.weights, held.gradients, held.settings("lr")
    means, squares = held.state("exp_avg"), held.state("exp_avg_sq")
    for step in held.state("step"):  # on the CPU, so that nobody waits for the card
        step.add_(1)
    steps = [float(step) for step in held.state("step")]
    decays = zip(rates, held.settings("weight_decay"), strict=True)
    torch._foreach_mul_(weights, [1 - rate * decay for rate, decay in decays])
    torch._foreach_lerp_(means, gradients, 1 - betas[0])
    torch._foreach_mul_(squares, betas[1])
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - betas[1])
    roots = torch._foreach_sqrt(squares)
    torch._foreach_div_(roots, [math.sqrt(1 - betas[1] ** step) for step in steps])
    torch._foreach_add_(roots, eps)
    scales = [-rate / (1 - betas[0] ** step) for rate, step in zip(rates, steps, strict=True)]
    torch._foreach_addcdiv_(weights, means, roots, scales)
