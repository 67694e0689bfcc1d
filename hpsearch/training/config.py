"""The configuration of one trial, complete enough to train it without Optuna. Imports no torch."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from hpsearch.backbones.settings import REFUSED, Backbone, refuse_beside
from hpsearch.configfile import Section, dump_yaml, load_section
from hpsearch.errors import InputError
from hpsearch.network.geometry import Comparison, Convolution, NetworkShape
from hpsearch.network.layers import Layers, Momentum
from hpsearch.network.views import View, views

Objective = Literal["tasks_320", "dense"]
"""tasks_320: the paper's 16 runs. dense: the expectation over all tasks of eight drawers."""
ALL, NOTHING = "all", "nothing"
"""As `train_from`: every layer is trained, or none."""
TAU, REACH = 15.0, 2
"""The aligned comparison's first scale, and its reach in pixels, if the output leaves them out."""

_NEWER: dict[str, Any] = {"channels": "auto", "backbone": None}
_NEWER_DISTORTIONS = {"flip": 0.0, "crop": 0.0, "colour": 0.0}


class Distortion(Section):
    """Random distortion of each training image: the paper's T (section 3.2) and others."""

    probability: float = Field(0.5, ge=0, le=1)
    """Chance of each component of T; 0 switches the distortion off."""
    angle_deg: float = Field(10.0, ge=0, le=180)
    """theta, drawn from [-angle_deg, angle_deg]."""
    shear: float = Field(0.3, ge=0, le=2)
    """rho_x and rho_y, drawn from [-shear, shear]."""
    scale: float = Field(0.2, ge=0, lt=1)
    """s_x and s_y, drawn from [1 - scale, 1 + scale]."""
    shift_px: float = Field(2.0, ge=0, le=50)
    """t_x and t_y, drawn from [-shift_px, shift_px], in pixels of a 105 x 105 image."""
    elastic_px: float = Field(0.0, ge=0, le=50)
    """Standard deviation of the shifts of a 4 x 4 grid that bends the image smoothly, in pixels
    of a 105 x 105 image; included with the same chance, 0 bends none."""
    flip: float = Field(0.0, ge=0, le=1)
    """Chance that an image is mirrored from left to right; none is while `probability` is 0."""
    crop: float = Field(0.0, ge=0, le=0.9)
    """Largest share of each side that is cut away before the rest fills the image; included with
    the same chance, where the rest lies is drawn."""
    colour: float = Field(0.0, ge=0, lt=1)
    """Brightness, contrast and saturation are multiplied by factors from [1 - colour, 1 + colour],
    each with the same chance."""


class TrialConfig(Section):
    """All settings of one trial's training, except data and seed.

    A search parameter's name is a path into this object: ``conv1.filter_size`` is
    ``layers.conv1.filter_size``, ``distortion.shear`` is ``distortion.shear``.
    """

    input_size: int = Field(105, ge=8, le=224)
    """Height and width of the images, pixels; area-averaged from 105. Of colour pictures the most:
    those that are packed smaller stay so."""
    channels: Literal["auto", "grey", "rgb"] = "auto"
    """How own images are read: in grey, or red, green and blue as they are, transparent parts laid
    on white. auto: rgb with a backbone, else grey."""
    backbone: Backbone | None = None
    """A network with given weights in place of convolutions (docs/photographs.md)."""
    layers: Layers
    """The layers, in order."""
    comparison: Comparison = "weighted_l1"
    """weighted_l1: the paper's, of one code. aligned: of two feature maps, each place with the
    best one within a small reach; the layer `projection` takes the place of `fc`."""
    pairs: Literal["independent", "batch"] = "independent"
    """independent: the paper's pairs, both images of each encoded.
    batch: each image is encoded once, every pair of the batch counts."""
    loss: Literal["pairwise", "softmax"] = "pairwise"
    """pairwise: the paper's cross entropy of same and different pairs. softmax: each image
    against one drawing of every character of the batch, both ways (`pairs: batch` only)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target distribution that is spread evenly over all classes."""
    batch_pairs: int = Field(128, ge=2, le=65536)
    """Pairs of one step with `pairs: independent` (section 3.2: 128)."""
    batch_characters: int = Field(16, ge=2, le=4096)
    """Characters of one step with `pairs: batch`."""
    batch_drawings: int = Field(4, ge=2, le=20)
    """Drawings of each character of one step with `pairs: batch`."""
    within_alphabet: float = Field(0.5, ge=0, le=1)
    """Share of the different pairs (independent) or of the steps (batch) that stay within one
    alphabet."""
    start: Literal["untrained", "shipped"] = "untrained"
    """untrained: initial weights by `init`. shipped: those of the model that comes with the
    program, which needs its layers (studies/own.yaml)."""
    train_from: str = ALL
    """all, or the first layer that is trained; those below keep their weights and running
    averages. nothing: the start is scored at epoch 0 as it is, and no epoch follows."""
    init: Literal["koch", "he"] = "koch"
    """Initial weights: the paper's normal distributions, or He et al. (2015)."""
    batch_norm: bool = False
    """Normalise each filter's responses over the batch (Ioffe and Szegedy 2015), after pooling and
    before ReLU."""
    drawers: int = Field(12, ge=2, le=20)
    """Training drawers (section 4.1: 12 of 20). Own images have no drawers: all of them train."""
    quarter_turns: bool = False
    """Also train on every alphabet turned by 90, 180 and 270 degrees, each as another alphabet."""
    mirror_images: bool = False
    """Also train on every alphabet mirrored, and turned if those count, each as another one."""
    distortion: Distortion = Distortion()
    """The affine distortion of training images."""
    images_per_epoch: int = Field(300_000, ge=2)
    """Images encoded in one epoch; the paper's 150,000 pairs are 300,000 images."""
    max_epochs: int = Field(200, ge=1, le=100_000)
    """Largest number of epochs (section 3.2: 200)."""
    patience: int = Field(20, ge=1)
    """Stop when the validation error has not fallen for this many epochs (section 3.2: 20)."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """sgd: the paper's, with momentum. adamw: Loshchilov and Hutter (2019)."""
    learning_rate_factor: float = Field(1.0, gt=0, le=1e6)
    """Multiplies every layer's learning rate."""
    schedule: Literal["exponential", "cosine"] = "exponential"
    """exponential: the paper's decay per epoch. cosine: falls to zero at the end of max_epochs."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Epochs over which the learning rates rise linearly from zero."""
    weight_averaging: float = Field(0.0, ge=0, lt=1)
    """Share of the old average kept at each step, in an exponential moving average of the
    weights. The average is validated and kept; with 0 the weights themselves are."""
    stop_untrainable: bool = True
    """End training when it is diagnosed as diverged, saturated, dead or stuck. If false, only
    patience and a non-finite loss or weight end it before max_epochs."""
    learning_rate_decay: float = Field(0.99, gt=0, le=1)
    """eta_j(T) = learning_rate_decay eta_j(T-1), T in epochs (section 3.2: 0.99)."""
    momentum_start: Momentum = 0.5
    """Momentum of every layer in the first epoch (section 3.2: 0.5)."""
    momentum_ramp: float = Field(0.5, ge=0, le=1)
    """Share of max_epochs over which the momentum moves linearly to mu_j."""
    l2_gradient: Literal["inside", "as_printed"] = "inside"
    """inside: the gradient of lambda w^2 joins the gradient, so it is scaled by eta and kept by
    the momentum. as_printed: 2 lambda |w| is subtracted outside the learning rate."""
    decay_biases: bool = False
    """Whether L2 also acts on biases."""
    test_time_averaging: Literal["none", "turns", "turns_and_mirrors"] = "none"
    """Once trained, average each score over both images turned alike by quarters, and mirrored:
    in retrain's figures, confirm, evaluate and recognise. Epochs are validated without it."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Arithmetic of the encoding. tf32 rounds the factors of products to 10 bits on CUDA. bf16
    is used where the device multiplies it in hardware. A device without it computes as float32."""
    convolution: Literal["auto", "direct"] = "auto"
    """How the CPU convolves. auto: direct, by spectra or by patches; a fixed cost model
    chooses the fastest for the shape, and results agree up to rounding. direct: torch's own."""

    @model_validator(mode="before")
    @classmethod
    def _complete_output(cls, values: Any) -> Any:
        """Give the output layer the defaults of the comparison, so that they are stored."""
        layers = values.get("layers") if isinstance(values, dict) else None
        if not isinstance(layers, dict) or not isinstance(layers.get("output", {}), dict):
            return values
        aligned = values.get("comparison") == "aligned"
        own = {"tau": TAU, "reach": REACH} if aligned else {"bias": False}
        if values.get("backbone") is not None:
            own = {"tau": TAU}
        return {**values, "layers": {**layers, "output": own | layers.get("output", {})}}

    @model_validator(mode="after")
    def _compares(self) -> Self:
        aligned, layers = self.comparison == "aligned", self.layers
        wanted, other = ("projection", "fc") if aligned else ("fc", "projection")
        if getattr(layers, wanted) is None:
            raise ValueError(f"layers.{wanted}: missing; comparison: {self.comparison} needs it")
        foreign = {f"layers.{other}": getattr(layers, other)}
        for key in ("bias",) if aligned else ("tau", "reach"):
            foreign[f"layers.output.{key}"] = getattr(layers.output, key)
        for key, value in foreign.items():
            if value is not None:
                raise ValueError(
                    f"{key}: belongs to comparison: "
                    f"{'weighted_l1' if aligned else 'aligned'}; remove it"
                )
        return self

    @model_validator(mode="after")
    def _suits_backbone(self) -> Self:
        if self.backbone is None:
            return self
        if self.comparison != "aligned" or self.layers.convolutions:
            raise ValueError(
                "backbone: takes the place of convolutions; set comparison: aligned, and leave "
                "projection and output as the only layers"
            )
        refuse_beside(
            {
                "layers.output.reach": self.layers.output.reach,
                "distortion.probability": self.distortion.probability,
                **{key: getattr(self, key) for key in REFUSED if "." not in key},
            }
        )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        shape = self.shape()
        if not shape.fits():
            sizes = " > ".join(str(s) for pair in shape.map_sizes() for s in pair)
            raise ValueError(
                f"layers do not fit an input of {self.input_size} px: {self.input_size} > {sizes}"
                "; use smaller filters or a larger input_size"
            )
        return self

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.loss == "softmax" and self.pairs != "batch":
            raise ValueError("loss: softmax compares the characters of a batch; set pairs: batch")
        if self.train_from not in (ALL, *self.layers.all, NOTHING):
            names = ", ".join([ALL, *self.layers.all])
            raise ValueError(f"train_from: {self.train_from!r}: write {names} or {NOTHING}")
        for name, layer in self.layers.convolutions.items():
            if layer.residual and layer.padding != "same":
                raise ValueError(
                    f"layers.{name}.residual: adds the input to the output, so both need one "
                    "size; set padding: same"
                )
        return self

    def shape(self) -> NetworkShape:
        """Return the network's shape; with a backbone, of what is trained on its features."""
        if self.backbone is not None:
            return self.backbone.shape(self.layers.width)
        convolutions = tuple(
            Convolution(
                layer.filter_size,
                layer.filter_count,
                layer.pool,
                padded=layer.padding == "same",
                residual=layer.residual,
            )
            for layer in self.layers.convolutions.values()
        )
        return NetworkShape(
            self.input_size,
            convolutions,
            self.layers.width,
            batch_norm=self.batch_norm,
            comparison=self.comparison,
            inputs=self.inputs,
        )

    @property
    def inputs(self) -> int:
        """Channels of the images: 1 in grey, 3 in colour."""
        return 3 if self.colour else 1

    @property
    def colour(self) -> bool:
        """Whether own images are read in colour."""
        return self.channels == "rgb" or (self.channels == "auto" and self.backbone is not None)

    @property
    def width_name(self) -> str:
        """The path of the width of the code that is compared."""
        return "projection.width" if self.comparison == "aligned" else "fc.width"

    @property
    def frozen(self) -> tuple[str, ...]:
        """The layers below the first one that is trained."""
        if self.train_from in (ALL, NOTHING):
            return ()
        names = list(self.layers.all)
        return tuple(names[: names.index(self.train_from)])

    @property
    def views(self) -> tuple[View, ...]:
        """The views of an image that count as characters of their own, upright first."""
        return views(quarter_turns=self.quarter_turns, mirror_images=self.mirror_images)

    @property
    def images_per_step(self) -> int:
        """Images encoded in one step."""
        if self.pairs == "independent":
            return 2 * self.batch_pairs
        return self.batch_characters * self.batch_drawings

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch: images_per_epoch over images_per_step, rounded up."""
        return math.ceil(self.images_per_epoch / self.images_per_step)

    def memory_bytes(self) -> int:
        """Estimate the memory of one training step, bytes."""
        return self.shape().memory_bytes(self.images_per_step)

    def with_parameters(self, parameters: dict[str, Any]) -> TrialConfig:
        """Return a copy with some values replaced.

        Args:
            parameters: Path to value, e.g. ``{"conv1.filter_size": 10}``.

        Raises:
            InputError: A path leads nowhere or a value is out of its range.
        """
        values = self.model_dump(mode="json")
        for path, value in parameters.items():
            place, keys = values, self.resolve(path)
            for key in keys[:-1]:
                place = place[key]
            place[keys[-1]] = value
        return load_section(TrialConfig, values, "configuration")

    def resolve(self, path: str) -> list[str]:
        """Return the keys from the root to a parameter's value.

        Raises:
            InputError: The path leads nowhere.
        """
        keys = path.split(".")
        if keys[0] in self.layers.all:
            keys = ["layers", *keys]
        place: Any = self.model_dump(mode="json")
        for key in keys:
            if not isinstance(place, dict) or key not in place:
                raise InputError(
                    f"parameter {path!r} names nothing in a trial's configuration; use LAYER.KEY "
                    "(conv1.filter_size, fc.width) or a setting's path (distortion.shear)"
                )
            place = place[key]
        return keys

    def value(self, path: str) -> Any:
        """Return the value at a parameter's path (see `resolve`)."""
        place: Any = self.model_dump(mode="json")
        for key in self.resolve(path):
            place = place[key]
        return place

    @classmethod
    def from_values(cls, values: Any, source: str = "configuration") -> TrialConfig:
        """Validate a plain dictionary.

        Raises:
            InputError: One line with source, key, value and what is allowed.
        """
        return load_section(cls, values, source)

    def to_yaml(self) -> str:
        """Return the configuration as YAML, layers in order."""
        return dump_yaml(self.plain())

    def plain(self) -> dict[str, Any]:
        """Return a plain dictionary with the layers in their order."""
        values = self.model_dump(mode="json")
        for key, default in _NEWER.items():  # left out where older versions had nothing else
            if values[key] == default:
                del values[key]
        for key, amount in _NEWER_DISTORTIONS.items():
            if values["distortion"][key] == amount:
                del values["distortion"][key]
        values["layers"] = {
            n: layer.model_dump(mode="json") for n, layer in self.layers.all.items()
        }
        return values
