"""Signals that ask a program to end: obeyed at once, but not while something is being written."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from types import FrameType
from typing import Any

_NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

TOGETHER = 1.0
"""Seconds within which signals are one, as those of a key that is held down."""


class Interrupted(KeyboardInterrupt):
    """A signal, `number`, asked the program to end."""

    def __init__(self, number: int) -> None:
        # Who pressed Ctrl-C knows; who looks into a log for another signal does not.
        super().__init__("" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}")
        self.number = number


@dataclass
class _Asked:
    """What the main thread was asked for: the first signal, its time, whether it was raised, whether it waits.

    `obeyed` tells whether handlers of ours are in place.
    """

    number: int | None = None
    time: float = 0.0
    raised: bool = False
    held: bool = False
    obeyed: bool = False


_asked = _Asked()


def requested() -> int | None:
    """Return the number of the signal that asked the program to end; None where none has."""
    return _asked.number


def is_from_user(error: BaseException) -> bool:
    """Tell whether an error is the end that a user asks for, by Ctrl-C or another signal, and not a plugin's own."""
    return isinstance(error, Interrupted) or (isinstance(error, KeyboardInterrupt) and not _asked.obeyed)


def check() -> None:
    """Raise Interrupted where a signal has come, also if what raised it was lost, as in a destructor."""
    if _asked.number is not None:
        _asked.raised = True
        raise Interrupted(_asked.number)


@contextmanager
def shielded() -> Iterator[None]:
    """Let signals wait until this is done, when Interrupted is raised; but one that comes a second later ends it."""
    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield
        return
    before, _asked.held = _asked.held, True
    try:
        yield
    finally:
        _asked.held = before
    _raise_late()


@contextmanager
def exposed() -> Iterator[None]:
    """Let signals be obeyed at once within `shielded`; whatever comes, they wait again afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _asked.held = _asked.held, False
    try:
        _raise_late()
        yield
    finally:
        _asked.held = before


def _raise_late() -> None:
    if not (_asked.held or _asked.raised):
        check()


@contextmanager
def obeyed() -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP raise Interrupted in the main thread, except those that are ignored, as by nohup.

    The first is raised, those within a second of it are one with it, and the next ones are raised even if shielded.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: found for each in _NUMBERS if (found := signal.getsignal(each)) not in (signal.SIG_IGN, None)}
    hook = sys.unraisablehook

    def quiet(lost: Any) -> None:
        if not isinstance(lost.exc_value, Interrupted):  # which `check` raises again
            hook(lost)

    vars(_asked).update(vars(_Asked(obeyed=True)))
    try:
        sys.unraisablehook = quiet
        for number in before:
            signal.signal(number, _handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
        _asked.obeyed = False


@contextmanager
def kept() -> Iterator[None]:
    """Undo in the end what a library did to SIGINT, SIGTERM and SIGHUP: they are obeyed or ignored as before."""
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number in _NUMBERS:
                if (handler := signal.getsignal(number)) is not None:  # which Python knows of
                    signal.signal(number, handler)


def _handle(number: int, frame: FrameType | None) -> None:
    now = monotonic()
    if _asked.number is None:
        _asked.number, _asked.time = number, now
        if _asked.held:
            return
    elif now - _asked.time < TOGETHER:
        return
    check()
