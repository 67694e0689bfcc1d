"""Small trees in Omniglot's form, and a random role, for the tests of the data."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from hpsearch.data.dataset import Characters
from hpsearch.sources.omniglot import Layout

SMALL = Layout(
    background=10, evaluation=20, drawers=4, runs=2, ways=5, validation=("Val_A", "Val_B")
)


def png(pixels: np.ndarray, mode: str = "1") -> bytes:
    """Return a PNG of bool ink [H, W]: ink black."""
    file = io.BytesIO()
    Image.fromarray(np.where(pixels, 0, 255).astype(np.uint8)).convert(mode).save(file, "PNG")
    return file.getvalue()


def small_files(seed: int = 0) -> dict[str, dict[str, bytes]]:
    """Return the three parts of a small data set: part -> path inside -> content."""
    rng = np.random.default_rng(seed)
    parts: dict[str, dict[str, bytes]] = {
        "images_background": {},
        "images_evaluation": {},
        "all_runs": {},
    }
    alphabets = {"Bg_A": 0, "Bg_B": 0, "Test_A": 1, "Test_B": 1, "Val_A": 1, "Val_B": 1}
    drawings: dict[tuple[str, int, int], bytes] = {}
    for alphabet, part in alphabets.items():
        for character in range(1, 6):
            for drawer in range(1, 5):
                content = png(rng.random((105, 105)) < 0.1)
                drawings[alphabet, character, drawer] = content
                name = f"{alphabet}/character{character:02}/0001_{drawer:02}.png"
                parts[("images_background", "images_evaluation")[part]][name] = content
    for run, alphabet in enumerate(("Test_A", "Test_B"), 1):
        order = rng.permutation(5)
        lines = []
        for item in range(5):
            character = int(order[item]) + 1
            test, training = f"test/item{item + 1:02}.png", f"training/class{character:02}.png"
            parts["all_runs"][f"run{run:02}/{test}"] = drawings[alphabet, character, 1]
            parts["all_runs"][f"run{run:02}/{training}"] = drawings[alphabet, character, 3]
            lines.append(f"run{run:02}/{test} run{run:02}/{training}\n")
        parts["all_runs"][f"run{run:02}/class_labels.txt"] = "".join(lines).encode()
    return parts


def write_zips(folder: Path, parts: dict[str, dict[str, bytes]]) -> Path:
    """Write the parts as zips, each image part below its own name as the authors' are."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, files in parts.items():
        prefix = "" if part == "all_runs" else f"{part}/"
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(prefix + name, content)
    return folder


def write_folders(folder: Path, parts: dict[str, dict[str, bytes]]) -> Path:
    """Write the parts unpacked."""
    for part, files in parts.items():
        for name, content in files.items():
            path = folder / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder


def role(alphabets: tuple[int, ...], drawers: int = 20, side: int = 2) -> Characters:
    """Return a role with so many characters per alphabet; every image tells its row."""
    n = sum(alphabets)
    alphabet_of = np.repeat(np.arange(len(alphabets)), alphabets)
    rows = np.arange(n * drawers)
    return Characters(
        images=np.repeat((rows % 251).astype(np.uint8), side * side).reshape(-1, side, side),
        character=np.repeat(np.arange(n), drawers),
        drawer=np.tile(np.arange(drawers), n),
        alphabet_of=alphabet_of,
        names=tuple(f"A{alphabet}/c{index}" for index, alphabet in enumerate(alphabet_of)),
        alphabets=tuple(f"A{index}" for index in range(len(alphabets))),
    )
