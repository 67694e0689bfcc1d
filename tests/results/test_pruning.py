"""What pruning saved and lost, counted by hand and on simulated studies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpsearch.configfile import read_yaml
from hpsearch.pruners.config import PrunerConfig
from hpsearch.results.pruning import pruning
from hpsearch.shipped_files import find_shipped
from hpsearch.study.config import StudyConfig
from hpsearch.trial import TrialRecord


def study(**pruner: object) -> StudyConfig:
    path = find_shipped("studies", "quickstart")
    config = StudyConfig.from_values(read_yaml(path), path)
    settings = {"name": "asha", "min_resource": 4, "reduction_factor": 2, **pruner}
    return config.model_copy(update={"pruner": PrunerConfig(**settings)})  # type: ignore[arg-type]


def record(number: int, state: str, errors: list[float], **more: object) -> TrialRecord:
    values = {epoch: error for epoch, error in enumerate(errors, start=1)}
    return TrialRecord(number, state, {}, values, min(errors), **more)  # type: ignore[arg-type]


def test_what_is_saved_and_lost_is_counted() -> None:
    trials = [
        record(0, "complete", [0.5] * 16),
        record(1, "complete", [0.6] * 8),  # its patience ran out after half
        record(2, "pruned", [0.7] * 4),
        record(3, "pruned", [0.9] * 2, trainable=False),
        record(4, "complete", [0.8] * 4 + [0.45] * 8, audit=4),
        record(5, "running", [0.8] * 6, audit=4),
    ]
    found = pruning(trials, study())
    assert (found.pruned, found.audited, found.lost) == (1, 1, 1)
    assert found.epochs_saved == pytest.approx((16 + 8 + 12) / 3 - 4)
    assert found.epochs_spent == 8 + 2
    assert found.interval is None
    assert found.share_lost is None
    assert "would have beaten the best: unknown (1 of at least 10 audits)" in found.sentence()


def test_no_interval_below_ten_audits() -> None:
    through = record(0, "complete", [0.5] * 16)
    audits = [record(n, "complete", [0.6] * 16, audit=4) for n in range(1, 11)]
    assert pruning([through, *audits[:9]], study()).interval is None
    found = pruning([through, *audits], study())
    assert found.share_lost == 0
    assert found.interval == (0.0, pytest.approx(0.2775, abs=1e-3))  # Wilson, 0 of 10
    assert "0 % [0, 28] (0 of 10 audits)" in found.sentence()


def test_a_trial_that_would_have_been_promoted_is_no_audit() -> None:
    better = [record(n, "complete", [0.4 + n / 100] * 16) for n in range(3)]
    audited = record(3, "complete", [0.6] * 16, audit=4)
    worse = [record(n, "paused", [0.9] * 4) for n in range(4, 8)]
    promoting = study(name="asha-promotion")
    assert pruning([*better, audited], promoting).audited == 1
    assert pruning([*better, audited, *worse], promoting).audited == 0
    assert pruning([*better, audited, *worse], study()).audited == 1  # asha stops for good


def test_the_interval_covers_the_true_share_of_pruned_winners() -> None:
    """Simulated studies: every pruned trial beats the best with one known chance."""
    rng, covered, true, config = np.random.default_rng(0), 0, 0.1, study()
    for _ in range(200):
        trials = [record(0, "complete", [0.5] * 16)]
        for number in range(1, 31):
            end = 0.4 if rng.random() < true else 0.6
            trials.append(record(number, "complete", [0.7] * 4 + [end] * 12, audit=4))
        low, high = pruning(trials, config).interval or (1.0, 0.0)
        covered += low <= true <= high
    assert covered >= 0.9 * 200


def test_unfinished_audits_count_for_nothing_but_their_epochs() -> None:
    audit = record(1, "complete", [0.6] * 16, audit=4)
    half = replace(audit, number=2, state="running")
    found = pruning([record(0, "complete", [0.5] * 16), audit, half], study())
    assert (found.audited, found.epochs_spent) == (1, 24)
