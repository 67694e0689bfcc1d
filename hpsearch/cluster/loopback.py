"""Keeps a Ray cluster of one machine to this machine: its processes listen on 127.0.0.1 only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ray._private import ray_constants

SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""When off, Ray uses the loopback for every address, as by default on macOS and Windows."""


@contextlib.contextmanager
def on_the_loopback() -> Iterator[None]:
    """Start Ray inside this context. Its processes inherit the switch; ours read it on import."""
    before = os.environ.get(SWITCH), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[SWITCH], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        value, ray_constants.ENABLE_RAY_CLUSTER = before
        del os.environ[SWITCH]
        if value is not None:
            os.environ[SWITCH] = value
