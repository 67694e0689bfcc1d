"""Loads a model folder. Knows no study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.configfile import read_yaml
from hpsearch.errors import InputError
from hpsearch.training.config import TrialConfig

if TYPE_CHECKING:
    from hpsearch.network.siamese import SiameseNetwork


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with its configuration and where it came from."""

    network: SiameseNetwork
    config: TrialConfig
    description: dict[str, Any]


def load_model(folder: Path) -> Model:
    """Load weights.safetensors and config.yaml from a model folder.

    Raises:
        InputError: The folder holds no model, or its weights do not fit its configuration.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder; run hpsearch retrain first")
    description = read_yaml(folder / "config.yaml")
    config = TrialConfig.from_values(description.get("config"), str(folder / "config.yaml"))
    path = folder / "weights.safetensors"
    if not path.is_file():
        raise InputError(f"{path}: no weights; run hpsearch retrain until it is done")
    import safetensors
    from safetensors.torch import load

    from hpsearch.network.siamese import SiameseNetwork

    network = SiameseNetwork(config.shape(), output_bias=config.layers.output.bias)
    try:
        network.load_state_dict(load(path.read_bytes()))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        text = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: does not hold this model's weights ({text})") from error
    network.eval()
    return Model(network, config, description)
