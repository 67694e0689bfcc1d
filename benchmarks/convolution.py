"""Convolution forward and backward, our ways against torch's better direct layout, one thread.

    python -m benchmarks.convolution
    python -m benchmarks.convolution --shapes 200 --output FILE.jsonl

The first command measures the paper's first layer and filters 3 to 20. The second measures the
cost model's choices for random shapes of the paper's search space (kept in
benchmarks/tables/convolution_choices.jsonl): about 90 minutes on one core. It can be stopped and
resumed; --shapes 100:200 leaves the first hundred to another core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import interleaved_medians, prepare
from hpsearch.network.convolution import convolve
from hpsearch.network.convolution_cost import Way, choose_way

SEED = 20150710
PAPER_FILTERS = range(3, 21)
PAPER_COUNTS = range(16, 257, 16)
TOLERATED = 1.1
"""A choice slower than direct by more than this factor counts as a loss."""


@dataclass(frozen=True)
class Shape:
    """One convolution: images B x C x S x S, D filters of K x K."""

    images: int
    channels: int
    filters: int
    side: int
    taps: int

    @property
    def first(self) -> bool:
        """Whether it sees the image, so that no gradient of its input is needed."""
        return self.channels == 1

    @property
    def way(self) -> Way:
        """The cost model's choice."""
        return choose_way(self.images, self.channels, self.filters, self.side, self.taps)

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways other than direct that the cost model chooses from."""
        return ("patches",) if self.first else ("fft",)

    def __str__(self) -> str:
        """Return e.g. 32 x 64 > 128, 48 px, filter 12."""
        layers = f"{self.images} x {self.channels} > {self.filters}"
        return f"{layers}, {self.side} px, filter {self.taps}"


PAPER_FIRST = Shape(32, 1, 64, 105, 10)
"""The first layer of the paper's best network."""


def measure(shape: Shape, ways: Sequence[Way], repeats: int = 7) -> dict[str, float]:
    """Return median seconds forward and backward: of both direct layouts, and of each way."""
    functions = {
        "contiguous": _pass(shape, torch.contiguous_format, _torch_convolution),
        "channels_last": _pass(shape, torch.channels_last, _torch_convolution),
    }
    for way in ways:
        if way != "direct":
            functions[way] = _pass(shape, torch.channels_last, _our_convolution(way))
    return interleaved_medians(functions, repeats, time.process_time)


def measure_first_layer(repeats: int = 7, ours: bool = True) -> dict[str, float]:
    """Return the same of the paper's first layer in full: convolution, bias, ReLU, pooling.

    Args:
        repeats: Rounds.
        ours: Also measure our layer, beside torch's two layouts.
    """

    def layer(images: Tensor, weight: Tensor) -> Tensor:
        maps = functional.relu(functional.conv2d(images, weight, images.new_zeros(len(weight))))
        return functional.max_pool2d(maps, 2)

    def our_layer(images: Tensor, weight: Tensor) -> Tensor:
        bias = images.new_zeros(len(weight))
        return functional.relu(convolve(images, weight, bias, pool=True))

    functions = {
        "contiguous": _pass(PAPER_FIRST, torch.contiguous_format, layer),
        "channels_last": _pass(PAPER_FIRST, torch.channels_last, layer),
    }
    if ours:
        functions["ours"] = _pass(PAPER_FIRST, torch.channels_last, our_layer)
    return interleaved_medians(functions, repeats, time.process_time)


def measure_plain_first_layer() -> dict[str, float]:
    """Return torch's two layouts' seconds in a process that takes memory as torch by itself does.

    Ours is one part of what a worker does for this layer; that it keeps freed memory is the other.
    """
    command = [sys.executable, "-m", "benchmarks.convolution", "--plain-first-layer"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _torch_convolution(images: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(images, weight)


def _our_convolution(way: Way) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda images, weight: convolve(images, weight, None, pool=False, way=way)


def _pass(
    shape: Shape, layout: torch.memory_format, layer: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[], object]:
    """Return a function that passes random values of a shape forward and backward."""
    rng = torch.Generator().manual_seed(SEED)
    images = torch.rand(shape.images, shape.channels, shape.side, shape.side, generator=rng)
    size = (shape.filters, shape.channels, shape.taps, shape.taps)
    weight = torch.randn(size, generator=rng).mul_(0.01)
    images, weight = (_laid_out(t, layout) for t in (images, weight))
    with torch.no_grad():
        errors = torch.rand(layer(images, weight).shape, generator=rng)
    errors = _laid_out(errors, layout)
    leaves = [weight.requires_grad_()]
    if not shape.first:
        leaves.append(images.requires_grad_())
    return lambda: torch.autograd.grad(layer(images, weight), leaves, errors)


def _laid_out(x: Tensor, layout: torch.memory_format) -> Tensor:
    """Copy values into a layout; .contiguous() takes one channel for either."""
    return torch.empty(x.shape, memory_format=layout).copy_(x)


def speed_up(times: dict[str, float], way: str) -> float:
    """Return how many times faster a way is than torch's better direct layout."""
    direct = min(times["contiguous"], times["channels_last"])
    return direct / times["channels_last" if way == "direct" else way]


def paper_shapes(count: int, seed: int = SEED) -> list[Shape]:
    """Draw convolutions of the paper's box: a layer of a random network that fits its input."""
    rng = np.random.default_rng(seed)
    shapes: list[Shape] = []
    while len(shapes) < count:
        side, channels = int(rng.choice([35, 52, 105])), 1
        images = int(rng.choice([32, 64]))
        network: list[Shape] = []
        for _ in range(4):
            taps = int(rng.choice(PAPER_FILTERS))
            if taps > side:
                break
            filters = int(rng.choice(PAPER_COUNTS))
            network.append(Shape(images, channels, filters, side, taps))
            side, channels = (side - taps + 1) // 2, filters
        shapes.append(network[int(rng.integers(len(network)))])
    return shapes


def filter_table(repeats: int = 3) -> Iterator[tuple[Shape, dict[str, float]]]:
    """Measure 64 to 128 channels at 48 x 48, batch 32, for each filter size of the paper."""
    for taps in PAPER_FILTERS:
        shape = Shape(32, 64, 128, 48, taps)
        yield shape, measure(shape, shape.ways, repeats)


def measure_choice(shape: Shape, repeats: int = 7) -> dict[str, Any]:
    """Measure what the cost model chose, in our layout, direct too.

    Returns:
        `shape`, `way`, and `times_faster` than torch's better direct layout.
    """
    times = measure(shape, [shape.way], repeats)
    gain = round(speed_up(times, shape.way), 3)
    return {"shape": str(shape), "way": shape.way, "times_faster": gain}


def measure_choices(shapes: Sequence[Shape], limit_s: float) -> list[dict[str, Any]]:
    """Measure shapes in order, one row each; none is begun after `limit_s` seconds."""
    began, rows = time.monotonic(), []
    for shape in shapes:
        if time.monotonic() - began > limit_s:
            break
        rows.append(measure_choice(shape))
    return rows


def add_choices(path: Path, first: int, end: int) -> list[dict[str, Any]]:
    """Measure drawn shapes `first` to `end` that a file of JSON lines lacks; return all its rows.

    Each row is appended, with its `draw`, as soon as it is measured: processes may share a file.
    """
    path.touch()
    known = {row["draw"] for row in _read_rows(path)}
    for draw, shape in list(enumerate(paper_shapes(end)))[first:]:
        if draw not in known:
            line = json.dumps({"draw": draw, **measure_choice(shape)}) + "\n"
            with path.open("a", encoding="utf-8") as rows:
                rows.write(line)
    return sorted(_read_rows(path), key=lambda row: row["draw"])


def _read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def summarise_choices(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how many shapes were seen, the share that lost over 10 %, and the worst."""
    worst = min(rows, key=lambda row: row["times_faster"])
    lost = sum(row["times_faster"] < 1 / TOLERATED for row in rows)
    chosen = {way: sum(row["way"] == way for row in rows) for way in ("direct", "fft", "patches")}
    return {"shapes": len(rows), "chosen": chosen, "slower_share": lost / len(rows), **worst}


def main() -> None:
    """Print tables, or measure choices, as JSON lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--shapes", metavar="[FROM:]TO", help="which shapes drawn from the paper's box"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="JSON lines that hold their rows"
    )
    parser.add_argument("--plain-first-layer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain_first_layer:
        torch.set_num_threads(1)
        _say(measure_first_layer(ours=False))
        return
    if (options.shapes is None) != (options.output is None):
        parser.error("--shapes and --output go together")
    prepare(threads=1)
    if options.output is not None:
        first, _, end = options.shapes.rpartition(":")
        _say(summarise_choices(add_choices(options.output, int(first or 0), int(end))))
        return
    first, plain = measure_first_layer(), measure_plain_first_layer()
    _say({"first layer": speed_up(first, "ours"), **first})
    _say({"beside plain torch": speed_up({**plain, "ours": first["ours"]}, "ours"), **plain})
    alone = measure(PAPER_FIRST, PAPER_FIRST.ways)
    _say({"its convolution alone": speed_up(alone, PAPER_FIRST.way), **alone})
    for shape, times in filter_table():
        gain = speed_up(times, shape.way)
        _say({"shape": str(shape), "way": shape.way, "times_faster": gain, **times})


def _say(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
