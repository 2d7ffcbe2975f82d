"""Settings of a process that computes with big arrays: malloc, what plugins may change, and its peak memory."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

from equilib.machine.cores import available_cores
from equilib.machine.ranks.launched import not_launched

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_prepared = False


def prepare_process() -> None:
    """Keep the memory of big arrays, and allow kernels to change what the whole process shares."""
    global _prepared
    keep_big_blocks()
    _prepared = True


def prepared() -> bool:
    """Tell whether this process is a program's, so that kernels may change what it shares: the threads of BLAS."""
    return _prepared


# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST, _NEVER = (1 << 31) - 1, -1  # of an int
_TOP_PAD = 64 << 20


def keep_big_blocks() -> bool:
    """Let malloc serve arrays of up to 2 GiB from memory it keeps; return whether it could be told.

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
    settings = ((_M_MMAP_THRESHOLD, _LARGEST), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _TOP_PAD))
    return all(mallopt(name, value) == 1 for name, value in settings)


def share_cores(sharing: int) -> None:
    """Keep the threads of BLAS to this process's part of the cores that so many processes share.

    Nothing changes where an environment variable says how many threads there are.
    """
    if sharing == 1 or any(name in os.environ for name in _THREADS):
        return
    # Deferred: who shares no cores needs it not.
    from threadpoolctl import threadpool_limits

    threads = max(1, available_cores() // sharing)
    threadpool_limits(threads, user_api="blas")
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))  # for libraries that are loaded later


def environment_of_part(parts: int) -> dict[str, str]:
    """Return the environment of a program that is one of so many on the cores of this one, and no rank."""
    if parts == 1 or any(name in os.environ for name in _THREADS):
        return not_launched()
    return not_launched() | dict.fromkeys(_THREADS, str(max(1, available_cores() // parts)))


def peak_memory() -> int | None:
    """Return the largest resident size of this process so far, in bytes; None where the system does not say."""
    system = platform.system()
    if system == "Linux":
        # Not getrusage: its maximum outlives exec, so that a child inherits the size of the parent.
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
        return None
    if system == "Darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
