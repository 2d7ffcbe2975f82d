"""Threads that share the samples of a batch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from equilib.blas import ThreadControl, thread_control
from equilib.workers import by_shares

BIG = 10**9
FORKING = """
import os
from equilib.blas import thread_control
from equilib.workers import by_shares

control = thread_control()
if control is None:
    raise SystemExit(0)
control.set(2)
work = lambda: by_shares(lambda first, last: first, 4, numbers=10**9)
assert work() == [0, 2]
child = os.fork()
if child == 0:
    os._exit(0 if work() == [0, 2] else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def control() -> Iterator[ThreadControl]:
    """Give the control over BLAS threads, which are three during the test."""
    control = thread_control()
    if control is None:
        pytest.skip("the threads of this BLAS library cannot be set")
    before = control.get()
    control.set(3)
    yield control
    control.set(before)


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 32])
def test_shares_are_all_samples_in_order(control: ThreadControl, samples: int) -> None:
    """The shares lie next to each other, in order, hold every sample once, and none is empty."""
    shares = by_shares(lambda first, last: list(range(first, last)), samples, numbers=BIG)
    assert [sample for share in shares for sample in share] == list(range(samples))
    assert all(shares)
    assert len(shares) == min(3, samples)


def test_shares_are_computed_at_the_same_time(control: ThreadControl) -> None:
    """Every thread has its share before any has finished."""
    meeting = threading.Barrier(3, timeout=20)
    by_shares(lambda first, last: meeting.wait(), 3, numbers=BIG)


def test_products_in_a_share_have_one_thread(control: ThreadControl) -> None:
    """While the samples are shared BLAS uses one thread, afterwards as many as before."""
    assert by_shares(lambda first, last: control.get(), 6, numbers=BIG) == [1, 1, 1]
    assert control.get() == 3


def test_little_work_is_not_divided(control: ThreadControl) -> None:
    """Below the size where it pays, and where BLAS has one thread, the caller does everything."""
    assert by_shares(lambda *share: share, 8, numbers=10) == [(0, 8)]
    control.set(1)
    assert by_shares(lambda *share: share, 8, numbers=BIG) == [(0, 8)]


@pytest.mark.parametrize("broken", [0, 2])
def test_an_error_in_a_share_is_the_callers(control: ThreadControl, broken: int) -> None:
    """Whichever thread fails, the caller gets the exception, and BLAS its threads back."""

    def work(first: int, last: int) -> None:
        if first == broken:
            raise ZeroDivisionError(f"in sample {first}")

    with pytest.raises(ZeroDivisionError, match=f"sample {broken}"):
        by_shares(work, 3, numbers=BIG)
    assert control.get() == 3


def test_every_share_has_the_callers_errstate(control: ThreadControl) -> None:
    """What NumPy does about invalid numbers is the same in every thread."""
    with np.errstate(over="raise", under="ignore"):
        assert by_shares(lambda first, last: np.geterr()["over"], 3, numbers=BIG) == ["raise"] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_makes_threads_of_its_own() -> None:
    """A child process shares samples among threads although its parent's do not exist in it."""
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
