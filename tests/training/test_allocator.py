"""The allocator keeps big blocks where it can be told to."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from equilib.training.allocator import keep_big_blocks

FAULTS = """
import resource, sys
import numpy as np
from equilib.training.allocator import keep_big_blocks

if sys.argv[1] == "keep":
    print(keep_big_blocks())
for _ in range(3):
    np.ones(1 << 23)  # 64 MiB, more than the 32 MiB that malloc learns to keep by itself
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
def test_big_temporaries_cost_no_page_faults() -> None:
    """Once malloc was told, arrays that come and go reuse their memory; before, each is mapped page by page."""

    def faults(mode: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
        return done.stdout.split()

    (untold,) = faults("leave")
    answer, told = faults("keep")
    assert answer == "True"
    assert int(told) < 100 < int(untold)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no glibc, nothing is done and that is said."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_big_blocks() is False


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library without mallopt, such as musl, is no error."""

    class Musl:
        """A library that has other names."""

        def __init__(self, name: object) -> None:
            pass

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", Musl)
    assert keep_big_blocks() is False
