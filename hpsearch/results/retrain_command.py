"""Runs an exported command in full: its checkpoint folder and its result are the model.

Knows executors by their interface only. The same command goes on where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from hpsearch.configfile import Section, load_section, read_yaml
from hpsearch.driver.progress import RunningTrial
from hpsearch.driver.trainings import Trainings
from hpsearch.errors import InputError
from hpsearch.execution import Ended, Ending, Executor, Job
from hpsearch.json_files import Metrics
from hpsearch.measure import Measure
from hpsearch.paths import write_atomically
from hpsearch.records import dump_record, read_or_none
from hpsearch.results.retrain import Certified, against_certificate, describe
from hpsearch.trainers.command import CommandTrainer, CommandTrial
from hpsearch.trainers.recipe import is_command


class Place(Section):
    """Where a command runs, and how long and large it may become."""

    directory: str = "."
    """From the file's folder."""
    time_limit_s: float | None = Field(None, gt=0)
    memory_gb: float | None = Field(None, gt=0)


class ExportedCommand(Section):
    """The part of best.yaml that running a command needs; the rest is for the reader."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    """Version of the file's layout."""
    trial: int = Field(0, ge=0)
    """The trial's number."""
    seed: int = Field(0, ge=0)
    """The trial's seed."""
    measure: str = "value"
    """What its value is."""
    direction: Literal["minimize", "maximize"] = "minimize"
    """Whether it shall be small or large."""
    run: Place = Place()
    """Where and within which limits it runs."""
    mark: str | None = None
    """The mark of the user who exported it, on command, directory and parameters."""
    certificate: Certified | None = None
    """Result of `hpsearch confirm`; None while unconfirmed."""
    provenance: dict[str, Any] | None = None
    """Software and machine of the trial."""

    @property
    def shown(self) -> Measure:
        """How values are shown."""
        return Measure(self.measure, maximized=self.direction == "maximize", share=False)

    def trainer(self, config: CommandTrial) -> CommandTrainer:
        """Return its command as a study's trainer."""
        own = config.model_dump(exclude={"parameters"})
        return CommandTrainer(**own, **self.run.model_dump())


def holds_command(path: Path) -> bool:
    """Return whether a file holds a command and its parameters.

    Raises:
        InputError: It is missing or no YAML.
    """
    values = read_yaml(path)
    return is_command(values.get("config", values))


def read_command(path: Path) -> tuple[ExportedCommand, CommandTrial]:
    """Read best.yaml of a command, or a trial's config.yaml; its directory becomes absolute.

    Raises:
        InputError: The file is missing or is neither of them, or the directory is no folder.
    """
    values = read_yaml(path)
    bare = "config" not in values
    config = CommandTrial.from_values(values if bare else values["config"], str(path))
    exported = load_section(ExportedCommand, {} if bare else values, path)
    directory = (path.parent / exported.run.directory).resolve()
    if not directory.is_dir():
        raise InputError(
            f"{path}: run.directory: {directory} is no folder; name the one in which the program "
            "runs"
        )
    run = exported.run.model_copy(update={"directory": str(directory)})
    return exported.model_copy(update={"run": run}), config


class CommandTraining(Trainings):
    """Runs one command to its end."""

    def __init__(
        self,
        exported: ExportedCommand,
        config: CommandTrial,
        output: Path,
        executor: Executor,
        tell: Callable[[str], None],
        interrupted: Callable[[], int],
    ) -> None:
        """Prepare; `run` raises EnvironmentFailure if the program fails.

        Args:
            exported: The content of best.yaml, with the seed to run with.
            config: The command, with its parameters and steps.
            output: The model folder, which `begin` has made.
            executor: Runs it; closed by the caller.
            tell: Prints a one-line message.
            interrupted: Returns the number of interrupts so far.
        """
        super().__init__(executor, tell, interrupted)
        self._exported, self._config, self._output = exported, config, output
        self._waiting = [] if read_metrics(output) else [exported.trial]

    def _over(self) -> str | None:
        return None if self._waiting or self._running else "it has ended"

    def _name(self, number: int) -> str:
        return f"trial {number}"

    def _job(self, number: int) -> Job:
        exported = self._exported
        maximize = exported.direction == "maximize"
        job = Job(
            trial=number,
            config=self._config.plain(),
            seed=exported.seed,
            data=Path(),
            study_seed=exported.seed,
            checkpoint=self._output / "checkpoint",
            run={**exported.run.model_dump(), "maximize": maximize},
        )
        return self._known(job)

    def _shown(self) -> None:
        shown = self._exported.shown
        for running in self._running.values():
            if last := running.last:
                value = f"{shown.name} {shown.text(last.validation_error)}"
                self._tell(f"step {last.epoch}/{self._config.max_steps}: {value}")

    def _ended_well(self, running: RunningTrial, event: Ended) -> bool:
        finite = [one for one in running.curve if one.finite]
        if not finite or event.ending is Ending.DIAGNOSED:
            raise InputError(
                f"{self._output}: the program ended without a usable value "
                f"({event.cause or 'it reported none'}); export another trial, or name another "
                "--seed and --output"
            )
        shown, best = self._exported.shown, min(one.validation_error for one in finite)
        value = shown.of(best if event.result is None else event.result)
        metrics = {
            "value": value,
            "measure": shown.name,
            "direction": self._exported.direction,
            "epochs": len(finite),
            "seconds": round(running.curve[-1].seconds, 2),
            "curve": [
                {
                    "step": one.epoch,
                    "value": shown.of(one.validation_error),
                    "metrics": one.metrics,
                }
                for one in finite
            ],
            "provenance": dict(running.provenance),
        }
        write_atomically(self._output / "metrics.json", dump_record(metrics))
        return True


def read_metrics(output: Path) -> dict[str, Any] | None:
    """Return the result in a model folder; None while there is none or if it is damaged."""
    return read_or_none(output / "metrics.json", Metrics)


def begin(
    exported: ExportedCommand,
    config: CommandTrial,
    output: Path,
    aside: Callable[[str], None] | None,
) -> None:
    """Write the model folder's config.yaml.

    Args:
        exported: The content of best.yaml, with the seed to run with.
        config: The command, with its parameters and steps.
        output: The model folder; one that was begun with the same settings continues.
        aside: Called with a message when another model in the folder was renamed; None refuses
            to rename it.

    Raises:
        InputError: The folder holds another model.
    """
    kept = ("seed", "measure", "direction")
    description = {"format": 1, **{key: getattr(exported, key) for key in kept}}
    description |= {"directory": exported.run.directory, "config": config.plain()}
    describe(output, description, aside)


def certified(
    exported: ExportedCommand, metrics: dict[str, Any], *, as_found: bool
) -> dict[str, Any]:
    """Return whether a result lies in the certificate's interval of one training."""
    return against_certificate(metrics["value"], exported.certificate, as_found=as_found)
