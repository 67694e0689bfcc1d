"""Omniglot with few background alphabets: omniglot_small1 and omniglot_small2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hpsearch.app import search
from hpsearch.data import Dataset, open_test_set
from hpsearch.data.pack import fingerprint
from hpsearch.errors import InputError
from hpsearch.sources import omniglot
from hpsearch.sources.find import find_dataset
from hpsearch.sources.omniglot import FewAlphabets, read_omniglot
from hpsearch.study.plan import plan_study
from tests.support.command_line import CommandLine
from tests.support.trees import SMALL

FOUND = {
    "omniglot_small1": (
        ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"),
        136,
        "7e24eb7b5a008023b94298cf4963e0a03418adb4f7350a0125d1d12b14694426",
    ),
    "omniglot_small2": (
        ("Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"),
        156,
        "f90594dfa776d38ce4e74cef4636c12aca6bcea254c2dac06f6c1599a31c264f",
    ),
}
QUICK = (
    *("--set", "trial.max_epochs=1", "--set", "trial.images_per_epoch=128", "--trials", 1),
    *("--sampler", "random", "--pruner", "none", "--workers", 1, "--device", "cpu"),
)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let omniglot_small1 keep one alphabet of the small tree."""
    monkeypatch.setitem(
        omniglot.FEW_ALPHABETS, "omniglot_small1", FewAlphabets(("Bg_B",), characters=5)
    )


def find_few(path: Path | None, kind: str = "omniglot_small1") -> Dataset:
    return find_dataset(kind, path, layout=SMALL)


@pytest.mark.usefixtures("few")
def test_only_the_background_is_smaller(small: Path) -> None:
    whole = read_omniglot(small, layout=SMALL)
    fewer = read_omniglot(small, "omniglot_small1", layout=SMALL)
    assert fewer.background.alphabets == ("Bg_B",)
    assert fewer.background.names == whole.background.names[5:]
    np.testing.assert_array_equal(fewer.background.images, whole.background.images[20:])
    for role in ("validation", "test"):
        before, now = getattr(whole, role), getattr(fewer, role)
        assert now.names == before.names
        np.testing.assert_array_equal(now.images, before.images)
    np.testing.assert_array_equal(fewer.runs.query, whole.runs.query)
    assert fingerprint(fewer) != fingerprint(whole)
    assert fewer.description == (
        "omniglot_small1: 1 background alphabets (Bg_B) with 5 characters; validation as always "
        "on 2 alphabets of the evaluation archive; 2 sealed test alphabets"
    )


@pytest.mark.usefixtures("few")
def test_each_kind_is_packed_and_found_again_apart(small: Path) -> None:
    fewer, whole = find_few(small), find_few(small, "omniglot")
    assert (fewer.kind, whole.kind) == ("omniglot_small1", "omniglot")
    assert fewer.folder != whole.folder
    assert find_few(small) == find_few(None) == fewer
    assert find_few(None, "auto") == find_few(None, "omniglot") == whole
    shutil.rmtree(fewer.folder)
    with pytest.raises(InputError, match="could not be downloaded"):
        find_few(None)


def test_an_archive_without_the_alphabets_is_refused(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for alphabets, characters, message in (
        (("Bg_B", "Latin"), 5, r"images_background\.zip: alphabet Latin is missing"),
        (("Bg_B",), 6, r"images_background\.zip: 5 characters instead of 6"),
    ):
        wanted = FewAlphabets(alphabets, characters)
        monkeypatch.setitem(omniglot.FEW_ALPHABETS, "omniglot_small2", wanted)
        with pytest.raises(InputError, match=message):
            find_few(small, "omniglot_small2")


@pytest.mark.usefixtures("few")
def test_the_search_looks_for_its_own_kind_before_it_downloads(
    small: Path, cache: Path, tmp_path: Path
) -> None:
    plan = plan_study("quickstart", tmp_path / "s", {"dataset": "omniglot_small1"})
    find_few(small, "omniglot")
    assert not search._at_hand(plan, None)
    find_few(small)
    assert search._at_hand(plan, None)
    shutil.rmtree(cache)
    shutil.copytree(small, cache / "omniglot")
    assert search._at_hand(plan, None)


def test_a_name_that_is_nearly_right_is_refused_with_the_known_ones(
    hpsearch: CommandLine, small: Path, tmp_path: Path
) -> None:
    done = hpsearch("data", "check", "--dataset", "omniglot_small3", "--data", small)
    assert done.code == 2
    known = "auto, omniglot, omniglot_small1, omniglot_small2, glyphs, folder"
    assert f"'omniglot_small3' is not one of {known}" in done.err
    study = ("search", "quickstart", "--output", tmp_path / "s")
    done = hpsearch(*study, "--set", "dataset=omniglot_small3")
    assert done.code == 2
    assert "omniglot_small1" in done.err


@pytest.fixture
def shared_cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pack Omniglot where other tests find it."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(session_cache))


@pytest.mark.slow
@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("kind", FOUND)
def test_the_authors_smaller_backgrounds(
    omniglot_path: Path, tmp_path: Path, hpsearch: CommandLine, kind: str
) -> None:
    alphabets, characters, mark = FOUND[kind]
    done = hpsearch("data", "check", "--dataset", kind, "--data", omniglot_path)
    assert done.code == 0, done.err
    first, *others = done.out.splitlines()
    assert first == (
        f"whole: {kind}: 5 background alphabets ({', '.join(alphabets)}) with {characters} "
        "characters; validation as always on 10 alphabets of the evaluation archive; "
        "10 sealed test alphabets"
    )
    assert f"fingerprint {mark}" in others
    assert f"background: 5 alphabets, {characters} characters, {20 * characters} images" in others
    assert "validation: 10 alphabets, 277 characters, 5540 images" in others
    for name in ("images_background", "images_evaluation"):
        (tmp_path / f"{name}.zip").symlink_to(omniglot_path / f"{name}.zip")
    begun = find_dataset(kind, tmp_path)  # without the runs
    assert begun.fingerprint == mark
    assert begun.background(35).images.shape == (20 * characters, 35, 35)
    assert open_test_set(find_dataset(kind), "a test").tasks.n_tasks == 400


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("shared_cache")
def test_a_search_a_model_and_its_score_on_lakes_tasks(
    omniglot_path: Path, tmp_path: Path, hpsearch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind = ("--set", "dataset=omniglot_small1", "--data", omniglot_path)
    done = hpsearch("search", "quickstart", *kind, *QUICK, "--output", "s")
    assert done.code == 0, done.err
    start = next(line for line in done.out.splitlines() if " in s: " in line)
    assert "(Balinese, Early_Aramaic, Greek, Korean, Latin) with 136 characters" in start
    assert "validation as always on 10 alphabets of the evaluation archive" in start
    assert hpsearch("export", "s").code == 0
    done = hpsearch("retrain", "s/best.yaml")
    assert done.code == 0, done.err
    assert "--include-validation" not in done.out + done.err
    assert not Path("s/openings.jsonl").exists()
    done = hpsearch("evaluate", "s/model")
    assert "on 400 tasks of omniglot_small1" in done.out
    assert (
        "published on the same 400 tasks, on all 30 background alphabets (Koch et al. 2015, "
        "Table 2):"
    ) in done.out
    assert done.out.count("\n") == 1 + 10 + 1 + 9
    (opening,) = map(json.loads, Path("s/openings.jsonl").read_text().splitlines())
    assert opening["reason"] == "evaluate model"
    assert opening["fingerprint"] == FOUND["omniglot_small1"][2]
    done = hpsearch("retrain", "s/best.yaml", "--include-validation", "--output", "more")
    assert done.code == 0, done.err
    assert (
        "the training alphabets are the 5 of omniglot_small1 and the 10 of validation"
        in done.out + done.err
    )
    other = hpsearch(
        "search", "quickstart", *kind, *QUICK, "--output", "s", "--set", "dataset=omniglot"
    )
    assert other.code == 2
    assert "dataset" in other.err


def test_baselines_are_measured_on_the_kind_that_is_named(
    hpsearch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kind: str, *_: object, **__: object) -> Dataset:
        raise InputError(f"asked for {kind}")

    monkeypatch.setattr("hpsearch.sources.find.find_dataset", refuse)
    assert "asked for omniglot_small2" in hpsearch("baselines", "--dataset", "omniglot_small2").err
    assert "asked for auto" in hpsearch("baselines").err
