"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hpsearch.storage.view import StudyView

StudyArgument = Annotated[
    str, typer.Argument(help="A study's folder, file or shipped name, e.g. quickstart.")
]
ModelArgument = Annotated[Path, typer.Argument(help="A model folder.")]
DataOption = Annotated[Path | None, typer.Option(help="Omniglot's zips or folders, or images.")]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="Kind of data, as in a study file.")
]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Agree to the command that a study's folder runs.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BesideOption = Annotated[
    list[Path] | None,
    typer.Option(help="A study's folder; its evaluated model joins the accuracies."),
]


def open_study(study: str) -> StudyView:
    """Read the study that a StudyArgument names.

    Raises:
        InputError: There is no such study.
    """
    from hpsearch.storage.view import read_study
    from hpsearch.study.plan import find_begun

    return read_study(find_begun(study))
