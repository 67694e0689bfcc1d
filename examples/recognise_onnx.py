"""Recognise pictures with an exported model: no hpsearch, no torch.

    hpsearch export-model MODEL --onnx model.onnx
    python examples/recognise_onnx.py model.onnx SUPPORT IMAGE...

SUPPORT holds one folder of pictures per class. Needs onnxruntime, numpy and Pillow. `read` is the
preprocessing that the file states in its metadata, for a model of ink on paper.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def read(path: str | Path) -> np.ndarray:
    """Return a picture as the model takes it: ink 255 on paper 0, uint8 [105, 105]."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    grey = np.asarray(Image.alpha_composite(white, image).convert("L"), float)
    paper = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    ink = (paper - grey if paper >= 128 else grey - paper).clip(0)
    ink = np.floor(ink * (255 / max(ink.max(), 1)) + 0.5).astype(np.uint8)
    side, (height, width) = max(ink.shape), ink.shape
    square = Image.new("L", (side, side))
    square.paste(Image.fromarray(ink), ((side - width) // 2, (side - height) // 2))
    down = Image.Resampling.BOX if side > 105 else Image.Resampling.BILINEAR
    return np.asarray(square.resize((105, 105), down))


def main(model: str, support: str, *images: str) -> None:
    """Print the three most similar classes of each image."""
    session = onnxruntime.InferenceSession(model)
    files = sorted(path for path in Path(support).glob("*/*") if path.is_file())
    nothing = np.zeros((0, *session.get_inputs()[1].shape[1:]), np.float32)
    known = {"pictures": np.stack([read(file) for file in files]), "support": nothing}
    (codes,) = session.run(["codes"], known)  # once: they can be stored
    new = {"pictures": np.stack([read(image) for image in images]), "support": codes}
    (log_odds,) = session.run(["log_odds"], new)
    names = np.array([file.parent.name for file in files])
    for image, row in zip(images, log_odds, strict=True):
        means = {name: row[names == name].mean() for name in np.unique(names)}
        best = sorted(means, key=means.__getitem__, reverse=True)[:3]
        shown = ", ".join(f"{name} {1 / (1 + np.exp(-means[name])):.3f}" for name in best)
        print(f"{image}: {shown}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
