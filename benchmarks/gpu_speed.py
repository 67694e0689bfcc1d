"""Steps of `benchmarks.gpu` that measure speed and expect nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.gpu_place import Place, Sheet, of_precision, precisions, small_config
from benchmarks.step import study_config, work_per_image
from hpsearch.seeding import generator
from hpsearch.training import checkpoint
from hpsearch.training.config import TrialConfig
from hpsearch.training.distortion import draw_distortion
from hpsearch.training.loop import _Run, step_loss
from hpsearch.training.optimiser import LayerwiseOptimiser
from hpsearch.training.precision import allow_tf32
from hpsearch.training.trainingdata import TrainingData

WARM_UP, TIMED, PROFILED = 5, 30, 20
LAYOUTS = ("nchw", "nhwc", "nhwc+benchmark")
CAPTURE_WARM_UP = 3


def _configs(place: Place) -> dict[str, TrialConfig]:
    if place.tiny:
        return {"small": small_config()}
    return {name: study_config(name) for name in ("koch2015", "modern")}


def steps(place: Place, sheet: Sheet) -> None:
    """Report rates, launches and memory of a step by precision and layout of the memory."""
    table: dict[str, Any] = {}
    for name, config in _configs(place).items():
        data = place.load(config)
        for precision in precisions(place):
            for layout in LAYOUTS if place.cuda else LAYOUTS[:2]:
                if place.left_s < 5:
                    sheet.note(left_out=f"{name} {precision} {layout} and what follows: no time")
                    return
                figures = _speed(place, of_precision(config, precision), data, layout)
                table[f"{name} {precision} {layout}"] = figures
                sheet.note(table=table)


def _speed(place: Place, config: TrialConfig, data: TrainingData, layout: str) -> dict[str, Any]:
    """Return the figures of some steps of one configuration."""
    if place.cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    run = _Run(config, data, 0)
    torch.backends.cudnn.benchmark = "benchmark" in layout  # in place of what training chooses
    form = torch.contiguous_format if layout == "nchw" else torch.channels_last
    for network in (run.network, run.averaged):
        network.to(memory_format=form)  # type: ignore[call-overload]
    run.optimiser = LayerwiseOptimiser(run.network, config)  # its state is laid out alike
    for _ in range(2 if place.tiny else WARM_UP):
        run.train_step()
    count = 5 if place.tiny else TIMED
    seconds = _timed(place, run.train_step, count)
    rate = config.images_per_step / seconds
    found = {
        "ms": round(1000 * seconds, 2),
        "images_per_s": round(rate),
        "tflops": round(rate * work_per_image(config) / 1e12, 2),
    }
    if place.cuda:
        peak = torch.cuda.max_memory_allocated()
        found |= {
            "peak_gb": round(peak / 1e9, 2),
            "estimate_over_peak": round(config.memory_bytes() / peak, 2),
            **_launches(run, seconds),
        }
    return found


def _timed(place: Place, action: Callable[[], object], count: int) -> float:
    """Return the seconds of one call, of many in a row."""
    place.sync()
    began = time.perf_counter()
    for _ in range(count):
        action()
    place.sync()
    return (time.perf_counter() - began) / count


def _launches(run: _Run, step_s: float) -> dict[str, Any]:
    """Return kernels a step, and the share of an unprofiled step that they fill."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(PROFILED):
            run.train_step()
        torch.cuda.synchronize()
    kernels = [e for e in profiled.events() or [] if e.device_type == DeviceType.CUDA]
    busy_s = sum(kernel.time_range.elapsed_us() for kernel in kernels) / 1e6 / PROFILED
    return {
        "launches": round(len(kernels) / PROFILED),
        "busy_percent": round(100 * busy_s / step_s, 1),
    }


def compiled(place: Place, sheet: Sheet) -> None:
    """Compare torch.compile and a captured graph with ordinary steps, in bf16."""
    place.need_card()
    for name, config in _configs(place).items():
        reduced = of_precision(config, precisions(place)[-1])
        loss, plain = _given_step(place, reduced)
        first = float(loss())
        plain_s = _timed(place, plain, TIMED)
        found: dict[str, Any] = {"plain_ms": round(1000 * plain_s, 2)}
        for how, prepare in (("graph", _captured), ("compile", _compiled)):
            try:
                began = time.perf_counter()
                action, result = prepare(place, reduced)
                once_s = time.perf_counter() - began
                seconds = _timed(place, action, TIMED)
                saved = plain_s - seconds
                found |= {
                    f"{how}_first_s": round(once_s, 2),
                    f"{how}_ms": round(1000 * seconds, 2),
                    f"{how}_pays_after_steps": round(once_s / saved) if saved > 0 else None,
                    f"{how}_loss_error": float(f"{abs(result() - first) / first:.2g}"),
                }
            except Exception as error:  # what it says is the finding
                found[f"{how}_error"] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            sheet.note(**{name: found})


def _given_step(
    place: Place, config: TrialConfig, *, compiles: bool = False
) -> tuple[Callable[[], torch.Tensor], Callable[[], None]]:
    """Return what computes a step's loss from given rows, and its loss with gradients."""
    data = place.load(config)
    run, device = _Run(config, data, 0), torch.device(place.device)
    network = run.network.train()
    if compiles:
        network.encode = torch.compile(network.encode)  # type: ignore[method-assign]
    independent = config.pairs == "independent"
    draw = data.sampler.independent if independent else data.sampler.batch
    drawn, kind = draw(config, generator(0, "pairs"))
    rows, labels = (torch.from_numpy(array).to(device) for array in (drawn, kind))
    random = torch.Generator().manual_seed(0)
    distortion = draw_distortion(drawn.size, config.distortion, random)
    there = None if distortion is None else distortion.to(device)

    def loss() -> torch.Tensor:
        return step_loss(network, data.images, rows, labels, there, config)

    def step() -> None:
        network.zero_grad(set_to_none=False)
        loss().backward()

    return loss, step


def _captured(
    place: Place, config: TrialConfig
) -> tuple[Callable[[], object], Callable[[], float]]:
    """Return what replays a captured forward and backward pass, and its loss."""
    loss, step = _given_step(place, config)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    torch.set_autocast_cache_enabled(False)  # a cached copy of weights would be captured
    try:
        with torch.cuda.stream(aside):
            for _ in range(CAPTURE_WARM_UP):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = loss()
            result.backward()
    finally:
        torch.set_autocast_cache_enabled(True)
    graph.replay()
    return graph.replay, lambda: float(result)


def _compiled(
    place: Place, config: TrialConfig
) -> tuple[Callable[[], object], Callable[[], float]]:
    """Return a step whose encoding is compiled, and its loss."""
    loss, step = _given_step(place, config, compiles=True)
    step()
    place.sync()
    return step, lambda: float(loss())


def epoch(place: Place, sheet: Sheet) -> None:
    """Report the milliseconds of an epoch's parts."""
    for name, config in _configs(place).items():
        data = place.load(config)
        allow_tf32(config, torch.device(place.device))
        run = _Run(config, data, 0)
        for _ in range(2):
            run.train_step()
        few = min(config.steps_per_epoch, 5 if place.tiny else TIMED)
        step_ms = 1000 * _timed(place, run.train_step, few)
        parts = {"train": step_ms * config.steps_per_epoch}
        ends: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("evaluate", run.end_epoch),
            ("copy", run.checkpoint),
        )
        for part, action in ends:
            parts[part] = 1000 * _timed(place, action, 1)
        path, kept = place.scratch / "checkpoint", run.checkpoint()
        idle = 1 - parts["train"] / sum(parts.values())
        parts["write"] = 1000 * _timed(place, partial(checkpoint.save, kept, path), 1)  # beside
        rounded = {part: round(ms, 1) for part, ms in parts.items()}
        size = round(path.stat().st_size / 1e6, 1)
        sheet.note(**{name: {"ms": rounded, "idle_share": round(idle, 3), "file_mb": size}})
