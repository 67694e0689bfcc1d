"""Serves a WSGI application on 127.0.0.1 until interrupted, with limits; writes no file."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from waitress import create_server
from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from hpsearch.errors import InputError
from hpsearch.serving.guard import App

THREADS = 8
"""Requests that are answered at once; more wait."""
IDLE_S = 10
"""Seconds after which an idle connection is closed."""
GRACE_S = 0.5
"""Seconds that an answer may still take after Ctrl-C."""


def serve_until_interrupted(
    app: App, port: int, *, largest_body: int, connections: int, ready: Callable[[], None]
) -> None:
    """Serve on 127.0.0.1.

    Args:
        app: The application.
        port: Port on 127.0.0.1.
        largest_body: Maximum bytes of a request; a larger one is refused before it is read. As
            many are kept in memory for each connection.
        connections: Maximum number of connections.
        ready: Called once the port is open.

    Raises:
        InputError: The port is not available.
        KeyboardInterrupt: Ctrl-C was pressed; its only end.
    """
    logging.getLogger("waitress").setLevel(logging.ERROR)  # that requests wait is no fault
    dispatcher = _Dispatcher()
    try:
        server: Any = create_server(
            app,
            host="127.0.0.1",
            port=port,
            _dispatcher=dispatcher,
            max_request_body_size=largest_body,
            inbuf_overflow=largest_body,  # keeps requests in memory
            outbuf_overflow=1 << 30,  # and answers
            connection_limit=connections,
            channel_timeout=IDLE_S,
            cleanup_interval=IDLE_S // 2,
        )
    except OSError as error:
        raise InputError(f"--port {port}: {error.strerror}; choose another") from error
    server.channel_class = _Channel
    dispatcher.set_thread_count(THREADS)
    stopped = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopped.set()
        server.pull_trigger()  # wakes the loop

    # An exception could be lost where Python ignores one, in a destructor or a callback.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, stop)
    ready()
    while not stopped.is_set():
        server.asyncore.loop(timeout=1, map=server._map, use_poll=True, count=1)
    dispatcher.shutdown()
    # Answers that are still computed would abort the process while Python ends around them.
    atexit.register(os._exit, 128 + signal.SIGINT)
    raise KeyboardInterrupt


class _Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Leaves soon after Ctrl-C; what still runs then ends with the process."""

    def shutdown(self, cancel_pending: bool = True, timeout: float = GRACE_S) -> bool:
        return bool(super().shutdown(cancel_pending, timeout))


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """Refuses a request that is malformed or too large, in one line."""

    def execute(self) -> None:
        error = self.request.error
        body = f"{error.reason}: {error.body}\n".encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "text/plain; charset=utf-8"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = _ErrorTask
