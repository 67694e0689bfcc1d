"""What a person sees of a search while it is at work."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console
from rich.live import Live

from hpsearch.app.watch import PlainLines, forecast_line
from hpsearch.cli.bars import Forecast as Forecasting
from hpsearch.cli.live import LiveView, _best
from hpsearch.driver.forecast import Forecast, Gain, standard_error
from hpsearch.driver.progress import Progress, RunningTrial
from hpsearch.space.resource import Resource
from hpsearch.study.config import Budget
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import TrialRecord
from hpsearch.wording import duration
from tests.support.problems import shipped_study


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
        1: RunningTrial(1, 5.0, "cpu", (epoch,)), 2: RunningTrial(2, 70.0),
    }  # fmt: skip
    screen = io.StringIO()
    console = Console(file=screen, width=140, force_terminal=True, color_system=None)
    with Live(console=console, auto_refresh=False) as live:
        forecast = Forecast(15, 3600.0, Gain(0.01, (0.0, 0.03), 0.02, 0.5), 0.02)
        progress = Progress.of(history, running, config, 130.0, 2, forecast, now=70.0)
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
        "a [bold]name",
        "1/16 trials: 1 complete, 0 pruned, 0 failed | 2m10s at work, about 1h00m left",
        "expected gain 1.0 points",
        "best: trial 0, validation error 30.0 % [26.2, 34.1], unconfirmed",
        "4/16", "40.0 %", "1m05s", " % of the budget",
    ):  # fmt: skip
        assert words in said, said


def progress_of(history: list[TrialRecord], seconds: float = 130.0, **budget: float) -> Progress:
    config = shipped_study("quickstart")
    config = config.model_copy(update={"budget": Budget.model_validate(budget or {"trials": 16})})
    return Progress.of(history, {}, config, seconds, 2, Forecast(15, 370.0, None, 0.0))


def test_what_is_known_is_said_before_a_trial_is_complete() -> None:
    pruned = [
        TrialRecord(n, "pruned", {}, {1: 0.9, 2: 0.5 - n / 100}, 0.5 - n / 100) for n in range(3)
    ]
    dead = TrialRecord(3, "pruned", {}, {1: 0.1}, 0.1, trainable=False)
    assert _best(progress_of([])) == "no epoch has ended yet"
    assert _best(progress_of([*pruned, dead])) == (
        "no complete trial yet; lowest: trial 2 (pruned), validation error 48.0 % after 2 epochs"
    )


def test_a_best_at_zero_has_an_interval_within_0_and_1() -> None:
    done = progress_of([TrialRecord(0, "complete", {}, {1: 0.0}, 0.0)])
    error = standard_error(0.0, 320)
    known = replace(done, forecast=replace(done.forecast, standard_error=error))
    assert _best(known) == "best: trial 0, validation error 0.0 % [0.0, 1.2], unconfirmed"


def test_the_share_of_a_budget_in_trials_hours_or_computing() -> None:
    done = [TrialRecord(n, "complete", {}, {1: 0.3}, 0.3) for n in range(4)]
    assert progress_of(done).share == pytest.approx(4 / 16)
    assert progress_of(done, trials=16, hours=0.05).share == pytest.approx(130 / 180)
    assert progress_of(done, compute=1e12).share == pytest.approx(130 / 500)


def test_plain_lines_come_less_often_in_a_long_search(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines, progress = PlainLines(), progress_of([])
    for _ in range(4 * 3600 // 5):  # four hours
        now += 5
        lines.update(lambda: progress)
    told = capsys.readouterr().out.splitlines()
    assert 40 < len(told) < 150
    assert told[0].startswith("0 % | 0/16 trials: ")


def test_a_forecast_of_what_is_left() -> None:
    now = 100.0
    forecast = Forecasting(lambda: now)
    assert forecast.left(5, 25) == ""  # what was done before tells nothing
    now = 160.0
    assert forecast.left(10, 25) == "about 3m00s left"
    assert forecast.left(25, 25) == ""


def test_durations_and_an_unknown_forecast() -> None:
    assert [duration(s) for s in (12, 185, 7620)] == ["12s", "3m05s", "2h07m"]
    assert forecast_line(Forecast(None, None, None, None)) == ""
