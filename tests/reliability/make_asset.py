"""Writes the study folder that every later version must open.

Run by `python -m tests.reliability.make_asset`, once per release, just before it. The folder goes
to tests/assets/VERSION. It holds a trial of each outcome, one still running, and the export.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

from hpsearch import __version__
from hpsearch.execution import Ending
from hpsearch.paths import StudyFolder
from hpsearch.results.export import export_best
from tests.support.cases import ENQUEUED, search, write_study
from tests.support.fake_executor import FakeExecutor

ASSETS = Path(__file__).parents[1] / "assets"


def make(version: str) -> Path:
    """Write the asset of one version."""
    output = ASSETS / version
    with tempfile.TemporaryDirectory() as name:
        file = write_study(Path(name))
        study = Path(name) / "study"
        executor = FakeExecutor(die_after_epochs=8)
        executor.failing = {1: Ending.DIAGNOSED, 2: Ending.FAILED}
        with contextlib.suppress(KeyboardInterrupt):
            search(study, executor, file=file, enqueue=ENQUEUED[:8], budget__trials=6)
        export_best(StudyFolder(study), None, None)
        (study / "study.lock").unlink()
        shutil.copytree(study, output)
    return output


if __name__ == "__main__":
    sys.stdout.write(f"{make(__version__)}\n")
