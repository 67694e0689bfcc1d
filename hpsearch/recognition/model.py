"""Loads a model folder. Must not know studies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.configfile import read_yaml
from hpsearch.errors import InputError, shortened
from hpsearch.json_files import Metrics
from hpsearch.paths import user_path
from hpsearch.recognition.calibration import UNCALIBRATED, Calibration
from hpsearch.recognition.rejection import Rejection
from hpsearch.recognition.support import read_images, read_support
from hpsearch.records import read_or_none
from hpsearch.shipped_files import SHIPPED_MODEL
from hpsearch.training.config import TrialConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpsearch.network.siamese import SiameseNetwork
    from hpsearch.recognition.rank import Candidate

SHIPPED = SHIPPED_MODEL
"""The folder of the shipped model."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with its configuration and its origin."""

    network: SiameseNetwork
    config: TrialConfig
    description: dict[str, Any]
    calibration: Calibration = UNCALIBRATED
    rejection: Rejection | None = None
    """None in a model of an older version, or one trained on its validation classes."""

    @property
    def paper(self) -> bool:
        """Whether it was trained on drawings on paper, or on pictures as they are."""
        return on_paper(self.description)

    @property
    def colour_px(self) -> int:
        """Side of the colour pictures that it was trained on, pixels; 0 means grey."""
        return in_colour(self.description)

    def rank(
        self, queries: Iterable[Path | str | NDArray[Any]], support: Path | str
    ) -> list[list[Candidate]]:
        """Rank the classes of a folder of support images for each query.

        Args:
            queries: Image files, or arrays [height, width] or [height, width, 3], of any size.
            support: One folder, or one image, per class.

        Returns:
            For each query all classes with their scores, 0 to 1, the best first.

        Raises:
            InputError: A folder or an image cannot be used.
        """
        from hpsearch.recognition.rank import rank

        shown = [queries] if isinstance(queries, str | Path) else queries
        images = read_images(shown, paper=self.paper, colour_px=self.colour_px)
        classes = read_support(user_path(support), paper=self.paper, colour_px=self.colour_px)
        ranking = rank(self.network, self.config.input_size, images, classes, self.calibration)
        return [ranking.candidates(query) for query in range(len(images))]


def on_paper(description: Mapping[str, Any]) -> bool:
    """Return whether a model was trained on drawings on paper, by its config.yaml."""
    return bool(description["dataset"].get("paper", True))


def in_colour(description: Mapping[str, Any]) -> int:
    """Return the side of a model's colour pictures, pixels, by its config.yaml; 0 means grey."""
    return int(description["dataset"].get("colour_px", 0))


def read_description(folder: Path) -> dict[str, Any]:
    """Read a model folder's config.yaml; `dataset` has kind and fingerprint.

    Raises:
        InputError: The folder or the file is missing, or the file describes no model.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder; run hpsearch retrain first")
    path = folder / "config.yaml"
    description = read_yaml(path)
    match description.get("dataset"):
        case {"kind": str(), "fingerprint": str()}:
            return description
    raise InputError(f"{path}: dataset: must hold kind and fingerprint, as retrain writes it")


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return a model folder's metrics.json; nothing where it is missing or invalid."""
    return read_or_none(folder / "metrics.json", Metrics) or {}


def load_model(folder: Path | str, device: str = "cpu") -> Model:
    """Load weights.safetensors and config.yaml from a model folder.

    Args:
        folder: The folder that `hpsearch retrain` wrote.
        device: "cpu" or "cuda".

    Raises:
        InputError: The folder holds no model, or its weights do not match its configuration.
    """
    folder = user_path(folder)
    description = read_description(folder)
    config = TrialConfig.from_values(description.get("config"), str(folder / "config.yaml"))
    path = folder / "weights.safetensors"
    if not path.is_file():
        raise InputError(f"{path}: no weights; run hpsearch retrain until it is done")
    import safetensors
    from safetensors.torch import load

    from hpsearch.training.build import trained_network

    metrics = read_metrics(folder)
    stored = metrics.get("weights_sha256")
    try:
        content = path.read_bytes()
        if stored not in (None, hashlib.sha256(content).hexdigest()):
            raise InputError(
                f"{path}: its checksum does not match; run hpsearch retrain until it is done"
            )
        network = trained_network(config, load(content), device, convolution=config.convolution)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        why = shortened(error, 120)
        raise InputError(f"{path}: does not hold this model's weights ({why})") from error
    return Model(network, config, description, Calibration.of(metrics), Rejection.of(metrics))
