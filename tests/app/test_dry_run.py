"""A dry run refuses what the search refuses, writes nothing, and says how long it takes here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hpsearch.app import pace
from hpsearch.app.dry_run import too_long
from hpsearch.app.executors import Workplace
from hpsearch.paths import StudyFolder
from hpsearch.study.lock import study_lock
from hpsearch.study.plan import plan_study
from hpsearch.wording import long_time
from tests.driver.test_driver import search
from tests.support.command_line import CommandLine, run
from tests.support.fake_executor import FakeExecutor

GLYPHS = ("--set", "dataset=glyphs")


@pytest.fixture
def hpsearch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return run


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of two trials on data whose fingerprint nobody else has."""
    folder = tmp_path_factory.mktemp("runs") / "s"
    search(folder, FakeExecutor(), sampler__name="random", budget__trials=2, trial__max_epochs=2)
    return folder


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--data", "/no/such/folder"], "/no/such/folder"),
        (["--data", "{empty}"], "name the folder that holds them"),
        (["--set", "dataset=folder"], "dataset: folder needs your images"),
        ([*GLYPHS, "--data", "{empty}"], "asks for glyphs"),
        ([*GLYPHS, "--from", "nowhere"], "--from nowhere"),
        ([*GLYPHS, "--output", "{file}"], "is there, but holds no study"),
        ([*GLYPHS, "--device", "cuda"], "no CUDA device"),
        ([*GLYPHS, "--storage", "mysql://h/d"], "storage"),
        ([*GLYPHS, "--set", "budget=null", "--trials", "3"], "budget"),
    ],
)
def test_a_dry_run_refuses_what_the_search_refuses(
    arguments: list[str], named: str, hpsearch: CommandLine, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    filled = [a.format(empty=tmp_path / "empty", file=tmp_path / "file") for a in arguments]
    wet, dry = (hpsearch("search", "quickstart", *filled, *more) for more in ([], ["--dry-run"]))
    assert named in dry.err
    assert (dry.code, dry.err) == (wet.code, wet.err)
    assert dry.code in (2, 3)
    assert list(Path.cwd().iterdir()) == []


def test_a_dry_run_refuses_other_data_and_a_held_study(
    begun: Path, hpsearch: CommandLine, tmp_path: Path
) -> None:
    folder = StudyFolder(Path(shutil.copytree(begun, tmp_path / "s")))
    before = {p: p.read_bytes() for p in folder.root.rglob("*") if p.is_file()}
    held = json.loads(folder.dataset.read_text())
    assert held["kind"] == "glyphs"  # whose fingerprint is another: the study's is made up
    refused = hpsearch("search", folder.root, "--dry-run")
    assert refused.code == 2
    assert "the study was begun on glyphs with fingerprint" in refused.err
    assert {p: p.read_bytes() for p in folder.root.rglob("*") if p.is_file()} == before
    with study_lock(folder, "hpsearch confirm"):
        refused = hpsearch("search", folder.root, "--dry-run")
    assert refused.code == 2
    assert "(hpsearch confirm); wait for it or stop it" in refused.err


def test_a_dry_run_says_in_words_how_long_it_takes_on_this_machine(
    hpsearch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    monkeypatch.setattr(pace, "image_seconds", lambda *_: 0.05)  # as one core does at 105 x 105
    done = hpsearch("search", "koch2015", "--device", "cpu", "--workers", 2, "--dry-run")
    assert done.code == 0, done
    assert "on this machine (cpu) a whole trial takes about a month" in done.out
    assert "NOTE: koch2015 is too large for this processor" in done.out
    monkeypatch.setattr(pace, "image_seconds", lambda *_: 0.0002)
    done = hpsearch("search", "quickstart", *GLYPHS, "--device", "cpu", "--dry-run")
    assert "a whole trial takes about 19 seconds" in done.out
    assert "NOTE: quickstart is no study" not in done.out
    done = hpsearch("search", "quickstart", *GLYPHS, "--hours", 1, "--dry-run")
    assert "the budget's 1 hour is enough for about" in done.out


def test_the_pace_of_a_small_network_is_measured_in_no_time() -> None:
    from tests.support.problems import shipped_study

    config = shipped_study("quickstart").trial
    assert 1e-6 < pace.image_seconds(config, "cpu", 1) < 0.1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "a second"), (50, "a minute"), (29, "29 seconds"), (3000, "an hour"), (9000, "2 hours"),
     (30 * 86_400, "a month"), (10 * 86_400, "10 days"), (4e8, "13 years")],
)  # fmt: skip
def test_long_times_in_words(seconds: float, words: str) -> None:
    assert long_time(seconds) == f"about {words}"


def test_a_search_that_takes_months_on_a_processor_says_so_at_its_start(tmp_path: Path) -> None:
    plans = {n: plan_study(n, tmp_path / n, {}) for n in ("koch2015", "quickstart", "modern")}
    here = Workplace("1 worker", FakeExecutor, 1, 1, "cpu")
    told = {name: too_long(plan, here) for name, plan in plans.items()}
    assert [name for name, notices in told.items() if notices] == ["koch2015"]
    assert " months at best; --dry-run measures" in told["koch2015"][0]
    assert too_long(plans["koch2015"], Workplace("GPU", FakeExecutor, 1, 1, "cuda")) == []


def test_a_cluster_is_not_timed() -> None:
    assert Workplace("workers", FakeExecutor).device is None
