"""Draws the sealed one-shot tasks that models get wrong: query, right answer, their answers.

Opens the sealed tasks, which is logged in each model's folder.
Run: python -m benchmarks.mistakes MODEL... --data DIR --output PNG
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hpsearch.data import Dataset
from hpsearch.data.resize import SIDE, area_average
from hpsearch.data.sealed import open_test_set
from hpsearch.output import say
from hpsearch.recognition.model import load_model
from hpsearch.sources.find import find_dataset
from hpsearch.training.evaluation import encode, run_scores

GAP, HEAD = 8, 22
COLUMNS = 2


class Mistake(NamedTuple):
    """A task that some models get wrong: the rows of its images, and the models' answers."""

    alphabet: str
    query: int
    right: int
    answers: tuple[int, ...]
    """The row that each model chose."""

    @property
    def wrong(self) -> int:
        """How many models are wrong."""
        return sum(answer != self.right for answer in self.answers)


def find_mistakes(
    models: Sequence[Path], dataset: Dataset
) -> tuple[list[Mistake], NDArray[np.uint8]]:
    """Return the tasks that a model gets wrong, those of most models first, and all images."""
    chosen = []
    for folder in models:
        test = open_test_set(dataset, f"mistakes of {folder.name}", log=folder / "openings.jsonl")
        model = load_model(folder)
        small = area_average(np.asarray(test.characters.images), model.config.input_size)
        with torch.inference_mode():
            codes = encode(model.network, torch.from_numpy(small))
            scores = run_scores(model.network, codes, test.tasks)
        places = scores.argmax(2).numpy()  # [R, W]
        chosen.append(np.take_along_axis(test.tasks.support, places, axis=1))
    answers = np.stack(chosen, axis=2)  # [R, W, models]
    right = np.take_along_axis(test.tasks.support, test.tasks.target, axis=1)
    found = [
        Mistake(
            test.tasks.alphabet[run],
            int(test.tasks.query[run, k]),
            int(right[run, k]),
            tuple(answers[run, k].tolist()),
        )
        for run, k in np.argwhere((answers != right[..., None]).any(axis=2)).tolist()
    ]
    return sorted(found, key=lambda one: -one.wrong), np.asarray(test.characters.images)


def draw(mistakes: Sequence[Mistake], images: NDArray[np.uint8], models: int) -> Image.Image:
    """Return a sheet with a row of pictures for each mistake."""
    cells = 2 + models
    width = cells * (SIDE + GAP) + 3 * GAP
    rows = -(-len(mistakes) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * width, rows * (SIDE + HEAD + GAP) + GAP), 255)
    pen = ImageDraw.Draw(sheet)
    for number, one in enumerate(mistakes):
        left = (number % COLUMNS) * width + GAP
        top = (number // COLUMNS) * (SIDE + HEAD + GAP) + GAP
        words = f"{one.alphabet}: query, right, then {one.wrong} of {models} wrong"
        pen.text((left, top), words, fill=0, font_size=13)
        for place, row in enumerate((one.query, one.right, *one.answers)):
            picture = Image.fromarray(255 - images[row])
            at = (left + place * (SIDE + GAP) + (GAP if place else 0), top + HEAD)
            sheet.paste(picture, at)
            bad = place > 1 and row != one.right
            box = (at[0] - 1, at[1] - 1, at[0] + SIDE, at[1] + SIDE)
            pen.rectangle(box, outline=0 if bad else 190, width=2 if bad else 1)
    return sheet


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    mistakes, images = find_mistakes(given.models, find_dataset("omniglot", given.data, test=True))
    draw(mistakes, images, len(given.models)).quantize(16).save(given.output, optimize=True)
    for one in mistakes:
        say(f"{one.alphabet}: {one.wrong} of {len(given.models)} wrong")


if __name__ == "__main__":
    main()
