"""Writes a search for TensorBoard: one run per trial, with its values, metrics and parameters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.app.callback import Callback
from hpsearch.errors import InputError
from hpsearch.paths import user_path

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    from hpsearch.trial import TrialRecord

VALUE = "value"
RESULT = "result"
"""The tag of a trial's final value, which the table of parameters shows."""


class TensorBoard(Callback):
    """A callback that writes TensorBoard's event files; needs the extra tensorboard."""

    def __init__(self, folder: str | Path) -> None:
        """Prepare; `tensorboard --logdir FOLDER` shows what is written.

        Args:
            folder: Where the runs go, one folder for each trial.

        Raises:
            InputError: TensorBoard is not installed.
        """
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise InputError(
                "TensorBoard is not installed; make install-cluster, or pip install "
                "'tensorboard>=2.15'"
            ) from None
        self._folder = user_path(folder)
        self._writers: dict[int, EventFileWriter] = {}

    def on_trial_start(self, trial: TrialRecord) -> None:
        """Open the trial's run."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if trial.number not in self._writers:
            place = self._folder / f"{trial.number:05d}"
            self._writers[trial.number] = EventFileWriter(str(place))

    def on_report(
        self, trial: TrialRecord, step: int, value: float, metrics: Mapping[str, float]
    ) -> None:
        """Write the step's value and metrics."""
        self._write(trial, {VALUE: value, **metrics}, step)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Write the trial's parameters and its final value; close its run."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self.on_trial_start(trial)  # one that was ended before it went on
        if trial.value is not None:
            self._write(trial, {RESULT: trial.value}, trial.last_epoch)
        writer = self._writers.pop(trial.number)
        summary = hparams_pb(dict(trial.params), trial_id=f"trial {trial.number}")
        writer.add_event(Event(wall_time=time.time(), summary=summary))
        writer.close()

    def _write(self, trial: TrialRecord, figures: Mapping[str, float], step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=one) for tag, one in figures.items()]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        self._writers[trial.number].add_event(event)
