"""Trains without torch's compiler: nothing here is compiled, and to load it takes a second.

An optimiser loads it only to tell it which of its methods must be left alone. A worker would load
it with its first trial, and sympy and 800 other modules with it.
"""

from __future__ import annotations

import inspect

import torch

TOLD = "__dynamo_disable"
"""Where torch keeps, at a method that is left alone, what is called in its place."""


def leave_compiler_unloaded() -> None:
    """Let torch's optimisers be made and cleared without the compiler.

    Where another version of torch keeps its mark elsewhere, the compiler is loaded as before.
    """
    for method in vars(torch.optim.Optimizer).values():
        wrapped = getattr(method, "__wrapped__", None)
        if wrapped is not None and not hasattr(wrapped, TOLD):
            setattr(wrapped, TOLD, wrapped)


@torch.no_grad()
def take_step(optimiser: torch.optim.Optimizer) -> None:
    """Take an optimiser's step as it is written, without what torch puts around it."""
    inspect.unwrap(type(optimiser).step)(optimiser)
