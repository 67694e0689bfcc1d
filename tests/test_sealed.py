"""The sealed test set, proven: everything but scoring on it works while it is not there at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.data.pack import SEALED_FILE, pack
from hpsearch.sources import glyphs
from tests.support.command_line import run

SETTINGS = [
    "trial.max_epochs=1",
    "trial.images_per_epoch=128",
    "sampler.name=random",
    "pruner.name=none",
    "workers=1",
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return packed data whose sealed file is a folder: nobody reads that.

    Taking permissions away would not keep root from reading it.
    """
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPSEARCH_CACHE", str(cache))
        patch.setenv("HPSEARCH_OFFLINE", "1")
        patch.delenv("HPSEARCH_DATA", raising=False)
        patch.setattr(glyphs, "_ALPHABETS", {"background": 2, "validation": 2, "test": 2})
        dataset = pack(glyphs.draw_glyphs(), cache / "packed")
        sealed = dataset.folder / SEALED_FILE
        assert sealed.is_file()
        sealed.unlink()
        sealed.mkdir()
        (sealed / "opened").write_text("")
        yield dataset.folder


@pytest.mark.timeout(2000)
@pytest.mark.slow
def test_search_confirm_export_and_retrain_succeed_and_evaluate_fails(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "s"
    prepare(study, packed)
    done = run("search", study, "--trials", 2)
    assert done.code == 0, done.err
    done = run("confirm", study, "--top", 2, "--seeds", 2)
    assert done.code == 0, done.err
    assert re.search(r"confirmed best|cannot be told apart", done.out)
    assert run("export", study).code == 0
    done = run("retrain", study / "best.yaml")
    assert done.code == 0, done.err
    assert "certificate: within" in done.out or "certificate: outside" in done.out
    assert not (study / "openings.jsonl").exists()
    done = run("evaluate", study / "model")
    assert done.code == 2, done
    assert SEALED_FILE in done.err
    openings = (study / "openings.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in openings] == ["evaluate model"]


def prepare(study: Path, packed: Path) -> None:
    """Write a study's folder as a search on these packed data begins it."""
    from hpsearch.data import open_packed
    from hpsearch.study.plan import plan_study, save_plan

    dataset = open_packed(packed)
    changes = {}
    for setting in SETTINGS:
        key, _, value = setting.partition("=")
        changes[key] = int(value) if value.isdigit() else value
    plan = plan_study("quickstart", study, changes)
    described = {
        "kind": dataset.kind,
        "fingerprint": dataset.fingerprint,
        "packed": str(dataset.folder),
        "source": None,
        "n_tasks": 320,
        "ways": dataset.ways,
    }
    save_plan(plan, described)
