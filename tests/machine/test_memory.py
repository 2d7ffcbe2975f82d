"""The peak of memory: that of this process, not of those before it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from equilib.machine.process import peak_memory

SLACK = 2_000_000  # Linux counts pages in batches

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say")


def test_the_peak_grows_with_what_is_touched_and_stays() -> None:
    """An array raises the peak by its size, and the peak outlives the array."""
    before = peak_memory()
    assert before is not None
    size = before + 100_000_000  # more than may have been freed since
    array = np.ones(size // 8)
    during = peak_memory()
    del array
    after = peak_memory()
    assert during is not None
    assert after is not None
    assert min(during, after) >= size - SLACK


def test_a_child_does_not_inherit_the_peak_of_its_parent() -> None:
    """A small process started by a large one says that it is small."""
    ballast = np.ones(40_000_000)
    code = "from equilib.machine.process import peak_memory; print(peak_memory())"
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    assert child < 150e6 < ballast.nbytes
