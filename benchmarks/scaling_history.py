"""Fills a study's database with trials that never ran, in one transaction."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState

from hpsearch.storage.database import StudyRecord
from hpsearch.study.plan import StudyPlan


@dataclass(frozen=True)
class Filling:
    """How many finished trials, how many running ones, and the epochs of a finished one."""

    finished: int
    running: int
    epochs: int


def fill(plan: StudyPlan, filling: Filling) -> None:
    """Write the trials; a tenth of the finished ones are complete, the others pruned."""
    record = StudyRecord(plan.folder, plan.config.name, measure=plan.config.shown.stored)
    problem = plan.problem
    distributions = plan.space.distributions()
    texts = {name: distribution_to_json(d) for name, d in distributions.items()}
    rng = np.random.default_rng(0)
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    kinds = ("trial", "param", "epoch", "value")
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in kinds}
    finite = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    for number in range(filling.finished + filling.running):
        trial_id, done = number + 1, number < filling.finished
        complete = done and number % 10 == 0
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        row = {"trial_id": trial_id, "number": number, "study_id": record.study_id}
        ended = {"state": state if done else TrialState.RUNNING}
        times = {"datetime_start": now, "datetime_complete": now if done else None}
        rows["trial"].append({**row, **ended, **times})
        params = problem.cube.params(rng.random(len(problem.free)).tolist())
        for name, value in params.items():
            inner = distributions[name].to_internal_repr(value)
            param = {"trial_id": trial_id, "param_name": name, "param_value": inner}
            rows["param"].append({**param, "distribution_json": texts[name]})
        if not done:
            continue
        error = 0.2 + 0.5 * float(rng.random())
        for epoch in range(1, (filling.epochs if complete else 5) + 1):
            value = error + 0.2 * float(np.exp(-epoch / 10))
            report = {"trial_id": trial_id, "step": epoch, "intermediate_value": value}
            rows["epoch"].append({**report, "intermediate_value_type": finite})
        kind = models.TrialValueModel.TrialValueType.FINITE
        best = {"trial_id": trial_id, "objective": 0, "value": value, "value_type": kind}
        rows["value"].append(best)
    tables = {
        "trial": models.TrialModel,
        "param": models.TrialParamModel,
        "epoch": models.TrialIntermediateValueModel,
        "value": models.TrialValueModel,
    }
    with record.storage.engine.begin() as connection:
        for name, table in tables.items():
            if rows[name]:
                connection.execute(table.__table__.insert(), rows[name])
    record.close()
    for number in range(filling.finished, filling.finished + filling.running):
        trial = plan.folder.trial(number)
        trial.root.mkdir(parents=True)
        trial.config.write_text("# as a driver that was killed has left it\n")
