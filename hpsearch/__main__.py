"""The program: `hpsearch`, and `python -m hpsearch`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any


def main() -> None:
    """Run the command line; Ctrl-C while it is imported ends the process without a traceback."""
    sys.unraisablehook = _once_more
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from hpsearch.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    run()


def _once_more(lost: Any) -> None:
    """Send an interrupt again that Python ignores, in a destructor or a callback."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    again.daemon = True
    again.start()


if __name__ == "__main__":
    main()
