"""SMAC3's multi-fidelity facade: random forests under Hyperband, epochs as the budget.

Reference: https://automl.github.io/SMAC3, "Multi-Fidelity Optimization".
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace, Float
from smac import MultiFidelityFacade, Scenario
from trainer import WORST, Trainer


def main() -> None:
    """Search until the trainer ends the process."""
    trainer = Trainer()
    names = [f"x{k:02}" for k in range(trainer.dimensions)]
    space = ConfigurationSpace(seed=trainer.seed)
    space.add([Float(name, (0.0, 1.0)) for name in names])
    trials: dict[Any, int | None] = {}

    def objective(config: Any, seed: int = 0, budget: float = 0.0) -> float:  # noqa: ARG001
        if config not in trials:
            trials[config] = trainer.begin([config[name] for name in names])
        trial = trials[config]
        if trial is None:
            return WORST
        error, diverged = trainer.train(trial, round(budget))
        return WORST if diverged else error

    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            space,
            deterministic=True,
            n_trials=100_000,
            min_budget=1,
            max_budget=trainer.epochs,
            seed=trainer.seed,
            output_directory=Path(folder),
        )
        MultiFidelityFacade(scenario, objective, overwrite=True, logging_level=False).optimize()


if __name__ == "__main__":
    main()
