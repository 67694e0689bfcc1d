"""What the report shows of a model: the tasks it gets wrong, its filters, a map of characters.

Reads validation characters only. Letters: M images, D units, C characters, K side of a filter,
S side of an image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hpsearch.data import Dataset
from hpsearch.data.contact_sheet import drawn
from hpsearch.data.dataset import Characters
from hpsearch.data.tasks import OneShotTasks, score_tasks, split_drawers, validation_tasks
from hpsearch.errors import HpsearchError
from hpsearch.recognition.calibration import Calibration
from hpsearch.recognition.model import Model, load_model, read_metrics
from hpsearch.recognition.page import picture_uri, png_uri
from hpsearch.recognition.support import printable
from hpsearch.report.facts import Facts
from hpsearch.report.figure import Figure, scatter, shown
from hpsearch.training.evaluation import encode, run_scores

HARDEST = 12
FILTERS = 64
MOST_CHARACTERS = 500
SPRITE = 40
"""Side of a drawing on the map, pixels."""


def inspect_model(facts: Facts) -> dict[str, Any] | str:
    """Return what the page shows of the study's model, or why it cannot be shown.

    Args:
        facts: A study with a model.

    Returns:
        By the names that the template uses: `plain`, whether the pictures are no ink on paper;
        `accuracy` on the `n_tasks` validation tasks; `seen`, whether the model was trained on the
        validation characters; the `hardest` tasks; the `map`
        of the characters, with a PNG of its drawings (`sprites`) in rows of `columns`; a PNG of
        the first layer's `filters`, None without a convolution, with the size and number of them;
        the check of "none of these" on unseen classes (`rejection`), None if there is none.
    """
    folder = facts.view.folder.model
    if facts.dataset is None:
        return "The packed data are missing: run hpsearch data show, then hpsearch report again."
    try:
        model = load_model(folder)
        if model.description["dataset"]["fingerprint"] != facts.dataset.fingerprint:
            return "The model in the study's folder was trained on other data."
        figures = read_metrics(folder).get("none_of_these")
        rejection = figures["check"] if figures else None
        return {**_inspect(facts, model, facts.dataset), "rejection": rejection}
    except HpsearchError as error:
        return str(error)


@torch.inference_mode()
def _inspect(facts: Facts, model: Model, dataset: Dataset) -> dict[str, Any]:
    characters = dataset.validation(model.config.input_size)
    seed = facts.view.config.seed
    people = characters.people
    _, drawers = split_drawers(characters.n_drawers, 0, seed, people=people)
    tasks = validation_tasks(characters, dataset.size, drawers=drawers, seed=seed)
    index = characters.index()  # [C, drawers]
    mine = index[:, [d for d in drawers if d < index.shape[1]]].max(axis=1)  # [C], a drawing each
    rows = np.unique(np.concatenate([tasks.query.ravel(), tasks.support.ravel(), mine[mine >= 0]]))
    codes = encode(model.network, torch.from_numpy(np.array(characters.images[rows])))
    query, support = np.searchsorted(rows, tasks.query), np.searchsorted(rows, tasks.support)
    encoded = OneShotTasks(query, support, tasks.target, tasks.alphabet)
    scores = run_scores(model.network, codes, encoded).double().numpy()
    large, paper = dataset.validation().images, model.paper
    hardest = _hardest(tasks, scores, large, _class_names(characters), model.calibration)
    for task in hardest:
        task |= {
            name: picture_uri(task[name], paper=paper) for name in ("query", "wrong", "right")
        }
    return {
        "plain": not paper,
        "hardest": hardest,
        "accuracy": float(score_tasks(scores, tasks).mean()),
        "n_tasks": tasks.n_tasks,
        "seen": model.description.get("include_validation", False),
        **_filters(model),
        **_map(model, characters, (rows, codes), mine, large, seed),
    }


def _class_names(characters: Characters) -> list[str]:
    """Return the name of each image's class, [M]; without the alphabet if there is only one."""
    names = characters.names
    if len(characters.alphabets) == 1:
        names = tuple(name.removeprefix(f"{characters.alphabets[0]}/") for name in names)
    return [printable(names[number]) for number in characters.character.tolist()]


def _hardest(
    tasks: OneShotTasks,
    scores: NDArray[np.float64],
    images: NDArray[np.uint8],
    names: list[str],
    calibration: Calibration,
) -> list[dict[str, Any]]:
    """Return the tasks with the largest gap between the best wrong answer and the right one.

    Their pictures are as stored.
    """
    right = np.take_along_axis(scores, tasks.target[:, :, None], 2)[:, :, 0]  # [R, W]
    others = scores.copy()
    np.put_along_axis(others, tasks.target[:, :, None], -np.inf, 2)
    wrong = others.argmax(axis=2)
    gap = np.nan_to_num(np.take_along_axis(others, wrong[:, :, None], 2)[:, :, 0] - right)
    found: dict[int, dict[str, Any]] = {}
    for place in np.argsort(-gap, axis=None, kind="stable"):
        run, query = np.unravel_index(place, gap.shape)
        if len(found) == HARDEST or gap[run, query] <= 0:
            break
        row = int(tasks.query[run, query])
        if row in found:
            continue
        support = tasks.support[run]
        target, best = int(tasks.target[run, query]), int(wrong[run, query])
        p = calibration.probability(scores[run, query, [best, target]]).tolist()
        found[row] = {
            "query": images[row],
            "wrong": images[support[best]],
            "right": images[support[target]],
            "name": names[row],
            "answer": names[support[best]],
            "rank": int((scores[run, query] > scores[run, query, target]).sum()) + 1,
            "ways": tasks.ways,
            "scores": p,
        }
    return list(found.values())


def _filters(model: Model) -> dict[str, Any]:
    """Draw the first layer's filters, each scaled separately; grey is 0."""
    if not model.config.layers.convolutions:
        return {"filters": None}
    weights = model.network.get_parameter("conv1.weight").detach().numpy()[:, 0]  # [filters, K, K]
    strength = np.sqrt((weights**2).sum((1, 2)))
    chosen = weights[np.argsort(-strength, kind="stable")[:FILTERS]]
    side = chosen.shape[1]
    columns = min(16, len(chosen))
    rows = -(-len(chosen) // columns)
    sheet = np.zeros((rows * (side + 1) + 1, columns * (side + 1) + 1, 4), np.uint8)
    for k, one in enumerate(chosen):
        top, left = (k // columns) * (side + 1) + 1, (k % columns) * (side + 1) + 1
        scaled = one / max(float(np.abs(one).max()), 1e-12)
        grey = (127.5 * (1 - scaled)).round().astype(np.uint8)  # positive weights are dark
        place = sheet[top : top + side, left : left + side]
        place[..., :3], place[..., 3] = grey[..., None], 255
    scale = max(1, round(960 / sheet.shape[1]))
    large = np.repeat(np.repeat(sheet, scale, 0), scale, 1)
    return {
        "filters": png_uri(Image.fromarray(large)),
        "filter_size": side,
        "filter_count": len(weights),
        "filters_shown": len(chosen),
    }


def _map(
    model: Model,
    characters: Characters,
    encoded: tuple[NDArray[np.int64], torch.Tensor],
    drawing: NDArray[np.int64],
    large: NDArray[np.uint8],
    seed: int,
) -> dict[str, Any]:
    """Draw a map on which characters that the network finds similar are close together.

    Args:
        model: The network.
        characters: The validation characters.
        encoded: Ascending rows of images, those of `drawing` among them, and their encodings.
        drawing: [C], the row of one drawing of each character, -1 if there is none.
        large: Their images as stored, [M, 105, 105].
        seed: Seed of the layout.
    """
    chosen = np.flatnonzero(drawing >= 0)
    if len(chosen) > MOST_CHARACTERS:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(chosen, MOST_CHARACTERS, replace=False))
    if len(chosen) < 5:
        return {"map": None}
    rows, codes = encoded
    shown_codes = codes[torch.from_numpy(np.searchsorted(rows, drawing[chosen]))]
    logits = model.network.score_matrix(shown_codes, shown_codes).double().numpy()
    if not np.isfinite(logits).all():
        return {"map": None}
    columns = math.ceil(math.sqrt(len(chosen)))
    pictures = large[drawing[chosen]]
    figure = _draw_map(characters, chosen.tolist(), _layout(logits, seed))
    return {
        "map": figure,
        "sprites": _sprites(pictures, columns, paper=model.paper),
        "columns": columns,
    }


def _layout(logits: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return places [C, 2] by t-SNE on the network's own distance.

    Reference:
        van der Maaten and Hinton (2008), "Visualizing data using t-SNE".
    """
    from sklearn.manifold import TSNE

    distance = logits.max() - (logits + logits.T) / 2
    np.fill_diagonal(distance, 0.0)
    perplexity = min(20.0, (len(logits) - 1) / 4)
    layout = TSNE(
        2, perplexity=perplexity, metric="precomputed", init="random", random_state=seed, n_jobs=1
    )
    places = np.asarray(layout.fit_transform(np.maximum(distance, 0)), np.float64)
    return np.asarray(places - places.mean(axis=0))


def _sprites(images: NDArray[np.uint8], columns: int, *, paper: bool) -> str:
    """Return pictures [C, S, S] or [C, 3, S, S] as one image, row by row."""
    rows = -(-len(images) // columns)
    mode = "RGB" if images.ndim == 4 else "L"
    sheet = Image.new(mode, (columns * SPRITE, rows * SPRITE), "white")
    for k, image in enumerate(images):
        small = drawn(image, paper=paper).resize((SPRITE, SPRITE), Image.Resampling.BOX)
        sheet.paste(small, ((k % columns) * SPRITE, (k // columns) * SPRITE))
    return png_uri(sheet.quantize(16 if mode == "L" else 64))


def _draw_map(characters: Characters, chosen: list[int], places: NDArray[np.float64]) -> Figure:
    data = []
    alphabets = characters.alphabet_of[chosen]
    for number, alphabet in enumerate(sorted(set(alphabets.tolist()))):
        members = np.flatnonzero(alphabets == alphabet)
        names = [printable(characters.names[chosen[k]]) for k in members]
        symbol = ["circle", "diamond", "square"][number // 10 % 3]
        marker = {"color": f"var(--c{number % 10})", "symbol": symbol, "size": 8, "opacity": 0.9}
        dots = scatter("markers", *places[members].T, name=shown(characters.alphabets[alphabet]))
        drawings = [[int(k), name] for k, name in zip(members, names, strict=True)]
        data.append({**dots, "customdata": drawings, "hoverinfo": "none", "marker": marker})
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False, "showline": False}
    axes = {"xaxis": hidden, "yaxis": hidden}
    layout = {**axes, "hovermode": "closest", "meta": {"drawings": True}}
    note = (
        "Each dot is a character; characters that the network finds similar are close together "
        "(t-SNE of the network's distances). Point at a dot or touch it to see the drawing."
    )
    return Figure("characters", "Map of the validation characters", data, layout, 560, note)
