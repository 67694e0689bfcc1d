"""Settings of the C library's memory allocator. Standard library only."""

from __future__ import annotations

import ctypes
import gc
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have the C library reuse freed memory instead of returning it to the system at once.

    Every training step frees and allocates the same large blocks. Without this the system clears
    new pages each time, which costs more than the arithmetic of a small network. Uses glibc's
    mallopt; other C libraries are left unchanged.

    Returns:
        Whether the setting was accepted.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST_INT))


def return_freed_memory() -> bool:
    """Return freed memory to the system; trials of many shapes leave it fragmented.

    Uses malloc_trim, which only glibc has.

    Returns:
        Whether memory was returned.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return bool(trim(0)) if trim is not None else False
