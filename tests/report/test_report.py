"""The report: whole for any study, one file, and the user's text stays text."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from hpsearch.data import Dataset
from hpsearch.data.pack import Contents, pack
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.report import write_report
from hpsearch.report.evidence import baselines_chart
from hpsearch.report.facts import read_facts
from hpsearch.report.figure import round_values, tick
from hpsearch.report.importance import importances, standing_out
from hpsearch.results.pruning import pruning
from hpsearch.scoring.baselines import baselines_file
from tests.support.command_line import CommandLine
from tests.support.made_search import Made, write_lines, write_search
from tests.support.made_study import certificate_of, write_model
from tests.support.models import rejection_figures

HOSTILE = "</script><script>alert(1)</script>"
TAGS = "<img src=x onerror=alert(2)>{{ 7 * 7 }}%{x}"


def page(folder: StudyFolder, output: Path | None = None) -> str:
    return write_report(folder, output).read_text(encoding="utf-8")


def figures(text: str) -> dict[str, Any]:
    """Return the page's figures, as its script reads them."""
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.S)
    assert found is not None
    return dict(json.loads(found[1]))


def visible(text: str) -> str:
    """Return the page's text without its scripts and tags."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", bare))


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return write_search(tmp_path_factory.mktemp("runs") / "s", Made(24, running=1))


@pytest.fixture(scope="module")
def text(hundred: StudyFolder) -> str:
    return page(hundred)


def test_a_report_is_one_file_without_a_reference_outside(text: str) -> None:
    assert len(text) < 12e6
    assert text.count("plotly.js v") == 1
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r"""(src|href|action|url)\s*[=(]\s*["']?(?!#|data:)[^"')\s>]""", outside)
    assert "default-src 'none'" in text
    expected = {"incumbent", "curves", "importances", "parallel", "calibration", "cost-time"}
    assert expected | {"cost-size", "map-conv1-filter_size"} <= set(figures(text))
    assert sum(key.startswith("slice-") for key in figures(text)) == 27
    assert sum(key.startswith("contour-") for key in figures(text)) == 3


@pytest.mark.slow
def test_a_report_of_2000_trials_of_50_reports_stays_small(
    thousands: StudyFolder,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """The seconds are noted (--junit-xml), not judged: other programs take theirs."""
    began, used = time.monotonic(), time.process_time()
    path = write_report(thousands, tmp_path / "r.html")
    seconds, core = time.monotonic() - began, time.process_time() - used
    size = path.stat().st_size / 1e6
    record_property("seen", f"{size:.1f} MB in {seconds:.1f} s, {core:.1f} s of a core")
    assert 3 < size < 12
    assert "2000 trials" in visible(path.read_text(encoding="utf-8"))


def test_every_figure_is_one_that_plotly_knows(text: str) -> None:
    for key, spec in figures(text).items():
        plain = json.loads(re.sub(r'"var\(--[a-z0-9]+\)"', '"#123456"', json.dumps(spec)))
        figure = go.Figure(plain)  # refuses an unknown property, a wrong type, a bad value
        assert len(figure.data) >= 1, key


def test_the_figures_show_what_the_study_holds(hundred: StudyFolder, text: str) -> None:
    facts = read_facts(hundred)
    drawn = figures(text)
    best = facts.best
    assert best is not None
    assert best.value is not None
    so_far = decoded(drawn["incumbent"]["data"][-1]["y"])
    complete = [t for t in facts.view.trials if t.state == "complete"]
    running = np.minimum.accumulate([t.value for t in complete if t.value is not None])
    assert so_far[-1] == pytest.approx(best.value, rel=1e-6)
    assert sorted(set(so_far.tolist())) == pytest.approx(sorted(set(running.tolist())), rel=1e-6)
    curve = next(t for t in drawn["curves"]["data"] if t["name"].startswith("best"))
    values = [v for v in decoded(curve["y"]) if np.isfinite(v)]
    assert values == pytest.approx(list(best.values.values()), rel=1e-6)
    shown = visible(text)
    assert f"{100 * best.value:.1f} %" in shown
    assert f"trial {best.number}," in shown
    assert "Unconfirmed" in shown


def test_the_parameters_begin_with_what_stands_out_and_the_rest_is_folded(text: str) -> None:
    shown = visible(text)
    part = shown[shown.index("The parameters") :]
    assert "stand" in part[:80]
    drawn = figures(text)
    assert [len(drawn[key]["data"][0]["y"]) for key in ("importances", "importances-rest")] == [
        8,
        19,
    ]
    folded = text[: text.index('id="importances-rest"')]
    assert folded.count("<details>") == folded.count("</details>") + 1
    for words in ("that matter", "matter most", "most important"):
        assert words not in shown


def test_nothing_stands_out_where_errors_are_of_chance() -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"p{k}" for k in range(12))
    found = importances(rng.random((20, 12)), rng.random(20), names, 0)
    assert found is not None
    assert found.found == ()
    assert standing_out(found).startswith("No parameter stands out: none of the 12 explains more")
    points = rng.random((60, 12))
    clear = importances(points, points[:, 3], names, 0)
    assert clear is not None
    assert standing_out(clear) == "1 of 12 parameters stands out from chance: p3."


@pytest.mark.parametrize(
    ("low", "high", "log", "marks"),
    [
        (0.5, 0.95, False, [0.5, 0.6, 0.7, 0.8, 0.9]),
        (0.01, 0.1, True, [0.01, 0.02, 0.05, 0.1]),
        (1e-6, 1e-3, True, [1e-6, 1e-5, 1e-4, 1e-3]),
        (0, 3.76e14, False, [0, 1e14, 2e14, 3e14]),
    ],
)
def test_the_ticks_of_an_axis_are_round(
    low: float, high: float, log: bool, marks: list[float]
) -> None:
    assert round_values(low, high, log=log) == pytest.approx(marks)


def test_a_tick_is_written_shortly() -> None:
    assert [tick(v) for v in (1e-5, 0.002, 0.5, 2000)] == ["1e-5", "0.002", "0.5", "2 k"]


def decoded(array: dict[str, str]) -> np.ndarray[Any, Any]:
    import base64

    return np.frombuffer(base64.b64decode(array["bdata"]), np.dtype(array["dtype"]))


EDGES: dict[str, tuple[Made, str]] = {
    "no trial": (Made(0), "No epoch has ended yet"),
    "one running": (Made(0, running=1), "No trial is complete"),
    "two": (Made(2), "at least 8 scored trials"),
    "one epoch": (Made(12, epochs=1), "Best error so far"),
}


@pytest.mark.parametrize("name", EDGES)
def test_a_study_of_any_size_has_a_report(name: str, tmp_path: Path) -> None:
    made, told = EDGES[name]
    text = page(write_search(tmp_path / "s", made))
    assert told in visible(text)
    figures(text)


def test_a_certificate_and_audits_are_shown(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "s", Made(100, audits=True))
    best = read_facts(folder).best
    assert best is not None
    rows: list[dict[str, Any]] = [
        {"search_error": best.value},
        {
            "search_error": best.value,
            "trial": 99,
            "interval": [0.3, 0.33],
            "probability_best": 0.19,
        },
    ]
    certificate = certificate_of(best.number, rows, compared=list(range(100)))
    folder.certificate.write_text(json.dumps(certificate))
    shown = visible(page(folder))
    assert re.search(r"Confirmed validation error\s+30.5 % \s*\[29.0, 32.0\]", shown)
    assert re.search(r"with probability\s+81 %", shown)
    assert re.search(r"too low by 4.0 points\s+\[2.0, 6.0\]", shown)
    assert "nconfirmed" not in shown
    assert shown.index("2 trials cannot be told apart") < shown.index("The search")
    card = shown[shown.index("Certificate") :]
    apart = f"Trials {best.number}, 99 cannot be told apart"
    assert card.index(apart) < card.index(f"Trial {best.number}: 30.5 %")
    certificate["candidates"][0]["probability_best"] = 0.96
    folder.certificate.write_text(json.dumps(certificate))
    assert "told apart" not in visible(page(folder))
    told = pruning(read_facts(folder).view.trials, read_facts(folder).view.config)
    assert told.audited == 10
    assert f"{told.lost} of them beat the best" in shown


def test_names_with_markup_stay_text(tmp_path: Path, dataset: Dataset) -> None:
    settings = (("name", HOSTILE + TAGS), ("description", HOSTILE + TAGS))
    folder = write_search(tmp_path / "s", Made(10, settings=settings, causes=HOSTILE + TAGS))
    held = json.loads(folder.dataset.read_text())
    folder.dataset.write_text(json.dumps({**held, "description": HOSTILE + TAGS}))
    write_lines(folder.openings, [{"time": HOSTILE, "reason": HOSTILE + TAGS}])
    text = page(folder)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert text.count(html.escape(HOSTILE, quote=False)) >= 4
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", text, re.S)[0]
    assert HOSTILE in visible(text)


@pytest.fixture
def with_model(contents: Contents, tmp_path: Path) -> Callable[[str], StudyFolder]:
    """Write a study with a model, on data under any name, whose alphabets have hostile names."""

    def make(kind: str) -> StudyFolder:
        alphabets = (HOSTILE, *contents.validation.alphabets[1:])
        names = tuple(f"{HOSTILE}/{TAGS}{k}" for k in range(len(contents.validation.names)))
        validation = replace(contents.validation, alphabets=alphabets, names=names)
        changed = replace(contents, validation=validation, kind=kind)
        dataset = pack(changed, tmp_path / kind)
        folder = write_search(tmp_path / f"s-{kind}", Made(4), dataset)
        write_model(folder.model, dataset)
        kept = {
            "accuracy": 0.25,
            "interval": [0.21, 0.29],
            "n_tasks": 400,
            "degenerate": False,
            "fingerprint": dataset.fingerprint,
        }
        (folder.model / "evaluation.json").write_text(json.dumps(kept))
        entry = {**kept, "name": "1-nearest neighbour, pixels", "published": 0.217}
        found = {"fingerprint": dataset.fingerprint, "baselines": {"nearest_neighbour": entry}}
        baselines_file(dataset.folder).write_text(json.dumps(found))
        opened = {"time": "2026-01-01", "fingerprint": dataset.fingerprint}
        write_lines(folder.openings, [{**opened, "reason": "evaluate model"}])
        others = [{**opened, "reason": "baselines"}, {**opened, "fingerprint": "other"}]
        write_lines(dataset.folder / "openings.jsonl", others)
        return folder

    return make


def test_what_a_model_sees_is_shown_and_its_names_stay_text(
    with_model: Callable[[str], StudyFolder],
) -> None:
    folder = with_model("glyphs")
    text = page(folder)
    shown = visible(text)
    assert "First layer: 4 filters of 5 x 5" in shown
    assert "validation tasks correctly; these are the wrong answers" in shown
    assert "<script>alert" not in text
    assert HOSTILE in shown
    assert "opened 2 times" in shown  # by evaluate here, by baselines in the packed folder
    drawn = figures(text)["characters"]["data"]
    dataset = json.loads(folder.dataset.read_text())
    with np.load(Path(dataset["packed"]) / "validation-labels.npz") as labels:
        assert sum(len(trace["customdata"]) for trace in drawn) == len(labels["names"])
    assert any("&lt;script&gt;" in trace["name"] for trace in drawn)
    assert not any("<" in trace["name"] for trace in drawn)


def test_the_price_of_rejecting_is_shown_with_its_interval(
    with_model: Callable[[str], StudyFolder],
) -> None:
    folder = with_model("glyphs")
    assert "None of these" not in visible(page(folder))
    path = folder.model / "metrics.json"
    held = json.loads(path.read_text()) if path.is_file() else {}
    held.pop("checksum", None)
    path.write_text(json.dumps({**held, "none_of_these": rejection_figures()}))
    shown = " ".join(visible(page(folder)).split())
    assert "with 5 candidates of one image each" in shown
    assert "intervals are over 10 alphabets" in shown
    assert "5.0 % 6.1 % [4.0, 9.3] [1.0, 17.0] 50.0 % [40.0, 60.0] 45.0 % [35.0, 55.0]" in shown


@pytest.mark.parametrize("kind", ["glyphs", "omniglot", "omniglot_small1"])
def test_published_figures_stand_beside_omniglot_only(
    with_model: Callable[[str], StudyFolder], kind: str
) -> None:
    chart = baselines_chart(read_facts(with_model(kind)))
    assert chart is not None
    data = chart.data
    assert [trace["name"] for trace in data] == ["measured here", "published"][
        : 1 + (kind != "glyphs")
    ]
    assert ("on all 30 background alphabets" in chart.note) is (kind == "omniglot_small1")
    assert data[0]["x"] == [0.25, 0.25]


def test_the_same_study_gives_the_same_figures_and_nothing_else_changes(
    hundred: StudyFolder, text: str, tmp_path: Path
) -> None:
    before = {p: p.read_bytes() for p in hundred.root.rglob("*") if p.is_file()}
    again = page(hundred, tmp_path / "elsewhere.html")
    assert {p: p.read_bytes() for p in hundred.root.rglob("*") if p.is_file()} == before
    assert figures(again) == figures(text)


def test_the_command_names_its_file_and_refuses_a_folder(
    hpsearch: CommandLine, tmp_path: Path
) -> None:
    folder = write_search(tmp_path / "s", Made(2))
    done = hpsearch("report", folder.root, "--output", tmp_path / "r.html")
    assert (done.code, done.err) == (0, "")
    assert "r.html" in done.out
    with pytest.raises(InputError, match="is a folder"):
        write_report(folder, tmp_path)
