from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equilib.machine.cores import available_cores, cgroup_quota


def write(file: Path, text: str) -> None:
    """Write a file and make its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


def test_the_tightest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    """In version 2 a group has no more time than the groups that it is in."""
    write(tmp_path / "a" / "cpu.max", "150000 100000")
    write(tmp_path / "a" / "b" / "cpu.max", "max 100000")
    assert cgroup_quota("0::/a/b\n", tmp_path) == 1.5
    assert cgroup_quota("0::/\n", tmp_path) == math.inf


def test_version_1_has_two_files(tmp_path: Path) -> None:
    """In version 1 quota and period are apart, -1 is none, and a container's own group may be the only one seen."""
    group = tmp_path / "cpu,cpuacct"
    write(group / "cpu.cfs_quota_us", "-1")
    write(group / "cpu.cfs_period_us", "50000")
    assert cgroup_quota("4:memory:/x\n3:cpu,cpuacct:/docker/abc\n0::/\n", tmp_path) == math.inf
    write(group / "cpu.cfs_quota_us", "100000")
    assert cgroup_quota("4:memory:/x\n3:cpu,cpuacct:/docker/abc\n0::/\n", tmp_path) == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_a_process_bound_to_a_core_has_one() -> None:
    """Affinity limits the cores."""
    program = """
import os
from equilib.machine.cores import available_cores
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
assert available_cores() == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
