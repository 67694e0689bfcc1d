"""The command export-model: writes a model for a program without hpsearch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.options import ModelArgument
from hpsearch.output import say


def export_model(
    model: ModelArgument,
    onnx: Annotated[Path, typer.Option(metavar="FILE", help="Write it as this ONNX file.")],
) -> None:
    """Write a model as one ONNX file: encoder and comparison, checked against torch."""
    from hpsearch.recognition.model import load_model
    from hpsearch.recognition.onnx_file import OPSET, PICTURES, check_file, write_onnx

    check_file(onnx)
    done = write_onnx(load_model(model), onnx)
    say(
        f"{onnx}: {done.bytes / 1e6:.1f} MB, opset {OPSET}; on {PICTURES} pictures ONNX Runtime "
        f"differs from torch by at most {done.codes:.1e} in codes and {done.scores:.1e} in scores"
    )
