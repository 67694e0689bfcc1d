"""A study's folder of any size, written through the database as a search would, in seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event

from hpsearch.data import Dataset
from hpsearch.paths import StudyFolder
from hpsearch.search.coordinates import Coordinates
from hpsearch.search.study_folder import StudyPlan, plan_study, save_plan
from hpsearch.seeding import generator

NOWHERE = {"kind": "glyphs", "fingerprint": "f" * 64, "packed": "/nowhere", "source": None}


@dataclass(frozen=True)
class Made:
    """What the study holds.

    Args:
        trials: Ended trials; a pruned, a failed and a diverged one among each ten.
        epochs: Reports of a complete trial.
        running: Trials that still run, after the ended ones.
        settings: Of the study file, by path.
        causes: What the failed and the diverged trials say.
        audits: Whether the third complete trial of each ten is one the pruner would have ended.
    """

    trials: int
    epochs: int = 6
    running: int = 0
    settings: tuple[tuple[str, Any], ...] = ()
    causes: str = "made up"
    audits: bool = False


def write_search(root: Path, made: Made, dataset: Dataset | None = None) -> StudyFolder:
    """Write the study; its error falls with conv1.learning_rate, and a little with fc.width."""
    changes = {"trial.max_epochs": made.epochs, "budget.trials": 10_000, **dict(made.settings)}
    plan = plan_study("quickstart", root, changes)
    described = (
        NOWHERE
        if dataset is None
        else {
            "kind": dataset.kind,
            "fingerprint": dataset.fingerprint,
            "packed": str(dataset.folder),
            "source": None,
            "description": dataset.description,
        }
    )
    save_plan(plan, {**described, "ways": 20, "n_tasks": 320})
    storage = RDBStorage(f"sqlite:///{plan.folder.database}")
    engine = storage.engine
    # Nobody cuts the power in a test: no write waits for the disk.
    event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
    engine.dispose()
    study = optuna.create_study(storage=storage, study_name=plan.config.name)
    chance = generator(plan.config.seed, "a made study")
    problem = Coordinates(plan.space, plan.config.trial, plan.config.limits)
    for number in range(made.trials + made.running):
        trial = _trial(plan, problem, made, number, chance)
        storage.create_new_trial(study._study_id, trial)
    engine.dispose()
    for number in range(made.trials + made.running):
        (plan.folder.trial(number).root).mkdir(parents=True, exist_ok=True)
    return plan.folder


def _trial(
    plan: StudyPlan,
    problem: Coordinates,
    made: Made,
    number: int,
    chance: np.random.Generator,
) -> FrozenTrial:
    params = problem.cube.params(chance.uniform(size=len(problem.cube.names)).tolist())
    shares = dict(zip(problem.cube.names, problem.cube.shares(params), strict=True))
    final = 0.25 + 0.4 * (shares["conv1.learning_rate"] - 0.7) ** 2 - 0.05 * shares["fc.width"]
    state, epochs = TrialState.COMPLETE, made.epochs
    if number >= made.trials:
        state, epochs = TrialState.RUNNING, max(1, made.epochs // 2)
    elif number % 10 in (3, 4, 5, 7, 8):
        state, epochs = TrialState.PRUNED, max(1, made.epochs // (2 + number % 2))
    elif number % 10 == 6:
        state, epochs = TrialState.FAIL, 0
    noise = chance.normal(0, 0.01, epochs)
    steps = np.arange(1, epochs + 1)
    curve = np.clip(final + 0.5 * np.exp(-3 * steps / made.epochs) + noise, 0.01, 0.95)
    ended = state != TrialState.RUNNING
    attributes: dict[str, Any] = {"origin": "tpe", "seed": number}
    system = {}
    if ended and epochs:
        cost = plan.config.trial.with_parameters(dict(params)).shape().multiply_adds
        images = 6000 * epochs
        attributes |= {"epochs": epochs, "seconds": 1e-9 * images * cost, "images": images}
        attributes["multiply_adds"] = 3 * cost * images
    if number % 10 in (6, 8):
        attributes["cause"] = made.causes
    if made.audits and number % 10 == 2:
        attributes["audit"] = made.epochs // 2
    if number % 10 == 8:
        system["constraints:trainable"] = 1.0
    told = state in (TrialState.COMPLETE, TrialState.PRUNED)
    return create_trial(
        state=state,
        value=float(curve.min()) if told else None,
        params=params,
        distributions=plan.space.distributions(),
        intermediate_values=dict(zip(steps.tolist(), curve.tolist(), strict=True)),
        user_attrs=attributes,
        system_attrs=system,
    )


def write_lines(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a file of JSON lines."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
