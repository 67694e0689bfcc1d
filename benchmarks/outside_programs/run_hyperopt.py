"""Hyperopt's TPE by `fmin`; it knows no pruning.

Reference: https://hyperopt.github.io/hyperopt, "Basic tutorial".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hyperopt import STATUS_FAIL, STATUS_OK, fmin, hp, tpe
from trainer import Trainer


def main() -> None:
    """Search until the trainer ends the process."""
    trainer = Trainer()

    def objective(point: list[float]) -> dict[str, Any]:
        trial = trainer.begin(point)
        if trial is None:
            return {"status": STATUS_FAIL}
        error, diverged = trainer.train(trial, trainer.epochs)
        return {"status": STATUS_FAIL} if diverged else {"status": STATUS_OK, "loss": error}

    fmin(
        objective,
        [hp.uniform(f"x{k:02}", 0.0, 1.0) for k in range(trainer.dimensions)],
        algo=tpe.suggest,
        max_evals=100_000,
        rstate=np.random.default_rng(trainer.seed),
        show_progressbar=False,
        verbose=False,
    )


if __name__ == "__main__":
    main()
