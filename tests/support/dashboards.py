"""A study's dashboard, served as `hpsearch dashboard` serves it, in a thread of the tests."""

from __future__ import annotations

import socket
import threading

from hpsearch.paths import StudyFolder
from hpsearch.results.dashboard import serve


def serve_dashboard(folder: StudyFolder) -> int:
    """Serve a study's dashboard until the tests' process ends; return its port.

    It is never closed. waitress closes a pipe whose number its threads still write to, and SQLite
    may have opened a study's database under that number meanwhile.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    ready = threading.Event()
    keywords = {"write": False, "ready": ready.set}
    threading.Thread(target=serve, args=(folder, port), kwargs=keywords, daemon=True).start()
    assert ready.wait(300)
    return port
