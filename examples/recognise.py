"""Name characters with a trained model: one example per class is enough.

    python examples/recognise.py MODEL SUPPORT IMAGE...

MODEL is the folder that `hpsearch retrain` wrote. SUPPORT holds one image, or one folder of
images, per class. The score is the network's probability, 0 to 1, that two images show the same
character.
"""

from __future__ import annotations

import sys

import hpsearch


def main(model_folder: str, support: str, *images: str) -> None:
    """Print the three most similar classes of each image."""
    model = hpsearch.load(model_folder)
    for image, ranked in zip(images, model.rank(images, support), strict=True):
        best = ", ".join(f"{name} {score:.3f}" for name, score in ranked[:3])
        print(f"{image}: {best}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
