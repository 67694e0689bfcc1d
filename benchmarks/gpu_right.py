"""Steps of `benchmarks.gpu` that say whether a device computes what it should.

Tolerances are relative norms of the loss, the whole gradient, the codes and the scores.
"""

from __future__ import annotations

import copy
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_place import (
    Place,
    Sheet,
    networks,
    of_precision,
    precisions,
    small_config,
)
from benchmarks.step import study_config
from hpsearch.execution.devices import count_cuda_devices
from hpsearch.network.initialisation import initialise
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.seeding import generator
from hpsearch.training import checkpoint
from hpsearch.training.build import empty_network
from hpsearch.training.checkpoint import Checkpoint
from hpsearch.training.config import TrialConfig
from hpsearch.training.distortion import draw_distortion
from hpsearch.training.evaluation import encode, evaluate_tasks
from hpsearch.training.loop import Interrupted, step_loss, train
from hpsearch.training.optimiser import LayerwiseOptimiser
from hpsearch.training.precision import allow_tf32, arithmetic
from hpsearch.training.trainingdata import TrainingData

TOLERANCE = {"float32": 1e-4, "tf32": 3e-3, "bf16": 5e-2}
"""Of loss, codes and scores."""
GRADIENT = {"float32": 1e-4, "tf32": 0.3, "bf16": 0.3}
"""Of the whole gradient. On the CPU bf16 is up to 0.19 away, for the shipped aligned network."""
ROUNDING = 3
"""Times the CPU's own float32 error that a device's gradient may be away: batch normalisation and
pooling enlarge rounding, to 0.02 for the shipped modern network."""
SIDE, TINY_SIDE = 8192, 512
STEPS = 3
"""Steps of an optimiser under given gradients."""
TASKS = 320
FEW = 3
"""Tasks that two devices may answer differently after an epoch."""


def facts(place: Place, sheet: Sheet) -> None:
    """Name the device and the software, and measure its matrix products."""
    sheet.note(
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        python=platform.python_version(),
        card="cpu",
        cores=os.cpu_count(),
    )
    sheet.expect("the data are packed", (place.packed / "meta.json").is_file())
    if place.cuda:
        sheet.note(card=torch.cuda.get_device_name(), **_driver())
        sheet.note(memory_gb=round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1))
        counts = (count_cuda_devices(), torch.cuda.device_count())
        sheet.expect("nvidia-smi and torch count the same devices", counts[0] == counts[1])
    rates = {name: _rate(place, name) for name in precisions(place)}
    sheet.note(tflops=rates)
    sheet.expect("products are computed", all(rate > 0 for rate in rates.values()))


def _driver() -> dict[str, str]:
    from benchmarks.gpu_processes import nvidia_smi

    return {"driver": nvidia_smi("driver_version"), "cards": nvidia_smi("name")}


def _rate(place: Place, precision: str) -> float:
    """Return the rate of products of square matrices, TFLOP/s."""
    config = of_precision(small_config(), precision)
    device, side = torch.device(place.device), TINY_SIDE if place.tiny else SIDE
    allow_tf32(config, device)
    random = torch.Generator().manual_seed(0)
    a, b = (torch.rand(side, side, generator=random).to(device) for _ in range(2))
    with arithmetic(config, device):
        for _ in range(3):
            a @ b
        place.sync()
        began = time.perf_counter()
        for _ in range(5):
            a @ b
        place.sync()
    return round(5 * 2 * side**3 / (time.perf_counter() - began) / 1e12, 3)


def one_step(place: Place, sheet: Sheet) -> None:
    """Compare loss, gradients, codes and scores of a step with float64 on the CPU."""
    errors: dict[str, dict[str, float]] = {}
    for name, config in networks(place).items():
        data = place.load(config, "cpu")
        reference = _step_of(config, data, "cpu", double=True)
        own = _apart(_step_of(config, data, "cpu"), reference)["gradient"]
        for precision in precisions(place):
            found = _step_of(of_precision(config, precision), data, place.device)
            apart = _apart(found, reference)
            errors[f"{name}, {precision}"] = apart
            sheet.note(errors=errors)
            limits = dict.fromkeys(apart, TOLERANCE[precision])
            limits["gradient"] = max(GRADIENT[precision], ROUNDING * own)
            near = all(apart[key] <= limit for key, limit in limits.items())
            sheet.expect(f"{name}, {precision}", near)
    for optimiser in ("sgd", "adamw"):
        error = _optimiser_error(optimiser, place.device)
        sheet.note(**{f"{optimiser} after {STEPS} steps": float(f"{error:.2g}")})
        sheet.expect(optimiser, error <= 1e-5)


def _network(config: TrialConfig) -> SiameseNetwork:
    """Return a network with the initial weights of seed 0, on the CPU."""
    network = empty_network(config)
    tau = config.layers.output.tau or 1.0
    initialise(network, config.init, torch.Generator().manual_seed(0), tau=tau)
    return network


def _step_of(
    config: TrialConfig, data: TrainingData, device: str, *, double: bool = False
) -> dict[str, Tensor]:
    """Return loss, gradients, codes and scores of a first step, float64 on the CPU."""
    place = torch.device(device)
    allow_tf32(config, place)
    network = _network(config).to(place)
    if double:
        _compute_in_double(network)
    network.train()
    independent = config.pairs == "independent"
    draw = data.sampler.independent if independent else data.sampler.batch
    rows, labels = draw(config, generator(0, "pairs"))
    random = torch.Generator().manual_seed(0)
    distortion = draw_distortion(rows.size, config.distortion, random)
    loss = step_loss(
        network,
        data.images.to(place),
        torch.from_numpy(rows).to(place),
        torch.from_numpy(labels).to(place),
        None if distortion is None else distortion.to(place),
        config,
    )
    loss.backward()
    if any(parameter.grad is None for parameter in network.parameters()):
        raise RuntimeError("a parameter has no gradient")
    gradient = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    network.eval()
    codes = encode(network, data.validation[:64].to(place))
    with torch.no_grad():
        scores = network.score_matrix(codes, codes)
    found = {"loss": loss, "gradient": gradient, "codes": codes, "scores": scores}
    return {name: value.detach().double().cpu() for name, value in found.items()}


def _compute_in_double(network: SiameseNetwork) -> None:
    """Have a network encode in float64 what it is given in float32."""
    encode_in_double = network.double().encode
    network.encode = lambda images: encode_in_double(images.double())  # type: ignore[method-assign]
    network.convolution = "direct"


def _apart(found: dict[str, Tensor], reference: dict[str, Tensor]) -> dict[str, float]:
    """Return the error of each part of a step."""
    return {key: float(f"{_error(found[key], reference[key]):.2g}") for key in reference}


def _error(found: Tensor, reference: Tensor) -> float:
    """Return the relative norm of the difference; 0 where both are nothing but rounding."""
    size = float(reference.norm())
    return float((found - reference).norm()) / size if size > 1e-12 else float(found.norm())


def _optimiser_error(optimiser: str, device: str) -> float:
    """Return the error of the weights after steps under given gradients."""
    config = small_config(optimiser=optimiser, layers=_decaying())
    weights = []
    for place, dtype in (("cpu", torch.float64), (device, torch.float32)):
        network = _network(config).to(place, dtype)
        steps = LayerwiseOptimiser(network, config)
        random = torch.Generator().manual_seed(1)
        for _ in range(STEPS):
            for parameter in network.parameters():
                drawn = torch.randn(parameter.shape, generator=random)
                parameter.grad = drawn.to(place, dtype)
            steps.step()
        flat = [p.detach().double().cpu().flatten() for p in network.parameters()]
        weights.append(torch.cat(flat))
    return _error(weights[1], weights[0])


def _decaying() -> dict[str, Any]:
    layers: dict[str, Any] = small_config().plain()["layers"]
    return {name: {**layer, "l2": 0.01} for name, layer in layers.items()}


def one_epoch(place: Place, sheet: Sheet) -> None:
    """Train an epoch on the CPU and on the device from the same seed."""
    configs = {"small": small_config(max_epochs=1)}
    if not place.tiny:
        quick = study_config("quickstart").with_parameters({"max_epochs": 1})
        configs["quickstart"] = quick
    for name, config in configs.items():
        here, there = (
            next(train(config, place.load(config, device), 0)).result
            for device in ("cpu", place.device)
        )
        loss = abs(there.loss - here.loss) / here.loss
        error = abs(there.validation_error - here.validation_error)
        sheet.note(**{name: {"loss": float(f"{loss:.2g}"), "tasks": round(TASKS * error, 1)}})
        sheet.expect(f"{name}: loss within 0.1 %", loss <= 1e-3)
        sheet.expect(f"{name}: error within {FEW} tasks", error <= (FEW + 0.5) / TASKS)
    sheet.expect("a constant network earns 1/20", _constant_accuracy(place) == 0.05)


def _constant_accuracy(place: Place) -> float:
    """Return the accuracy of a network whose codes do not depend on the image."""
    config = small_config()
    data, network = place.load(config), _network(config).to(place.device).eval()
    with torch.no_grad():
        network.fc.weight.zero_()
    return evaluate_tasks(network, data.validation, data.tasks).accuracy


def same_seed(place: Place, sheet: Sheet) -> None:
    """Train twice from one seed, then with deterministic algorithms, then interrupted."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before the device is used
    config = small_config()
    data = place.load(config)
    first, seconds = _losses(config, data)
    again, _ = _losses(config, data)
    sheet.note(equal=first == again, deviation=_deviation(first, again))
    torch.backends.cudnn.deterministic = True
    straight, slower = _losses(config, data)
    repeated, _ = _losses(config, data)
    sheet.note(deterministic=straight == repeated, time_of_it=round(slower / seconds, 2))
    resumed = [epoch.result.loss for epoch in _interrupted(config, data)]
    sheet.note(resumed_deviation=_deviation(straight, resumed))
    exact = straight == repeated
    near = _deviation(straight, resumed) <= 1e-3
    sheet.expect(
        "an interrupted training ends as a straight one",
        straight == resumed or (not exact and near),
    )
    if not place.cuda:
        sheet.expect("equal to the bit on the CPU", first == again)


def _losses(config: TrialConfig, data: TrainingData) -> tuple[list[float], float]:
    """Return the curve of a training, and its seconds."""
    began = time.perf_counter()
    losses = [epoch.result.loss for epoch in train(config, data, 0)]
    return losses, time.perf_counter() - began


def _deviation(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) / a for a, b in zip(one, other, strict=True))


def _interrupted(config: TrialConfig, data: TrainingData) -> Iterator[Any]:
    """Train, stop within the second epoch, and go on from the checkpoint."""
    stops = iter([False] * (config.steps_per_epoch + 3) + [True])
    epochs = train(config, data, 0, interrupt=lambda: next(stops))
    yield next(epochs)
    kept: Checkpoint | None = None
    try:
        next(epochs)
    except Interrupted as stop:
        kept = stop.checkpoint
    yield from train(config, data, 0, resume=kept)


def change_device(place: Place, sheet: Sheet) -> None:
    """Begin on one device and go on on the other, through a file."""
    config = small_config(weight_averaging=0.9, optimiser="adamw", batch_norm=True)
    straight, _ = _losses(config, place.load(config, "cpu"))
    for start, goal in (("cpu", place.device), (place.device, "cpu")):
        began = next(train(config, place.load(config, start), 0))
        path = place.scratch / f"from-{start}-to-{goal}"
        checkpoint.save(began.checkpoint(), path)
        _go_on(place, sheet, path, goal, straight)
    old = checkpoint.load(path)
    assert old is not None
    state = torch.arange(16, dtype=torch.uint8)  # what version 0.1.0 kept of a CUDA generator
    tensors = {**old.tensors, "generator.distortion": state}
    checkpoint.save(replace(old, tensors=tensors), place.scratch / "old")
    _go_on(place, sheet, place.scratch / "old", place.device, straight)


def _go_on(place: Place, sheet: Sheet, path: Any, device: str, straight: list[float]) -> None:
    """Expect that a training goes on with the curve that its checkpoint holds."""
    config = small_config(weight_averaging=0.9, optimiser="adamw", batch_norm=True)
    kept = checkpoint.load(path)
    assert kept is not None
    last = copy.copy(kept)
    for epoch in train(config, place.load(config, device), 0, resume=kept):
        last = epoch.checkpoint()
    losses = [result.loss for result in last.curve]
    sheet.note(**{f"{path.name} on {device}": float(f"{_deviation(straight, losses):.2g}")})
    sheet.expect(f"{path.name}: all epochs on {device}", len(losses) == config.max_epochs)
    kept_prefix = last.curve[: len(kept.curve)] == kept.curve
    sheet.expect(f"{path.name}: its first epochs are kept on {device}", kept_prefix)
    if path.name != "old":
        sheet.expect(f"{path.name}: the same curve", _deviation(straight, losses) <= 2e-2)
