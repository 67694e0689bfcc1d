"""What cannot be trained is told apart and ends early; what can is left alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.config import TrialConfig
from hpsearch.training.diagnosis import (
    Vitals,
    diagnose,
    largest_move,
    layer_values,
    measure,
    probe_rows,
)
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData
from tests.support.slow import rest_slow
from tests.support.trainings import last_checkpoint, tiny_config

TABLE = Path(__file__).parents[2] / "benchmarks" / "tables" / "health.jsonl"
HEALTHY = Vitals(loss=0.8, saturated=0.3, silent=0.1, spread=0.1, moved=1e-3)

GOOD = {"learning_rate": 0.05, "l2": 1e-5}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "rate 10": ({"learning_rate": 10.0}, "saturated"),
    "rate 1e-9": ({"learning_rate": 1e-9}, "stuck"),
    "L2 100": ({"l2": 100.0}, "diverged"),
    "L2 100, rate 1e-3": ({"l2": 100.0, "learning_rate": 1e-3}, "dead"),
}


def config_of(each: dict[str, Any], init: str = "he", **changes: Any) -> TrialConfig:
    settings = {
        "pairs": "batch",
        "images_per_epoch": 320,
        "max_epochs": 6,
        "init": init,
        "layers": {"output": {"bias": True}},
        **changes,
    }
    return tiny_config({**GOOD, **each}, **settings)


def verdict(config: TrialConfig, data: TrainingData, seed: int = 1) -> tuple[int, str | None]:
    last = last_checkpoint(train(config, data, seed)).curve[-1]
    return last.epoch, last.diagnosis


@pytest.mark.parametrize("init", ["he", "koch"])
@pytest.mark.parametrize("name", BAD)
def test_a_planted_bad_configuration_has_the_right_diagnosis(
    data: TrainingData, name: str, init: str
) -> None:
    each, kind = BAD[name]
    kinds = {kind, "dead"} if (name, init) == ("rate 10", "koch") else {kind}  # hangs on the seed
    epoch, cause = verdict(config_of(each, init, max_epochs=30), data)
    assert epoch <= 12
    assert cause is not None
    assert cause.split(":")[0] in kinds, cause


@pytest.mark.parametrize("seeds", rest_slow([range(5), range(5, 20)]), ids=str)
def test_of_twenty_good_configurations_none_is_diagnosed(data: TrainingData, seeds: range) -> None:
    """Over twelve epochs, so that the diagnosis that takes ten in a row could come too."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        each = {
            "learning_rate": float(10 ** rng.uniform(-2, -1)),
            "momentum": float(rng.uniform(0.5, 0.95)),
            "l2": float(10 ** rng.uniform(-6, -3)),
        }
        init = "koch" if seed % 4 == 0 else "he"
        config = config_of(each, init, images_per_epoch=160, max_epochs=12)
        if seed in seeds:
            assert verdict(config, data, seed) == (12, None), each


def test_a_diagnosis_can_be_switched_off_but_for_divergence(data: TrainingData) -> None:
    on = config_of(BAD["rate 1e-9"][0])
    off = on.with_parameters({"stop_untrainable": False})
    assert verdict(on, data)[0] == 3
    assert verdict(off, data) == (6, None)
    diverging = config_of(BAD["L2 100"][0], stop_untrainable=False)
    assert "diverged" in (verdict(diverging, data)[1] or "")


def test_resume_keeps_what_a_diagnosis_rests_on(data: TrainingData) -> None:
    config = config_of(BAD["L2 100, rate 1e-3"][0])
    whole = last_checkpoint(train(config, data, seed=1))
    two = list(islice(train(config, data, seed=1), 2))[-1].checkpoint()
    resumed = last_checkpoint(train(config, data, seed=1, resume=two))
    assert len(whole.curve) == 3
    assert [r.diagnosis for r in resumed.curve] == [r.diagnosis for r in whole.curve]
    old = replace(two, state={k: v for k, v in two.state.items() if k != "vitals"})
    assert last_checkpoint(train(config, data, seed=1, resume=old)).curve[-1].epoch == 5


def test_no_diagnosis_of_the_papers_long_start() -> None:
    """Most units saturated, the loss at ln 2 for forty epochs: it learns after all."""
    sits = Vitals(loss=1.0001, saturated=0.9, silent=0.4, spread=1e-4, moved=1e-6)
    config = tiny_config(max_epochs=200, images_per_epoch=6000)
    assert diagnose([sits] * 40, config) is None
    assert "saturated" in (diagnose([replace(sits, saturated=0.99)] * 5, config) or "")
    assert diagnose([replace(sits, saturated=0.99)] * 4, config) is None
    learns = replace(sits, saturated=0.99, loss=0.95)
    assert diagnose([replace(sits, saturated=0.99)] * 4 + [learns], config) is None


def test_no_diagnosis_of_an_encoding_that_begins_to_depend_on_the_image() -> None:
    config = tiny_config()
    faint = [replace(HEALTHY, spread=s) for s in (1e-9, 1.5e-9, 2e-9)]
    assert diagnose(faint, config) is None
    assert "dead" in (diagnose(faint[::-1], config) or "")
    assert diagnose(faint[:2], config) is None


def test_no_diagnosis_where_the_schedule_ends_at_rate_zero() -> None:
    config = tiny_config()
    ends = [HEALTHY, *[replace(HEALTHY, moved=1e-12)] * 5]
    assert diagnose(ends, config) is None
    assert "stuck" in (diagnose(ends[1:], config) or "")


def test_a_finite_loss_far_above_guessing_is_divergence_only_while_it_does_not_fall() -> None:
    config = tiny_config()
    high = [replace(HEALTHY, loss=loss) for loss in (500.0, 900.0, 700.0)]
    assert (diagnose(high, config) or "").startswith("diverged: the loss is 700 times")
    assert diagnose([*high[:2], replace(HEALTHY, loss=100.0)], config) is None
    assert diagnose([*high[:2], replace(HEALTHY, loss=19.0)], config) is None


def test_a_loss_that_stays_worse_than_guessing_is_divergence() -> None:
    above = [replace(HEALTHY, loss=loss) for loss in (1.3, 1.02, 1.1, 1.01, 1.03) * 2]
    assert "above that of guessing" in (diagnose(above, config_of({})) or "")
    assert diagnose(above[1:], config_of({})) is None
    assert diagnose([*above[:3], HEALTHY, *above[3:]], config_of({})) is None
    assert diagnose([replace(HEALTHY, loss=1.001)] * 20, config_of({})) is None


def test_vital_signs_are_what_a_slow_loop_counts(data: TrainingData) -> None:
    config = config_of({"learning_rate": 0.3})
    state = last_checkpoint(train(config, data, seed=3))
    network = SiameseNetwork(config.shape(), output_bias=True).eval()
    network.load_state_dict(state.weights())
    probe = data.validation[probe_rows(len(data.validation))]
    assert len(probe) == 64
    seen = measure(network, probe, 0.5, 0.25)
    with torch.no_grad():
        x = probe[:, None].double() / 255
        w = {n: p.double() for n, p in network.state_dict().items()}
        functional = torch.nn.functional
        x = functional.max_pool2d(
            functional.relu(functional.conv2d(x, w["conv1.weight"], w["conv1.bias"])), 2
        )
        x = functional.relu(functional.conv2d(x, w["conv2.weight"], w["conv2.bias"]))
        z = (x.flatten(1) @ w["fc.weight"].T + w["fc.bias"]).numpy()
    h = 1 / (1 + np.exp(-z))
    spread = np.mean([math.sqrt(np.sum((u - u.mean()) ** 2) / 63) for u in h.T])
    silent = np.mean([float(x[:, c].max()) == 0 for c in range(x.shape[1])])
    assert seen.saturated == pytest.approx(np.mean(np.abs(z) > 4))
    assert seen.spread == pytest.approx(spread, rel=1e-4)
    assert seen.silent == pytest.approx(silent)
    assert (seen.loss, seen.moved) == (0.5, 0.25)


def test_the_largest_relative_move_is_that_of_one_layer() -> None:
    network = SiameseNetwork(tiny_config().shape())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
        before = layer_values(network)
        network.output.weight.mul_(1.5)
        network.fc.weight.mul_(1.01)
    assert largest_move(before, layer_values(network)) == pytest.approx(0.5)
    with torch.no_grad():
        network.output.weight.fill_(math.nan)
    assert largest_move(before, layer_values(network)) == math.inf


def recorded() -> dict[str, list[dict[str, Any]]]:
    """Return the recorded trials by family, best first."""
    lines = [json.loads(line) for line in TABLE.read_text().splitlines()]
    families: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(lines, key=lambda t: min(t["errors"])):
        families.setdefault(line["family"], []).append(line)
    return families


def would_be_diagnosed(trial: dict[str, Any]) -> bool:
    config = tiny_config(
        images_per_epoch=16 * trial["steps"], max_epochs=trial["epochs"], pairs="batch"
    )
    vitals = [Vitals(*values) for values in trial["vitals"]]
    return any(diagnose(vitals[:k], config) for k in range(1, len(vitals) + 1))


def test_at_most_one_in_a_hundred_of_the_better_half_would_be_diagnosed() -> None:
    """On recorded trials of every box in which most learn, with every diagnosis off."""
    stopped = kept = 0
    for own in recorded().values():
        better = own[: len(own) // 2]
        if min(own[len(own) // 2]["errors"]) < 0.85:  # guessing errs 0.95
            kept += len(better)
            stopped += sum(map(would_be_diagnosed, better))
    assert kept >= 12
    assert stopped <= 0.01 * kept


def test_no_diagnosis_of_recorded_trials_that_sit_at_ln_2_with_the_papers_weights() -> None:
    trials = recorded()["papers_weights"]
    assert len(trials) >= 5
    assert all(abs(v[0] - 1) < 0.01 for t in trials for v in t["vitals"][-10:])
    assert not any(map(would_be_diagnosed, trials))
