"""Signals end a program where nothing is half done: the first is raised, but not inside what is shielded."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Iterator

import pytest

from equilib.machine import signals
from equilib.machine.signals import Interrupted, check, exposed, kept, obeyed, requested, shielded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Obey signals, and afterwards find the handlers as they were."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with obeyed():
        yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    assert requested() is None or not signals._asked.held


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_that_a_library_takes_is_given_back(name: str) -> None:
    """What a library's own code does to a signal meanwhile, of which Python does not hear, is undone in the end."""
    number = signal.Signals[name]
    of_c = ctypes.CDLL(None).signal
    of_c.argtypes, of_c.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    with kept():
        of_c(number, int(signal.SIG_IGN))
    with pytest.raises(Interrupted):
        signal.raise_signal(number)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_raised_where_it_comes(name: str) -> None:
    """It is a KeyboardInterrupt that knows its number, and says its name where nobody pressed a key."""
    number = signal.Signals[name]
    with pytest.raises(Interrupted) as caught:
        signal.raise_signal(number)
    assert (caught.value.number, requested()) == (number, number)
    assert str(caught.value) == ("" if name == "SIGINT" else f"ended by {name}")


def test_what_is_shielded_is_finished_first() -> None:
    """A signal inside is raised at the end of the outermost shield."""
    done = []

    @shielded()
    def work() -> None:
        with shielded():
            signal.raise_signal(signal.SIGTERM)
            done.append("inner")
        done.append("outer")

    with pytest.raises(Interrupted):
        work()
    assert done == ["inner", "outer"]


def test_what_is_exposed_is_not_shielded() -> None:
    """Inside it signals are obeyed at once, those that waited too; behind it they wait again."""
    done = []

    @exposed()
    def work() -> None:
        signal.raise_signal(signal.SIGTERM)
        done.append("never")

    with shielded():
        with pytest.raises(Interrupted):
            work()
        signal.raise_signal(signal.SIGTERM)
        done.append("written")
    assert done == ["written"]


def test_what_waited_is_obeyed_where_it_is_exposed() -> None:
    """A signal that came while something was written ends what follows."""
    with shielded():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted), exposed():
            pytest.fail("it goes on")


def test_an_error_is_not_hidden_by_a_signal() -> None:
    """What failed inside a shield is what is told."""

    @shielded()
    def write() -> None:
        signal.raise_signal(signal.SIGTERM)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write()


def test_twice_at_once_is_once() -> None:
    """A second signal within a second is one with the first: what the first began to write is written."""
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    with shielded():
        signal.raise_signal(signal.SIGTERM)


def test_twice_means_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second later the next one is obeyed inside a shield, too."""
    monkeypatch.setattr(signals, "TOGETHER", 0.0)
    with shielded():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_that_was_lost_is_found(capfd: pytest.CaptureFixture[str]) -> None:
    """Raised in a destructor it says nothing and ends nothing; the next check raises it."""

    class Fragile:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    check()
    made = Fragile()
    del made
    with pytest.raises(Interrupted):
        check()
    assert capfd.readouterr() == ("", "")


def test_what_is_ignored_stays_ignored() -> None:
    """`nohup equilib run` outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with obeyed():
            signal.raise_signal(signal.SIGHUP)
        assert requested() is None
    finally:
        signal.signal(signal.SIGHUP, before)
