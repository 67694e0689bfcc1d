"""The eight ways to look at a square image: turned by quarters, and mirrored. Imports no torch."""

from __future__ import annotations

from typing import Any, NamedTuple


class View(NamedTuple):
    """Mirror left and right if `mirrored`, then turn by a number of quarters."""

    turns: int = 0
    mirrored: bool = False

    def of(self, images: Any) -> Any:
        """Return a tensor of images [..., S, S] in this view."""
        seen = images.flip(-1) if self.mirrored else images
        return seen.rot90(self.turns, (-2, -1)) if self.turns else seen


def views(*, quarter_turns: bool, mirror_images: bool) -> tuple[View, ...]:
    """Return the views, upright first, then turned, then the same mirrored."""
    turns = range(4 if quarter_turns else 1)
    return tuple(
        View(turn, mirrored)
        for mirrored in ((False, True) if mirror_images else (False,))
        for turn in turns
    )
