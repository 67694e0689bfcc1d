"""The report file: what counts, what is refused, and what a restart keeps."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hpsearch.trainers import report
from hpsearch.trainers.report import ReportError, ReportFile, Result, Step


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def steps(found: ReportFile, *, last: bool = False) -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in found.lines(last=last) if isinstance(one, Step)]


def test_lines_come_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    found = ReportFile(path)
    assert steps(found) == []
    append(path, '{"step": 1, "value": 0.5, "metrics": {"loss": 2}}\n{"step": 3, "val')
    assert list(found.lines()) == [Step(1, 0.5, {"loss": 2.0})]
    assert steps(found) == []
    append(path, 'ue": 1e-3}\n')
    assert steps(found) == [(3, 0.001)]
    append(path, '{"result": 0.25}')  # printf without a line's end
    assert list(found.lines()) == []
    assert list(found.lines(last=True)) == [Result(0.25)]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("NaN", math.nan),
        ("nan", math.nan),
        ("-nan", math.nan),
        ("-inf", -math.inf),
        ('"Infinity"', math.inf),
        ("1e999", math.inf),
        ("-1e200", -math.inf),
        ("9" * 400, math.inf),
    ],
)
def test_a_value_that_is_no_number_diverged(written: str, value: float) -> None:
    (step,) = [report.parse(f'{{"step": 1, "value": {written}}}'.encode())]
    assert isinstance(step, Step)
    assert step.value == value or (math.isnan(step.value) and math.isnan(value))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("hello", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"step": 1, "val', "no JSON object"),
        ("\x00\xff" * 10, "no JSON object"),
        ("[" * 5000, "no JSON object"),
        ('{"step": 1}', "value is missing"),
        ('{"value": 1}', "step is missing"),
        ('{"step": 1, "value": "good"}', "value: good is no number"),
        ('{"step": 1, "value": true}', "value: true is no number"),
        ('{"step": 1, "value": null}', "value: null is no number"),
        ('{"step": 0, "value": 1}', "step: 0 must be from 1"),
        ('{"step": 1.5, "value": 1}', "no whole number"),
        ('{"step": 1e99, "value": 1}', "must be from 1"),
        ('{"step": 1, "value": 1, "loss": 2}', "loss: unknown key"),
        ('{"step": 1, "value": 1, "metrics": [1]}', "metrics must be"),
        ('{"step": 1, "value": 1, "metrics": {"a": "b"}}', "metrics.a: b is no number"),
        ('{"step": 1, "value": 0.1, "value": 0.9}', "value: is there twice"),
        ('{"step": 2, "value": 1}\n{"step": 2, "value": 1}', "step 2 after step 2"),
    ],
)
def test_a_line_that_is_no_report_is_named(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "report.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ReportError) as error:
        list(ReportFile(path).lines())
    assert why in str(error.value)
    assert str(error.value).startswith("report line ")


def test_a_report_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_BYTES", 100)
    path = tmp_path / "report.jsonl"
    path.write_text('{"step": 1, "value": 1}\n' * 10)
    found = ReportFile(path)
    with pytest.raises(ReportError, match="more than 100 bytes"):
        list(found.lines())
    found.cut()
    assert path.stat().st_size == 0


@pytest.mark.parametrize("anew", ['{"step": 2, "value": 2}\n', "", None])
def test_a_report_that_is_no_longer_as_it_was_read_is_refused(
    tmp_path: Path, anew: str | None
) -> None:
    path = tmp_path / "report.jsonl"
    path.write_text('{"step": 1, "value": 1}\n')
    found = ReportFile(path)
    assert steps(found) == [(1, 1.0)]
    path.unlink()
    if anew is not None:
        path.write_text(anew)
    assert steps(found) == []  # it may be about to be written again
    with pytest.raises(ReportError, match="append each line"):
        list(found.lines(last=True))
    found.cut()
    assert not path.exists() or path.stat().st_size == 0


def test_a_report_may_be_replaced_by_a_longer_one_with_the_same_lines(tmp_path: Path) -> None:
    path, text = tmp_path / "report.jsonl", ""
    found = ReportFile(path)
    for step in (1, 2, 3):
        text += f'{{"step": {step}, "value": {step}}}\n'
        path.write_text(text)
        assert steps(found, last=step == 3) == [(step, float(step))]


def test_a_restart_keeps_first_values_and_drops_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    path.write_text('{"step": 1, "value": 1}\n{"step": 2, "value": 2}\n{"step": 3, "va')
    found = ReportFile(path)
    assert [one.step for one in found.earlier()] == [1, 2]
    found.begin_run()
    append(path, '{"step": 2, "value": 9}\n{"step": 3, "value": 3}\n')
    assert steps(found) == [(3, 3.0)]
    again = ReportFile(path)
    assert [(one.step, one.value) for one in again.earlier()] == [(1, 1), (2, 2), (3, 3)]


def test_a_line_that_ended_a_run_is_gone_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    path.write_text('{"step": 1, "value": 1}\nhello\n{"step": 2, "value": 2}\n')
    found = ReportFile(path)
    assert [one.step for one in found.earlier()] == [1]
    found.begin_run()
    append(path, '{"step": 2, "value": 4}')
    assert steps(found, last=True) == [(2, 4.0)]
    found.begin_run()
    append(path, '{"step": 3, "value": 5}\n')
    assert steps(found) == [(3, 5.0)]
    assert path.read_text() == (
        '{"step": 1, "value": 1}\n\n{"step": 2, "value": 4}\n\n{"step": 3, "value": 5}\n'
    )
