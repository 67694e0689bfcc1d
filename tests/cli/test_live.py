"""What a person sees of a search while it is at work."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from rich.live import Live

from hpsearch.cli.live import LiveView, duration, forecast_line
from hpsearch.search.forecast import Forecast
from hpsearch.search.history import TrialRecord
from hpsearch.search.progress import Progress, RunningTrial
from hpsearch.search.resource import Resource
from hpsearch.training.epoch import EpochResult
from tests.search.problems import shipped_study


def drawn(resource: str) -> str:
    """Return the table of a study with two running trials, the second four times as costly."""
    config = shipped_study("quickstart")
    pruner = config.pruner.model_copy(update={"resource": resource})
    config = config.model_copy(update={"pruner": pruner})
    epoch = EpochResult(4, 0.5, 0.4, 9.0, 6000, 1)
    costly = {"conv4.filter_count": 4 * config.trial.layers.convolutions["conv4"].filter_count}
    history = [
        TrialRecord(0, "complete", {}, {1: 0.3}, 0.3),
        TrialRecord(1, "running", {}, {4: 0.4}, 0.4),
        TrialRecord(2, "running", costly),
    ]
    running = {
        1: RunningTrial(1, time.monotonic() - 65, "cpu", epoch), 2: RunningTrial(2, time.monotonic()),
    }  # fmt: skip
    screen = io.StringIO()
    console = Console(file=screen, width=140, force_terminal=True, color_system=None)
    with Live(console=console, auto_refresh=False) as live:
        forecast = Forecast(15, 3600.0, 0.01, 0.02)
        progress = Progress.of(history, running, config, 130.0, 2, forecast)
        LiveView("a [bold]name", live).update(lambda: progress)
        live.refresh()
    length = Resource(resource, config.trial).length(costly)
    assert f"0/{length}" in screen.getvalue()
    assert (length < config.trial.max_epochs) == (resource == "compute")
    return screen.getvalue()


@pytest.mark.parametrize("resource", ["epochs", "compute"])
def test_the_live_view_shows_what_runs_how_far_and_what_is_left(resource: str) -> None:
    said = drawn(resource)
    for words in (
        "a [bold]name", "1/16 trials: 1 complete, 0 pruned, 0 failed | 2m10s at work, about 1h00m left",
        "expected gain up to 1.0 points", "best: trial 0, validation error 30.0% ± 2.0 (unconfirmed)",
        "4/16", "40.0%", "1m05s",
    ):  # fmt: skip
        assert words in said, said


def test_durations_and_an_unknown_forecast() -> None:
    assert [duration(s) for s in (12, 185, 7620)] == ["12s", "3m05s", "2h07m"]
    assert forecast_line(Forecast(None, None, None, None)) == ""
