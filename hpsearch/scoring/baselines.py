"""Training-free baselines on the sealed tasks, beside published accuracies.

Letters: R runs, W ways, M images, P ink points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data import Dataset
from hpsearch.data.cache import in_first, places_beside, write_shared
from hpsearch.data.dataset import OMNIGLOT
from hpsearch.data.tasks import OneShotTasks
from hpsearch.errors import InputError
from hpsearch.json_files import Baselines
from hpsearch.paths import shell_word
from hpsearch.records import dump_record, read_or_none

INK = 128
"""Pixels of this value or more are ink; Omniglot's drawings are 0 or 255."""

PUBLISHED = {
    "humans": ("humans", 0.955),
    "hierarchical_bayesian_program_learning": ("hierarchical Bayesian program learning", 0.952),
    "convolutional_siamese_net": ("convolutional siamese net (Koch et al. 2015)", 0.920),
    "affine_model": ("affine model", 0.818),
    "hierarchical_deep": ("hierarchical deep", 0.652),
    "deep_boltzmann_machine": ("deep Boltzmann machine", 0.620),
    "modified_hausdorff": ("modified Hausdorff distance", 0.612),
    "siamese_net": ("siamese net, no convolution", 0.583),
    "simple_stroke": ("simple stroke", 0.352),
    "nearest_neighbour": ("1-nearest neighbour, pixels", 0.217),
}
"""Published 20-way one-shot accuracies on Lake's 400 tasks, by key: shown name, accuracy.
Table 2 of Koch et al. 2015; modified Hausdorff from Lake's demonstration code (38.8 % error)."""

TABLE_2 = tuple(figures for key, figures in PUBLISHED.items() if key != "modified_hausdorff")
"""The paper's own table, best first."""

Progress = Callable[[str, int, int], None]


def cosine_scores(images: NDArray[np.uint8], tasks: OneShotTasks) -> NDArray[np.float64]:
    """Return the cosine between the pixels of each query and each candidate.

    Args:
        images: [M, S, S], ink = 255.
        tasks: Rows of `images`.

    Returns:
        [R, W (query), W (support)], 0 to 1; NaN if an image has no ink.
    """
    flat = images.reshape(len(images), -1).astype(np.float64)  # [M, S * S]
    with np.errstate(invalid="ignore"):
        flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    query, support = flat[tasks.query], flat[tasks.support]  # [R, W, S * S]
    return np.asarray(query @ support.transpose(0, 2, 1))


def hausdorff_scores(
    images: NDArray[np.uint8], tasks: OneShotTasks, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Return minus the modified Hausdorff distance of each query and each candidate.

    An image is represented by its ink pixels, centred at the origin. The distance is the larger of
    the two mean distances from the points of one image to the nearest point of the other.

    Args:
        images: [M, S, S], ink = 255.
        tasks: Rows of `images`.
        progress: Called after each run.

    Returns:
        [R, W (query), W (support)], at most 0, pixels; NaN if an image has no ink.

    Reference:
        Dubuisson and Jain (1994), "A modified Hausdorff distance for object matching", D22 = f2
        of d6; the centring is that of Lake's one-shot demonstration code.
    """
    from scipy.spatial import cKDTree

    used = np.unique(np.concatenate([tasks.query.ravel(), tasks.support.ravel()]))
    points = {row: _ink_points(images[row]) for row in used.tolist()}
    trees = {row: cKDTree(p) for row, p in points.items() if len(p)}

    def score(one: int, other: int) -> float:
        if one not in trees or other not in trees:
            return np.nan
        there, _ = trees[other].query(points[one])
        back, _ = trees[one].query(points[other])
        return -max(float(there.mean()), float(back.mean()))

    scores = np.empty((*tasks.query.shape, tasks.ways))
    for run, supports in enumerate(tasks.support.tolist()):
        queries = tasks.query[run].tolist()
        scores[run] = [[score(query, support) for support in supports] for query in queries]
        if progress is not None:
            progress("modified Hausdorff distance", run + 1, len(scores))
    return scores


def _ink_points(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the ink pixels of an image [S, S] as points [P, 2] around their mean."""
    points = np.argwhere(image >= INK).astype(np.float64)
    return points - points.mean(axis=0) if len(points) else points


def measure_baselines(dataset: Dataset, progress: Progress | None = None) -> dict[str, Any]:
    """Open the sealed tasks, score the baselines, and store the result beside the data.

    Args:
        dataset: The packed data set.
        progress: Called with the progress of the slow ones.

    Returns:
        By key: accuracy, interval (Wilson 95 %, of
        the pictures that are asked for), n_tasks, verification_auc, degenerate (see
        `TaskScores`), name and published accuracy, each None if there is none. Published figures
        are given for Omniglot only.

    Raises:
        InputError: The sealed file is missing or damaged.
        EnvironmentFailure: The opening cannot be logged.
    """
    from hpsearch.data.sealed import open_test_set
    from hpsearch.scoring.controls import figures, measure_controls
    from hpsearch.training.evaluation import task_scores

    reason = "baselines: pixels, Hausdorff distance, networks that know nothing"
    test = open_test_set(dataset, reason)
    images = test.characters.images
    measured = {
        "nearest_neighbour": cosine_scores(images, test.tasks),
        "modified_hausdorff": hausdorff_scores(images, test.tasks, progress),
    }
    published = PUBLISHED if dataset.kind in OMNIGLOT else {}
    found: dict[str, Any] = {}
    for key in dict.fromkeys([*measured, *published]):
        name, figure = PUBLISHED[key]
        scores = task_scores(measured[key], test.tasks) if key in measured else None
        known = figure if published else None
        found[key] = figures(name, scores, known, test.tasks.n_pictures)
    found |= measure_controls(dataset, test, progress)
    keep_baselines(dataset.folder, dataset.fingerprint, found)
    return found


def read_networks(studies: Sequence[Path], fingerprint: str) -> dict[str, dict[str, Any]]:
    """Return the evaluations of studies' models, by the key of their kind of network.

    Args:
        studies: Folders of studies; the last model of each kind counts.
        fingerprint: Fingerprint of the data.

    Raises:
        InputError: A study has no model evaluated on these data.
    """
    from hpsearch.recognition.model import read_description
    from hpsearch.scoring.controls import MEASURED
    from hpsearch.scoring.evaluate import EVALUATION, read_evaluation
    from hpsearch.training.config import TrialConfig

    found = {}
    for study in studies:
        model = study / "model"
        config = read_description(model).get("config", {})
        shape = TrialConfig.from_values(config, str(model / "config.yaml")).shape()
        held = read_evaluation(model, fingerprint)
        if held is None or not set(MEASURED) <= held.keys():
            raise InputError(
                f"{model / EVALUATION}: no evaluation on these data; run "
                f"hpsearch evaluate {shell_word(model)}"
            )
        key = "convolutional_siamese_net" if shape.convolves else "siamese_net"
        found[key] = {name: held[name] for name in MEASURED}
    return found


def baselines_file(packed: Path) -> Path:
    """Return the file of a packed data set's measured baselines."""
    return packed / "baselines.json"


def keep_baselines(packed: Path, fingerprint: str, found: dict[str, Any]) -> None:
    """Store the baselines measured on a packed data set, for `read_baselines`."""
    text = dump_record({"fingerprint": fingerprint, "baselines": found})
    in_first(places_beside(packed), lambda place: write_shared(baselines_file(place), text))


def read_baselines(packed: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the stored baselines of these data, or None."""
    for place in places_beside(packed):
        kept = read_or_none(baselines_file(place), Baselines)
        if kept and kept["fingerprint"] == fingerprint:
            return dict(kept["baselines"])
    return None
