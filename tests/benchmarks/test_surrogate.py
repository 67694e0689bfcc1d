import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks import regression
from benchmarks.regression import choose, forest, process, trees
from benchmarks.surrogate import NearestRow, seed_noise
from benchmarks.surrogate_check import auc, check
from benchmarks.table import RecordedTrial, Table
from tests.benchmarks.made import EPOCHS, NOISE, SPACE, diverges, floor, made_params, made_table


@pytest.fixture(scope="module")
def unseen():
    rng = np.random.default_rng(77)
    return [made_params(rng) for _ in range(200)]


@pytest.mark.slow
def test_it_ranks_unseen_configurations_as_the_problem_does(surrogate, unseen):
    trainable = [p for p in unseen if not diverges(p)]
    told = surrogate.curves(trainable).min(axis=1)
    assert spearmanr(told, [floor(p) for p in trainable]).statistic > 0.97


@pytest.mark.slow
def test_it_tells_which_configurations_diverge(surrogate, unseen):
    assert auc(surrogate.divergence(unseen), np.array([diverges(p) for p in unseen])) > 0.95
    assert np.isinf(surrogate.objective([{**unseen[0], "rate": 1.0}]))[0]


@pytest.mark.slow
def test_trials_differ_by_their_seed_as_recorded_ones_do(surrogate, unseen):
    params = next(p for p in unseen if not diverges(p) and p["rate"] < 0.05)
    answers = [surrogate.answer(params, seed) for seed in range(300)]
    curves = np.array([a.errors for a in answers if not a.diverged])
    assert len(curves) > 250
    assert surrogate.answer(params, 7) == surrogate.answer(params, 7)
    assert curves.std(axis=0).mean() == pytest.approx(NOISE, rel=0.5)
    assert curves.mean(axis=0) == pytest.approx(surrogate.truth([params])[0], abs=0.01)


@pytest.mark.slow
def test_seconds_follow_what_an_epoch_costs(surrogate, unseen):
    cheap, dear = ({**unseen[0], "rate": 0.01, "units": units} for units in (1, 9))
    assert surrogate.answer(cheap, 0).seconds[-1] == pytest.approx(1.1 * EPOCHS, rel=0.1)
    assert surrogate.answer(dear, 0).seconds[-1] == pytest.approx(1.9 * EPOCHS, rel=0.1)


@pytest.mark.slow
def test_a_diverging_trial_ends_early_with_a_diagnosis(surrogate, unseen):
    answers = [surrogate.answer({**unseen[0], "rate": 0.9}, seed) for seed in range(20)]
    diverged = [a for a in answers if a.diverged]
    assert len(diverged) > 10
    assert all(len(a.errors) == 2 and math.isinf(min(a.truth)) for a in diverged)


def test_seed_noise_has_a_shared_part_and_one_per_epoch():
    rng = np.random.default_rng(3)
    trials = []
    for number in range(400):
        params = {**made_params(rng)}
        for copy in range(2):
            errors = 0.5 + rng.normal(0, 0.03) + rng.normal(0, 0.01, EPOCHS)
            seconds = tuple(range(1, EPOCHS + 1))
            trials.append(
                RecordedTrial(2 * number + copy, params, tuple(errors), seconds, "complete")
            )
    noise = seed_noise(Table(tuple(trials)), EPOCHS)
    assert math.sqrt(noise[0, 1]) == pytest.approx(0.03, rel=0.1)
    assert math.sqrt(noise[0, 0] - noise[0, 1]) == pytest.approx(0.01, rel=0.1)


def test_without_pairs_there_is_next_to_no_noise():
    table = Table(made_table().trials[:30])
    assert seed_noise(table, EPOCHS).max() <= 1e-6


def test_the_nearest_row_answers_as_it_was_recorded():
    table = made_table(24)
    nearest = NearestRow(table, SPACE)
    for trial in table.trials[:10]:
        answer = nearest.answer(trial.params, 0)
        assert (answer.errors, answer.seconds) == (trial.errors, trial.seconds)
        assert answer.diverged is not trial.complete


@pytest.mark.slow
def test_the_check_holds_repeated_configurations_out_together(monkeypatch):
    monkeypatch.setattr(regression, "FOLDS", 2)
    report = check(made_table(120), SPACE, folds=3)
    assert report["repeated"] >= 5
    assert report["rank_correlation"]["value"] > 0.9
    assert report["rank_correlation"]["low"] <= report["rank_correlation"]["value"]
    assert report["divergence_auc"] > 0.9


@pytest.mark.parametrize(("wavy", "kind"), [(True, process), (False, trees)])
def test_the_regression_is_the_one_that_tells_held_out_rows_better(wavy, kind, monkeypatch):
    monkeypatch.setattr(regression, "FOLDS", 2)
    rng = np.random.default_rng(1)
    inputs = rng.uniform(size=(160, 2 if wavy else 12))
    if wavy:
        values = np.sin(6 * inputs[:, 0]) + inputs[:, 1] ** 2
    else:
        values = (inputs[:, :3] > 0.5).sum(axis=1) + 0.0
    assert choose(inputs, values) is kind


@pytest.mark.parametrize("kind", [process, trees, forest])
def test_a_regression_tells_new_rows(kind):
    rng = np.random.default_rng(1)
    inputs, new = rng.uniform(size=(300, 3)), rng.uniform(size=(100, 3))
    told = kind(inputs, 50 + 7 * inputs[:, 0] + rng.normal(0, 0.1, 300)).mean(new)
    assert told == pytest.approx(50 + 7 * new[:, 0], abs=1.5)


def test_auc_counts_ties_half():
    assert auc(np.array([0.1, 0.9]), np.array([False, True])) == 1.0
    assert auc(np.array([0.5, 0.5]), np.array([False, True])) == 0.5
    assert auc(np.array([0.9, 0.1]), np.array([False, True])) == 0.0
