"""The guard before the real Optuna Dashboard, called in-process."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from hpsearch.data import Dataset
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.results.dashboard import LARGEST_BODY, POLICY, make_app
from hpsearch.serving.guard import Guard
from hpsearch.storage.view import read_study
from tests.support.command_line import CommandLine
from tests.support.dashboards import serve_dashboard
from tests.support.made_study import write_study
from tests.support.wsgi import HOST, PORT, ask


@pytest.fixture(scope="module")
def readable(study: Path) -> Guard:
    return make_app(StudyFolder(study), write=False)


@pytest.mark.parametrize(
    "path", ["/dashboard/", "/static/bundle.js", "/api/meta", "/api/studies", "/csv/1"]
)
@pytest.mark.parametrize("host", [HOST, f"localhost:{PORT}"])
def test_known_hosts_are_served_with_safe_headers(readable: Guard, path: str, host: str) -> None:
    answer = ask(readable, path, HTTP_HOST=host)
    assert answer.status == 200
    assert answer.body
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_the_dashboard_shows_the_study(readable: Guard) -> None:
    summaries = json.loads(ask(readable, "/api/studies").body)["study_summaries"]
    assert [summary["study_name"] for summary in summaries] == ["tiny"]
    detail = json.loads(ask(readable, "/api/studies/1").body)
    states = [trial["state"].lower() for trial in detail["trials"]]
    assert states == ["complete", "complete", "pruned", "fail", "running"]
    values = detail["trials"][0]["intermediate_values"]
    assert [value["value"] for value in values] == [0.6, 0.3, 0.4]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1.evil.example",
        "localhost:",
        "[::2]:9",
        "",
    ],
)
def test_other_hosts_are_refused_before_the_dashboard_sees_them(host: str) -> None:
    called: list[object] = []
    guard = Guard(lambda environ, start: called.append(environ) or [b""], POLICY, read_only=None)
    # Rebinding a name to 127.0.0.1 must not open the study to a web page.
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies"}
    if host:
        environ["HTTP_HOST"] = host
    seen: list[Any] = []
    body = b"".join(guard(environ, lambda *answer: seen.append(answer)))
    assert seen[0][0] == "403 Forbidden"
    assert ("X-Frame-Options", "DENY") in seen[0][1]
    assert body == b"unknown host"
    assert called == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1:9", "[::1]:8080"])
def test_a_tunnel_may_end_at_any_port_of_this_machine(host: str) -> None:
    guard = Guard(lambda _, start: start("200 OK", []) or [b""], POLICY, read_only="no")
    assert ask(guard, "/", HTTP_HOST=host).status == 200
    assert ask(guard, "/", HTTP_HOST=host, HTTP_ORIGIN=f"http://{host.lower()}").status == 200
    assert ask(guard, "/", HTTP_HOST=host, HTTP_ORIGIN="http://127.0.0.1:1").status == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (f"http://{HOST}", 200),
        (f"http://localhost:{PORT}", 403),
        ("http://evil.example", 403),
        (f"http://evil.example:{PORT}", 403),
        ("http://127.0.0.1:9", 403),
        (f"http://{HOST}.evil.example", 403),
        (f"http://{HOST}@evil.example", 403),
        ("null", 403),
        ("http://[", 400),
        ("http://[::1", 400),
    ],
)
def test_other_origins_are_refused(readable: Guard, origin: str, status: int) -> None:
    assert ask(readable, "/api/studies", HTTP_ORIGIN=origin).status == status


CHANGES = [
    ("POST", "/api/studies", {"study_name": "new", "directions": ["minimize"]}),
    ("POST", "/api/studies/1/rename", {"study_name": "renamed"}),
    ("DELETE", "/api/studies/1", {}),
    ("PUT", "/api/studies/1/note", {"body": "a note", "version": 1}),
    ("POST", "/api/trials/5/tell", {"state": "Complete", "values": [0.0]}),
    ("POST", "/api/trials/5/user-attrs", {"user_attrs": {"a": 1}}),
    ("PATCH", "/api/studies/1", {}),
    ("OPTIONS", "/api/studies", {}),
    ("get", "/api/studies", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_read_only_refuses_every_change(
    readable: Guard, study: Path, method: str, path: str, body: dict[str, object]
) -> None:
    before = (study / "study.db").read_bytes()
    answer = ask(readable, path, method, json.dumps(body).encode())
    assert answer.status == 403
    assert b"--write" in answer.body
    assert (study / "study.db").read_bytes() == before


def test_looking_changes_nothing(study: Path) -> None:
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    app = make_app(StudyFolder(study), write=False)
    api = "/api/studies"
    for path in ("/", "/dashboard/", api, f"{api}/1", f"{api}/1/plot/contour"):
        ask(app, path)
        ask(app, path, "HEAD")
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before


def test_write_allows_changes_of_the_page_itself_only(dataset: Dataset, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", dataset)
    app = make_app(folder, write=True)
    attributes = json.dumps({"user_attrs": {"seen": "by me"}}).encode()
    path = "/api/trials/5/user-attrs"
    refused = ask(app, path, "POST", attributes, HTTP_ORIGIN="http://evil.example")
    assert refused.status == 403
    assert "seen" not in read_study(folder).attributes[4]
    assert ask(app, path, "POST", attributes, HTTP_ORIGIN=f"http://{HOST}").status == 204
    assert read_study(folder).attributes[4]["seen"] == "by me"


def test_a_folder_without_a_study_is_refused_and_left_alone(
    hpsearch: CommandLine, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"study\.db: no study database"):
        make_app(StudyFolder(tmp_path), write=False)
    assert list(tmp_path.iterdir()) == []
    done = hpsearch("dashboard", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "study.yaml" in done.err


def test_a_taken_port_is_named(hpsearch: CommandLine, study: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = hpsearch("dashboard", study, "--port", port)
    assert (done.code, done.out) == (2, "")
    assert f"--port {port}: " in done.err
    assert "choose another" in done.err


@pytest.mark.timeout(300)
def test_it_is_served_where_it_says(study: Path) -> None:
    port = serve_dashboard(StudyFolder(study))
    with urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=30) as answer:
        assert b'"tiny"' in answer.read()


@pytest.fixture
def served(study: Path) -> int:
    """The port of a dashboard that is being served."""
    return serve_dashboard(StudyFolder(study))


LARGE = 300_000_000
BODIES = {"told": f"Content-Length: {LARGE}", "in chunks": "Transfer-Encoding: chunked"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", BODIES)
def test_a_large_body_is_refused_before_it_is_read(served: int, way: str) -> None:
    head = f"POST /api/studies HTTP/1.1\r\nHost: localhost:{served}\r\n{BODIES[way]}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served), timeout=30) as connection:
        connection.sendall(head.encode())
        if way == "in chunks":
            connection.sendall(b"%x\r\n" % (LARGEST_BODY + 1) + b"x" * (LARGEST_BODY + 1))
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.timeout(60)
def test_idle_connections_keep_nobody_out(served: int) -> None:
    with contextlib.ExitStack() as idle:
        for _ in range(200):
            idle.enter_context(socket.create_connection(("127.0.0.1", served), timeout=30))
        with urlopen(f"http://127.0.0.1:{served}/api/meta", timeout=30) as answer:
            assert answer.status == 200
