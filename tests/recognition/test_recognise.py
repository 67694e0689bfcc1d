"""`hpsearch recognise` as a person meets it: table, JSON, page, errors; and how late it loads."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.recognition.model import SHIPPED, load_model
from tests.support.command_line import CommandLine
from tests.support.models import (
    ESCAPES,
    HOSTILE,
    draw,
    rejection_figures,
    write_model,
    write_support,
)
from tests.test_lazy import loaded_by_command


def clean(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


def test_the_table_names_the_best_classes(
    hpsearch: CommandLine, model: Path, support: Path, queries: list[Path]
) -> None:
    done = hpsearch("recognise", model, "--support", support, *queries, "--top", 2)
    assert done.code == 0
    assert done.err == ""
    lines = done.out.splitlines()
    assert len(lines) == 3 * (1 + 2)
    expected = load_model(model).rank(queries, support)
    for query, path in enumerate(queries):
        assert lines[3 * query] == f"{path}: 2 of 5 classes"
        for place in (0, 1):
            name, score = expected[query][place]
            assert lines[3 * query + 1 + place].split() == [str(place + 1), f"{score:.3f}", name]
    assert [lines[place].split()[-1] for place in (1, 4, 7)] == ["cross", "roof", "dash"]


def test_json_ranks_everything(
    hpsearch: CommandLine, model: Path, support: Path, queries: list[Path]
) -> None:
    done = hpsearch("recognise", model, "--support", support, *queries, "--top", 1, "--json")
    answers = json.loads(done.out)
    assert [answer["image"] for answer in answers] == [str(path) for path in queries]
    expected = load_model(model).rank(queries, support)
    for answer, candidates in zip(answers, expected, strict=True):
        assert answer["ranked"] == [{"class": c.name, "score": c.score} for c in candidates]
        scores = [one["score"] for one in answer["ranked"]]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert len(scores) == 5


def test_the_page_is_written_beside_the_table(
    hpsearch: CommandLine, model: Path, support: Path, queries: list[Path], tmp_path: Path
) -> None:
    page = tmp_path / "deep" / "page.HTML"
    done = hpsearch("recognise", model, "--support", support, *queries, "--html", page)
    assert done.code == 0
    assert len(done.out.splitlines()) == 3 * (1 + 5)
    assert done.err == f"{page}: written\n"
    html = page.read_text(encoding="utf-8")
    assert "trained on glyphs at 15 px" in html
    assert html.count("<li>") == 15


def test_hostile_names_reach_the_terminal_without_controls(
    hpsearch: CommandLine, model: Path, tmp_path: Path
) -> None:
    hostile = HOSTILE.replace("/", "\u2215")
    support = write_support(tmp_path / "s", {ESCAPES: ("bar", 2), hostile: ("roof", 1)})
    query = tmp_path / f"{ESCAPES}\x7f.png"
    draw("bar").save(query)
    page = tmp_path / "p.html"
    done = hpsearch("recognise", model, "--support", support, query, "--html", page)
    assert done.code == 0
    assert clean(done.out)
    assert clean(done.err)
    assert "red?[31m" in done.out
    assert hostile in done.out
    assert "<script>" not in page.read_text(encoding="utf-8")
    answers = hpsearch("recognise", model, "--support", support, query, "--json").out
    assert clean(answers)
    assert "\x7f" not in answers
    assert json.loads(answers)[0]["image"] == str(query)
    assert {one["class"] for one in json.loads(answers)[0]["ranked"]} == {ESCAPES, hostile}


def test_a_name_that_is_no_utf8_is_shown_and_written(
    hpsearch: CommandLine, model: Path, support: Path, tmp_path: Path
) -> None:
    query = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    draw("roof").save(query)
    page = tmp_path / "p.html"
    done = hpsearch("recognise", model, "--support", support, query, "--html", page)
    assert (done.code, done.out.splitlines()[1].split()[-1]) == (0, "roof")
    assert "caf?.png" in done.out
    assert "caf\ufffd.png" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("model_name", "support_name", "query", "named"),
    [
        ("nowhere", "s", "q.png", "nowhere: no such model folder or image file"),
        ("s", "s", "q.png", "s: a folder without a model (no config.yaml)"),
        ("untrained", "s", "q.png", "weights.safetensors: no weights"),
        ("m", "nowhere", "q.png", "nowhere: no such folder of support images"),
        ("m", "empty", "q.png", "empty: no images"),
        ("m", "single", "q.png", "one class only (bar)"),
        ("m", "broken", "q.png", "broken/roof/0.png: not a whole image"),
        ("m", "s", "nowhere.png", "nowhere.png: no such image file"),
        ("m", "s", "broken.png", "broken.png: not a whole image"),
        ("m", "s", "s", "s: no such image file"),
        ("m", "s", "e\x1b[31m.png", "e?[31m.png: no such image file"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    hpsearch: CommandLine,
    tmp_path: Path,
    model_name: str,
    support_name: str,
    query: str,
    named: str,
) -> None:
    write_model(tmp_path / "m")
    write_model(tmp_path / "untrained")
    (tmp_path / "untrained" / "weights.safetensors").unlink()
    for name in ("s", "broken"):
        write_support(tmp_path / name, {"bar": ("bar", 1), "roof": ("roof", 1)})
    write_support(tmp_path / "single", {"bar": ("bar", 2)})
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "roof" / "0.png").write_bytes(b"no image")
    (tmp_path / "broken.png").write_bytes(b"no image")
    draw("bar").save(tmp_path / "q.png")
    page = tmp_path / "page.html"
    folders = tmp_path / model_name, "--support", tmp_path / support_name
    done = hpsearch("recognise", *folders, tmp_path / query, "--html", page)
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert named in done.err
    assert clean(done.err)
    assert not page.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--top", "0"], "--top"),
        (["--html", "query.png"], "ends in .html"),
        (["--html", "folder.html"], "is a folder, a link or a device"),
    ],
)
def test_wrong_options_are_refused_and_touch_nothing(
    hpsearch: CommandLine,
    model: Path,
    support: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    draw("bar").save("query.png")
    Path("folder.html").mkdir()
    before = Path("query.png").read_bytes()
    done = hpsearch("recognise", model, "--support", support, "query.png", *arguments)
    assert (done.code, done.out) == (2, "")
    assert named in done.err
    assert Path("query.png").read_bytes() == before


def test_images_and_the_support_folder_must_be_named(
    hpsearch: CommandLine, model: Path, support: Path, queries: list[Path]
) -> None:
    for given in ([model], ["--model", model], []):
        done = hpsearch("recognise", *given, "--support", support)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "IMAGE" in done.err
    without = hpsearch("recognise", model, *queries)
    assert without.code == 2
    assert "--support" in without.err


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import hpsearch", ["numpy", "torch", "pydantic"]),
        ("import hpsearch.cli.main", ["numpy", "torch", "PIL", "jinja2"]),
        ("import hpsearch; hpsearch.load", ["torch"]),
    ],
)
def test_heavy_packages_are_loaded_late(code: str, absent: list[str]) -> None:
    listed = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, check=True, timeout=600
    )
    loaded = set(done.stdout.split())
    assert "hpsearch" in loaded
    assert not loaded & set(absent)


def rejecting(folder: Path, threshold: float = 0.5) -> Path:
    """Write a model whose metrics.json holds thresholds."""
    model = write_model(folder)
    found = {"none_of_these": rejection_figures(threshold)}
    (model / "metrics.json").write_text(json.dumps(found))
    return model


def test_an_image_of_no_class_is_none_of_these(
    hpsearch: CommandLine, support: Path, queries: list[Path], tmp_path: Path
) -> None:
    model = rejecting(tmp_path / "m")
    command = ["recognise", model, "--support", support, *queries]
    plain = hpsearch(*command, "--json")
    found = json.loads(plain.out)
    assert not any(one["none_of_these"] for one in found)
    order = sorted(one["probability"] for one in found)
    between = (order[0] + order[1]) / 2
    evidence = (math.log(between / (1 - between)) + 1) / 2  # slope 2, bias -1
    rejecting(tmp_path / "n", evidence)
    command[1] = tmp_path / "n"
    told = json.loads(hpsearch(*command, "--json", "--false-accept", 0.2).out)
    assert [one["none_of_these"] for one in told] == [one["probability"] < between for one in told]
    assert [one["probability"] for one in told] == [one["probability"] for one in found]
    assert [one["ranked"] for one in told] == [one["ranked"] for one in found]
    page = tmp_path / "p.html"
    done = hpsearch(*command, "--false-accept", "0.2", "--html", page)
    assert done.out.count(": 5 of 5 classes, none of these\n") == 1
    assert done.out.count(": 5 of 5 classes\n") == 2
    assert f"the first is right with probability {order[0]:.3f}" in done.out
    assert f"at a probability of {between:.3f} or below; on validation that keeps 75 %" in done.err
    assert page.read_text(encoding="utf-8").count(">none of these<") == 1
    found = {"none_of_these": rejection_figures(evidence)}
    found["none_of_these"]["settings"][0]["ways"] = 4
    (tmp_path / "n" / "metrics.json").write_text(json.dumps(found))
    few = hpsearch(*command, "--false-accept", "0.2").err
    assert "on validation of 4 classes, its most, that keeps 75 %" in few
    stricter = json.loads(hpsearch(*command, "--json", "--false-accept", 0.05).out)
    assert sum(one["none_of_these"] for one in stricter) >= 1
    hint = "to get the answer `none of these`: --false-accept 0.05"
    assert hint in hpsearch(*command).err


def test_a_rate_that_cannot_be_had_is_one_line(
    hpsearch: CommandLine, model: Path, support: Path, queries: list[Path], tmp_path: Path
) -> None:
    old = write_model(tmp_path / "old")
    threshold = {"score": 0.9, "known_kept": 0.9, "unknown_rejected": 0.8, "ways": 20}
    (old / "metrics.json").write_text(json.dumps({"unknown_below": threshold}))
    for folder in (model, old):
        done = hpsearch("recognise", folder, "--support", support, *queries, "--false-accept=0.05")
        assert (done.code, done.out) == (2, "")
        assert "metrics.json holds no figures for it" in done.err
        answers = json.loads(
            hpsearch("recognise", folder, "--support", support, *queries, "--json").out
        )
        assert [(one["none_of_these"], one["probability"]) for one in answers] == [
            (False, None)
        ] * 3
    measured = rejecting(tmp_path / "m")
    for wrong, why in (("0.01", "0.05 to 0.2"), ("0.3", "0.05 to 0.2"), ("0", "0 and 1")):
        command = ["recognise", measured, "--support", support, *queries]
        done = hpsearch(*command, f"--false-accept={wrong}")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert f"--false-accept {wrong}: must be" in done.err
        assert why in done.err
    for wrong in ("nan", "1", "-0.1"):
        assert hpsearch(*command, f"--false-accept={wrong}").code == 2


def test_the_shipped_model_answers_where_no_other_is_named(
    hpsearch: CommandLine, model: Path, support: Path, queries: list[Path], tmp_path: Path
) -> None:
    shipped = json.loads(hpsearch("recognise", "--support", support, *queries, "--json").out)
    expected = load_model(SHIPPED).rank(queries, support)
    for answer, candidates in zip(shipped, expected, strict=True):
        assert answer["ranked"] == [{"class": c.name, "score": c.score} for c in candidates]
    named = hpsearch("recognise", "--model", model, "--support", support, *queries)
    assert named.out == hpsearch("recognise", model, "--support", support, *queries).out
    page = tmp_path / "p.html"
    hpsearch("recognise", "--support", support, queries[0], "--html", page)
    assert "by <bdi>the shipped model, trained on" in page.read_text(encoding="utf-8")


def test_recognising_loads_neither_sympy_nor_what_it_does_not_need(
    support: Path, queries: list[Path]
) -> None:
    """They take more of the first answer's three seconds than the answer does."""
    loaded = loaded_by_command("recognise", "--support", str(support), str(queries[0]))
    assert "torch" in loaded
    assert not loaded & {"sympy", "sklearn", "scipy", "pandas", "optuna", "plotly", "sqlalchemy"}


def test_of7_images_that_hold_nothing_are_said(
    hpsearch: CommandLine, model: Path, support: Path, queries: list[Path], tmp_path: Path
) -> None:
    from PIL import Image

    blank, other = tmp_path / "blank.png", support / "stray.png"
    Image.new("L", (30, 30), 255).save(blank)
    other.write_bytes(sorted(support.glob("*/*.png"))[0].read_bytes())
    done = hpsearch("recognise", model, "--support", support, queries[0], blank)
    assert done.code == 0
    assert "NOTE: pictures that are in two classes: 1 (" in done.err
    assert "NOTE: no ink (blank, of one colour, or wholly transparent): 1 of 2 images" in done.err
    assert str(blank) in done.err
