"""A worker whose card hangs once: its second step never ends, though threads go on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from hpsearch.execution import worker
from hpsearch.training import loop


def main() -> None:
    """Serve as a worker."""
    mark = Path(os.environ["HUNG_MARK"])  # it has hung before
    step_loss, steps = loop.step_loss, 0

    def hang(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 2 and not mark.exists():
            mark.write_text("hung")
            time.sleep(600)
        return step_loss(*arguments)

    loop.step_loss = hang
    worker.main()


if __name__ == "__main__":
    main()
