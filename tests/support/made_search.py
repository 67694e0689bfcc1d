"""A study's folder of any size, written through the database as a search would, in seconds."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.data import Dataset
from hpsearch.paths import StudyFolder
from hpsearch.seeding import generator, trial_seed
from hpsearch.space.problem import SearchProblem
from hpsearch.study.plan import StudyPlan, plan_study, save_plan

NOWHERE = {"kind": "glyphs", "fingerprint": "f" * 64, "packed": "/nowhere", "source": None}


TABLES = (
    "trials (trial_id, number, study_id, state, datetime_start, datetime_complete)",
    "trial_params (trial_id, param_name, param_value, distribution_json)",
    "trial_values (trial_id, objective, value, value_type)",
    "trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)",
    "trial_user_attributes (trial_id, key, value_json)",
    "trial_system_attributes (trial_id, key, value_json)",
)
"""Optuna's, as far as a trial needs them."""


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
    study = optuna.create_study(storage=storage, study_name=plan.config.name)
    storage.engine.dispose()
    rng = generator(plan.config.seed, "a made study")
    problem = plan.problem
    count = made.trials + made.running
    trials = [_trial(plan, problem, made, number, rng) for number in range(count)]
    _insert(plan.folder.database, study._study_id, trials)
    for number in range(count):
        plan.folder.trial(number).root.mkdir(parents=True, exist_ok=True)
    return plan.folder


def _insert(database: Path, study_id: int, trials: list[FrozenTrial]) -> None:
    """Write trials straight into an empty study's tables: the storage takes 40 ms for each."""
    rows: dict[str, list[tuple[Any, ...]]] = {columns: [] for columns in TABLES}
    into = list(rows.values())
    texts = {d: distribution_to_json(d) for t in trials[:1] for d in t.distributions.values()}
    for place, trial in enumerate(trials, start=1):
        begun, ended = (t and str(t) for t in (trial.datetime_start, trial.datetime_complete))
        into[0].append((place, place - 1, study_id, trial.state.name, begun, ended))
        for name, value in trial.params.items():
            told = trial.distributions[name]
            into[1].append((place, name, told.to_internal_repr(value), texts[told]))
        if trial.value is not None:
            into[2].append((place, 0, trial.value, "FINITE"))
        into[3] += [(place, step, v, "FINITE") for step, v in trial.intermediate_values.items()]
        into[4] += [(place, key, json.dumps(v)) for key, v in trial.user_attrs.items()]
        into[5] += [(place, key, json.dumps(v)) for key, v in trial.system_attrs.items()]
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA synchronous=OFF")  # nobody cuts the power in a test
        for table, values in rows.items():
            marks = ", ".join("?" * (table.count(",") + 1))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
        connection.commit()


def _trial(
    plan: StudyPlan,
    problem: SearchProblem,
    made: Made,
    number: int,
    rng: np.random.Generator,
) -> FrozenTrial:
    params = problem.cube.params(rng.uniform(size=len(problem.cube.names)).tolist())
    shares = dict(zip(problem.cube.names, problem.cube.shares(params), strict=True))
    final = 0.25 + 0.4 * (shares["conv1.learning_rate"] - 0.7) ** 2 - 0.05 * shares["fc.width"]
    state, epochs = TrialState.COMPLETE, made.epochs
    if number >= made.trials:
        state, epochs = TrialState.RUNNING, max(1, made.epochs // 2)
    elif number % 10 in (3, 4, 5, 7, 8):
        state, epochs = TrialState.PRUNED, max(1, made.epochs // (2 + number % 2))
    elif number % 10 == 6:
        state, epochs = TrialState.FAIL, 0
    noise = rng.normal(0, 0.01, epochs)
    steps = np.arange(1, epochs + 1)
    curve = np.clip(final + 0.5 * np.exp(-3 * steps / made.epochs) + noise, 0.01, 0.95)
    ended = state != TrialState.RUNNING
    attributes: dict[str, Any] = {"origin": "tpe", "seed": trial_seed(plan.config.seed, number)}
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
