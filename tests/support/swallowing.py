"""A network that stops to forward: what is sent into it arrives nowhere, and nobody is told."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from urllib.parse import urlsplit


class Swallowing:
    """A proxy before a server of this machine; `url` leads through it."""

    def __init__(self, url: str) -> None:
        """Begin to forward."""
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = url.replace(f":{parts.port}/", f":{port}/")
        self._forwards = threading.Event()
        self._forwards.set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closed = False
        self._sockets: list[socket.socket] = [self._listener]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def swallow(self) -> None:
        """Take everything and forward nothing: open connections and new ones."""
        self._forwards.clear()

    def forward(self) -> None:
        """Forward again; what was swallowed is lost, and so are its connections."""
        if not self._forwards.is_set():
            for one in self._sockets[1:]:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._forwards.set()

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._thread.join()
        for one in self._sockets:
            one.close()

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._pass_on(key.fileobj, key.data)  # type: ignore[arg-type]

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._server)  # type: ignore[arg-type]
        for one, other in ((client, server), (server, client)):
            self._sockets.append(one)
            self._selector.register(one, selectors.EVENT_READ, other)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = one.recv(1 << 16)
        if not data:
            self._selector.unregister(one)
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_WR)
        elif self._forwards.is_set():
            with contextlib.suppress(OSError):
                other.sendall(data)
