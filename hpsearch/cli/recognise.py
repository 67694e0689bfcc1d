"""The command recognise: ranks the classes of a folder of support images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import ModelArgument
from hpsearch.errors import InputError, one_line
from hpsearch.output import notice, say, say_json
from hpsearch.paths import check_output
from hpsearch.wording import percent

if TYPE_CHECKING:
    from hpsearch.recognition.rank import Ranking


def recognise(
    model: ModelArgument,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE", help="Images of any size and mode.")
    ],
    support: Annotated[
        Path, typer.Option(help="A folder with one folder, or one image, per class.")
    ],
    top: Annotated[int, typer.Option(min=1, help="Classes shown per image.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, every class ranked.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures.")] = None,
    unknown_below: Annotated[
        str | None,
        typer.Option(
            metavar="SCORE",
            help="An image is unknown below this score; `suggested` takes validation's.",
        ),
    ] = None,
) -> None:
    """Rank the classes of a support folder for each image, from one or few examples per class."""
    if html is not None:
        if html.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--html {html}: name a file that ends in .html")
        check_output(html, "<title>Recognised: ", "recognise", "--html")
    from dataclasses import replace

    from hpsearch.execution.devices import choose_device
    from hpsearch.recognition.model import load_model, suggested_threshold
    from hpsearch.recognition.support import read_images, read_support
    from hpsearch.sources.looks import Looks

    loaded = load_model(model, choose_device("auto"))
    of_support, of_queries = Looks(), Looks()
    classes = read_support(support, of_support)
    queries = read_images(images, of_queries)
    for text in (*of_support.notices(), *of_queries.notices(copies=False)):
        notice(text)

    from hpsearch.recognition.rank import rank

    suggested = suggested_threshold(model)
    below = _threshold(unknown_below, suggested, model)
    ranking = rank(loaded.network, loaded.config.input_size, queries, classes, loaded.calibration)
    ranking = replace(ranking, below=below)
    names = [str(path) for path in images]
    if html is not None:
        from hpsearch.data.dataset import in_words
        from hpsearch.paths import write_atomically
        from hpsearch.recognition.page import render_page

        trained_on = in_words(loaded.description["dataset"]["kind"])
        maker = f"{model}, trained on {trained_on} at {loaded.config.input_size} px"
        write_atomically(html, render_page(maker, names, queries, classes, ranking, top))
        say(f"{one_line(str(html))}: written", err=True)
    if json:
        _print_json(names, ranking)
    else:
        _print_table(names, ranking, top)
        if suggested is not None and below is None:
            say(
                f"to detect unknown images: --unknown-below {suggested['score']:.3f} (on "
                f"validation it keeps {percent(suggested['known_kept'], 0)} of known and rejects "
                f"{percent(suggested['unknown_rejected'], 0)} of unknown images, "
                f"{suggested['ways']} ways)",
                err=True,
            )


def _threshold(asked: str | None, suggested: dict[str, Any] | None, model: Path) -> float | None:
    """Return the score that the option names; None without the option."""
    if asked is None:
        return None
    if asked == "suggested":
        if suggested is None:
            raise InputError(
                f"--unknown-below suggested: {model / 'metrics.json'} holds no suggestion (older, "
                "or trained on validation); give a score from 0 to 1"
            )
        return float(suggested["score"])
    try:
        score = float(asked)
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise InputError(f"--unknown-below {asked}: must be a score from 0 to 1, or `suggested`")
    return score


def _print_json(names: list[str], ranking: Ranking) -> None:
    answers = []
    for query, name in enumerate(names):
        known = {} if ranking.below is None else {"unknown": ranking.unknown(query)}
        ranked = [{"class": c, "score": score} for c, score in ranking.candidates(query)]
        answers.append({"image": name, **known, "ranked": ranked})
    say_json(answers)


def _print_table(names: list[str], ranking: Ranking, top: int) -> None:
    count = len(ranking.names)
    unknown = f", unknown: no score reaches {ranking.below:.3f}" if ranking.below else ""
    for query, name in enumerate(names):
        verdict = unknown if ranking.unknown(query) else ""
        say(f"{one_line(name)}: {min(top, count)} of {count} classes{verdict}")
        for place, one in enumerate(ranking.candidates(query, top), start=1):
            say(f"{place:5}  {one.score:.3f}  {one_line(one.name)}")
