"""Every command in the README and the results exists; the way to recognition is walked by them."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import hpsearch as package
from tests.support.command_line import CommandLine
from tests.support.models import write_model
from tests.support.recorded_make import Make

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
MOST_LINES = 120
SMALL = [
    *("--set", "trial.max_epochs=1", "--set", "trial.images_per_epoch=128"),
    *("--set", "sampler.name=random"),
]
"""Added to searches, so that they take seconds."""
GLYPHS = ("--set", "dataset=glyphs")
WALKED = ("search", "report", "export", "retrain", "evaluate")
"""Targets that a test of this file runs; see ELSEWHERE for the others."""
ELSEWHERE = {
    "test": "this run",
    "baselines": "tests/scoring/test_baselines.py",
    "dashboard": "tests/report/test_in_chromium.py",
    "confirm": "tests/results/test_confirm.py",
    "install-cluster": "this run",
    "docs": "tests/test_docs.py",
}
"""Targets that other tests run."""
LONG = ("drill", "bench", "bench-search")
"""Targets too long for a test: only what they would run is looked at."""
COMMANDS = {
    "recognise": "walked",
    "retrain": "walked",
    "space": "walked",
    "data": "walked",
    "doctor": "tests/reliability/test_invariants.py",
    "check": "tests/app/test_check.py",
    "serve": "tests/serving/test_server.py",
    "export-model": "tests/recognition/test_onnx_file.py",
    "search": "tests/reliability/test_command_killed.py",
}


def shown() -> list[list[str]]:
    """Return every command of both pages as words, options in brackets left out."""
    text = README + RESULTS
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    lines = [line.split("#")[0] for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`((?:make|hpsearch|\.venv/bin/hpsearch) [^`]+)`", text)
    plain = [re.sub(r"\[[^\]]*\]", "", line) for line in lines]
    return [shlex.split(line) for line in plain if line.strip()]


def expanded(*words: str) -> list[str]:
    """Return what a make target runs, as the words after the program's name."""
    with tempfile.TemporaryDirectory() as folder:
        make = Make(Path(folder))
        done = make(*words)
        assert done.returncode == 0, done.stderr
        return make.given()


def test_it_is_short_and_shows_use_before_results() -> None:
    lines = README.splitlines()
    assert len(lines) <= MOST_LINES
    heads = [line for line in lines if line.startswith("## ")]
    assert heads.index("## Your own images") < heads.index("## Results")


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) >= 12
    assert [link for link in links if "://" not in link and not (ROOT / link).is_file()] == []


def test_every_figure_among_the_results_is_on_their_page() -> None:
    section = README.split("## Results")[1].split("\n## ")[0]
    figures = re.findall(r"\d+\.\d %|\[[\d., ]+\]|\d+ (?:trials|minutes|seconds)", section)
    assert len(figures) >= 8
    for figure in figures:
        assert figure.removesuffix(" trials") in RESULTS, figure


def test_every_command_is_one_that_a_test_runs() -> None:
    commands = shown()
    assert len(commands) >= 24
    for program, first, *rest in commands:
        if program == "make":
            assert first in WALKED or first in ELSEWHERE or first in LONG, first
            done = subprocess.run(
                ["make", "-n", first, *(w for w in rest if "=" in w)],
                cwd=ROOT, capture_output=True, check=False, timeout=600,
            )  # fmt: skip
            assert done.returncode == 0, (first, rest)
        else:
            assert program in ("hpsearch", ".venv/bin/hpsearch")
            assert first in COMMANDS, first
    for place in {*ELSEWHERE.values(), *COMMANDS.values()} - {"this run", "walked"}:
        assert (ROOT / place).is_file(), place


@pytest.mark.timeout(600)
def test_from_search_to_recognition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hpsearch: CommandLine
) -> None:
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    output = tmp_path / "a study"  # a name with a space, as people have
    for target in WALKED:
        arguments = expanded(target, f"OUTPUT={output}", "TRIALS=1", "WORKERS=1")
        done = hpsearch(*arguments, *([*SMALL, *GLYPHS] if target == "search" else []))
        assert done.code == 0, (target, done.err)
    for left in ("best.yaml", "report.html", "model/weights.safetensors", "openings.jsonl"):
        assert (output / left).is_file(), left
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / "support" / name).mkdir(parents=True)
        picture = Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8))
        picture.save(tmp_path / "support" / name / "a.png")
    query = tmp_path / "support" / "two" / "a.png"
    done = hpsearch("recognise", output / "model", "--support", tmp_path / "support", query)
    assert done.code == 0, done.err
    assert done.out.index("two") < done.out.index("one")
    assert hpsearch("space", "show", "koch2015").code == 0
    assert hpsearch("data", "show").code == 0


ICONS = 15


def draw_icon(kind: int, shift: int, mode: str) -> Image.Image:
    """Draw one of the icons as somebody would, each of another size and colour."""
    side = 64 + 10 * shift
    image = Image.new("RGB", (side, side + 6), "white")
    pen, ink = ImageDraw.Draw(image), (10, 30 * shift, 80)
    box = (8 + shift, 10, side - 12, side - 8 + shift)
    sides, turned = kind % 5, kind // 5
    if sides == 0:
        pen.ellipse(box, outline=ink, width=5)
    elif sides == 1:
        pen.rectangle(box, outline=ink, width=5)
    else:
        centre = (side / 2 + shift, side / 2, side / 3)
        pen.regular_polygon(centre, sides + 1, rotation=20 * turned, outline=ink)
    pen.line((box[0], box[1] + 9 * turned, box[2], box[1] + 22 * turned), fill=ink, width=4)
    return image.convert(mode)


def own_images(folder: Path) -> Path:
    """Write CHARACTER/*.png, drawings in every mode that users have."""
    for kind in range(ICONS):
        place = folder / f"icon {kind:02}"
        place.mkdir(parents=True)
        for shift, mode in enumerate(("L", "RGB", "RGBA", "P", "1")):
            draw_icon(kind, shift, mode).save(place / f"{mode}.png")
    return folder


def own_commands(title: str = "Your own images", **places: Path) -> list[list[str]]:
    """Return the commands of a block of the README on own images, its names replaced."""
    section = README.split(f"## {title}")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.S)
    for name, place in places.items():
        block = re.sub(rf"(?<![\w/]){name}\b", lambda _, p=place: shlex.quote(str(p)), block)
    return [shlex.split(line) for line in block.splitlines()]


def test_three_lines_lead_from_pictures_to_a_page(tmp_path: Path, hpsearch: CommandLine) -> None:
    """They make what the longer way makes, which is walked below, and serve it."""
    longer = own_commands()
    search, both, _ = own_commands("A page that recognises them")
    assert search == longer[0]
    exported, retrained = (
        [word for word in line if "=" in word or word == "make"] for line in longer[2:4]
    )
    assert expanded(*both[1:]) == expanded("export", *exported[1:]) + expanded(
        "retrain", *retrained[1:]
    )
    write_model(tmp_path / "model")
    support = own_images(tmp_path / "my images")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        places = {"runs/mine/model": tmp_path / "model", "my_images": support}
        words = own_commands("A page that recognises them", **places)[2][1:]
        done = hpsearch(*words, "--port", taken.getsockname()[1])
    assert "Address already in use" in done.err  # all that was needed was found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_own_images_from_search_to_recognition_in_the_readmes_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hpsearch: CommandLine
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    data, output, new = own_images(tmp_path / "my images"), tmp_path / "mine", tmp_path / "new.png"
    draw_icon(7, 2, "L").resize((300, 200)).save(new)
    places = {"my_images": data, "runs/mine": output, "my_examples": data, "new_image.png": new}
    few = {"search": ("TRIALS=3", "WORKERS=1"), "confirm": ("TOP=2", "SEEDS=2", "WORKERS=1")}
    told, done = {}, []
    for program, command, *rest in own_commands(**places):
        words = rest
        if program == "make":
            _, *words = expanded(command, *rest, *few.get(command, ()))
        ended = hpsearch(command, *words, *(SMALL if command == "search" else ()))
        assert ended.code == 0, (command, words, ended.err)
        told[command] = ended.out
        done.append(command)
    assert done == ["search", "confirm", "export", "retrain", "evaluate", "recognise"]
    assert "unconfirmed" not in told["export"]
    assert "on fresh tasks" in told["export"]
    assert "certificate: within" in told["retrain"] or "certificate: outside" in told["retrain"]
    assert "on 400 tasks of own images" in told["evaluate"]
    ranked = [line for line in told["recognise"].splitlines() if "icon " in line]
    assert len(ranked) == 5
    assert ranked[0].endswith("icon 07")
    shown = hpsearch("data", "show", "--data", data)
    assert "tasks: 5 ways, chance 20.0 %" in shown.out
    study = package.search(output, data, budget={"trials": 4})
    assert [t.state for t in study.trials][:2] == ["complete", "complete"]
    assert (len(study.trials), study.folder) == (4, output)
    assert study.best is not None
