"""`hpsearch serve` as a person runs it: many at once, too much, Ctrl-C, a taken port."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from hpsearch.serving.picture import LARGEST_BODY
from tests.support.command_line import CommandLine
from tests.support.models import draw

from .conftest import KINDS, Server, free_port, png, start_server

END_S = 3.0
"""A second, on a machine that does nothing else."""
LARGE = 300_000_000


def recognise(server: Server, picture: bytes, **headers: str) -> dict[str, Any]:
    """Return what a server answers to a picture."""
    request = Request(f"{server.address}/recognise", picture, headers, method="POST")
    with urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def answered(server: Server, body: bytes, **headers: str) -> tuple[int, bytes]:
    """Return the status and the body of an answer, whatever it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/recognise", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_twenty_at_once_are_all_answered(server: Server) -> None:
    kinds = list(KINDS) * 4
    together = threading.Barrier(len(kinds))

    def ask(kind: str) -> str:
        together.wait(60)
        best: str = recognise(server, png(draw(kind, 1)))["ranked"][0]["class"]
        return best

    with ThreadPoolExecutor(len(kinds)) as threads:
        assert list(threads.map(ask, kinds)) == kinds


BODIES = {"told": f"Content-Length: {LARGE}", "in chunks": "Transfer-Encoding: chunked"}


@pytest.mark.parametrize("way", BODIES)
def test_a_body_of_300_mb_is_refused_in_one_line_before_it_is_read(
    server: Server, way: str
) -> None:
    head = f"POST /recognise HTTP/1.1\r\nHost: localhost:{server.port}\r\n{BODIES[way]}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        if way == "in chunks":
            connection.sendall(b"%x\r\n" % (LARGEST_BODY + 1) + b"x" * (LARGEST_BODY + 1))
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 413 ")
    assert body == b"Request Entity Too Large: exceeds max_body of 20000000\n"


def test_a_bomb_and_foreigners_are_refused_and_it_goes_on(server: Server, roof: bytes) -> None:
    bomb = png(Image.new("1", (20_000, 20_000)))
    assert answered(server, bomb)[0] == 413
    assert answered(server, roof, Origin="http://evil.example") == (403, b"unknown origin")
    assert answered(server, roof, Host="evil.example") == (403, b"unknown host")
    tunnel = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
    assert recognise(server, roof, **tunnel)["ranked"][0]["class"] == "roof"


def test_a_second_server_on_the_port_is_one_line(
    server: Server, hpsearch: CommandLine, model: Path, support: Path
) -> None:
    done = hpsearch("serve", model, "--support", support, "--port", server.port)
    assert (done.code, done.out) == (2, "")
    *_, last = done.err.splitlines()
    assert last == f"hpsearch: --port {server.port}: Address already in use; choose another"


def test_that_many_pictures_take_time_is_said(
    server: Server,
    hpsearch: CommandLine,
    model: Path,
    support: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ["serve", model, "--support", support, "--port", server.port]
    assert "encoding" not in hpsearch(*command).err
    monkeypatch.setattr("hpsearch.cli.serve.MANY", 8)
    assert "encoding 9 pictures, once" in hpsearch(*command).err


@pytest.mark.parametrize("busy", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ctrl_c_ends_it_within_a_second(model: Path, support: Path, busy: bool) -> None:
    started = start_server(model, support)
    process = started.process
    assert process.stdout is not None
    assert process.stdout.readline() == f"{started.address}/ (Ctrl-C ends it)\n"
    clients = [threading.Thread(target=_insist, args=(started,)) for _ in range(12 * busy)]
    for client in clients:
        client.start()
    time.sleep(0.5 * busy)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(30) == 130
    finally:
        process.kill()  # one that does not end would go on after the tests
    took = time.monotonic() - began
    for client in clients:
        client.join()
    _, said = process.communicate()
    assert "Traceback" not in said
    assert "terminate" not in said
    assert took < END_S


def _insist(server: Server) -> None:
    """Send pictures until nobody answers."""
    picture = png(draw("roof", size=(1500, 1500)))
    while True:
        try:
            recognise(server, picture)
        except (OSError, http.client.HTTPException, ValueError):
            return


@pytest.mark.slow
def test_a_closed_output_and_another_encoding_are_no_matter(
    model: Path, tmp_path: Path, roof: bytes
) -> None:
    folder = tmp_path / "Bücher → 本"
    for kind in ("roof", "bar"):
        (folder / kind).mkdir(parents=True)
        draw(kind).save(folder / kind / "é.png")
    (folder / "roof" / "読.txt").write_text("no image")
    closed = f'exec {sys.executable} -m hpsearch serve {model} --support "$1" --port $2 >&-'
    port = free_port()
    process = subprocess.Popen(
        ["bash", "-c", closed, "bash", folder, str(port)], stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    server = Server(process, port)  # type: ignore[arg-type]
    try:
        for _ in range(600):
            try:
                found = recognise(server, roof)
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        assert found["ranked"][0]["class"] == "roof"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    said.decode("ascii")
    assert b"not an image by the suffix: 1 (" in said
