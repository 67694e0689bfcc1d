"""Studies of thousands of trials, written straight into the tables, which takes no hours."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from optuna.distributions import distribution_to_json

from hpsearch.data import open_packed
from hpsearch.paths import StudyFolder
from hpsearch.seeding import generator, trial_seed
from hpsearch.storage.database import StudyRecord
from hpsearch.study.plan import plan_study, save_plan
from hpsearch.trial import TrialRecord

EPOCHS = 5


def large_study(
    output: Path, file: Path, packed: Path, count: int, **changes: object
) -> StudyFolder:
    """Write a study of finished trials with random parameters of its space.

    Args:
        output: The study's folder.
        file: The study file.
        packed: The packed data set it runs on.
        count: Trials.
        changes: Settings of the study, __ for a dot.
    """
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    plan = plan_study(str(file), output, settings)
    data = open_packed(packed)
    facts = {"kind": data.kind, "fingerprint": data.fingerprint, "packed": str(packed)}
    save_plan(
        plan,
        {
            **facts,
            "source": None,
            "ways": 5,
            "n_tasks": data.size.runs * 5,
            "description": "images",
        },
    )
    record = StudyRecord(plan.folder, plan.config.name)
    record.close()
    problem = plan.problem
    distributions = plan.space.distributions()
    texts = {name: distribution_to_json(one) for name, one in distributions.items()}
    rng = generator(0, "large study")
    trials, params, values, epochs, seeds = [], [], [], [], []
    for number in range(count):
        begun = f"2026-01-01 00:00:{number % 60:02}.{number:06}"
        trials.append((number + 1, number, 1, "COMPLETE", begun, begun))
        seeds.append((number + 1, "seed", str(trial_seed(plan.config.seed, number))))
        curve = 0.9 - 0.1 * rng.random(EPOCHS).cumsum() * rng.random()
        values.append((number + 1, 0, float(curve.min()), "FINITE"))
        epochs += [(number + 1, e + 1, float(v), "FINITE") for e, v in enumerate(curve)]
        reached = {e + 1: float(v) for e, v in enumerate(curve)}
        chosen = problem.cube.params(rng.random(len(problem.free)).tolist())
        for name, distribution in distributions.items():
            stored = distribution.to_internal_repr(chosen[name])
            params.append((number + 1, name, stored, texts[name]))
        ended = TrialRecord(number, "complete", chosen, reached, float(curve.min()))
        result = plan.folder.trial(number).result
        result.parent.mkdir(parents=True)
        result.write_text(json.dumps({"trial": ended.to_json()}))
    with closing(sqlite3.connect(plan.folder.database)) as connection:
        for table, columns, rows in (
            (
                "trials",
                "trial_id, number, study_id, state, datetime_start, datetime_complete",
                trials,
            ),
            ("trial_params", "trial_id, param_name, param_value, distribution_json", params),
            ("trial_user_attributes", "trial_id, key, value_json", seeds),
            ("trial_values", "trial_id, objective, value, value_type", values),
            (
                "trial_intermediate_values",
                "trial_id, step, intermediate_value, intermediate_value_type",
                epochs,
            ),
        ):
            marks = ", ".join("?" for _ in columns.split(","))
            connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
        connection.commit()
    return plan.folder


def describe(folder: StudyFolder) -> dict[str, object]:
    """Return what dataset.json holds."""
    facts: dict[str, object] = json.loads(folder.dataset.read_text())
    return facts
