"""How the C library keeps memory that NumPy gives back."""

from __future__ import annotations

import ctypes
import sys

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_GIBIBYTE = 1 << 30
_TOP_PAD = 64 << 20


def keep_big_blocks() -> bool:
    """Let malloc serve arrays of up to 1 GiB from memory it keeps; return whether it could be told.

    By default glibc maps each big array anew and unmaps it when it is freed, so that every temporary of an
    iteration pays for page faults: up to 2.5 times the arithmetic of a convolution. It changes the whole process,
    so only programs call it, never a library function.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    settings = ((_M_MMAP_THRESHOLD, _GIBIBYTE), (_M_TRIM_THRESHOLD, _GIBIBYTE), (_M_TOP_PAD, _TOP_PAD))
    return all(mallopt(name, value) == 1 for name, value in settings)
