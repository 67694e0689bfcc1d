"""Search a small convolutional network of PyTorch, with early stopping and checkpoints.

    python examples/digits_cnn.py [TRIALS]

A trial that was interrupted, or whose process was killed, goes on after its last epoch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hpsearch

if TYPE_CHECKING:
    import torch

    from hpsearch.trainer import Trial
    from hpsearch.trial import TrialRecord

EPOCHS = 6
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
    "filters": {"type": "int", "low": 4, "high": 32, "log": True},
    "dropout": {"type": "float", "low": 0, "high": 0.6},
}


def network(filters: int, dropout: float) -> torch.nn.Module:
    """Return a network for images of 8 x 8 pixels."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(filters, 2 * filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(dropout), nn.Linear(8 * filters, 10),
    )  # fmt: skip


def train(
    learning_rate: float, filters: int, dropout: float, trial: Trial
) -> Iterator[tuple[int, float, dict[str, float]]]:
    """Yield epoch, validation error and loss."""
    import torch
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(labels)
    known, new = slice(0, 1200), slice(1200, None)

    torch.manual_seed(trial.seed)
    model = network(filters, dropout)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    state, done = trial.checkpoint / "state.pt", 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        done = saved["epoch"]

    for epoch in range(done + 1, trial.max_steps + 1):
        model.train()
        order = torch.randperm(1200, generator=torch.Generator().manual_seed(trial.seed + epoch))
        total = 0.0
        for batch in order.split(64):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[known][batch]), y[known][batch])
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        model.eval()
        with torch.no_grad():
            error = (model(x[new]).argmax(1) != y[new]).float().mean().item()
        yield epoch, error, {"loss": total / 1200}
        aside = state.with_suffix(".tmp")  # a kill must not leave half a file
        saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch}
        torch.save(saved, aside)
        aside.replace(state)


class Follow(hpsearch.Callback):
    """Prints how trials end."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Print one line."""
        print(f"trial {trial.number} {trial.state} after {len(trial.values)} epochs")


def main(trials: str = "20") -> None:
    """Search, and print the best network."""
    study = hpsearch.search(
        train, SPACE, trials=int(trials), max_steps=EPOCHS, measure="error",
        output="runs/cnn", callbacks=[Follow()],
    )  # fmt: skip
    best = study.best
    if best is not None:
        print(f"best of {len(study.trials)}: error {best.value:.4f} with {dict(best.params)}")


if __name__ == "__main__":  # trials load this file; they must not search
    main(*sys.argv[1:])
