"""The iterates of a loop, last to first, while few are kept."""

from __future__ import annotations

import weakref
from functools import cache
from math import comb
from typing import ClassVar

import pytest

from equilib.adjoints.revolve import Iterates


class Counted:
    """A number in a box that knows how many boxes there are."""

    alive: ClassVar[weakref.WeakSet[Counted]] = weakref.WeakSet()

    def __init__(self, number: int) -> None:
        self.number = number
        self.alive.add(self)


class Loop:
    """A loop that counts its steps, and the most boxes that were there after one."""

    def __init__(self) -> None:
        self.steps = self.most = 0

    def __call__(self, z: Counted) -> Counted:
        """Take a step."""
        following = Counted(z.number + 1)
        self.steps, self.most = self.steps + 1, max(self.most, len(Counted.alive))
        return following


@cache
def fewest(steps: int, kept: int) -> int:
    """Return how many steps a reversal takes at least: the best of all places for the next kept iterate."""
    if kept == 1:
        return steps * (steps - 1) // 2
    return min((k + fewest(steps - k, kept - 1) + fewest(k, kept) for k in range(1, steps)), default=0)


@pytest.mark.parametrize("kept", [1, 2, 3, 5, 8, 50])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 10, 11, 23, 40])
def test_a_reversal_takes_the_fewest_steps_in_the_memory_allowed(length: int, kept: int):
    """It gives every iterate, with the fewest steps that any schedule needs, and never more in memory."""
    loop = Loop()
    iterates = Iterates(loop, Counted(0), kept)
    for k in reversed(range(length)):
        assert iterates[k].number == k
    assert loop.steps == fewest(length, kept)
    assert loop.most <= kept + 2  # the iterate at hand, and the one that a step makes of it


@pytest.mark.parametrize(("length", "kept", "repeats"), [(30, 10, 2), (66, 10, 2), (67, 10, 3), (1000, 10, 4)])
def test_the_cost_is_that_of_the_formula(length: int, kept: int, repeats: int):
    """r·n − β(kept + 1, r − 1) steps, and so at most r for each iterate, with the least r that is enough."""
    loop = Loop()
    iterates = Iterates(loop, Counted(0), kept)
    for k in reversed(range(length)):
        assert iterates[k].number == k
    assert comb(kept + repeats - 1, kept) < length <= comb(kept + repeats, kept)
    assert loop.steps == repeats * length - comb(kept + repeats, kept + 1)


def test_asking_again_costs_nothing():
    """The last iterate asked for is at hand, also where there was no room to keep it."""
    loop = Loop()
    iterates = Iterates(loop, Counted(0), 1)
    assert iterates[7] is iterates[7]
    assert loop.steps == 7


def test_any_order_gives_the_same():
    """An iterate may be asked for again, earlier or later, also after a reversal."""
    iterates = Iterates(lambda z: z + 1, 0, 4)
    for order in ([19, 18, 3, 17, 19, 0, 0, 25, 1], reversed(range(20)), reversed(range(20))):
        for k in order:
            assert iterates[k] == k
