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
from array import array
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from equilib.machine.process import prepared
from equilib_numba import atomic
from equilib_numba.compiling import compiled, entry
from equilib_numba.memory import call, words

# Places on the board, in bytes; what different threads write lies on different lines of the cache.
_SHARES, _DONE, _CALL, _ARGUMENTS, _BUSY = 0, 64, 128, 136, 192
_TEAM, _ACQUIRE, _RELEASE, _YIELD, _SLEEPERS = 256, 264, 272, 280, 320
_LINE = 64
_BITS = 16
MOST = (1 << _BITS) - 1
"""The largest number of shares."""

_PATIENCE = 4000
"""Looks for work before a thread goes to sleep, some 0.1 ms."""


@compiled
def _take(board: int, place: int) -> bool:
    """Compute a share that nobody has begun; return whether there was one."""
    word = atomic.read(board + _SHARES)
    share = word & MOST
    if share >= (word >> _BITS) & MOST:
        return False
    # As long as the word stays the same, so do these; and it changes with every share that is begun.
    function, arguments = atomic.read(board + _CALL), atomic.read(board + _ARGUMENTS)
    if atomic.replace(board + _SHARES, word, word + 1):
        call(function, (arguments, share, place))
        atomic.add(board + _DONE, 1)
    return True


@entry
def _serve(board: int, place: int) -> None:
    """Compute shares for ever, asleep while there are none."""
    sleeper = board + _SLEEPERS + place * _LINE
    while True:
        looks = 0
        while looks < _PATIENCE:
            if _take(board, place):
                looks = 0
            else:
                looks += 1
                atomic.pause()
        atomic.write(sleeper, 1)
        word = atomic.read(board + _SHARES)  # something may have been put up in between
        if (word & MOST) < (word >> _BITS) & MOST and atomic.replace(sleeper, 1, 0):
            continue
        call(atomic.read(board + _ACQUIRE), (atomic.read(sleeper + 8), 1))


@compiled
def _wake(board: int) -> None:
    for place in range(1, atomic.read(board + _TEAM)):
        sleeper = board + _SLEEPERS + place * _LINE
        if atomic.read(sleeper) == 1 and atomic.replace(sleeper, 1, 0):
            call(atomic.read(board + _RELEASE), (atomic.read(sleeper + 8),))


@entry
def _run(board: int, shares: int, function: int, given: int) -> None:
    """Call a function of C (arguments, share, place) for all shares, in threads at the same time, one at each place.

    A second caller at the same time computes its shares alone, one after the other.
    """
    if shares < 2 or atomic.read(board + _TEAM) < 2 or not atomic.replace(board + _BUSY, 0, 1):
        for share in range(shares):
            call(function, (given, share, 0))
        return
    atomic.write(board + _CALL, function)
    atomic.write(board + _ARGUMENTS, given)
    atomic.write(board + _DONE, 0)
    turn = (atomic.read(board + _SHARES) >> 2 * _BITS) + 1
    atomic.write(board + _SHARES, (turn << 2 * _BITS) + (shares << _BITS))
    _wake(board)
    while _take(board, 0):
        pass
    looks = 0
    while atomic.read(board + _DONE) < shares:
        atomic.pause()
        looks += 1
        if looks > _PATIENCE:  # the others may be waiting for this core
            call(atomic.read(board + _YIELD), ())
    atomic.write(board + _BUSY, 0)


HEAD = 16
"""Bytes of the words of a share that come before those that are given."""


@compiled
def bounds(given: int, share: int) -> tuple[int, int]:
    """Return the first item of a share and the one after its last, of the words that `run` gives."""
    shares, items = words(given, 2)
    return items * share // shares, items * (share + 1) // shares


def run(function: int, items: int, *given: Any, most: int = MOST) -> None:
    """Call a function of C (words, share, place) for shares of some items, at most `most` of them.

    The words are the number of shares, `items`, and those that are given, for an array its address, for None 0.
    """
    shares = min(items, most)
    together = array("q", [shares, items, *[each if type(each) is int else place_of(each) for each in given]])
    _run(team().board, shares, function, together.buffer_info()[0])


def place_of(given: np.ndarray | bool | None) -> int:
    """Return the address of an array; a bool as a number, and 0 for None."""
    if type(given) is np.ndarray:
        return _word_at(id(given) + _DATA).value if _DATA else int(given.ctypes.data)
    return int(given or 0)


_word_at = ctypes.c_ssize_t.from_address


def _data_behind_head() -> int:
    """Return where NumPy's arrays have their address, 0 if not where its C API says: behind the head of an object.

    NumPy takes a microsecond to tell it, a tenth of what it takes to begin a convolution.
    """
    probe, head = np.empty(3), object.__basicsize__
    return head if sys.implementation.name == "cpython" and _word_at(id(probe) + head).value == probe.ctypes.data else 0


_DATA = _data_behind_head()


def _address(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value


class _Team:
    """The threads of this process, and their board."""

    def __init__(self, count: int) -> None:
        words = np.zeros((_SLEEPERS + (count + 1) * _LINE) // 8, np.int64)
        self.words = words[-words.ctypes.data % _LINE // 8 :]
        self.board, self.count = self.words.ctypes.data, count
        lock = ctypes.pythonapi
        for name in ("allocate", "acquire", "release"):
            getattr(lock, f"PyThread_{name}_lock").restype = ctypes.c_void_p
        lock.PyThread_acquire_lock.argtypes = (ctypes.c_void_p, ctypes.c_int)
        self._write(_TEAM, count)
        self._write(_ACQUIRE, _address(lock.PyThread_acquire_lock))
        self._write(_RELEASE, _address(lock.PyThread_release_lock))
        self._write(
            _YIELD,
            _address(ctypes.CDLL(None).sched_yield if os.name == "posix" else ctypes.windll.kernel32.SwitchToThread),
        )
        for place in range(1, count):
            held = lock.PyThread_allocate_lock()
            lock.PyThread_acquire_lock(held, 1)
            self._write(_SLEEPERS + place * _LINE + 8, held)
            name = f"equilib-{place}"
            threading.Thread(target=_serve, args=(self.board, place), name=name, daemon=True).start()

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
