"""Compiled kernels in several threads and processes, and what they keep on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

from equilib_numba import compiling

SUMS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from equilib_numba.convolution import conv2d
from equilib_numba.team import team

rng = np.random.default_rng(0)
x, weight = (rng.standard_normal(shape).astype("float32") for shape in ((40, 9, 9, 16), (3, 3, 16, 16)))
compute = lambda each=0: conv2d(x, weight, (1, 1), ((1, 1), (1, 1)), method="winograd")
expected = compute()
assert team().count == 2, team().count
with ThreadPoolExecutor(4) as pool:
    for found in pool.map(compute, range(40)):
        assert np.array_equal(found, expected)
child = os.fork()
if not child:
    same = all(np.array_equal(compute(), expected) for _ in range(20))
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
print("same")
"""

SLOPE = """
import numpy as np
from equilib_numba.sums import sum_rows

assert sum_rows(np.ones((50, 16), "float32"), 0, False).tolist() == [50.0] * 16
print("right")
"""


def started(script: str, folder: Path | None = None, **more: str) -> subprocess.Popen[str]:
    """Start a script in a process of its own, with two threads, that keeps code in a folder."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", **more}
    if folder is not None:
        environment["NUMBA_CACHE_DIR"] = str(folder)
    command = [sys.executable, "-W", "ignore", "-c", script]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_threads_and_children_get_the_same_bits():
    """Several callers at once, whose shares are computed by the same threads; and a child, which has none of these."""
    out, err = started(SUMS).communicate(timeout=300)
    assert out == "same\n", err


def test_kept_code_is_used_shared_and_replaced(tmp_path: Path):
    """Two processes may compile at once; a third finds the code; what cannot be read is compiled again."""
    for process in [started(SLOPE, tmp_path) for _ in range(2)]:
        assert process.communicate(timeout=300)[0] == "right\n"
    out, err = started(SLOPE, tmp_path).communicate(timeout=300)
    assert (out, err) == ("right\n", "")
    for index, file in enumerate(sorted(tmp_path.rglob("*.nb[ic]"))):
        file.write_bytes((b"junk", file.read_bytes()[:50])[index % 2])
    for message in ("equilib: compiling kernels", ""):
        out, err = started(SLOPE, tmp_path).communicate(timeout=300)
        assert out == "right\n"
        assert err.startswith(message)
        assert bool(err) == bool(message)


def test_code_is_compiled_in_memory_where_it_cannot_be_kept(monkeypatch: pytest.MonkeyPatch):
    """A read-only installation without a home: numba finds no folder."""

    def nowhere(*args: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiling, "_Kept", nowhere)
    double = compiling.entry(lambda x: x + x)
    assert double(2) == 4
