"""Calls the callbacks of a search from Python: what happened to a trial, in its order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hpsearch.app.callback import Callback
from hpsearch.app.watch import PlainLines, Watch
from hpsearch.driver.environment import Observer, TrialEvent
from hpsearch.errors import HpsearchError, InputError, one_line
from hpsearch.measure import Measure
from hpsearch.trial import TrialRecord


def as_shown(trial: TrialRecord, shown: Measure) -> TrialRecord:
    """Return a trial whose values are the user's: the search holds negatives of large ones."""
    if not shown.maximized:
        return trial
    return replace(
        trial,
        values={step: shown.of(value) for step, value in trial.values.items()},
        value=None if trial.value is None else shown.of(trial.value),
        result=None if trial.result is None else shown.of(trial.result),
    )


class _Calling(PlainLines):
    """Prints lines, and calls callbacks."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        super().__init__()
        self._callbacks = callbacks

    def event(self, event: TrialEvent) -> None:
        """Call the callbacks.

        Raises:
            InputError: One of them raised; the line names it.
        """
        trial = as_shown(event.trial, event.shown)
        for one in self._callbacks:
            name = f"on_{event.kind}"
            arguments: list[Any] = [trial]
            if event.result is not None:
                value = event.shown.of(event.result.validation_error)
                arguments += [event.result.epoch, value, event.result.metrics]
            try:
                getattr(one, name)(*arguments)
            except HpsearchError:
                raise
            except Exception as error:
                text = one_line(f"{type(error).__name__}: {error}")[:300]
                raise InputError(
                    f"callback {type(one).__name__}.{name}, trial {trial.number}: {text}; fix it, "
                    "then the same call goes on"
                ) from error


def calling(callbacks: Sequence[Callback]) -> Watch:
    """Return what opens an observer that prints lines and calls callbacks."""

    @contextmanager
    def watch(_name: str, _certificate: Mapping[str, Any] | None) -> Iterator[Observer]:
        yield _Calling(callbacks)

    return watch
