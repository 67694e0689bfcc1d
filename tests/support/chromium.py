"""A real headless Chromium, driven over a pipe: what a page asks for, says and shows.

Where no Chromium is installed, tests that need one are skipped.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
STARTS, START_S, ANSWER_S = 3, 90.0, 240.0
"""Starts that are tried, and how long a start and an answer may take on a machine that is busy."""
START = """
import fcntl, os, sys
into, out = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(into, 3)
os.dup2(out, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads commands from descriptor 3 and answers on 4, whatever their numbers are here."""


def find_chromium() -> str:
    """Return Chromium's path, or skip the test."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("no Chromium is installed; apt-get install chromium")


class Page:
    """One page: every request, every console message and exception since it was made."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        self.loaded = False
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        return self._browser.ask(method, params, self._session)

    def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Set the size of the window, as of a phone when told."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        if phone:
            self.ask("Emulation.setTouchEmulationEnabled", enabled=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Load a page and wait until it has loaded."""
        self.loaded = False
        self.ask("Page.navigate", url=url)
        self.wait_for(lambda: self.loaded, "the page to load")

    def wait_for(self, met: Any, what: str, timeout_s: float = ANSWER_S) -> None:
        """Wait until a condition is met, reading what the browser says meanwhile."""
        deadline = time.monotonic() + timeout_s
        while not met():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout_s:.0f} s for {what}: {self.complaints}")
            self._browser.read(0.1)

    def value(self, expression: str) -> Any:
        """Evaluate a script in the page."""
        done = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in done:
            raise AssertionError(done["exceptionDetails"])
        return done["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what the page shows as a PNG."""
        done = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(done["data"]))

    def outside(self, own: str) -> list[str]:
        """Return the requests that neither began with `own` nor stayed inside the page."""
        return [url for url in self.requests if not url.startswith((own, "data:", "blob:"))]

    def note(self, method: str, params: dict[str, Any]) -> None:
        """Take an event of the browser."""
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            self.complaints.append(text)
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            shown = [str(a.get("value", a.get("description"))) for a in params["args"]]
            self.complaints.append(" ".join(shown))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")


class Browser:
    """Chromium and the pipe to it."""

    def __init__(self, process: subprocess.Popen[bytes], out: int, into: int) -> None:
        self._process, self._out, self._into = process, out, into
        self._next, self._rest = 0, b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}

    def page(self) -> Page:
        """Open an empty page."""
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Page.__new__(Page)
        self._pages[session["sessionId"]] = page
        page.__init__(self, session["sessionId"])  # type: ignore[misc]
        return page

    def ask(
        self, method: str, params: dict[str, Any], session: str = "", timeout_s: float = ANSWER_S
    ) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        self._next += 1
        message: dict[str, Any] = {"id": self._next, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout_s
        while self._next not in self._answers:
            if self._process.poll() is not None:
                raise AssertionError(f"Chromium ended before it answered {method}")
            if time.monotonic() > deadline:
                raise AssertionError(f"Chromium did not answer {method} in {timeout_s:.0f} s")
            self.read(0.2)
        answer = self._answers.pop(self._next)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def read(self, timeout_s: float) -> None:
        """Take what the browser has said."""
        with selectors.DefaultSelector() as ready:  # select() knows no descriptor above 1,023
            ready.register(self._out, selectors.EVENT_READ)
            if not ready.select(timeout_s):
                return
        self._rest += os.read(self._out, 1 << 20)
        *whole, self._rest = self._rest.split(b"\0")
        for part in whole:
            message = json.loads(part)
            if "id" in message:
                self._answers[message["id"]] = message
            elif message.get("sessionId") in self._pages:
                self._pages[message["sessionId"]].note(message["method"], message["params"])

    def end(self) -> None:
        """End Chromium."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        os.close(self._into)
        os.close(self._out)


def start(path: str, home: str) -> Browser:
    """Start Chromium on an empty profile."""
    to_it, into = os.pipe()
    out, from_it = os.pipe()
    arguments = [path, *FLAGS, f"--user-data-dir={home}"]
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(to_it), str(from_it), *arguments],
        pass_fds=(to_it, from_it),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_it)
    os.close(from_it)
    return Browser(process, out, into)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium with an empty profile; it ends with the block.

    On a machine that is very busy a start may fail, so that nothing is ever answered; it is tried
    again. What a test asks later is asked once.
    """
    path = find_chromium()
    for left in reversed(range(STARTS)):
        with tempfile.TemporaryDirectory(
            prefix="hpsearch-chromium-", ignore_cleanup_errors=True
        ) as home:
            browser = start(path, home)
            try:
                try:
                    browser.ask("Browser.getVersion", {}, timeout_s=START_S)
                except (AssertionError, OSError):
                    if not left:
                        raise
                    continue
                yield browser
                return
            finally:
                browser.end()
