"""Threads that share the samples of a batch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from equilib import ops
from equilib.machine import threads as workers
from equilib.machine.blas import thread_control
from equilib.machine.threads import by_shares, threads_in_use, use_threads

BIG = 10**9
FORKING = """
import os
from equilib.machine.threads import by_shares, use_threads

use_threads(2)
work = lambda: by_shares(lambda first, last: first, 4, numbers=10**9)
assert work() == [0, 2]
child = os.fork()
if child == 0:
    os._exit(0 if work() == [0, 2] else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
DEFAULT = """
from threadpoolctl import threadpool_limits
import numpy
from equilib.machine.blas import numpy_blas
from equilib.machine.threads import threads_in_use, use_threads

assert threads_in_use() == 1
with threadpool_limits(3, "blas"):
    counted = numpy_blas().threads
    assert use_threads() == threads_in_use() == (counted or 1)
assert use_threads() == (counted or 1)
assert numpy_blas().threads == (None if counted is None else 1)
"""


@pytest.fixture
def threads() -> Iterator[int]:
    """Use three threads during the test."""
    control = thread_control()
    before, blas = threads_in_use(), None if control is None else control.get()
    yield use_threads(3)
    use_threads(before)
    if control is not None:
        control.set(blas)


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 32])
def test_shares_are_all_samples_in_order(threads: int, samples: int) -> None:
    """The shares lie next to each other, in order, hold every sample once, and none is empty."""
    shares = by_shares(lambda first, last: list(range(first, last)), samples, numbers=BIG)
    assert [sample for share in shares for sample in share] == list(range(samples))
    assert all(shares)
    assert len(shares) == min(3, samples)


def test_shares_are_computed_at_the_same_time(threads: int) -> None:
    """Every thread has its share before any has finished."""
    meeting = threading.Barrier(3, timeout=20)
    by_shares(lambda first, last: meeting.wait(), 3, numbers=BIG)


def test_a_share_is_not_divided_again(threads: int) -> None:
    """Within a share, whichever thread has it, everything is one share; afterwards no longer."""
    inner = by_shares(lambda first, last: len(by_shares(lambda *share: share, 8, numbers=BIG)), 6, numbers=BIG)
    assert inner == [1, 1, 1]
    assert len(by_shares(lambda *share: share, 8, numbers=BIG)) == 3


def test_little_work_is_not_divided(threads: int) -> None:
    """Below the size where it pays the caller does everything."""
    assert by_shares(lambda *share: share, 8, numbers=10) == [(0, 8)]


def test_blas_gives_its_threads() -> None:
    """`use_threads` takes over as many threads as BLAS used, leaves it one, and does so once; nobody else does."""
    done = subprocess.run([sys.executable, "-c", DEFAULT], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_no_threads_are_refused() -> None:
    """A number of threads is positive."""
    with pytest.raises(ValueError, match="must be positive, got 0"):
        use_threads(0)


@pytest.mark.parametrize("broken", [0, 2])
def test_an_error_in_a_share_is_the_callers(threads: int, broken: int) -> None:
    """Whichever thread fails, the caller gets the exception, and the next work is shared again."""

    def work(first: int, last: int) -> None:
        if first == broken:
            raise ZeroDivisionError(f"in sample {first}")

    with pytest.raises(ZeroDivisionError, match=f"sample {broken}"):
        by_shares(work, 3, numbers=BIG)
    assert len(by_shares(lambda *share: share, 3, numbers=BIG)) == 3


def test_every_share_has_the_callers_errstate(threads: int) -> None:
    """What NumPy does about invalid numbers is the same in every thread."""
    with np.errstate(over="raise", under="ignore"):
        assert by_shares(lambda first, last: np.geterr()["over"], 3, numbers=BIG) == ["raise"] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_makes_threads_of_its_own() -> None:
    """A child process shares samples among threads although its parent's do not exist in it."""
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shapes", [((7, 5), (5, 3)), ((1, 5), (5, 3)), ((2, 4, 5), (5, 3)), ((2, 4, 5), (2, 5, 3))])
def test_products_are_the_same_by_shares(
    threads: int, shapes: tuple, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix product whose rows are shared among threads is the product."""
    monkeypatch.setattr(workers, "_WORTHWHILE", 0)
    x, y = (rng.standard_normal(shape) for shape in shapes)
    np.testing.assert_allclose(ops.matmul(x, y), x @ y, rtol=1e-14, atol=1e-14)
