"""Limits on the cost of a configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpsearch.configfile import Section


class Limits(Section):
    """Limits on the cost of a configuration; a proposal beyond them is drawn again."""

    multiply_adds: Annotated[float, Field(gt=0)] | None = None
    """Multiply-adds of encoding one image, forward."""
    parameters: Annotated[float, Field(gt=0)] | None = None
    """Weights and biases."""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Estimated memory of one training step, 1e9 bytes, for one worker."""
