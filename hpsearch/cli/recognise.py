"""The command recognise: ranks the classes of a folder of support images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.errors import InputError, one_line
from hpsearch.output import notice, say, say_json
from hpsearch.paths import check_output
from hpsearch.wording import percent

if TYPE_CHECKING:
    from hpsearch.recognition.model import Model
    from hpsearch.recognition.rank import Ranking
    from hpsearch.recognition.rejection import Cut, Setting


def recognise(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] IMAGE...",
            help="Images of any size and mode; before them, if wanted, a model folder.",
        ),
    ],
    support: Annotated[
        Path, typer.Option(help="A folder with one folder, or one image, per class.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="A model folder; without it the shipped model.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes shown per image.")] = 5,
    false_accept: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Answer `none of these` so that this share of the images of unknown classes is "
            "accepted, e.g. 0.05.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, every class ranked.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures.")] = None,
) -> None:
    """Rank the classes of a support folder for each image, from one or few examples per class."""
    check_rate(false_accept)
    if html is not None:
        if html.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--html {html}: name a file that ends in .html")
        check_output(html, "<title>Recognised: ", "recognise", "--html")
    folder, images = _model_and_images(model, images)
    from hpsearch.execution.devices import choose_device
    from hpsearch.pictures.looks import Looks
    from hpsearch.recognition.model import (
        SHIPPED,
        in_colour,
        load_model,
        on_paper,
        read_description,
    )
    from hpsearch.recognition.support import read_images, read_support

    of_support, of_queries = Looks(), Looks()
    description = read_description(folder or SHIPPED)
    paper, colour_px = on_paper(description), in_colour(description)
    classes = read_support(support, of_support, paper=paper, colour_px=colour_px)
    queries = read_images(images, of_queries, paper=paper, colour_px=colour_px)
    loaded = load_model(folder or SHIPPED, choose_device("auto"))
    kept: dict[str, bool] = {"paper": paper, "colour": colour_px > 0}
    odd = of_support.notices(**kept), of_queries.notices(copies=False, **kept)
    for text in (*classes.left_out, *odd[0], *odd[1]):
        notice(text)

    from hpsearch.recognition.rank import rank

    size = loaded.config.input_size
    ranking = rank(loaded.network, size, queries, classes, loaded.calibration, loaded.rejection)
    if false_accept is not None:
        from dataclasses import replace

        cut = cut_at(false_accept, ranking.setting, loaded, folder or SHIPPED)
        ranking = replace(ranking, threshold=cut.evidence)
    names = [str(path) for path in images]
    if html is not None:
        from hpsearch.data.dataset import in_words
        from hpsearch.paths import write_atomically
        from hpsearch.recognition.page import render_page

        trained_on = in_words(loaded.description["dataset"]["kind"])
        maker = f"{folder or 'the shipped model'}, trained on {trained_on} at {size} px"
        write_atomically(html, render_page(maker, names, queries, classes, ranking, top))
        say(f"{one_line(str(html))}: written", err=True)
    if json:
        _print_json(names, ranking)
    else:
        _print_table(names, ranking, top)
        if ranking.setting is not None and false_accept is None:
            say("to get the answer `none of these`: --false-accept 0.05", err=True)


def _model_and_images(model: Path | None, given: list[Path]) -> tuple[Path | None, list[Path]]:
    """Return the model folder, None for the shipped one, and the images.

    Raises:
        InputError: A folder is named that is no model, or there is no image.
    """
    first, *others = given
    if model is None and (first / "config.yaml").is_file():
        model, given = first, others
    elif first.is_dir():
        fix = "give images" if model else "give images, or a model folder and then images"
        raise InputError(f"{first}: a folder without a model (no config.yaml); {fix}")
    elif model is None and others and not first.suffix and not first.exists():
        raise InputError(f"{first}: no such model folder or image file; check the name")
    if not given:
        raise InputError(f"IMAGE: missing; name images after the model folder {first}")
    return model, given


def check_rate(false_accept: float | None) -> None:
    """Refuse a false-accept rate that is no share.

    Raises:
        InputError: It is not between 0 and 1.
    """
    if false_accept is not None and not 0 < false_accept < 1:
        raise InputError(f"--false-accept {false_accept:g}: must be between 0 and 1, e.g. 0.05")


def cut_at(false_accept: float, setting: Setting | None, model: Model, folder: Path) -> Cut:
    """Return the threshold of a false-accept rate, and say what it does.

    Args:
        false_accept: Share of the images of unknown classes that are accepted, 0 to 1.
        setting: What validation measured with as many classes.
        model: The model.
        folder: Its folder, for messages.

    Raises:
        InputError: The model's validation measured no threshold, or not of this rate.
    """
    if model.rejection is None or setting is None:
        raise InputError(
            f"--false-accept {false_accept:g}: {folder / 'metrics.json'} holds no figures for it "
            "(older, trained on its validation classes, or too few of them); leave it out"
        )
    cut = model.rejection.cut(setting, false_accept)
    most = max(one.ways for one in model.rejection.settings)
    among = f" of {most:g} classes, its most," if setting.ways > most else ""
    say(
        f"none of these: at a probability of {cut.probability:.3f} or below; on validation{among} "
        f"that keeps {percent(cut.kept, 0)} of the images of known classes",
        err=True,
    )
    return cut


def _print_json(names: list[str], ranking: Ranking) -> None:
    answers = []
    for query, name in enumerate(names):
        ranked = [{"class": c, "score": score} for c, score in ranking.candidates(query)]
        verdict = {
            "none_of_these": ranking.none_of_these(query),
            "probability": ranking.probability(query),
        }
        answers.append({"image": name, **verdict, "ranked": ranked})
    say_json(answers)


def _print_table(names: list[str], ranking: Ranking, top: int) -> None:
    count = len(ranking.names)
    for query, name in enumerate(names):
        none = ", none of these" if ranking.none_of_these(query) else ""
        say(f"{one_line(name)}: {min(top, count)} of {count} classes{none}")
        for place, one in enumerate(ranking.candidates(query, top), start=1):
            say(f"{place:5}  {one.score:.3f}  {one_line(one.name)}")
        if (probability := ranking.probability(query)) is not None:
            say(f"       the first is right with probability {probability:.3f}")
