"""The training loop. Read `train` top to bottom; it knows nothing of the search."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from hpsearch.backbones.network import BackboneNetwork, whiten
from hpsearch.network.initialisation import initialise
from hpsearch.network.loss import batch_loss, pair_loss, softmax_loss
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.seeding import derive_seed, generator
from hpsearch.training.build import empty_network, load_start
from hpsearch.training.checkpoint import Checkpoint
from hpsearch.training.config import NOTHING, TrialConfig
from hpsearch.training.diagnosis import (
    Vitals,
    chance_loss,
    diagnose,
    largest_move,
    layer_values,
    measure,
    probe_rows,
)
from hpsearch.training.distortion import Drawn, distort, draw_distortion
from hpsearch.training.epoch import EpochResult
from hpsearch.training.evaluation import evaluate_tasks, to_input
from hpsearch.training.optimiser import LayerwiseOptimiser
from hpsearch.training.precision import allow_tf32, arithmetic, layout, try_algorithms
from hpsearch.training.trainingdata import TrainingData, take

STATISTICS_STEPS = 50
"""Batches that set the running averages of an untrained network."""
CHECK_STEPS = 50
"""Steps between checks of the loss on the CPU; on CUDA a check would wait for the device."""


class Interrupted(Exception):
    """Training was asked to stop inside an epoch; the checkpoint resumes at that step."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Store the checkpoint."""
        super().__init__("training was interrupted")
        self.checkpoint = checkpoint


@dataclass(frozen=True)
class Epoch:
    """An ended epoch; call `checkpoint` before the next epoch starts.

    Args:
        result: The epoch's result.
        checkpoint: Copies the whole state.
        vitals: The measurements behind a diagnosis; None if the loss or a weight is not finite.
    """

    result: EpochResult
    checkpoint: Callable[[], Checkpoint]
    vitals: Vitals | None = None


def train(
    config: TrialConfig,
    data: TrainingData,
    seed: int,
    *,
    resume: Checkpoint | None = None,
    interrupt: Callable[[], bool] | None = None,
    measure: Callable[[SiameseNetwork], Mapping[str, float]] | None = None,
) -> Iterator[Epoch]:
    """Train one configuration, epoch by epoch.

    Args:
        config: The configuration to train.
        data: Training data on the device to train on.
        seed: Seed of weights, pairs and distortions. On the CPU the same seed gives the same curve
            bit for bit, also after a resume.
        resume: Checkpoint to resume from.
        interrupt: Called before every step; True raises `Interrupted`.
        measure: Returns figures of the network, which the first epoch then reports.

    Yields:
        One `Epoch` after each epoch, until max_epochs, patience or a diagnosis ends it. Where
        nothing is trained, only epoch 0: the start as it is.

    Raises:
        Interrupted: `interrupt` returned True.

    Reference:
        Koch et al. 2015, section 3.2.
    """
    run = _Run(config, data, seed)
    run.measure = measure
    if resume is not None:
        run.restore(resume)
    if config.train_from == NOTHING and not run.finished:
        yield Epoch(run.score_start(), run.checkpoint)
    while not run.finished:
        while run.step < config.steps_per_epoch and run.diagnosis is None:
            if interrupt is not None and interrupt():
                raise Interrupted(run.checkpoint())
            run.train_step()
        result = run.end_epoch()
        yield Epoch(result, run.checkpoint, run.vitals[-1] if run.vitals else None)


class _Run:
    """The state of one training."""

    def __init__(self, config: TrialConfig, data: TrainingData, seed: int) -> None:
        self.config, self.data, self.seed = config, data, seed
        device = data.images.device
        allow_tf32(config, device)
        try_algorithms(config, device)
        self.network = empty_network(config)
        # Weights and distortions are drawn on the CPU, so that a seed means the same everywhere.
        weights = torch.Generator().manual_seed(derive_seed(seed, "weights"))
        tau = config.layers.output.tau or 1.0
        initialise(self.network, config.init, weights, tau=tau)
        load_start(self.network, config)
        for name in config.frozen:
            self.network.get_submodule(name).requires_grad_(False)
        self.network.to(device)
        if isinstance(self.network, BackboneNetwork):
            whiten(self.network, data.images, data.sampler.classes())
        self.network.to(memory_format=layout(config, device))  # type: ignore[call-overload]
        self.averaged = self.network  # validated and kept
        if config.weight_averaging > 0:
            self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        self.averaged.eval()
        self.optimiser = LayerwiseOptimiser(self.network, config)
        self.distortion = torch.Generator().manual_seed(derive_seed(seed, "distortion"))
        self.chance = generator(seed, "pairs")
        self.best = self._copy()
        self.curve: list[EpochResult] = []
        self.step = self.images = self.epoch = 0
        self.loss_sum = torch.zeros((), device=device, dtype=torch.float64)
        self.seconds = 0.0
        self.moved = 0.0
        self.vitals: list[Vitals] = []
        self.diagnosis: str | None = None
        self.finished = False
        self.measure: Callable[[SiameseNetwork], Mapping[str, float]] | None = None

    def train_step(self) -> None:
        """Sample, distort, encode, compare, step."""
        began = time.monotonic()
        config, chance = self.config, self.chance
        self.optimiser.set_position(self.epoch + 1, self.step / config.steps_per_epoch)
        self.network.train()
        for name in config.frozen:
            self.network.get_submodule(name).eval()
        independent = config.pairs == "independent"
        draw = self.data.sampler.independent if independent else self.data.sampler.batch
        rows, labels = draw(config, chance)
        distortion = draw_distortion(rows.size, config.distortion, self.distortion)
        device = self.data.images.device
        loss = step_loss(
            self.network,
            self.data.images,
            torch.from_numpy(rows).to(device, non_blocking=True),
            torch.from_numpy(labels).to(device, non_blocking=True),
            None if distortion is None else distortion.to(device),
            config,
        )
        loss.backward()  # type: ignore[no-untyped-call]
        ends_epoch = self.step + 1 == config.steps_per_epoch
        before = layer_values(self.network) if ends_epoch else {}
        self.optimiser.step()
        if ends_epoch:
            self.moved = largest_move(before, layer_values(self.network))
        self._average()
        self.loss_sum += loss.detach()
        self.images += rows.size
        self.step += 1
        look = self.step % CHECK_STEPS == 0 and device.type == "cpu"
        if look and not math.isfinite(float(self.loss_sum)):
            self.diagnosis = f"diverged: loss is not finite by step {self.step}"
        self.seconds += time.monotonic() - began

    def end_epoch(self) -> EpochResult:
        """Validate, keep the best weights, decide whether training goes on."""
        began = time.monotonic()
        self.epoch += 1
        loss = float(self.loss_sum) / self.step
        if self.diagnosis is None and not self._finite(loss):
            self.diagnosis = f"diverged: loss {loss} in epoch {self.epoch}"
        if self.diagnosis is None:
            self.diagnosis = self._examine(loss)
        self.averaged.eval()
        if isinstance(self.averaged, BackboneNetwork) and self.averaged.tail is not None:
            whiten(self.averaged, self.data.images, self.data.sampler.classes())
        scores = evaluate_tasks(self.averaged, self.data.validation, self.data.tasks)
        error = 1 - scores.accuracy
        if not self.curve or error < min(r.validation_error for r in self.curve):
            self.best = self._copy()
        work = 3 * self.config.shape().multiply_adds * self.images
        self.seconds += time.monotonic() - began
        peak = peak_bytes(self.data.images.device)
        result = EpochResult(
            self.epoch, loss, error, self.seconds, self.images, work, self.diagnosis, peak,
            self._figures(),
        )  # fmt: skip
        self.curve.append(result)
        self.step = 0
        self.loss_sum.zero_()
        best = min(self.curve, key=lambda r: (r.validation_error, r.epoch))
        self.finished = (
            self.epoch >= self.config.max_epochs
            or self.epoch - best.epoch >= self.config.patience
            or self.diagnosis is not None
        )
        return result

    def score_start(self) -> EpochResult:
        """Validate the start as it is; there is nothing else to do.

        An untrained network's batch normalisation needs running averages first.
        """
        began = time.monotonic()
        if self.config.batch_norm and self.config.start == "untrained":
            self._measure_statistics()
        error = 1 - evaluate_tasks(self.averaged, self.data.validation, self.data.tasks).accuracy
        seconds = time.monotonic() - began
        figures = self._figures()
        result = EpochResult(0, math.nan, error, seconds, 0, multiply_adds=0, metrics=figures)
        self.curve, self.finished, self.best = [result], True, self._copy()
        return result

    @torch.no_grad()
    def _measure_statistics(self) -> None:
        """Show batches of training images to the untrained network; no weight changes."""
        self.network.train()
        for _ in range(STATISTICS_STEPS):
            rows, _ = self.data.sampler.batch(self.config, self.chance)
            places = torch.from_numpy(rows).flatten().to(self.data.images.device)
            self.network.encode(to_input(take(self.data.images, places, self.config.views)))
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.eval()

    def _figures(self) -> Mapping[str, float]:
        """Measure the network once, at the end of the first epoch."""
        return self.measure(self.averaged) if self.measure and not self.curve else {}

    def _examine(self, loss: float) -> str | None:
        """Measure the network; return a diagnosis, None while it can learn."""
        images = self.data.validation
        probe = images[probe_rows(len(images)).to(images.device)]
        share = loss / chance_loss(self.config)
        self.network.eval()
        self.vitals.append(measure(self.network, probe, share, self.moved))
        return diagnose(self.vitals, self.config) if self.config.stop_untrainable else None

    def _finite(self, loss: float) -> bool:
        weights = all(bool(p.isfinite().all()) for p in self.network.parameters())
        return math.isfinite(loss) and weights

    @torch.no_grad()
    def _average(self) -> None:
        """Move the average towards the weights and running statistics; faster at the start."""
        if self.averaged is self.network:
            return
        steps = self.epoch * self.config.steps_per_epoch + self.step + 1
        stays = min(self.config.weight_averaging, steps / (steps + 10))
        torch._foreach_lerp_(_moving(self.averaged), _moving(self.network), 1 - stays)

    def _copy(self) -> dict[str, Tensor]:
        return {n: t.clone() for n, t in self.averaged.state_dict().items()}

    def checkpoint(self) -> Checkpoint:
        """Copy the whole state."""
        tensors = {f"weights.{n}": t for n, t in self.network.state_dict().items()}
        if self.averaged is not self.network:
            tensors |= {f"average.{n}": t for n, t in self.averaged.state_dict().items()}
        tensors |= self.optimiser.state()
        tensors |= {f"best.{n}": t for n, t in self.best.items()}
        tensors["generator.distortion"] = self.distortion.get_state()
        tensors["loss_sum"] = self.loss_sum
        state: dict[str, Any] = {
            "config": self.config.plain(),
            "seed": self.seed,
            "epoch": self.epoch,
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "finished": self.finished,
            "diagnosis": self.diagnosis,
            "vitals": [v.to_json() for v in self.vitals],
            "pairs": self.chance.bit_generator.state,
            "curve": [r.to_json() for r in self.curve],
        }
        return Checkpoint({n: _to_host(t) for n, t in tensors.items()}, state)

    @torch.no_grad()
    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state from a checkpoint of the same configuration.

        Raises:
            ValueError: It belongs to another configuration.
        """
        state, tensors = checkpoint.state, checkpoint.tensors
        if not checkpoint.belongs_to(self.config):
            raise ValueError("the checkpoint belongs to another configuration")
        for name, tensor in self.network.state_dict().items():
            tensor.copy_(tensors[f"weights.{name}"])
            self.best[name].copy_(tensors[f"best.{name}"])
        if self.averaged is not self.network:
            for name, tensor in self.averaged.state_dict().items():
                tensor.copy_(tensors[f"average.{name}"])
        self.optimiser.restore(tensors)
        _continue(self.distortion, tensors["generator.distortion"], self.seed)
        self.chance.bit_generator.state = state["pairs"]
        self.loss_sum.copy_(tensors["loss_sum"])
        self.epoch, self.step, self.images = state["epoch"], state["step"], state["images"]
        self.seconds, self.finished = state["seconds"], state["finished"]
        self.diagnosis = state["diagnosis"]
        self.vitals = [Vitals.from_json(values) for values in state.get("vitals", [])]
        self.curve = checkpoint.curve


def peak_bytes(device: torch.device) -> int | None:
    """Return the most memory of a card that this process has taken; None on the CPU."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


def _to_host(tensor: Tensor) -> Tensor:
    """Return a copy on the CPU."""
    return tensor.clone() if tensor.device.type == "cpu" else tensor.cpu()


def _moving(network: SiameseNetwork) -> list[Tensor]:
    """Return the values that training changes, but for the counts of batches."""
    return [*network.parameters(), *(b for b in network.buffers() if b.is_floating_point())]


def _continue(generator: torch.Generator, state: Tensor, seed: int) -> None:
    """Restore a CPU generator's state.

    Version 0.1.0 drew distortions on CUDA, whose state is a seed and a position, 16 bytes. It
    becomes a seed of its own: the distortions that follow are others, as likely as the old ones.
    """
    if state.numel() == generator.get_state().numel():
        generator.set_state(state)
        return
    place = int.from_bytes(bytes(state.tolist()), "little")
    generator.manual_seed(derive_seed(seed, "distortion", place))


def step_loss(
    network: SiameseNetwork,
    images: Tensor,
    rows: Tensor,
    labels: Tensor,
    distortion: Drawn | None,
    config: TrialConfig,
) -> Tensor:
    """Return the loss of one step, a scalar on the images' device; uses no randomness.

    Args:
        network: The network.
        images: All training images, uint8 [N, S, S].
        rows: Rows [P, 2] of independent pairs, [B] of a batch, or [K, C] for the softmax.
        labels: Same or not, [P], or the character of each image, [B].
        distortion: The distortion of each image, B counts all rows; None distorts nothing.
        config: Decides how pairs are formed.
    """
    batch = to_input(take(images, rows.flatten(), config.views))
    if distortion is not None:
        batch = distort(batch, distortion)
    with arithmetic(config, images.device):
        codes = network.encode(batch)
    smoothing = config.label_smoothing
    if config.pairs == "independent":
        first, second = codes.view(len(rows), 2, *codes.shape[1:]).unbind(1)
        return pair_loss(network.score(first, second), labels, smoothing)
    if config.loss == "softmax":
        drawings = torch.split(codes, rows.shape[1])
        blocks = [network.score_matrix(a, b) for a, b in combinations(drawings, 2)]
        return softmax_loss(blocks, smoothing)
    scores = network.score_matrix(codes, codes)
    same = (labels[:, None] == labels[None]).to(codes.dtype)
    distinct = 1 - torch.eye(len(labels), dtype=codes.dtype, device=codes.device)
    return batch_loss(scores, same, distinct, smoothing)
