"""The command serve: a page that recognises pictures, on 127.0.0.1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import DeviceOption
from hpsearch.cli.recognise import check_rate, cut_at
from hpsearch.output import notice, say

if TYPE_CHECKING:
    from hpsearch.recognition.model import Model
    from hpsearch.recognition.rank import EncodedSupport
    from hpsearch.serving.recognition_page import Threshold

USUAL_RATE = 0.1
"""False-accept rate of "none of these" where none is asked for: about there the best class of an
accepted picture is more likely right than not."""

MANY = 200
"""So many pictures take longer than people wait without a word: a thousand take a minute."""


def serve(
    support: Annotated[
        Path, typer.Option(help="A folder with one folder, or one image, per class.")
    ],
    model: Annotated[
        Path | None, typer.Argument(help="A model folder; without it the shipped model.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8081,
    false_accept: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Answer `none of these` so that this share of the images of unknown classes is "
            f"accepted [{USUAL_RATE:g} where the model can].",
        ),
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Recognise drawn or dropped pictures on a page on 127.0.0.1, and as JSON."""
    check_rate(false_accept)
    from hpsearch.execution.devices import choose_device
    from hpsearch.pictures.looks import Looks
    from hpsearch.recognition.model import (
        SHIPPED,
        in_colour,
        load_model,
        on_paper,
        read_description,
    )
    from hpsearch.recognition.support import read_support

    folder, looks = model or SHIPPED, Looks()
    description = read_description(folder)
    paper, colour_px = on_paper(description), in_colour(description)
    classes = read_support(support, looks, paper=paper, inside=True, colour_px=colour_px)
    for text in (*classes.left_out, *looks.notices(paper=paper, colour=colour_px > 0)):
        notice(text)
    loaded = load_model(folder, choose_device(device or "auto"))

    from hpsearch.data.dataset import in_words
    from hpsearch.recognition.rank import EncodedSupport
    from hpsearch.serving.picture import LARGEST_BODY
    from hpsearch.serving.recognition_page import CONNECTIONS, RecognitionPage
    from hpsearch.serving.server import serve_until_interrupted

    if len(classes.images) > MANY:
        say(f"encoding {len(classes.images)} pictures, once for all requests", err=True)
    size = loaded.config.input_size
    encoded = EncodedSupport(loaded.network, size, classes, loaded.calibration, loaded.rejection)
    encoded.rank(classes.images[:1])  # says here what is wrong with the model
    trained_on = in_words(loaded.description["dataset"]["kind"])
    maker = f"{model or 'the shipped model'}, trained on {trained_on} at {size} px"
    page = RecognitionPage(encoded, maker, _threshold(encoded, loaded, folder, false_accept))
    serve_until_interrupted(
        page.guarded(),
        port,
        largest_body=LARGEST_BODY,
        connections=CONNECTIONS,
        ready=lambda: say(f"http://127.0.0.1:{port}/ (Ctrl-C ends it)"),
    )


def _threshold(
    encoded: EncodedSupport, model: Model, folder: Path, wanted: float | None
) -> Threshold | None:
    """Return when the answer is "none of these"; None where that is not asked and not measured."""
    from hpsearch.serving.recognition_page import Threshold

    if wanted is None:
        rates = model.rejection.rates if model.rejection is not None else ()
        if not rates or not rates[0] <= USUAL_RATE <= rates[-1]:
            return None
        wanted = USUAL_RATE
    return Threshold(cut_at(wanted, encoded.setting, model, folder), wanted)
