"""Figures of the network are measured once, after the first epoch, and kept through a resume."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from hpsearch.network.siamese import SiameseNetwork
from hpsearch.recognition.latency import latency_of
from hpsearch.training.checkpoint import load, save
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import tiny_config

MEASURED = {"latency_ms": 1.5}


def measure(network: SiameseNetwork) -> dict[str, float]:
    assert not network.training
    return MEASURED


def test_the_first_epoch_reports_them_and_a_resume_keeps_them(
    data: TrainingData, tmp_path: Path
) -> None:
    config = tiny_config({"learning_rate": 0.2})
    first, second = islice(train(config, data, 3, measure=measure), 2)
    assert (first.result.metrics, second.result.metrics) == (MEASURED, {})
    save(second.checkpoint(), tmp_path / "checkpoint")
    resume = load(tmp_path / "checkpoint")
    assert resume is not None
    assert [r.metrics for r in resume.curve] == [MEASURED, {}]
    third = next(train(config, data, 3, resume=resume, measure=measure))
    assert third.result.metrics == {}
    plain = [epoch.result for epoch in islice(train(config, data, 3), 2)]
    assert [r.validation_error for r in plain] == [
        first.result.validation_error, second.result.validation_error
    ]  # fmt: skip


def test_latency_is_measured_where_the_job_asks_for_it(data: TrainingData) -> None:
    config = tiny_config({"learning_rate": 0.2})
    assert latency_of({"latency": False}, config, "cpu") is None
    asked = latency_of({"latency": True}, config, "cpu")
    found = next(train(config, data, 3, measure=asked)).result.metrics
    assert 0 < found["latency_ms"] < 1000
    assert 0 <= found["latency_ms_spread"] < 1000
