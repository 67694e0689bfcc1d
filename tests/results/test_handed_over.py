"""What a study hands over is what its model expects to be best; the luckiest trial is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.configfile import read_yaml
from hpsearch.confirm.confirmation import best_trials, candidates
from hpsearch.errors import InputError
from hpsearch.execution import Job
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.results.best import pick_in_words, to_export
from hpsearch.results.export import export_best, stale
from hpsearch.storage.view import read_study
from hpsearch.training.epoch import EpochResult
from tests.support.cases import ENQUEUED, search
from tests.support.command_line import CommandLine
from tests.support.fake_executor import FakeExecutor

LUCKY, TRIALS = 13, 14


class OneIsLucky(FakeExecutor):
    """A larger rate is worse; the worst of all has one epoch that is better than any other's."""

    lucky = LUCKY

    def _result(self, job: Job, epoch: int) -> EpochResult:
        rate = job.config["layers"]["conv1"]["learning_rate"]
        error = 0.3 + 20 * rate + 0.05 / epoch + 0.001 * (job.trial % 3)
        error = 0.31 if (job.trial, epoch) == (self.lucky, 2) else error
        return EpochResult(epoch, error, error, float(epoch), 100 * epoch, 1000 * epoch)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = tmp_path_factory.mktemp("handed") / "study"
    settings = {"sampler__name": "bayes", "sampler__startup_trials": 6}
    search(folder, OneIsLucky(), enqueue=ENQUEUED[:TRIALS], budget__trials=TRIALS, **settings)
    return StudyFolder(folder)


def test_the_expected_best_is_handed_over_and_the_luckiest_is_named(
    study: StudyFolder, hpsearch: CommandLine
) -> None:
    status = json.loads(hpsearch("status", study.root, "--json").out)
    assert status["best"]["trial"] == LUCKY
    view = read_study(study)
    chosen, certificate = to_export(view)
    assert chosen is not None
    assert certificate is None
    assert chosen.number in (0, 1)
    said = (
        f"trial {chosen.number}, the best by the model; trial {LUCKY} was luckier (31.0 % against"
    )
    assert (pick_in_words(view, chosen) or "").startswith(said)
    done = hpsearch("export", study.root)
    assert f"NOTE: handed over is {said}" in done.err + done.out
    values = read_yaml(study.best)
    assert values["trial"] == chosen.number
    assert "chosen" not in values
    assert stale(study.best) is None
    standing = next(v for v in check_invariants(study) if v.key == "I16")
    assert (standing.standing, standing.seen) == ("holds", f"best.yaml: trial {chosen.number}")
    report = hpsearch("report", study.root)
    assert report.code == 0, report.err
    assert f"Handed over is {said}" in study.report.read_text()


def test_the_luckiest_can_be_asked_for(study: StudyFolder, hpsearch: CommandLine) -> None:
    done = hpsearch("export", study.root, "--trial", LUCKY)
    assert "NOTE: handed over" not in done.err + done.out
    assert read_yaml(study.best)["trial"] == LUCKY
    assert export_best(study, None, None).picked is not None


def test_confirm_trains_the_expected_best_and_the_luckiest(study: StudyFolder) -> None:
    view = read_study(study)
    chosen, _ = to_export(view)
    again = best_trials(view, 3)
    assert len(again) == 3
    assert again[0] == chosen
    assert again[-1].number == LUCKY
    assert {t.number for t in best_trials(view, 50)} == set(range(TRIALS))


def test_a_pruned_trial_is_compared_where_only_one_is_complete(study: StudyFolder) -> None:
    view = read_study(study)
    first, *others = view.trials[1:4]
    pruned = [replace(t, state="pruned") for t in others]
    assert best_trials(replace(view, trials=[*pruned, first]), 3) == [first, pruned[0]]
    for few in ([first], pruned):
        assert candidates(replace(view, trials=few)) == []
        with pytest.raises(
            InputError, match="compares at least one with another that was trained"
        ):
            best_trials(replace(view, trials=few), 3)


@pytest.mark.parametrize(("sampler", "first"), [("random", 0), ("bayes", 5)])
def test_a_study_without_a_model_or_with_few_trials_hands_over_its_lowest(
    tmp_path: Path, hpsearch: CommandLine, sampler: str, first: int
) -> None:
    """Of the trials from `first` on the last is the lucky one; nine are few."""
    enqueued = [*ENQUEUED[: TRIALS - first - 1], ENQUEUED[LUCKY]]
    executor = OneIsLucky()
    executor.lucky = len(enqueued) - 1
    settings = {"enqueue": enqueued, "budget__trials": len(enqueued), "sampler__name": sampler}
    search(tmp_path / "s", executor, **settings)
    done = hpsearch("export", tmp_path / "s")
    assert "NOTE: handed over" not in done.err + done.out
    assert read_yaml(tmp_path / "s" / "best.yaml")["trial"] == executor.lucky
