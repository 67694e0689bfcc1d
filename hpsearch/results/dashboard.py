"""Optuna Dashboard on 127.0.0.1, behind a guard: known hosts only, read-only unless asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder

Start = Callable[..., Any]
HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
"""This machine with any port: behind `ssh -L` a browser sends the port of its own side."""
LARGEST_BODY = 1_000_000
"""Maximum bytes of a request; a larger one is refused before its body is read."""
CONNECTIONS, IDLE_S = 500, 10
"""Maximum number of connections, and seconds after which an idle one is closed."""
HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        # plotly.js needs unsafe-eval for WebGL; the policy still blocks all other hosts.
        "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]
"""Headers of every response; they stop a browser from loading anything from other hosts."""


class Guard:
    """WSGI middleware: refuses other hosts, other origins, and writes."""

    def __init__(self, app: Callable[..., Iterable[bytes]], *, write: bool) -> None:
        self._app, self._write = app, write

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Handle one request."""
        origin = environ.get("HTTP_ORIGIN")
        method = environ["REQUEST_METHOD"]
        host = environ.get("HTTP_HOST", "")
        if not HOST.fullmatch(host):
            return _refuse(start, "unknown host")
        try:
            foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        except ValueError:
            return _refuse(start, "malformed origin", "400 Bad Request")
        if foreign:
            return _refuse(start, "unknown origin")
        if method not in ("GET", "HEAD") and not self._write:
            return _refuse(start, "read-only; start the dashboard with --write")
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")

        def guarded(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start(status, headers + HEADERS, *rest)

        return self._app(environ, guarded)


def _refuse(start: Start, text: str, status: str = "403 Forbidden") -> list[bytes]:
    start(status, [("Content-Type", "text/plain"), *HEADERS])
    return [text.encode()]


def make_app(folder: StudyFolder, *, write: bool) -> Guard:
    """Return the guarded application.

    Raises:
        InputError: The folder holds no study's database.
    """
    from optuna.storages import get_storage
    from optuna_dashboard import wsgi

    from hpsearch.confirm.certificate import read_certificate
    from hpsearch.results.notes import Notes, standings
    from hpsearch.storage.engine import Database
    from hpsearch.storage.optuna_trial import to_record
    from hpsearch.study.config import StudyConfig

    database = Database.of(folder)
    database.check()
    config = StudyConfig.from_yaml(folder.study_file)
    seed = config.seed
    shared = get_storage(database.open())  # caches ended trials

    def standings_now(study_id: int) -> dict[int, str]:
        stored = shared.get_all_trials(study_id, deepcopy=False)
        trials = [to_record(t, seed) for t in stored]
        try:
            return standings(trials, read_certificate(folder))
        except InputError:  # a damaged certificate confirms nothing
            return standings(trials, None)

    notes = Notes(wsgi(shared), str(folder.root), standings_now, config.shown)
    return Guard(notes, write=write)


def serve(
    folder: StudyFolder, port: int, *, write: bool, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve until interrupted.

    Args:
        folder: The study's folder.
        port: Port on 127.0.0.1.
        write: Whether the page may change the study.
        ready: Called once the port is open.

    Raises:
        InputError: There is no study, or the port is not available.
    """
    import waitress

    app = make_app(folder, write=write)
    try:
        server = waitress.create_server(
            app,
            host="127.0.0.1",
            port=port,
            max_request_body_size=LARGEST_BODY,
            inbuf_overflow=LARGEST_BODY,  # keeps requests in memory
            connection_limit=CONNECTIONS,
            channel_timeout=IDLE_S,
            cleanup_interval=IDLE_S // 2,
            asyncore_use_poll=True,
        )
    except OSError as error:
        raise InputError(f"--port {port}: {error.strerror}; choose another") from error
    ready()
    server.run()
