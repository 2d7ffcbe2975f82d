"""The laws of a process under load, in small; `python -m tests.load` examines them in large."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import pytest

from tests.load import laws


def test_threads_get_the_bits_of_one() -> None:
    """Eight threads solve and differentiate at once, and each number is as one thread computes it."""
    laws.threads_agree(8, 6, "none")


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_gets_the_bits_of_its_parent() -> None:
    """Forked while another thread of the parent is at work, it neither hangs nor rounds otherwise."""
    laws.processes_agree("fork", "none", count=2)


def test_solves_nest() -> None:
    """A map may solve for what it needs."""
    laws.solves_nest(depth=2, threads=4)


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_one_interrupt_ends_threads_that_share_work() -> None:
    """A Ctrl-C while three threads compute one operation is obeyed without a second."""
    pytest.importorskip("numba", reason="no threads share work without the kernels of Numba")
    laws.one_interrupt_suffices(3, "numba")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say how large a process is")
@pytest.mark.skipif(sys.gettrace() is not None, reason="coverage keeps what it traces")
def test_training_does_not_grow() -> None:
    """Two hundred updates leave the process as large as a third of them."""
    laws.memory_is_flat(200, "none")
