"""Threads that share the work of compiled functions, without the interpreter between them.

The threads are Python's, but never return from one compiled function that holds no lock of the interpreter: they look
for shares on a board, an array of words, and after some time without any they sleep. Handing a share over takes less
than a microsecond; through the interpreter's lock and queue it takes 50 to 100. How work is divided depends on
the work only, or on the number of threads, so that it gives the same bits whoever computes which share.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from equilib.machine.process import prepared
from equilib_numba import board as at
from equilib_numba.addresses import address
from equilib_numba.board import MOST


def run(name: str, dtype: np.dtype, items: int, *given: Any, most: int = MOST) -> None:
    """Call a compiled function (words, share, place) for shares of some items, at most `most` of them.

    The words are the number of shares, `items`, and those that are given, for an array its address, for None 0.
    """
    threads = team()
    words = [each if type(each) is int else place_of(each) for each in given]
    count = len(words)
    pack = _packs.get(count)
    if pack is None:
        pack = _packs[count] = Struct(f"{4 + count}q").pack
    threads.run(pack(threads.board, address(name, dtype), items if items < most else most, items, *words))


_packs: dict[int, Callable[..., bytes]] = {}


def place_of(given: np.ndarray | bool | None) -> int:
    """Return the address of an array; a bool as a number, and 0 for None; raises TypeError if it is none of these."""
    if type(given) is np.ndarray:
        return _memory[(id(given) >> 3) + _DATA] if _DATA else int(given.ctypes.data)
    if given is None or given is True or given is False:
        return int(given or 0)
    raise TypeError(f"compiled functions take arrays, not {type(given).__name__}")


_memory = (ctypes.c_int64 * (1 << 59)).from_address(0)
"""All words of this process, read in a fifth of the time that a ctypes object of one of them takes."""


def _data_behind_head() -> int:
    """Return at which word NumPy's arrays have their address, 0 if not where its C API says: behind an object's head.

    NumPy takes a microsecond to tell it, a tenth of what it takes to begin a convolution.
    """
    if sys.implementation.name != "cpython" or object.__basicsize__ % 8:
        return 0
    probe, head = np.empty(3), object.__basicsize__ >> 3
    return head if _memory[(id(probe) >> 3) + head] == probe.ctypes.data else 0


_DATA = _data_behind_head()


def _address(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value


class _Team:
    """The threads of this process, and their board."""

    def __init__(self, count: int) -> None:
        self.run = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(address("team.run"))
        words = np.zeros((at.SLEEPERS + (count + 1) * at.LINE) // 8, np.int64)
        self.words = words[-words.ctypes.data % at.LINE // 8 :]
        self.board, self.count = self.words.ctypes.data, count
        lock = ctypes.pythonapi
        for name in ("allocate", "acquire", "release"):
            getattr(lock, f"PyThread_{name}_lock").restype = ctypes.c_void_p
        lock.PyThread_acquire_lock.argtypes = (ctypes.c_void_p, ctypes.c_int)
        self._write(at.TEAM, count)
        self._write(at.ACQUIRE, _address(lock.PyThread_acquire_lock))
        self._write(at.RELEASE, _address(lock.PyThread_release_lock))
        self._write(
            at.YIELD,
            _address(ctypes.CDLL(None).sched_yield if os.name == "posix" else ctypes.windll.kernel32.SwitchToThread),
        )
        serve = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, ctypes.c_ssize_t)(address("team.serve"))
        for place in range(1, count):
            held = lock.PyThread_allocate_lock()
            lock.PyThread_acquire_lock(held, 1)
            self._write(at.SLEEPERS + place * at.LINE + 8, held)
            name = f"equilib-{place}"
            threading.Thread(target=serve, args=(self.board, place), name=name, daemon=True).start()

    def _write(self, place: int, word: Any) -> None:
        self.words[place // 8] = word

    def parts(self, rows: int) -> int:
        """Return into how many parts a sum over rows is divided, so that its bits depend on the number of threads."""
        return max(1, min(self.count, rows))


@cache
def team() -> _Team:
    """Return the threads of this process: as many as BLAS has, which in a program keeps to one from then on."""
    return _Team(_threads())


@cache
def _threads() -> int:
    blas = threadpool_info()
    count = max((each["num_threads"] for each in blas if each["user_api"] == "blas"), default=1)
    if prepared():
        threadpool_limits(1, user_api="blas")
    return count


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=team.cache_clear)
