"""Alphabets drawn by the program in Omniglot's form, for use without a data set.

Each alphabet has its own style and its own 20 drawers with their slant, scale and jitter. Equal
seeds give equal drawings. Must not know the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hpsearch.data.dataset import Progress, flatten, reported
from hpsearch.data.pack import Contents
from hpsearch.data.resize import SIDE
from hpsearch.data.task_size import TaskSize
from hpsearch.data.tasks import validation_tasks
from hpsearch.seeding import generator
from hpsearch.sources.strokes import Points, Stroke, draw_character, draw_style

VERSION = "1"
"""Changed whenever the drawings change."""
SEED = 2015
N_DRAWERS = 20
WAYS = 20
TEST_RUNS = 20

_ALPHABETS = {"background": 20, "validation": 5, "test": 5}
_CHARACTERS = (20, 26)
_ALIKE = 0.75
"""Two characters of an alphabet are too similar if their blurred shapes correlate more."""
_TRIES = 60


@dataclass(frozen=True)
class Drawer:
    """The handwriting of one drawer."""

    affine: Points
    """[2, 2]: scale, slant and turn."""
    shift: Points
    """[2], in the unit of `strokes`."""
    jitter: float
    """Standard deviation of a control point, in the unit of `strokes`."""
    drift: float
    """Standard deviation of a whole stroke, in the unit of `strokes`."""
    pen_px: int


def draw_glyphs(*, seed: int = SEED, progress: Progress | None = None) -> Contents:
    """Draw all alphabets; takes some seconds.

    Args:
        seed: Seed of all alphabets.
        progress: Called after each alphabet.
    """
    roles: dict[str, dict[str, dict[str, list[NDArray[np.uint8]]]]] = {
        role: {} for role in _ALPHABETS
    }
    places = [(role, number) for role, count in _ALPHABETS.items() for number in range(count)]
    for role, number in reported(places, "drawing glyphs", len(places), progress):
        alphabet = f"{role.capitalize()}_{number + 1:02}"
        drawn = _draw_alphabet(generator(seed, "glyphs", role, number))
        roles[role][alphabet] = {
            f"{alphabet}/character{k:02}": list(images) for k, images in enumerate(drawn, start=1)
        }
    background, validation, test = (flatten(role) for role in roles.values())
    drawers = range(N_DRAWERS)
    return Contents(
        kind="glyphs",
        background=background,
        validation=validation,
        test=test,
        runs=validation_tasks(test, TaskSize(WAYS), n_runs=TEST_RUNS, drawers=drawers, seed=seed),
        ways=WAYS,
        turns=True,
        description=(
            f"glyphs, drawn by the program: {_ALPHABETS['background']} background alphabets with "
            f"{len(background.names)} characters, {_ALPHABETS['validation']} validation "
            f"alphabets, {_ALPHABETS['test']} sealed test alphabets"
        ),
    )


def _draw_alphabet(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one alphabet by its drawers, uint8 [C, 20, 105, 105]."""
    characters = _invent(rng)
    drawers = [_draw_drawer(rng) for _ in range(N_DRAWERS)]
    return np.stack(
        [np.stack([_draw(strokes, hand, rng) for hand in drawers]) for strokes in characters]
    )


def _invent(rng: np.random.Generator) -> list[list[Stroke]]:
    """Invent an alphabet's characters, none too similar to another."""
    style = draw_style(rng)
    count = int(rng.integers(_CHARACTERS[0], _CHARACTERS[1] + 1))
    characters: list[list[Stroke]] = []
    shapes = np.empty((0, _BLUR * _BLUR))
    for _ in range(count):
        best: tuple[float, list[Stroke], Points] | None = None
        for _ in range(_TRIES):
            strokes = draw_character(style, rng)
            shape = _blurred(strokes)
            alike = float((shapes @ shape).max()) if len(shapes) else 0.0
            if best is None or alike < best[0]:
                best = (alike, strokes, shape)
            if alike < _ALIKE:
                break
        if best is not None:
            characters.append(best[1])
            shapes = np.vstack([shapes, best[2]])
    return characters


_BLUR = 12


def _blurred(strokes: list[Stroke]) -> Points:
    """Return a coarse picture of a character as a unit vector of mean 0, [144]."""
    picture = _rasterise([stroke.curve(stroke.points) for stroke in strokes], 9)
    coarse = Image.fromarray(picture).resize((_BLUR, _BLUR), Image.Resampling.BOX)
    values = np.asarray(coarse, np.float64).ravel()
    values -= values.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-9))


def _draw_drawer(rng: np.random.Generator) -> Drawer:
    turn, slant = rng.normal(0, 0.06), rng.normal(0, 0.11)
    width, height = np.exp(rng.normal(-0.12, 0.085, 2))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return Drawer(
        affine=rotation @ np.array([[width, slant], [0.0, height]]),
        shift=rng.normal(0, 0.06, 2),
        jitter=float(rng.uniform(0.02, 0.045)),
        drift=float(rng.uniform(0.02, 0.045)),
        pen_px=int(rng.integers(2, 4)),
    )


def _draw(strokes: list[Stroke], hand: Drawer, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one character by one hand, uint8 [105, 105]."""
    shift = hand.shift + rng.normal(0, 0.05, 2)
    curves = []
    for stroke in strokes:
        wobble = rng.normal(0, hand.jitter, stroke.points.shape)
        moved = stroke.points + wobble + rng.normal(0, hand.drift, 2)
        curves.append(stroke.curve(moved) @ hand.affine.T + shift)
    return _rasterise(curves, hand.pen_px)


def _rasterise(curves: list[Points], pen_px: int) -> NDArray[np.uint8]:
    """Draw curves with a pen, uint8 [105, 105], ink = 255."""
    image = Image.new("L", (SIDE, SIDE))
    canvas = ImageDraw.Draw(image)
    for curve in curves:
        pixels = np.clip(52 + 42 * curve, 1, SIDE - 2)
        canvas.line(pixels.ravel().tolist(), fill=255, width=pen_px)
    return np.asarray(image, np.uint8)
