"""Records real trials into a table: `python -m benchmarks.record STUDY --table FILE`.

Continuable: trials the table holds are left alone. One thread; seconds are the process's own
processor time, so a busy machine does not distort them.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
import time
from pathlib import Path

from benchmarks.design import Design
from benchmarks.table import COMPLETE, RecordedTrial, read_table, write_table
from hpsearch.data import open_packed
from hpsearch.sources.find import find_dataset
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig
from hpsearch.study.plan import plan_study
from hpsearch.training.config import TrialConfig
from hpsearch.trial import Value


def main() -> None:
    """Record the trials that the table lacks, in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="study file: space, trial, limits, dataset and seed count")
    parser.add_argument("--table", type=Path, required=True, help="CSV file, .gz compresses it")
    parser.add_argument("--trials", type=int, default=600, help="trials the table shall hold")
    parser.add_argument("--data", type=Path, help="as for hpsearch search")
    parser.add_argument("--share", default="1/1", help="K/N: every N-th trial, from the K-th on")
    options = parser.parse_args()
    plan = plan_study(options.study, Path("build/record"), {})
    table = Growing(options.table, plan.space)
    first, every = (int(part) for part in options.share.split("/"))
    config = plan.config
    problem = plan.problem
    design = Design(problem, config)
    recorder = Recorder(config, options.data)
    for number in range(first - 1, options.trials, every):
        if number in table.trials():
            continue
        trial = recorder.record(number, design.params(number), design.trial_seed(number))
        table.add(trial)
        sys.stdout.write(
            f"trial {number}: {trial.outcome}, error {trial.best:.3f}, {trial.seconds[-1]:.1f} s\n"
        )
        sys.stdout.flush()


class Growing:
    """A table that several recording processes, each with its share, may add to."""

    def __init__(self, path: Path, space: SearchSpace) -> None:
        """Note where it is; the file appears with the first trial."""
        self._path, self._space = path, space

    def trials(self) -> dict[int, RecordedTrial]:
        """Return the trials so far by number."""
        if not self._path.exists():
            return {}
        return {t.trial: t for t in read_table(self._path, self._space).trials}

    def add(self, trial: RecordedTrial) -> None:
        """Write the table with one trial more; others wait meanwhile."""
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_table(self._path, [*self.trials().values(), trial])


class Recorder:
    """Trains configurations on one thread and notes their curves."""

    def __init__(self, config: StudyConfig, data: Path | None) -> None:
        """Load the data once; every trial sees the same validation tasks."""
        import torch

        from hpsearch.training.trainingdata import TrainingData

        torch.set_num_threads(1)
        packed = find_dataset(config.dataset, data).folder
        self._base = config.trial
        self._data = TrainingData.from_dataset(
            open_packed(packed), config.trial, study_seed=config.seed
        )

    def record(self, number: int, params: dict[str, Value], seed: int) -> RecordedTrial:
        """Train one configuration to its end."""
        from hpsearch.training.loop import train

        config: TrialConfig = self._base.with_parameters(dict(params))
        began = time.process_time()
        errors, seconds, outcome = [], [], COMPLETE
        for epoch in train(config, self._data, seed):
            errors.append(epoch.result.validation_error)
            seconds.append(time.process_time() - began)
            if epoch.result.diagnosis:
                outcome = epoch.result.diagnosis.split(":")[0]
        return RecordedTrial(number, params, tuple(errors), tuple(seconds), outcome)


if __name__ == "__main__":
    main()
