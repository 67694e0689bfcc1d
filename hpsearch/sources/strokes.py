"""The shapes of drawn characters: strokes as splines, in the style of an alphabet.

A character lies within -1 to 1 in x (right) and y (down); lengths use the same unit. Must not know
drawers, pixels or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLES = 12
"""Points on the curve per piece between two control points."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Stroke:
    """One pen stroke: control points [K, 2], joined by a spline or by straight pieces."""

    points: Points
    smooth: bool

    def curve(self, points: Points) -> Points:
        """Return the pen's path through (moved) control points, [P, 2]."""
        return _basis(len(points)) @ points if self.smooth and len(points) > 2 else points


@cache
def _basis(count: int) -> Points:
    """Return the Catmull-Rom weights of `count` control points, [(count - 1) * SAMPLES + 1, K]."""
    at = np.linspace(0, count - 1, (count - 1) * SAMPLES + 1)
    piece = np.minimum(at.astype(int), count - 2)
    t = at - piece
    weights = np.zeros((len(at), count))
    terms = (
        (-1, -0.5 * t + t**2 - 0.5 * t**3),
        (0, 1 - 2.5 * t**2 + 1.5 * t**3),
        (1, 0.5 * t + 2 * t**2 - 1.5 * t**3),
        (2, -0.5 * t**2 + 0.5 * t**3),
    )
    for offset, values in terms:
        np.add.at(weights, (np.arange(len(at)), np.clip(piece + offset, 0, count - 1)), values)
    return weights


@dataclass(frozen=True)
class Style:
    """The common style of one alphabet's characters."""

    weights: NDArray[np.float64]
    """Frequency of each kind of stroke, sums to 1."""
    anchors: Points
    """Where strokes begin and end, [A, 2]."""
    strokes: tuple[int, int]
    """Smallest and largest number of strokes of a character, without the common one."""
    angular: float
    """Share of strokes drawn straight from point to point."""
    stem: Stroke | None
    """A stroke most of the characters share (a headline, a stem)."""
    stem_share: float
    """Share of characters that have the common stroke."""


def draw_style(rng: np.random.Generator) -> Style:
    """Invent an alphabet's style."""
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(3, 5))
    x = np.linspace(-0.75, 0.75, columns)
    y = np.linspace(-0.85, 0.85, rows)
    anchors = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    fewest = int(rng.integers(1, 3))
    stem = None
    if rng.random() < 0.4:
        if rng.random() < 0.5:
            height = rng.uniform(-0.9, -0.6)
            stem = Stroke(np.array([[-0.8, height], [0.8, height]]), smooth=False)
        else:
            place = rng.uniform(-0.7, 0.7)
            stem = Stroke(np.array([[place, -0.85], [place, 0.85]]), smooth=False)
    return Style(
        weights=rng.dirichlet(np.full(len(KINDS), 0.8)),
        anchors=anchors,
        strokes=(fewest, fewest + int(rng.integers(1, 3))),
        angular=float(rng.choice([0.0, 0.15, 0.7])),
        stem=stem,
        stem_share=float(rng.uniform(0.5, 0.9)),
    )


def draw_character(style: Style, rng: np.random.Generator) -> list[Stroke]:
    """Invent one character in an alphabet's style."""
    count = int(rng.integers(style.strokes[0], style.strokes[1] + 1))
    strokes = []
    if style.stem is not None and rng.random() < style.stem_share:
        strokes.append(style.stem)
    elif count == 1:
        count = 2  # a single line or ring is too simple
    for _ in range(count):
        kind = KINDS[int(rng.choice(len(KINDS), p=style.weights))]
        first, last = rng.choice(len(style.anchors), 2, replace=False)
        points = kind(style.anchors[first], style.anchors[last], rng)
        smooth = kind is _ring or rng.random() >= style.angular
        strokes.append(Stroke(np.clip(points, -1, 1), smooth=smooth))
    return strokes


def _path(start: Points, end: Points, *places: tuple[float, float]) -> Points:
    """Return points that begin with `start`.

    Args:
        start: Where the stroke begins.
        end: The end of the vector along the stroke; the one across is equally long.
        places: How far each other point lies along and across from the start, in these vectors.
    """
    along = end - start
    across = np.array([-along[1], along[0]])
    return np.stack([start, *(start + a * along + c * across for a, c in places)])


def _line(start: Points, end: Points, rng: np.random.Generator) -> Points:
    del rng
    return np.stack([start, end])


def _arc(start: Points, end: Points, rng: np.random.Generator) -> Points:
    bulge = rng.choice([-1, 1]) * rng.uniform(0.35, 0.8)
    return np.vstack([_path(start, end, (0.5, bulge)), end])


def _hook(start: Points, end: Points, rng: np.random.Generator) -> Points:
    side = rng.choice([-1, 1])
    return _path(start, end, (0.5, 0), (0.9, 0.15 * side), (0.6, 0.5 * side))


def _wave(start: Points, end: Points, rng: np.random.Generator) -> Points:
    side = rng.choice([-1, 1]) * rng.uniform(0.3, 0.55)
    return np.vstack([_path(start, end, (0.3, side), (0.7, -side)), end])


def _ring(start: Points, end: Points, rng: np.random.Generator) -> Points:
    middle = 0.6 * start + 0.4 * end
    radius = rng.uniform(0.2, 0.5) * np.array([1.0, rng.uniform(0.7, 1.3)])
    turn = rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, 7)
    return np.asarray(middle + radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1))


def _spiral(start: Points, end: Points, rng: np.random.Generator) -> Points:
    middle = 0.5 * (start + end)
    size = rng.uniform(0.4, 0.7)
    sense = rng.choice([-1, 1])
    turn = rng.uniform(0, 2 * np.pi) + sense * np.linspace(0, 3 * np.pi, 8)
    radius = np.linspace(size, 0.12, 8)[:, None]
    return np.asarray(middle + radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1))


def _loop(start: Points, end: Points, rng: np.random.Generator) -> Points:
    side = rng.choice([-1, 1]) * rng.uniform(0.4, 0.7)
    turn = ((0.75, 0.1 * side), (0.6, side), (0.3, 0.6 * side), (0.5, -0.1 * side))
    return np.vstack([_path(start, end, *turn), end])


def _step(start: Points, end: Points, rng: np.random.Generator) -> Points:
    side = rng.choice([-1, 1]) * 0.4
    return np.vstack([_path(start, end, (0.45, side), (0.55, 0)), end])


KINDS: tuple[Callable[[Points, Points, np.random.Generator], Points], ...] = (
    *(_line, _arc, _hook, _wave),
    *(_ring, _spiral, _loop, _step),
)
