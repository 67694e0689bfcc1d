"""The study own: from a folder of pictures to a model, without naming a study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpsearch.configfile import read_yaml
from hpsearch.confirm.gain import STARTS
from tests.support.command_line import Done, run
from tests.support.drawings import write_drawings

EIGHT = {f"c{c:02}": 8 for c in range(20)}
SHORT = (
    *("--set", "trial.images_per_epoch=96", "--set", "trial.max_epochs=2"),
    *("--set", "trial.batch_characters=8", "--set", "pruner.min_resource=1"),
    *("--set", "freeze.batch_characters=8", "--workers", "2"),
    *("--set", "ways=4", "--set", "shots=3"),
)

pytestmark = pytest.mark.slow


def _done(*arguments: object) -> Done:
    done = run(*arguments)
    assert done.code == 0, done
    return done


def test_the_best_encoder_is_trial_0_and_the_end_says_what_training_gained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    write_drawings(tmp_path / "images", EIGHT)
    begun = _done("search", "--data", "images", *SHORT, "--trials", "2")
    encoders = [words for name, words in STARTS.items() if name != "backbone"]
    for name in ("pixels", "Hausdorff distance", *encoders):
        assert f"  {name}: " in begun.out
    assert "validation tasks of 4 ways, 3 shots" in begun.out
    assert "training gained" in begun.out or "training did not help" in begun.out
    done = _done("search", "--data", "images", *SHORT, "--trials", "4")  # continues
    assert "0 failed" in done.out
    study = tmp_path / "runs/own"
    encoder = read_yaml(study / "study.yaml")["enqueue"][0]
    assert encoder["config"] == "encoder"
    result = json.loads((study / "trials/00000/result.json").read_text())["trial"]
    assert result["params"]["train_from"] == "nothing"
    assert result["params"]["start"] == encoder["params"]["start"]
    assert list(result["values"]) == ["0"]
    _done("doctor", study)
    _done("verify", study)
    _done("report", study)
    confirmed = json.loads(
        _done("confirm", study, "--top", "2", "--seeds", "2", "--workers", "2", "--json").out
    )
    gain = confirmed["gain"]
    assert gain["start"] == 0
    assert (confirmed["trial"] == 0) is not gain["helps"]
    _done("report", study)
    page = (study / "report.html").read_text()
    assert ("raining does not help on these images" in page) is not gain["helps"]
    _done("export", study, "--trial", "0")
    trained = _done("retrain", study / "best.yaml", "--data", "images")
    assert "the start as it is, nothing is trained" in trained.err
    assert "shots: 3" in (study / "model/config.yaml").read_text()
    metrics = json.loads((study / "model/metrics.json").read_text())
    assert metrics["weights_epoch"] == 0
    assert metrics["images"] == 0
