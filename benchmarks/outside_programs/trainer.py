"""The search problem as another system's process sees it: JSON lines to `benchmarks.outside`.

Needs nothing but the standard library, because each system lives in an environment of its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

WORST = 1.0
"""What systems without a word for failure are told of a configuration that cannot be trained."""


class Trainer:
    """Trains configurations, points of the unit cube, on the replay's clock.

    Attributes:
        dimensions: SearchProblem of a point, each from 0 to 1 and uniform in the searched scale.
        epochs: Length of a whole trial.
        seed: The replay's.
    """

    def __init__(self) -> None:
        """Read the problem; what a library prints goes to standard error from here on."""
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        told = json.loads(sys.stdin.readline())
        self.dimensions: int = told["dimensions"]
        self.epochs: int = told["epochs"]
        self.seed: int = told["seed"]

    def begin(self, point: Sequence[float]) -> int | None:
        """Begin a trial; return its number, None where it is beyond the limits on cost."""
        trial: int | None = self._ask({"begin": [float(share) for share in point]})["trial"]
        return trial

    def train(self, trial: int, epoch: int) -> tuple[float, bool]:
        """Train a trial up to an epoch, from where it stood.

        Returns:
            Its lowest validation error so far, and whether it diverged before that epoch's end.
        """
        said = self._ask({"trial": trial, "epoch": epoch})
        return said["error"], said["diverged"]

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self._out.write(json.dumps(question) + "\n")
        answer: dict[str, Any] = json.loads(sys.stdin.readline() or '{"over": true}')
        if answer.get("over"):
            os._exit(0)  # the budget is spent; libraries hold no way to leave their loops
        return answer
