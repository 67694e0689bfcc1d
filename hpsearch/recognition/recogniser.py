"""Recognition from Python: labelled images in, the labels of another image out.

Letters: M images, D numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hpsearch.data.resize import area_average
from hpsearch.errors import InputError
from hpsearch.recognition.model import SHIPPED, Model, load_model
from hpsearch.recognition.rank import SUPPORTS_AT_ONCE, Candidate
from hpsearch.recognition.support import Picture, read_images
from hpsearch.training.evaluation import IMAGES_AT_ONCE, encode, to_input


class Recogniser:
    """A trained network and the labelled images that it has been shown.

    An image is a file's path, an array [height, width] or [height, width, 3] (grey or uint8
    colour), or an image of Pillow; of any size.
    """

    def __init__(self, model: Model) -> None:
        """Start without labels."""
        self._model = model
        self._rows: dict[str, list[int]] = {}
        """By label, rows of the codes."""
        self._row_of: dict[bytes, int] = {}
        """By converted image: equal ones are encoded once, so that they tie exactly."""
        self._codes: list[Tensor] = []
        """Encodings of the support images, in parts of one or more rows."""

    @classmethod
    def load(cls, folder: Path | str | None = None, device: str = "cpu") -> Recogniser:
        """Load a model.

        Args:
            folder: The folder that `hpsearch retrain` wrote; None takes the shipped model.
            device: "cpu" or "cuda".

        Raises:
            InputError: The folder holds no model.
        """
        return cls(load_model(SHIPPED if folder is None else folder, device))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order in which they were added."""
        return tuple(self._rows)

    def add(self, label: str, images: Picture | Iterable[Picture]) -> None:
        """Add support images of a label; each is encoded now, and once.

        Args:
            label: The name of a class; a known one gets more images.
            images: One image or several.

        Raises:
            InputError: The label is empty, there are no images, or one cannot be used; then none
                of them is added.
        """
        if not isinstance(label, str) or not label:
            raise InputError(f"label {label!r}: must be a text that is not empty")
        converted = self._converted(images, f"label {label!r}: ")
        keys = [image.tobytes() for image in converted]
        new = {
            key: image
            for key, image in zip(keys, converted, strict=True)
            if key not in self._row_of
        }
        if new:
            self._codes.append(self._encode(np.stack(list(new.values()))))
            first = len(self._row_of)
            self._row_of |= {key: first + place for place, key in enumerate(new)}
        self._rows.setdefault(label, []).extend(self._row_of[key] for key in keys)

    def rank(self, image: Picture) -> list[Candidate]:
        """Rank all labels for one image.

        The score of a label with several images comes from the mean of their logits.

        Returns:
            The labels with their scores, 0 to 1, the best first.

        Raises:
            InputError: There are fewer than two labels, the image cannot be used, or the model's
                scores are not finite.
        """
        if len(self._rows) < 2:
            raise InputError(f"{len(self._rows)} labels added; add images of at least two")
        logits = self._compare(self._converted([image])[0])
        if not np.isfinite(logits).all():
            raise InputError("the model's scores are not finite: its training diverged")
        means = {label: float(logits[rows].mean()) for label, rows in self._rows.items()}
        order = sorted(means, key=lambda label: (-means[label], label))
        scores = self._model.calibration.probability(np.array([means[label] for label in order]))
        return [Candidate(*pair) for pair in zip(order, scores.tolist(), strict=True)]

    def embed(self, images: Picture | Iterable[Picture]) -> NDArray[np.float32]:
        """Return what the network makes of images, as vectors.

        Of a model that averages over views, it is the upright view. Under the aligned comparison
        a vector has the norm 1.

        Args:
            images: One image or several.

        Returns:
            float32 [M, D], a row for each image.

        Raises:
            InputError: There are no images, or one cannot be used.
        """
        network, parts = self._model.network, []
        with torch.inference_mode():
            for part in torch.split(self._input(self._converted(images)), IMAGES_AT_ONCE):
                code = network.encode_upright(to_input(part))
                parts.append(code.flatten(1).float().cpu().numpy())
        return np.concatenate(parts)

    def _input(self, images: NDArray[np.uint8]) -> Tensor:
        """Return converted images [M, 105, 105] as the network takes them, [M, S, S]."""
        reduced = area_average(images, self._model.config.input_size)
        return torch.from_numpy(reduced).to(self._model.network.device)

    def _encode(self, images: NDArray[np.uint8]) -> Tensor:
        with torch.inference_mode():
            return encode(self._model.network, self._input(images))

    def _compare(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the logits of a converted image [105, 105] and each support image."""
        if len(self._codes) > 1:
            self._codes = [torch.cat(self._codes)]
        (codes,) = self._codes
        row = self._row_of.get(image.tobytes())
        query = self._encode(image[None]) if row is None else codes[row : row + 1]
        with torch.inference_mode():
            parts = torch.split(codes, SUPPORTS_AT_ONCE)
            scores = torch.cat(
                [self._model.network.score_matrix(query, part) for part in parts], 1
            )
            return np.asarray(scores[0].cpu().double())

    def _converted(self, images: Any, of: str = "") -> NDArray[np.uint8]:
        """Convert one image or several to uint8 [M, 105, 105].

        Raises:
            InputError: There are none, or one cannot be used.
        """
        single = isinstance(images, str | Path | np.ndarray | Image.Image)
        try:
            held = [images] if single else list(images)
        except TypeError:
            raise InputError(
                f"{of}{type(images).__name__} is no image; give a path, an array or a Pillow image"
            ) from None
        if not held:
            raise InputError(f"{of}no images; give at least one")
        return read_images(held, paper=self._model.paper, colour_px=self._model.colour_px)
