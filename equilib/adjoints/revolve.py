"""Checkpointed reversal of a loop: its iterates from the last to the first, while few of them are kept."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

from equilib.arrays import Array


class Iterates:
    """z_{k+1} = step(z_k), of which at most `kept`, z_0 included, and the last one asked for are in memory.

    Asked for k = n − 1, ..., 1, 0, in this order, it repeats as few steps as that allows (Griewank & Walther 2000,
    ACM Trans. Math. Softw. 26: 19–45, "revolve"): r·n − β(kept + 1, r − 1) are taken in all, for the least r with
    n ≤ β(kept, r), where β(s, r) = (s + r)! / (s! r!). Any other order gives the same arrays for more steps.
    """

    def __init__(self, step: Callable[[Array], Array], z0: Array, kept: int) -> None:
        self._step = step
        self._capacity = kept
        self._kept = [(0, z0)]
        self._at_hand = (0, z0)

    def __getitem__(self, k: int) -> Array:
        """Return z_k, for k ≥ 0, and keep iterates on the way to it."""
        if self._at_hand[0] != k:
            self._at_hand = self._kept[0]  # the last one asked for must not stay in memory meanwhile
            self._at_hand = (k, self._reach(k))
        return self._at_hand[1]

    def _reach(self, k: int) -> Array:
        while self._kept[-1][0] > k:
            self._kept.pop()
        at, z = self._kept[-1]
        while at < k:
            slots = self._capacity - len(self._kept) + 1  # with the one that z takes
            ahead = _stride(k + 1 - at, slots) if slots > 1 else k - at
            for _ in range(ahead):
                z = self._step(z)
            at += ahead
            if slots > 1:
                self._kept.append((at, z))
        return z


def _stride(length: int, slots: int) -> int:
    """Return where to keep the next iterate, for the reversal of `length` > 1 steps with `slots` > 1 iterates.

    Before it are as many steps as can be reversed with one repetition less, where that leaves enough behind it.
    """
    repeats = 1
    while _longest(slots, repeats) < length:
        repeats += 1
    return min(_longest(slots, repeats - 1), length - _longest(slots - 1, repeats - 1))


def _longest(slots: int, repeats: int) -> int:
    """Return β: the most steps that can be reversed with so many iterates and repetitions of a step."""
    return comb(slots + repeats, slots)
