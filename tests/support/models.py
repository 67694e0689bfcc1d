"""Models with weights made by hand, drawings to show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from hpsearch.configfile import dump_yaml
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.recognition.model import Model
from hpsearch.recognition.rank import Ranking, rank
from hpsearch.recognition.support import Support
from hpsearch.training.config import TrialConfig

SIDE = 15
GAIN, SHIFT, ALPHA, BIAS = 8.0, -4.0, -0.25, 3.0
"""h = sigmoid(GAIN x + SHIFT) of each pixel x; logit = BIAS + ALPHA sum |h1 - h2|."""

HOSTILE = "</script><script>alert(1)</script>"
ESCAPES = "red\x1b[31m\x07\r\n\x9b2Jbell\u202e"

STROKES: dict[str, list[tuple[int, int, int, int]]] = {
    "bar": [(52, 15, 52, 90)],
    "cross": [(52, 15, 52, 90), (15, 52, 90, 52)],
    "roof": [(15, 80, 52, 20), (52, 20, 90, 80)],
    "box": [(20, 20, 85, 20), (85, 20, 85, 85), (85, 85, 20, 85), (20, 85, 20, 20)],
    "dash": [(15, 85, 90, 85)],
}


def draw(kind: str, shift: int = 0, size: tuple[int, int] = (105, 105)) -> Image.Image:
    """Draw one of STROKES, black on white."""
    image = Image.new("L", (105, 105), 255)
    for x0, y0, x1, y1 in STROKES[kind]:
        ImageDraw.Draw(image).line((x0 + shift, y0, x1 + shift, y1), fill=0, width=7)
    return image.resize(size)


def write_support(folder: Path, kinds: dict[str, tuple[str, int]]) -> Path:
    """Write classes: name -> what is drawn, and how many shifted drawings of it."""
    for name, (kind, count) in kinds.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            draw(kind, shift=3 * number).save(folder / name / f"{number}.png")
    return folder


def write_model(folder: Path, **changes: torch.Tensor) -> Path:
    """Write a model without convolutions that compares pixel with pixel."""
    layers = {"fc": {"width": SIDE**2}, "output": {"bias": True}}
    weights = {
        "fc.weight": GAIN * torch.eye(SIDE**2),
        "fc.bias": torch.full((SIDE**2,), SHIFT),
        "output.weight": torch.full((1, SIDE**2), ALPHA),
        "output.bias": torch.tensor([BIAS]),
        **changes,
    }
    return _write(folder, TrialConfig.from_values({"input_size": SIDE, "layers": layers}), weights)


def write_random_model(folder: Path) -> Path:
    """Write a model with convolutions and random weights."""
    layers = {
        "conv1": {"filter_size": 5, "filter_count": 16},
        "conv2": {"filter_size": 3, "filter_count": 16, "pool": False},
        "fc": {"width": 48},
    }
    config = TrialConfig.from_values({"input_size": 35, "layers": layers})
    rng = torch.Generator().manual_seed(3)
    shapes = SiameseNetwork(config.shape()).state_dict()
    weights = {n: torch.randn(t.shape, generator=rng) * 0.3 for n, t in shapes.items()}
    return _write(folder, config, weights)


def rejection_figures(threshold: float = 0.5) -> dict[str, Any]:
    """Return what metrics.json holds of rates of 5 % and 20 %; evidence has slope 2, bias -1."""
    setting = {
        **{"ways": 5, "shots": 1, "mean": -3.0, "variance": 1.0, "slope": 2.0, "bias": -1.0},
        **{"thresholds": [threshold + 1, threshold], "kept": [0.5, 0.75]},
    }
    points = [
        {
            **{"false_accept": 0.05, "measured": 0.061, "measured_interval": [0.04, 0.093]},
            **{"kept": 0.5, "kept_interval": [0.4, 0.6]},
            **{"right": 0.45, "right_interval": [0.35, 0.55], "sets": [0.01, 0.17]},
        },
        {
            **{"false_accept": 0.2, "measured": 0.187, "measured_interval": [0.15, 0.231]},
            **{"kept": 0.75, "kept_interval": [0.65, 0.85]},
            **{"right": 0.7, "right_interval": [0.6, 0.8], "sets": [0.05, 0.4]},
        },
    ]
    check = {"ways": 5, "shots": 1, "unit": "alphabet", "units": 10, "probability_error": 0.1}
    return {
        "rates": [0.05, 0.2],
        "settings": [setting],
        "check": {**check, "points": points},
    }


def _write(folder: Path, config: TrialConfig, weights: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True)
    save_file(weights, folder / "weights.safetensors")
    description = {
        "format": 1,
        "dataset": {"kind": "glyphs", "fingerprint": "f" * 64},
        "config": config.plain(),
    }
    (folder / "config.yaml").write_text(dump_yaml(description))
    return folder


def slow_logit(one: np.ndarray, other: np.ndarray) -> float:
    """Compute the logit of `write_model`'s network, pixel by pixel; images [105, 105]."""
    total = 0.0
    for row in range(0, 105, 7):
        for column in range(0, 105, 7):
            units = []
            for image in (one, other):
                mean = float(image[row : row + 7, column : column + 7].mean())
                ink = np.floor(mean + 0.5) / 255
                units.append(1 / (1 + np.exp(-(GAIN * ink + SHIFT))))
            total += abs(units[0] - units[1])
    return BIAS + ALPHA * total


def ranked(model: Model, queries: np.ndarray, support: Support) -> Ranking:
    """Rank as `recognise` does."""
    return rank(model.network, model.config.input_size, queries, support)
