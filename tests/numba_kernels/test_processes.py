"""Compiled kernels in several threads and processes, and what they keep on disk."""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("numba")

from equilib_numba import addresses
from equilib_numba.code import memory, sums

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

SUM = """
import sys
import numpy as np
from equilib_numba.sums import sum_rows

assert sum_rows(np.ones((50, 16), "float32"), 0, False).tolist() == [50.0] * 16
print("compiled" if "numba" in sys.modules else "found")
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
    """Two processes may compile at once; a third finds the code without numba; what is damaged is compiled again."""
    for process in [started(SUM, tmp_path) for _ in range(2)]:
        assert process.communicate(timeout=300)[0] == "compiled\n"
    assert started(SUM, tmp_path).communicate(timeout=300) == ("found\n", "")
    files = sorted(tmp_path.rglob("*.o"))
    assert {file.name for file in files} == {"sums.add.float32.o", "team.run.o", "team.serve.o"}
    for file, content in zip(files, (b"junk", files[1].read_bytes()[:-9], files[1].read_bytes()), strict=True):
        file.write_bytes(content)  # what is no code, is cut off, or is another function's
    out, err = started(SUM, tmp_path).communicate(timeout=300)
    assert out == "compiled\n"
    assert err.startswith("equilib: compiling kernels")
    assert started(SUM, tmp_path).communicate(timeout=300) == ("found\n", "")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the first of two folders that code is kept in; nothing is loaded yet."""
    monkeypatch.setattr(addresses, "_folders", lambda: (tmp_path / "a", tmp_path / "b"))
    monkeypatch.setattr(addresses, "_found", {})
    monkeypatch.setattr(addresses, "_engine", cache(addresses._engine.__wrapped__))
    return tmp_path / "a"


def called(name: str, *words: int) -> None:
    """Call a compiled function, which has no dtype."""
    ctypes.CFUNCTYPE(None, *(ctypes.c_int64 for _ in words))(addresses.address(name))(*words)


def one(given: int) -> None:
    """Write the number 1 to an address."""
    memory.row(given, 1, 0.0)[0] = 1.0


def half(given: int) -> None:
    """Halve a number, by a function that numba has and the C library has not."""
    numbers = memory.row(given, 1, 0.0)
    numbers[0] = math.ldexp(numbers[0], -1)


def test_code_is_compiled_in_memory_where_it_cannot_be_kept(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither folder can be written to: what stands there is a file."""
    monkeypatch.setattr(sums, "one", one, raising=False)
    for name in "ab":
        fresh.with_name(name).write_bytes(b"")
    number = ctypes.c_double()
    called("sums.one", ctypes.addressof(number))
    assert number.value == 1


def test_code_that_not_every_process_can_load_is_not_kept(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    """LLVM ends a process that lacks a function: only those of the C library that all have may be called."""
    monkeypatch.setattr(sums, "half", half, raising=False)
    number = ctypes.c_double(2)
    called("sums.half", ctypes.addressof(number))
    assert number.value == 1
    assert not fresh.exists()


def test_what_is_kept_is_of_these_sources_and_whole(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    """Code of other sources, of another function or with another byte is none; the second folder stands in."""
    second = fresh.with_name("b")
    addresses._keep("f.o", b"code")
    assert [file.name for file in fresh.iterdir()] == ["f.o"]
    fresh.rename(second)
    assert addresses._kept("f.o") == b"code"
    assert addresses._kept("g.o") is None
    (second / "f.o").rename(second / "g.o")
    assert addresses._kept("g.o") is None
    addresses._keep("f.o", b"code")
    monkeypatch.setattr(addresses, "_sources", lambda: b"others")
    assert addresses._kept("f.o") is None


def test_each_cpu_has_a_folder_beside_the_source_or_in_the_cache_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """NUMBA_CACHE_DIR stands for both."""
    folders = addresses._folders.__wrapped__
    for name in ("NUMBA_CACHE_DIR", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    beside, users = folders()
    assert beside.is_relative_to(Path(addresses.__file__).parent)
    assert users.is_relative_to(tmp_path)
    monkeypatch.setattr(addresses, "cpu", lambda: ("another", ""))
    assert not {beside, users} & set(folders())
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "given"))
    (given,) = folders()
    assert given.is_relative_to(tmp_path / "given")


def test_a_full_disk_leaves_nothing_behind(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that cannot be written in full is removed, and nobody is told."""

    def full(file: Path, content: bytes) -> int:
        with file.open("wb") as opened:
            opened.write(content[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    addresses._keep("f.o", b"code")
    assert not list(fresh.parent.rglob("f.o*"))
