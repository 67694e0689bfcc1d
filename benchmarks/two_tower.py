"""A trainer as public reimplementations of the network write it; what ours is compared with.

A Dataset draws one pair at a time, opens both images with Pillow, distorts them at full size and
reduces them; a DataLoader collects batches in worker processes; and both images of each pair are
encoded. Such trainers read files; here the same PNG bytes lie in memory. Network, initial weights,
loss, optimiser and validation are ours.
"""

from __future__ import annotations

import io
import math
import random
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from hpsearch.data.dataset import Dataset
from hpsearch.data.tasks import split_drawers
from hpsearch.network.initialisation import initialise
from hpsearch.network.loss import pair_loss
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.seeding import derive_seed
from hpsearch.training.config import Distortion, TrialConfig
from hpsearch.training.distortion import FULL_SIDE
from hpsearch.training.epoch import EpochResult
from hpsearch.training.evaluation import evaluate_tasks
from hpsearch.training.optimiser import LayerwiseOptimiser
from hpsearch.training.trainingdata import TrainingData


class Pairs(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Pairs of distorted images, alternately of the same and of different characters."""

    def __init__(self, dataset: Dataset, config: TrialConfig, seed: int) -> None:
        background = dataset.background(FULL_SIDE)
        drawers, _ = split_drawers(background.n_drawers, config.drawers, seed)
        self._drawings = [
            [_to_png(background.images[row]) for row in rows if row >= 0]
            for rows in background.index()[:, drawers]
        ]
        self._alphabet_of = background.alphabet_of
        self._config, self._seed = config, seed
        self._chance: random.Random | None = None

    def __len__(self) -> int:
        """Return the pairs of one epoch."""
        return self._config.images_per_epoch // 2

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return two images [1, S, S] and whether they are the same character."""
        if self._chance is None:
            worker = get_worker_info()
            self._chance = random.Random(f"{self._seed} {worker.id if worker else 0}")
        chance, same = self._chance, position % 2
        one = chance.randrange(len(self._drawings))
        if same:
            first, second = chance.sample(self._drawings[one], 2)
        else:
            first = chance.choice(self._drawings[one])
            second = chance.choice(self._drawings[self._other(one, chance)])
        images = [self._to_tensor(image, chance) for image in (first, second)]
        return images[0], images[1], torch.tensor(float(same))

    def _other(self, character: int, rng: random.Random) -> int:
        within = rng.random() < self._config.within_alphabet
        while True:
            other = rng.randrange(len(self._drawings))
            alike = self._alphabet_of[other] == self._alphabet_of[character]
            if other != character and alike == within:
                return other

    def _to_tensor(self, png: bytes, rng: random.Random) -> Tensor:
        image, size = Image.open(io.BytesIO(png)).convert("L"), self._config.input_size
        place = pixel_transform(self._config.distortion, image.width, rng)
        moved = image.transform(
            image.size, Image.Transform.AFFINE, place, resample=Image.Resampling.BILINEAR
        )
        reduced = moved.resize((size, size), Image.Resampling.BOX)
        return torch.from_numpy(np.asarray(reduced, np.float32) / 255)[None]


def _to_png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.array(image)).save(content, "PNG")
    return content.getvalue()


def pixel_transform(
    distortion: Distortion, side: int, rng: random.Random
) -> tuple[float, float, float, float, float, float]:
    """Draw one distortion as Pillow takes it: output pixel to input pixel, a x + b y + c."""

    def draw(bound: float) -> float:
        return rng.uniform(-bound, bound) if rng.random() < distortion.probability else 0.0

    angle = draw(math.radians(distortion.angle_deg))
    shear_x, shear_y = draw(distortion.shear), draw(distortion.shear)
    scale_x, scale_y = 1 + draw(distortion.scale), 1 + draw(distortion.scale)
    shift = distortion.shift_px * side / FULL_SIDE
    shift_x, shift_y = draw(shift), draw(shift)
    cos, sin = math.cos(angle), math.sin(angle)
    a, b = (cos + sin * shear_y) * scale_x, (cos * shear_x + sin) * scale_y
    c, d = (-sin + cos * shear_y) * scale_x, (-sin * shear_x + cos) * scale_y
    det, centre = a * d - b * c, side / 2
    inverse = (d / det, -b / det, -c / det, a / det)
    x, y = centre + shift_x, centre + shift_y
    return (
        inverse[0], inverse[1], centre - inverse[0] * x - inverse[1] * y,
        inverse[2], inverse[3], centre - inverse[2] * x - inverse[3] * y,
    )  # fmt: skip


def train_two_towers(
    dataset: Dataset, data: TrainingData, config: TrialConfig, seed: int, *, workers: int
) -> Iterator[EpochResult]:
    """Train epoch by epoch, without end.

    Args:
        dataset: Where the training images are.
        data: The validation tasks.
        config: Network, pairs, distortion and optimiser.
        seed: Decides weights, pairs and distortions.
        workers: Processes that make batches.

    Yields:
        What our own training yields; `seconds` holds validation too.
    """
    network = SiameseNetwork(config.shape(), output_bias=config.layers.output.bias)
    rng = torch.Generator().manual_seed(derive_seed(seed, "weights"))
    initialise(network, config.init, rng)
    optimiser = LayerwiseOptimiser(network, config)
    loader = DataLoader(
        Pairs(dataset, config, seed), batch_size=config.batch_pairs, num_workers=workers,
        persistent_workers=workers > 0, multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip
    result = EpochResult(0, math.nan, 1.0, 0.0, 0, 0)
    began = time.monotonic()
    while True:
        epoch, total, images = result.epoch + 1, 0.0, result.images
        network.train()
        for step, (first, second, same) in enumerate(loader):
            optimiser.set_position(epoch, step / len(loader))
            logits = network.score(network.encode(first), network.encode(second))
            loss = pair_loss(logits, same)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += float(loss.detach())
            images += 2 * len(first)
        network.eval()
        accuracy = evaluate_tasks(network, data.validation, data.tasks).accuracy
        work = 3 * config.shape().multiply_adds * images
        seconds = time.monotonic() - began
        result = replace(
            result, epoch=epoch, loss=total / len(loader), validation_error=1 - accuracy,
            seconds=seconds, images=images, multiply_adds=work,
        )  # fmt: skip
        yield result
