"""`make bench`: every ratio that trials' speed is judged by, measured in one run on one machine.

It prints tables and writes build/bench-trials.json, and all figures to build/
bench-trials-details.json. The convolutions run first, on one thread, in a process of their own;
then whole training steps; then the four trainers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import convolution, step, timing, trials
from hpsearch.paths import write_atomically
from hpsearch.sources.find import find_dataset
from hpsearch.training.precision import has_bf16

RESULT = Path("build") / "bench-trials.json"
DETAILS = Path("build") / "bench-trials-details.json"
KEYS = (
    "pairs_per_s", "seconds_to", "images_to", "matmul_share", "outside_share", "conv_speedup",
    "conv_first_layer", "conv_worst",
)  # fmt: skip
"""What RESULT holds; DETAILS holds all."""
STEPS = {"paper": 3, "batch": 60, "independent": 60, "softmax": 60}
"""Steps that are profiled; the paper's network at 105 x 105 takes seconds for one."""
STUDIES = {"modern": 40, "aligned": 40}
"""Steps of shipped studies that encode in bf16 where the machine has it."""


def main() -> None:
    """Measure all, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with the authors' zips")
    parser.add_argument("--quick", type=float, default=1.0, help="share of each arm's time limit")
    parser.add_argument("--shapes-s", type=float, default=240.0, help="seconds for drawn shapes")
    parser.add_argument("--convolutions", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convolutions:
        sys.stdout.write(json.dumps(convolutions(options.shapes_s)))
        return
    began = time.monotonic()
    console = Console(width=110)
    dataset = find_dataset("omniglot", options.data)  # told before anything is measured
    result = _in_own_process(options.shapes_s)
    _print_convolutions(console, result)
    threads = os.cpu_count() or 1
    timing.prepare(threads)
    result |= steps(dataset)
    _print_steps(console, result)
    arms = []
    for name, limit_s in trials.LIMITS_S.items():
        console.print(f"training {name}, at most {limit_s * options.quick:.0f} s", highlight=False)
        arm = trials.run_arm(name, dataset, limit_s * options.quick, workers=threads)
        arms.append(arm)
        result["arms"][name] = _figures(arm, result["matmul_flops"])
    result["seconds_to"] = trials.by_level(arms, lambda r: round(r.seconds, 1))
    result["images_to"] = trials.by_level(arms, lambda r: r.images)
    result["pairs_per_s"] = {arm.name: round(arm.pairs_per_s, 1) for arm in arms}
    result["took_s"] = round(time.monotonic() - began)
    _print_arms(console, result)
    RESULT.parent.mkdir(exist_ok=True)
    write_atomically(DETAILS, json.dumps(result, indent=2) + "\n")
    write_atomically(RESULT, json.dumps({key: result[key] for key in KEYS}, indent=2) + "\n")
    console.print(f"{RESULT} written after {result['took_s']} s", highlight=False)


def convolutions(shapes_s: float) -> dict[str, Any]:
    """Measure the convolutions on one thread, seconds for the drawn shapes given."""
    timing.prepare(threads=1)
    first, plain = convolution.measure_first_layer(), convolution.measure_plain_first_layer()
    as_worker = {**plain, "ours": first["ours"]}
    alone = convolution.measure(convolution.PAPER_FIRST, convolution.PAPER_FIRST.ways)
    by_filter = {}
    for shape, times in convolution.filter_table():
        by_filter[str(shape.taps)] = {
            "chosen": shape.way,
            "times_faster": round(convolution.speed_up(times, shape.way), 2),
            "fft_times_faster": round(convolution.speed_up(times, "fft"), 2),
            "direct_ms": round(1e3 * min(times["contiguous"], times["channels_last"]), 1),
        }
    rows = convolution.measure_choices(convolution.paper_shapes(200), shapes_s)
    way = convolution.PAPER_FIRST.way
    return {
        "conv_speedup": {taps: row["times_faster"] for taps, row in by_filter.items()},
        "conv_by_filter": by_filter,
        "conv_first_layer": round(convolution.speed_up(first, "ours"), 2),
        "conv_first_layer_plain_torch": round(convolution.speed_up(as_worker, "ours"), 2),
        "conv_first_layer_alone": round(convolution.speed_up(alone, way), 2),
        "conv_worst": convolution.summarise_choices(rows),
    }


def _in_own_process(shapes_s: float) -> dict[str, Any]:
    """Run `convolutions` where no other thread was ever started."""
    command = [sys.executable, "-m", "benchmarks.bench", "--convolutions"]
    command += ["--shapes-s", str(shapes_s)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def steps(dataset: Any) -> dict[str, Any]:
    """Measure whole training steps: the paper's best network, and the arms' networks."""
    configs = {"paper": step.paper_config()}
    configs |= {name: trials.reference(name) for name in STEPS if name != "paper"}
    configs |= {name: step.study_config(name) for name in STUDIES}
    counts = STEPS | STUDIES
    before = _rates()
    profiles = {n: step.profile_steps(dataset, c, counts[n]) for n, c in configs.items()}
    rates = {name: max(rate, before[name]) for name, rate in _rates().items()}
    for name, profile in profiles.items():
        profile["matmul_share"] = (
            profile["images_per_s"]
            * step.work_per_image(configs[name])
            / rates[configs[name].precision]
        )
    rounded = {
        name: {key: float(f"{value:.4g}") for key, value in profile.items()}
        for name, profile in profiles.items()
    }
    return {
        "matmul_flops": rates["float32"],
        "matmul_flops_bf16": rates["bf16"],
        "matmul_share": round(profiles["paper"]["matmul_share"], 3),
        "outside_share": round(max(profiles[name]["outside"] for name in STEPS), 4),
        "steps": rounded,
        "arms": {},
    }


def _rates() -> dict[str, float]:
    """Return the rate of matrix products by precision; of bf16 only where studies use it."""
    single = timing.matrix_product_rate()
    half = timing.matrix_product_rate(dtype=torch.bfloat16) if has_bf16("cpu") else single
    return {"float32": single, "bf16": half}


def _figures(arm: trials.Arm, rate: float) -> dict[str, Any]:
    last = arm.curve[-1]
    work = step.work_per_image(arm.config)
    return {
        "images_per_s": round(arm.images_per_s, 1),
        "matmul_share": round(arm.images_per_s * work / rate, 3),
        "epochs": last.epoch,
        "seconds": round(last.seconds, 1),
        "best_accuracy": round(1 - min(r.validation_error for r in arm.curve), 4),
    }


def _print_convolutions(console: Console, result: dict[str, Any]) -> None:
    table = Table(title="Convolution forward and backward, 32 x 64 > 128, 48 px, one thread")
    for column in ("filter", "direct, ms", "chosen", "times faster", "by fft"):
        table.add_column(column, justify="right")
    for taps, row in result["conv_by_filter"].items():
        table.add_row(
            taps, f"{row['direct_ms']:.0f}", row["chosen"], f"{row['times_faster']:.2f}",
            f"{row['fft_times_faster']:.2f}",
        )  # fmt: skip
    console.print(table)
    worst = result["conv_worst"]
    console.print(
        f"the paper's first layer, with bias, ReLU and pooling: {result['conv_first_layer']:.2f} "
        f"times faster, its convolution alone {result['conv_first_layer_alone']:.2f} times; "
        f"{result['conv_first_layer_plain_torch']:.2f} times in a worker beside torch by itself\n"
        f"{worst['shapes']} drawn shapes: {worst['slower_share']:.1%} lose over 10 %; the worst: "
        f"{worst['shape']}, {worst['way']}, {worst['times_faster']:.2f} times",
        highlight=False,
    )


def _print_steps(console: Console, result: dict[str, Any]) -> None:
    rate = result["matmul_flops"] / 1e9
    half = result["matmul_flops_bf16"] / 1e9
    table = Table(
        title=f"A whole training step; the matrix product runs at {rate:.0f} GFLOP/s, in bf16 "
        f"(modern, aligned) at {half:.0f}"
    )
    columns = ("forward", "backward", "optimiser", "outside", "matmul_share")
    for column in ("step", "images/s", *columns[:4], "share of the product"):
        table.add_column(column, justify="right")
    for name, row in result["steps"].items():
        table.add_row(name, f"{row['images_per_s']:.1f}", *(f"{row[c]:.1%}" for c in columns))
    console.print(table)


def _print_arms(console: Console, result: dict[str, Any]) -> None:
    table = Table(title="One network at 35 x 35: seconds (images) to a validation accuracy")
    for column in ("trainer", "images/s", "pairs/s", "share of the product"):
        table.add_column(column, justify="right")
    for level in trials.LEVELS:
        table.add_column(f"{level:.0%}", justify="right")
    for name, arm in result["arms"].items():
        cells = []
        for level in map(str, trials.LEVELS):
            seconds, images = result["seconds_to"][level][name], result["images_to"][level][name]
            cells.append("-" if seconds is None else f"{seconds:.0f} ({images})")
        pairs = result["pairs_per_s"][name]
        table.add_row(
            name,
            f"{arm['images_per_s']:.0f}",
            f"{pairs:.0f}",
            f"{arm['matmul_share']:.1%}",
            *cells,
        )
    console.print(table)


if __name__ == "__main__":
    main()
