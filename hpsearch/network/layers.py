"""The settings of a network's layers, in a trial's configuration. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from hpsearch.configfile import Section

LearningRate = Annotated[float, Field(gt=0, le=1e6)]
Momentum = Annotated[float, Field(ge=0, le=1)]
L2 = Annotated[float, Field(ge=0, le=1e6)]


class Layer(Section):
    """Settings that each layer has of its own (section 3.2: eta_j, mu_j, lambda_j)."""

    learning_rate: LearningRate = 0.01
    """eta_j, the learning rate of the first epoch."""
    momentum: Momentum = 0.9
    """mu_j, the final momentum; AdamW has none."""
    l2: L2 = 1e-4
    """lambda_j, the weight of the layer's squared weights in the loss; AdamW's weight decay."""


class Given(BaseModel):
    """A section whose keys may be left out altogether: those without a value are not stored."""

    @model_serializer(mode="wrap")
    def _only_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class ConvolutionLayer(Layer):
    """A convolution, stride 1, ReLU (section 3.1)."""

    filter_size: int = Field(ge=1, le=105)
    """Height and width of the filter, pixels."""
    filter_count: int = Field(ge=1, le=4096)
    """Number of filters."""
    pool: bool = True
    """Max-pooling 2 x 2 with stride 2 after it, odd sizes rounded down."""
    padding: Literal["none", "same"] = "none"
    """none: the paper's; the map shrinks by filter_size - 1. same: zeros keep its size."""
    residual: bool = False
    """Make it a block of two such convolutions whose input is added before the last ReLU (He et
    al. 2016, figure 2), by a 1 x 1 convolution where the number of filters changes."""


class FullyConnectedLayer(Layer):
    """The fully connected layer of sigmoid units whose output is compared (section 3.1)."""

    width: int = Field(ge=1, le=65536)
    """Number of sigmoid units."""


class ProjectionLayer(Layer):
    """The 1 x 1 convolution, with no ReLU after it, whose maps are compared under aligned."""

    width: int = Field(ge=1, le=4096)
    """Number of channels."""


class OutputLayer(Layer, Given):
    """The comparison: p = sigmoid(sum_j alpha_j |h1_j - h2_j|) (section 3.1), or aligned."""

    bias: bool | None = None
    """weighted_l1: add a bias to the logit; the paper prints none."""
    tau: float | None = Field(None, gt=0, le=1e6)
    """aligned: the first value of the learned scale of scores; 15 if left out."""
    reach: int | None = Field(None, ge=0, le=105)
    """aligned: how far a place may move to its best match, pixels of the last map; 2 if left
    out."""


class Layers(Given):
    """The layers in order: any number of convolutions, `fc` or `projection`, then `output`."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, ConvolutionLayer]

    fc: FullyConnectedLayer | None = None
    projection: ProjectionLayer | None = None
    output: OutputLayer = OutputLayer()

    @property
    def convolutions(self) -> dict[str, ConvolutionLayer]:
        """The convolutions by name, from the image upwards."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def all(self) -> dict[str, Layer]:
        """Every layer by name, from the image upwards."""
        code = {"fc": self.fc, "projection": self.projection}
        last = {name: layer for name, layer in code.items() if layer is not None}
        return {**self.convolutions, **last, "output": self.output}

    @property
    def width(self) -> int:
        """Units of the fully connected layer, or channels of the projection."""
        layer = self.fc or self.projection
        return layer.width if layer else 0

    @model_validator(mode="after")
    def _names(self) -> Self:
        for position, name in enumerate(self.convolutions, start=1):
            if name != f"conv{position}":
                raise ValueError(
                    f"layer {name!r}: convolutions are named conv1, conv2, ... in order"
                )
        return self
