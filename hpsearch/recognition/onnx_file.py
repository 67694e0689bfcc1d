"""Writes a model as one ONNX file, which runs without hpsearch and torch. Must not know studies.

One graph holds the encoder and the comparison, so that the weights are stored once: `pictures` and
the codes of known ones, `support`, go in; `codes`, `log_odds` and `scores` come out. A picture is
encoded once, when it becomes known; a new one is then compared with its code.

Letters: N pictures, M known pictures, T side of a picture, S side of the network's input.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

from hpsearch import __version__
from hpsearch.data.resize import SIDE, area_average, area_weights
from hpsearch.errors import EnvironmentFailure, InputError, shortened
from hpsearch.network.averaging import AveragingNetwork
from hpsearch.network.views import View
from hpsearch.paths import check_output, write_atomically
from hpsearch.recognition.model import Model
from hpsearch.recognition.support import read_images
from hpsearch.training.evaluation import encode, to_input

OPSET = 17
"""Version of ONNX's operators; ONNX Runtime reads it from 1.12 on."""
PRODUCER = "hpsearch export-model"
LARGEST_BYTES = 2_000_000_000
"""A protobuf holds 2 GiB; weights and graph must fit in one."""
EQUAL = 1e-5
"""Largest accepted difference between ONNX Runtime and torch: of a code's value, and of logits as
a share of the largest, since both are rounded by their size."""
PICTURES, KNOWN = 100, 10
"""Pictures drawn to compare the two, and how many of them are the known ones."""
NEEDED = (
    "--onnx: onnx and onnxruntime are not installed; make install-backbones, or pip install "
    "'onnx>=1.16' 'onnxruntime>=1.18'"
)
ON_PAPER = (
    "Turn the first frame as its EXIF says; put it on white where it is transparent; make it grey "
    "(Rec. 601). Paper is the median of the border. Ink is how much darker a pixel is than the "
    "paper, or how much lighter where the paper is below 128; scale it so that the strongest ink "
    "is 255, and round. Pad with 0 to a square, centred; resize to 105 x 105, down by area "
    "averages (Pillow's BOX), up bilinearly."
)
AS_IT_IS = (
    "Turn the first frame as its EXIF says; put it on white where it is transparent; make it grey "
    "(Rec. 601). Pad with the median of the border to a square, centred; resize to 105 x 105, "
    "down by area averages (Pillow's BOX), up bilinearly."
)


@dataclass(frozen=True)
class Written:
    """An ONNX file that was written, and how near it is to torch."""

    bytes: int
    codes: float
    """Largest difference of a code's value on `PICTURES` drawn pictures."""
    scores: float
    """Largest difference of a score, 0 to 1."""


class Deployed(nn.Module):
    """What the file computes: from converted pictures to codes and scores."""

    shrink: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = copy.deepcopy(model.network)
        self.network.convolution = "direct"  # the other ways are no operators of ONNX
        if isinstance(self.network, AveragingNetwork):
            self.network.views = tuple(PlainView(*view) for view in self.network.views)
        self.calibration = model.calibration
        self.size = model.config.input_size
        self.register_buffer("shrink", torch.from_numpy(area_weights(self.size)))  # [S, T]

    def forward(self, pictures: Tensor, support: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode pictures and compare them with known ones.

        Args:
            pictures: uint8 [N, 105, 105].
            support: Codes [M, ...].

        Returns:
            Codes [N, ...]; log-odds and probability that a picture and a known one show the same
            class, [N, M].
        """
        codes = self.network.encode(to_input(self._reduced(pictures)))
        logits = self.network.score(codes[:, None], support[None])  # [N, M]
        log_odds = self.calibration.slope * logits + self.calibration.bias
        return codes, log_odds, torch.sigmoid(log_odds)

    def _reduced(self, pictures: Tensor) -> Tensor:
        """Return pictures [N, S, S]: `area_average`, to the bit."""
        side = pictures.shape[-1]
        if self.size >= side:
            return pictures
        sums = self.shrink @ pictures.to(torch.float32) @ self.shrink.T  # whole, below 2**24
        twice = 2 * sums.to(torch.int64) + side * side
        return torch.div(twice, 2 * side * side, rounding_mode="trunc")


class PlainView(View):
    """A view by operators that ONNX has: it cannot turn."""

    def of(self, images: Any) -> Any:
        """Return images [..., S, S] in this view."""
        seen = images.flip(-1) if self.mirrored else images
        match self.turns:
            case 1:
                return seen.transpose(-1, -2).flip(-2)
            case 2:
                return seen.flip(-1, -2)
            case 3:
                return seen.transpose(-1, -2).flip(-1)
        return seen


def check_file(path: Path) -> None:
    """Refuse a path where no ONNX file may be written, and a Python without ONNX.

    Raises:
        InputError: The name does not end in .onnx, something else is there, or the extra onnx is
            not installed.
    """
    if path.suffix.lower() != ".onnx":
        raise InputError(f"--onnx {path}: name a file that ends in .onnx")
    check_output(path, PRODUCER, "export-model", "--onnx")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        raise InputError(NEEDED) from None


def write_onnx(model: Model, path: Path) -> Written:
    """Write a model as an ONNX file, once ONNX Runtime computes the same from it as torch.

    Args:
        model: On the CPU.
        path: Checked by `check_file`.

    Raises:
        InputError: The weights do not fit into one file, or they are not finite.
        EnvironmentFailure: ONNX Runtime computes otherwise, or the file cannot be written.
    """
    weights = model.network.state_dict().values()
    size = sum(one.numel() * one.element_size() for one in weights)
    if size > LARGEST_BYTES:
        raise InputError(
            f"the weights take {size / 1e9:.1f} GB; an ONNX file holds at most "
            f"{LARGEST_BYTES / 1e9:.0f} GB; deploy the model folder instead"
        )
    if not all(bool(one.isfinite().all()) for one in weights):
        raise InputError("the weights are not finite: the training diverged; retrain the model")
    pictures = drawn_pictures(model)
    content = _described(_graph(Deployed(model), pictures[:2]), model, pictures.shape[1:])
    codes, logits, scores = _differences(content, model, pictures)
    if not max(codes, logits) <= EQUAL:
        raise EnvironmentFailure(
            f"{path}: not written; ONNX Runtime's codes differ from torch's by {codes:.1e} and "
            f"its logits by {logits:.1e} of the largest, more than {EQUAL:g}; install the "
            "versions that constraints.txt names, then run the same command again"
        )
    write_atomically(path, content)
    return Written(len(content), codes, scores)


@torch.no_grad()
def _graph(deployed: Deployed, pictures: NDArray[np.uint8]) -> bytes:
    """Return the graph as torch's exporter writes it.

    The one that traces: it needs no further package and takes a second, where the one that
    compiles needs onnxscript and takes half a minute.

    Raises:
        InputError: It lacks an operator of the network.
    """
    shown = torch.from_numpy(pictures)
    codes = deployed.eval().network.encode(to_input(deployed._reduced(shown)))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(folder) / "graph.onnx"
        try:
            torch.onnx.export(
                deployed,
                (shown, codes),
                file,
                input_names=["pictures", "support"],
                output_names=["codes", "log_odds", "scores"],
                dynamic_axes={
                    "pictures": {0: "N"},
                    "support": {0: "M"},
                    "codes": {0: "N"},
                    "log_odds": {0: "N", 1: "M"},
                    "scores": {0: "N", 1: "M"},
                },
                opset_version=OPSET,
                dynamo=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise InputError(
                f"torch's exporter to ONNX lacks an operator of this network "
                f"({shortened(error, 120)}); deploy the model folder instead"
            ) from error
        return file.read_bytes()


def _described(graph: bytes, model: Model, shape: tuple[int, ...]) -> bytes:
    """Return the graph with what a reader must know, in its metadata.

    Args:
        graph: From `_graph`.
        model: The model.
        shape: Of one picture that goes in.
    """
    import onnx

    proto = onnx.load_model_from_string(graph)
    proto.producer_name, proto.producer_version = PRODUCER, __version__
    proto.doc_string = (
        "Encodes pictures, and compares them with the codes of known ones. To get codes alone, "
        "give 0 rows of support. The score of a class with several known pictures is the sigmoid "
        "of their mean log-odds."
    )
    support, (codes, *_) = proto.graph.input[1], proto.graph.output
    named = codes.type.tensor_type.shape.dim  # the exporter names what it could count
    del named[1:]
    named.extend(support.type.tensor_type.shape.dim[1:])
    data, calibration = model.description["dataset"], model.calibration
    onnx.helper.set_model_props(
        proto,
        {
            "opset": str(OPSET),
            "input": (
                f"pictures: uint8 [N, {', '.join(map(str, shape))}], "
                + ("ink 255, paper 0" if model.paper else "grey, 0 black to 255 white")
                + "; support: float32, rows of codes"
            ),
            "preprocessing": ON_PAPER if model.paper else AS_IT_IS,
            "pictures_are": "ink on paper" if model.paper else "grey as they are",
            "input_size": str(model.config.input_size),
            "averaged_over": model.config.test_time_averaging,
            "calibration": json.dumps({"slope": calibration.slope, "bias": calibration.bias}),
            "trained_on": f"{data['kind']} {data['fingerprint']}",
        },
    )
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        why = shortened(error, 120)
        raise EnvironmentFailure(f"onnx {onnx.__version__} refuses the graph ({why})") from error
    return bytes(proto.SerializeToString())


def _differences(
    content: bytes, model: Model, pictures: NDArray[np.uint8]
) -> tuple[float, float, float]:
    """Return the largest differences between ONNX Runtime and torch.

    Of codes; of logits, as a share of the largest; of scores.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[1].shape[1:]
    nothing = np.zeros((0, *shape), np.float32)
    (codes,) = session.run(["codes"], {"pictures": pictures, "support": nothing})
    known = {"pictures": pictures, "support": codes[:KNOWN]}
    log_odds, scores = session.run(["log_odds", "scores"], known)
    with torch.inference_mode():
        reduced = area_average(pictures, model.config.input_size)
        own = encode(model.network, torch.from_numpy(reduced))
        logits = model.network.score_matrix(own, own[:KNOWN]).double().numpy()
    calibration = model.calibration
    largest = max(1.0, calibration.slope * float(np.abs(logits).max()))
    return (
        _difference(codes, own.numpy()),
        _difference(log_odds, calibration.logits(logits)) / largest,
        _difference(scores, calibration.probability(logits)),
    )


def _difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the largest difference; infinite where a value is not finite."""
    most = float(np.abs(one.astype(np.float64) - other).max())
    return most if math.isfinite(most) else math.inf


def drawn_pictures(model: Model) -> NDArray[np.uint8]:
    """Return `PICTURES` drawings of a few strokes in colour, converted; always the same ones."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(PICTURES):
        image = Image.new("RGB", (SIDE, SIDE), "white")
        pen = ImageDraw.Draw(image)
        for _ in range(int(rng.integers(1, 5))):
            points = [(int(x), int(y)) for x, y in rng.integers(5, SIDE - 5, (3, 2))]
            red, green, blue = rng.integers(0, 160, 3).tolist()
            pen.line(points, fill=(red, green, blue), width=3)
        drawn.append(image)
    return read_images(drawn, paper=model.paper)
