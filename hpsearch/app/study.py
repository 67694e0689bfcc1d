"""A study from Python: what a search found, and what can be done with it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.app.calling import as_shown
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.interpreter import python_command
from hpsearch.paths import StudyFolder, user_path
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.plan import find_study
from hpsearch.trial import TrialRecord, Value

if TYPE_CHECKING:
    import pandas


class Study:
    """A study's folder. Each property reads what is there now; a search may be running.

    Values are as the program reported them, also where large ones are searched for.
    """

    def __init__(self, folder: Path) -> None:
        """Name a folder; `open` checks it."""
        self._files = StudyFolder(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open a study's folder.

        Args:
            folder: The folder, or a study file whose search has begun.

        Raises:
            InputError: There is no study.
        """
        study = cls(find_study(str(user_path(folder))).root)
        read_study(study._files)
        return study

    def __repr__(self) -> str:
        """Return the call that opens it."""
        return f"Study.open({str(self.folder)!r})"

    @property
    def folder(self) -> Path:
        """The study's folder; every command takes it."""
        return self._files.root

    @property
    def trials(self) -> Sequence[TrialRecord]:
        """All trials, by number."""
        view = self._view()
        return [as_shown(trial, view.config.shown) for trial in view.trials]

    @property
    def best(self) -> TrialRecord | None:
        """The confirmed best, else the complete trial with the best value; None before one."""
        from hpsearch.confirm.certificate import best_of

        view = self._view()
        best, _ = best_of(view)
        return None if best is None else as_shown(best, view.config.shown)

    @property
    def confirmed(self) -> bool:
        """Whether `confirm` has confirmed the best trial."""
        from hpsearch.confirm.certificate import best_of

        return best_of(self._view())[1] is not None

    @property
    def front(self) -> Sequence[TrialRecord]:
        """With several objectives the complete trials that no other dominates, lowest error first.

        Empty with one objective.
        """
        from hpsearch.confirm.front import front

        view = self._view()
        return front(view) if view.config.goals.several else []

    def trials_dataframe(self) -> pandas.DataFrame:
        """Return the trials as a table of pandas, one row for each.

        Returns:
            Columns number, value, state, params_NAME for each parameter, steps, seconds, cause.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError(
                "pandas is not installed; make install-cluster, or pip install 'pandas>=2.1', or "
                "use Study.trials"
            ) from None
        trials = self.trials
        names = dict.fromkeys(name for trial in trials for name in trial.params)
        rows = [
            {
                "number": trial.number,
                "value": trial.value,
                "state": trial.state,
                **{f"params_{name}": trial.params.get(name) for name in names},
                "steps": len(trial.values),
                "seconds": trial.seconds,
                "cause": trial.cause,
            }
            for trial in trials
        ]
        columns = ["number", "value", "state", *(f"params_{name}" for name in names)]
        return pandas.DataFrame(rows, columns=[*columns, "steps", "seconds", "cause"])

    def confirm(self, top: int = 5, seeds: int = 3, workers: int | None = None) -> dict[str, Any]:
        """Train the best few again with fresh seeds, as `hpsearch confirm` does.

        Args:
            top: How many, from 2.
            seeds: Trainings of each, from 2; the same call with more continues.
            workers: Trainings at the same time; None as in the study.

        Returns:
            The certificate.

        Raises:
            InputError: The study cannot be confirmed.
            EnvironmentFailure: The environment failed; the same call continues.
        """
        from hpsearch.confirm.certificate import read_certificate

        many = [] if workers is None else ["--workers", str(workers)]
        self._command("confirm", "--top", str(top), "--seeds", str(seeds), *many)
        certificate = read_certificate(self._files)
        if certificate is None:
            raise EnvironmentFailure(f"{self.folder}: no certificate was written; call it again")
        return dict(certificate)

    def _command(self, name: str, *words: str) -> None:
        """Run a command on this study; its lines are printed as they come."""
        line = python_command("hpsearch", name, *words, "--", str(self.folder))
        done = subprocess.run(line, check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            kind = InputError if done.returncode == 2 else EnvironmentFailure
            raise kind(last.removeprefix("hpsearch: "))

    def export(self, trial: int | None = None, output: str | Path | None = None) -> Path:
        """Write best.yaml, which trains or runs without the study; return its path.

        Args:
            trial: Number of a trial; None takes the best.
            output: The file; None means the study's best.yaml.

        Raises:
            InputError: There is no such trial, or none is complete.
        """
        from hpsearch.results.export import export_best

        return export_best(self._files, trial, None if output is None else user_path(output)).path

    def report(self, output: str | Path | None = None) -> Path:
        """Write the report, one page that needs no network; return its path.

        Args:
            output: The file; None means the study's report.html.

        Raises:
            InputError: The file is another's.
        """
        from hpsearch.report import write_report

        return write_report(self._files, None if output is None else user_path(output))

    def enqueue(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """Ask for a trial of a configuration; the running search tries it next, else the next one.

        Args:
            params: Parameters by name. What they leave out is as in the study file's `enqueue`.

        Returns:
            The parameters that will be tried, completed and moved into their ranges.

        Raises:
            InputError: A parameter or a value is unknown, or the configuration was tried.
        """
        from hpsearch.app.requests import enqueue

        return enqueue(self._files, params)

    def stop_trial(self, number: int) -> None:
        """Ask the search to end a trial after its next report, as pruned.

        Args:
            number: The trial.

        Raises:
            InputError: There is no such trial, or it has ended.
        """
        from hpsearch.app.requests import stop_trial

        stop_trial(self._files, number)

    def _view(self) -> StudyView:
        return read_study(self._files)
