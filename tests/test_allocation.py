"""Freed memory stays with the process while it trains, and goes back when asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCK = 100 << 20

PROGRAM = f"""
import ctypes, resource, sys
from hpsearch.allocation import keep_freed_memory, return_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc({BLOCK})
    libc.memset(block, 1, {BLOCK})
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first, second = faults(), faults()
return_freed_memory()
print(second, faults())
"""


def page_faults(mode: str) -> tuple[int, int]:
    """Return the faults of a second use of a block, and of a third after memory was given back."""
    command = [sys.executable, "-c", PROGRAM, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    second, third = done.stdout.split()
    return int(second), int(third)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_a_freed_block_is_used_again_without_new_pages() -> None:
    left, _ = page_faults("leave")
    kept, returned = page_faults("keep")
    assert left > 100
    assert kept < left / 10
    assert returned > 10 * max(kept, 1)
