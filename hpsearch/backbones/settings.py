"""The settings of a backbone in a trial's configuration. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from hpsearch.configfile import Section
from hpsearch.network.geometry import NetworkShape

TOP_MAPS = 4
"""Maps of a backbone that can be compared: its last ones."""
GRIDS = 3
"""The finest grid on which maps are averaged, places along a side."""
MULTIPLE = 32
"""A picture's side is a multiple of this, the stride of common backbones, in pixels."""
LARGEST = 224
"""The largest side of a picture, pixels."""
LITE = "efficientnet-lite"
LITE_CHANNELS = (1280, 320, 192, 112)
"""Channels of the last maps of EfficientNet-Lite0, the last one first."""
USUAL_CHANNELS = 512
"""Taken for a map of another backbone, where only costs are estimated."""

REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "layers.output.reach": ((None,), "backbone.match says it"),
    "channels": (("auto", "rgb"), "backbones were trained in colour"),
    "start": (("untrained",), "the backbone has its own weights"),
    "batch_norm": ((False,), "the backbone has its own"),
    "test_time_averaging": (("none",), "features are not turned"),
    "distortion.probability": ((0,), "features are computed once, of the pictures as they are"),
    "quarter_turns": ((False,), "features are not turned"),
    "mirror_images": ((False,), "features are not mirrored"),
}
"""Settings of a configuration that do nothing with a backbone: what they must be, and why."""


def refuse_beside(given: Mapping[str, Any]) -> None:
    """Refuse settings that do nothing with a backbone.

    Raises:
        ValueError: The first of them; the message says what to write.
    """
    for key, value in given.items():
        needed, why = REFUSED[key]
        if value not in needed:
            instead = "remove it" if needed[0] is None else f"write {needed[0]}"
            raise ValueError(f"{key}: cannot be set with a backbone: {why}; {instead}")


class Backbone(Section):
    """A network with given weights whose maps are compared in place of trained convolutions."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")
    """efficientnet-lite0 to 4, or a model of timm."""
    file: str | None = None
    """Weights: .safetensors, or a state dict of torch; none takes those of the installed package,
    which efficientnet-lite0 has."""
    size: int = Field(192, ge=32, le=LARGEST, multiple_of=MULTIPLE)
    """Side of the pictures that the backbone is shown, pixels."""
    maps: str = "2+3"
    """The maps that are compared, counted from the last, 1, to the fourth last; joined by +."""
    grid: int = Field(3, ge=1, le=GRIDS)
    """Each map is averaged over a grid of so many places along a side."""
    match: Literal["whole", "places", "near"] = "whole"
    """whole: all places together are one code, with the mean over the picture. places: each place
    is whitened alike and compared with the same place. near: with the best place beside it."""
    centring: bool = True
    """Subtract the mean of the background pictures."""
    shrinkage: float = Field(0.2, gt=0, le=1)
    """Share of equal variances in the covariance by which codes are whitened; 1 does not whiten.
    The covariance is that within the background classes."""

    tuned: bool = False
    """Train the last stage and the head of EfficientNet-Lite too, by the settings of `projection`.
    The whitening is then computed anew after each epoch, and is not trained. Other backbones stay
    as they are."""

    @field_validator("maps")
    @classmethod
    def _check_maps(cls, maps: str) -> str:
        numbers = maps.split("+")
        known = {str(number) for number in range(1, TOP_MAPS + 1)}
        if not set(numbers) <= known or sorted(set(numbers)) != numbers:
            raise ValueError(f"{maps!r}: write numbers 1 to {TOP_MAPS} in order, such as 1+3")
        return maps

    @property
    def chosen(self) -> tuple[int, ...]:
        """The maps that are compared, from 0, the last."""
        return tuple(int(number) - 1 for number in self.maps.split("+"))

    @property
    def trained(self) -> bool:
        """Whether its last stage is trained."""
        return self.tuned and self.name.startswith(LITE)

    @property
    def places(self) -> int:
        """Places along a side that are compared one by one; 1 where all are one code."""
        return 1 if self.match == "whole" else self.grid

    @property
    def grids(self) -> tuple[int, ...]:
        """The grids whose averages make up a code."""
        whole = self.match == "whole" and self.grid > 1
        return (1, self.grid) if whole else (self.grid,)

    @property
    def reach(self) -> int:
        """How far a place may lie from the one that it is compared with."""
        return int(self.match == "near")

    def shape(self, width: int) -> NetworkShape:
        """Return the shape of what is trained: from the averaged maps to the code.

        Args:
            width: Directions of the whitening.

        The channels of other backbones than EfficientNet-Lite are not known without torch; costs
        then take 512 for a map.
        """
        lite = self.name.startswith(LITE)
        channels = sum(LITE_CHANNELS[k] if lite else USUAL_CHANNELS for k in self.chosen)
        together = 1 if self.match != "whole" else sum(grid**2 for grid in self.grids)
        return NetworkShape(
            self.places, (), width, comparison="aligned", inputs=channels * together
        )
