"""Pending exchanges between ranks: they go on when they are asked to, and wait only for their result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Generic

from equilib.machine.ranks.communicator import Exchange, T

_SPIN = 1e-3
"""Seconds of a wait in which the core is only offered to others; then the process sleeps, and they have it."""

_NAP = 1e-4

_offer: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0.0))
"""Offer the core to whoever waits for it; of the two a sleep of no length takes a hundred times as long."""


class Pending(Generic[T]):
    """An exchange under way; it begins when this is made."""

    def __init__(self, exchange: Exchange[T]) -> None:
        self._exchange = exchange
        self._arrived: Callable[[], bool] = lambda: True
        self._complete = False
        self.advance()

    def advance(self) -> bool:
        """Go on as far as messages have arrived; tell whether it is complete."""
        while not self._complete and self._arrived():
            try:
                self._arrived = next(self._exchange)
            except StopIteration as end:
                self._result, self._complete = end.value, True
        return self._complete

    def result(self, check: Callable[[], None]) -> T:
        """Return what came, once all of it has; meanwhile call `check`, which may raise."""
        start = time.monotonic()
        while not self.advance():
            check()
            if time.monotonic() - start < _SPIN:
                _offer()
            else:
                time.sleep(_NAP)
        result: T = self._result
        return result
