"""Syne Tune's ASHA with conformal quantile regression, the best it ships for many fidelities.

Reference:
    Salinas et al. (2023), "Optimizing Hyperparameters with Conformal Quantile Regression".
    https://syne-tune.readthedocs.io, `ASHACQR` and "Ask/tell interface".
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform
from syne_tune.optimizer.baselines import ASHACQR
from syne_tune.optimizer.scheduler import SchedulerDecision
from trainer import WORST, Trainer


def main() -> None:
    """Search until the trainer ends the process."""
    trainer = Trainer()
    np.random.seed(trainer.seed % 2**32)  # noqa: NPY002 - it draws brackets from the global one
    names = [f"x{k:02}" for k in range(trainer.dimensions)]
    scheduler = ASHACQR(
        {name: uniform(0.0, 1.0) for name in names},
        metric="error",
        time_attr="epoch",
        max_t=trainer.epochs,
        do_minimize=True,
        random_seed=trainer.seed,
    )
    number = 0
    while True:
        config = scheduler.suggest().config
        trial = Trial(number, config, datetime.now(UTC))
        number += 1
        scheduler.on_trial_add(trial)
        begun = trainer.begin([config[name] for name in names])
        for epoch in range(1, trainer.epochs + 1):
            error, failed = (WORST, True) if begun is None else trainer.train(begun, epoch)
            result = {"error": WORST if failed else error, "epoch": epoch}
            if epoch == trainer.epochs:
                scheduler.on_trial_complete(trial, result)
                break
            decision = scheduler.on_trial_result(trial, result)
            if failed or decision != SchedulerDecision.CONTINUE:
                scheduler.on_trial_remove(trial)
                break


if __name__ == "__main__":
    main()
