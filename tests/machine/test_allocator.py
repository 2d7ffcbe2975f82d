"""The allocator keeps big blocks where it can be told to, and a run tells it."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from equilib.machine.process import keep_big_blocks
from tests.digits import write_digits

# 64 MiB are more than the 32 MiB that glibc learns to keep by itself.
FAULTS = """
import resource
import numpy as np

for _ in range(3):
    np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
TELL = "from equilib.machine.process import keep_big_blocks\nprint(keep_big_blocks())\n"
RUN = "import sys\nfrom equilib.cli import main\nprint(main())\n"

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")


def faults_after(code: str, *argv: str, cwd: Path | None = None) -> tuple[list[str], int]:
    """Return, of a fresh process, what `code` prints, and the page faults of ten big temporaries after it."""
    program = [sys.executable, "-c", code + FAULTS, *argv]
    *said, faults = subprocess.run(program, capture_output=True, text=True, check=True, cwd=cwd).stdout.splitlines()
    return said, int(faults)


@glibc
def test_big_temporaries_cost_no_page_faults() -> None:
    """Once malloc was told, arrays that come and go reuse their memory; before, each is mapped page by page."""
    assert faults_after("")[1] > 100
    said, faults = faults_after(TELL)
    assert said == ["True"]
    assert faults < 100


@glibc
def test_a_run_keeps_big_blocks(tmp_path: Path) -> None:
    """`equilib run` tells malloc before it trains."""
    digits = write_digits(tmp_path / "digits")
    argv = ("run", "mnist", "--data-dir", str(digits), "--limit", "10", "--epochs", "0", "--pretrain-epochs", "0")
    said, faults = faults_after(RUN, *argv, "--device", "cpu", "--out", "run", cwd=tmp_path)
    assert said[-1] == "0"
    assert faults < 100


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
