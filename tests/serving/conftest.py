"""A page of five drawn classes, asked in-process and as a server of its own."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from PIL import Image

from hpsearch.paths import user_path
from hpsearch.recognition.model import load_model
from hpsearch.recognition.rank import EncodedSupport
from hpsearch.recognition.support import read_support
from hpsearch.serving.picture import LARGEST_BODY
from hpsearch.serving.recognition_page import CONNECTIONS, RecognitionPage, Threshold
from hpsearch.serving.server import serve_until_interrupted
from tests.support.models import draw, rejection_figures, write_model, write_support

KINDS = {"bar": 3, "cross": 1, "roof": 2, "box": 1, "dash": 2}


def png(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that compares pixel with pixel and knows when to reject."""
    folder = write_model(tmp_path_factory.mktemp("models") / "model")
    (folder / "metrics.json").write_text(json.dumps({"none_of_these": rejection_figures()}))
    return folder


@pytest.fixture(scope="session")
def support(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return five classes of one to three pictures."""
    folder = tmp_path_factory.mktemp("support")
    return write_support(folder, {kind: (kind, count) for kind, count in KINDS.items()})


def made_page(model: Path, support: Path, rate: float | None = 0.05) -> RecognitionPage:
    """Return the page of a model and a folder, as the command makes it."""
    loaded = load_model(model)
    classes = read_support(user_path(support), inside=True)
    size, rejection = loaded.config.input_size, loaded.rejection
    encoded = EncodedSupport(loaded.network, size, classes, loaded.calibration, rejection)
    threshold = None
    if rate is not None and rejection is not None and encoded.setting is not None:
        threshold = Threshold(rejection.cut(encoded.setting, rate), rate)
    return RecognitionPage(encoded, "a model", threshold)


@pytest.fixture(scope="session")
def page(model: Path, support: Path) -> RecognitionPage:
    """Return the page of the five classes."""
    return made_page(model, support)


@pytest.fixture(scope="session")
def roof() -> bytes:
    """Return a picture of a roof that is not among the known ones."""
    return png(draw("roof", 5))


@dataclass
class Server:
    """`hpsearch serve` as a process of its own."""

    process: subprocess.Popen[str]
    port: int

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start_server(
    model: Path, support: Path, out: int | IO[str] | None = subprocess.PIPE, **environment: str
) -> Server:
    """Start a server and wait until it answers."""
    port = free_port()
    words = ["serve", model, "--support", support, "--port", port]
    process = subprocess.Popen(
        [sys.executable, "-m", "hpsearch", *map(str, words)], stdout=out, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    for _ in range(1200):
        with socket.socket() as there:
            if there.connect_ex(("127.0.0.1", port)) == 0:
                return Server(process, port)
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


def serve_here(page: RecognitionPage) -> str:
    """Serve a page in a thread until the tests' process ends; return its address."""
    port, ready = free_port(), threading.Event()
    limits = {"largest_body": LARGEST_BODY, "connections": CONNECTIONS, "ready": ready.set}
    threading.Thread(
        target=serve_until_interrupted, args=(page.guarded(), port), kwargs=limits, daemon=True
    ).start()
    assert ready.wait(300)
    return f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def server(model: Path, support: Path) -> Iterator[Server]:
    """Return a server of the five classes; it ends with the tests of a module."""
    started = start_server(model, support)
    yield started
    started.process.terminate()
    started.process.communicate(timeout=30)
