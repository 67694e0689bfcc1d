"""How this process takes memory from the system. Standard library only."""

from __future__ import annotations

import ctypes
import gc
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have the C library reuse freed memory instead of giving it back at once.

    A training step frees and takes the same large blocks again and again; each time the system
    would hand out fresh pages and clear them, which costs more than a small network's arithmetic.
    Relies on glibc's mallopt; other C libraries are left as they are.

    Returns:
        Whether the setting was taken.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST_INT))


def return_freed_memory() -> bool:
    """Give freed memory back to the system, which trials of many shapes leave in pieces.

    Relies on malloc_trim, which only glibc has.

    Returns:
        Whether there was any to give back.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return bool(trim(0)) if trim is not None else False
