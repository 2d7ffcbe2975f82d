"""Shares of work in compiled code: computed by the threads that find them on the board."""

from __future__ import annotations

from equilib_numba import board as at
from equilib_numba.code import atomic
from equilib_numba.code.compiling import compiled
from equilib_numba.code.memory import call, words
from equilib_numba.records import WORD

_PATIENCE = 4000
"""Looks for work before a thread goes to sleep, some 0.1 ms."""


@compiled
def bounds(given: int, share: int) -> tuple[int, int]:
    """Return the first item of a share and the one after its last, of the words that `run` gives."""
    shares, items = words(given, 2)
    return items * share // shares, items * (share + 1) // shares


@compiled
def _take(board: int, place: int) -> bool:
    """Compute a share that nobody has begun; return whether there was one."""
    word = atomic.read(board + at.SHARES)
    share = word & at.MOST
    if share >= (word >> at.BITS) & at.MOST:
        return False
    # As long as the word stays the same, so do these; and it changes with every share that is begun.
    function, arguments = atomic.read(board + at.CALL), atomic.read(board + at.ARGUMENTS)
    if atomic.replace(board + at.SHARES, word, word + 1):
        call(function, (arguments, share, place))
        atomic.add(board + at.DONE, 1)
    return True


def serve(board: int, place: int) -> None:
    """Compute shares for ever, asleep while there are none."""
    sleeper = board + at.SLEEPERS + place * at.LINE
    while True:
        looks = 0
        while looks < _PATIENCE:
            if _take(board, place):
                looks = 0
            else:
                looks += 1
                atomic.pause()
        atomic.write(sleeper, 1)
        word = atomic.read(board + at.SHARES)  # something may have been put up in between
        if (word & at.MOST) < (word >> at.BITS) & at.MOST and atomic.replace(sleeper, 1, 0):
            continue
        call(atomic.read(board + at.ACQUIRE), (atomic.read(sleeper + WORD), 1))


@compiled
def _wake(board: int) -> None:
    for place in range(1, atomic.read(board + at.TEAM)):
        sleeper = board + at.SLEEPERS + place * at.LINE
        if atomic.read(sleeper) == 1 and atomic.replace(sleeper, 1, 0):
            call(atomic.read(board + at.RELEASE), (atomic.read(sleeper + WORD),))


def run(given: int) -> None:
    """Call a function of C (words, share, place) for all shares, in threads at the same time, one at each place.

    Given are the words of the board, of the function, and those of the shares. A second caller at the same time
    computes its shares alone, one after the other.
    """
    board, function, shares = words(given, 3)
    given += 2 * WORD
    if shares < 2 or atomic.read(board + at.TEAM) < 2 or not atomic.replace(board + at.BUSY, 0, 1):
        for share in range(shares):
            call(function, (given, share, 0))
        return
    atomic.write(board + at.CALL, function)
    atomic.write(board + at.ARGUMENTS, given)
    atomic.write(board + at.DONE, 0)
    turn = (atomic.read(board + at.SHARES) >> 2 * at.BITS) + 1
    atomic.write(board + at.SHARES, (turn << 2 * at.BITS) + (shares << at.BITS))
    _wake(board)
    while _take(board, 0):
        pass
    looks = 0
    while atomic.read(board + at.DONE) < shares:
        atomic.pause()
        looks += 1
        if looks > _PATIENCE:  # the others may be waiting for this core
            call(atomic.read(board + at.YIELD), ())
    atomic.write(board + at.BUSY, 0)
