"""Optuna Dashboard on 127.0.0.1, behind a guard: known hosts only, read-only unless asked."""

from __future__ import annotations

from collections.abc import Callable

from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.serving.guard import Guard

LARGEST_BODY = 1_000_000
"""Maximum bytes of a request; a larger one is refused before its body is read."""
CONNECTIONS = 500
POLICY = (
    # plotly.js needs unsafe-eval for WebGL; the policy still blocks all other hosts.
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
READ_ONLY = "read-only; start the dashboard with --write"


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
    return Guard(notes, POLICY, read_only=None if write else READ_ONLY)


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
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    from hpsearch.serving.server import serve_until_interrupted

    app = make_app(folder, write=write)
    serve_until_interrupted(
        app, port, largest_body=LARGEST_BODY, connections=CONNECTIONS, ready=ready
    )
