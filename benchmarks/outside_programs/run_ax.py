"""Ax's service client: Sobol points, then Bayesian optimisation by BoTorch, with early stopping.

Reference: https://ax.dev/docs, "Ask-tell optimization" and "Trial-level early stopping".
"""

from __future__ import annotations

import logging

from ax.api.client import Client
from ax.api.configs import RangeParameterConfig
from trainer import Trainer


def main() -> None:
    """Search until the trainer ends the process."""
    trainer = Trainer()
    logging.disable(logging.WARNING)
    names = [f"x{k:02}" for k in range(trainer.dimensions)]
    client = Client(random_seed=trainer.seed)
    client.configure_experiment(
        parameters=[
            RangeParameterConfig(name=name, parameter_type="float", bounds=(0.0, 1.0))
            for name in names
        ]
    )
    client.configure_optimization(objective="-error")
    while True:
        for index, point in client.get_next_trials(max_trials=1).items():
            trial = trainer.begin([float(point[name]) for name in names])
            train(trainer, client, index, trial)


def train(trainer: Trainer, client: Client, index: int, trial: int | None) -> None:
    """Train one trial to its end, or until Ax says it should stop."""
    if trial is None:
        client.mark_trial_failed(index)
        return
    for epoch in range(1, trainer.epochs + 1):
        error, diverged = trainer.train(trial, epoch)
        if diverged:
            client.mark_trial_failed(index)
            return
        client.attach_data(index, {"error": error}, progression=epoch)
        if epoch < trainer.epochs and client.should_stop_trial_early(index):
            client.mark_trial_early_stopped(index)
            return
    client.complete_trial(index)


if __name__ == "__main__":
    main()
