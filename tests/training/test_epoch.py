"""What an epoch says, through JSON and back."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hpsearch.storage.trial_files import epoch_line, read_curve
from hpsearch.training.epoch import EpochResult
from hpsearch.training.loop import peak_bytes

HEALTHY = EpochResult(3, 0.1 + 0.2, 1 / 3, 12.5, 4800, 10**18)


def test_json_brings_every_value_back() -> None:
    assert EpochResult.from_json(json.loads(json.dumps(HEALTHY.to_json()))) == HEALTHY


def test_the_memory_of_a_card_is_kept_and_a_cpu_writes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 5_000_000_000)
    assert peak_bytes(torch.device("cpu")) is None
    measured = replace(HEALTHY, epoch=1, peak_bytes=peak_bytes(torch.device("cuda", 0)))
    (tmp_path / "curve").write_text(epoch_line(measured))
    assert read_curve(tmp_path / "curve").epochs == [measured]
    assert measured.to_json()["peak_bytes"] == 5_000_000_000
    assert "peak_bytes" not in HEALTHY.to_json()


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_null_in_json_and_nan_again(loss: float) -> None:
    result = EpochResult(1, loss, 0.95, 1.0, 2, 3, "diverged: loss nan in epoch 1")
    text = json.dumps(result.to_json(), allow_nan=False)
    assert '"loss": null' in text
    back = EpochResult.from_json(json.loads(text))
    assert math.isnan(back.loss)
    assert back.to_json() == result.to_json()


@pytest.mark.parametrize("module", ["epoch", "config"])
def test_the_search_can_read_it_without_torch(module: str) -> None:
    code = f"import sys, hpsearch.training.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
