"""CPU cores that this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_cores() -> int:
    """Return the number of cores that the scheduler lets this process run on at once: affinity and container quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota = cgroup_quota(_MEMBERSHIP.read_text("utf-8"), _CGROUPS)
    except OSError:  # not Linux
        quota = math.inf
    return cores if quota >= cores else max(1, math.ceil(quota))


def cgroup_quota(membership: str, root: Path) -> float:
    """Return how many cores' worth of time control groups grant; infinity where they grant all.

    `membership` is the text of /proc/self/cgroup, `root` where the groups are mounted.
    """
    quotas = [math.inf]
    for line in membership.splitlines():
        number, controllers, group = line.split(":", 2)
        if number == "0":
            quotas += [_version2(folder) for folder in _upwards(root, group)]
        elif "cpu" in controllers.split(","):
            quotas += [_version1(folder) for folder in _upwards(root / controllers, group)]
    return min(quotas)


def _upwards(root: Path, group: str) -> Iterator[Path]:
    """Yield the folders of a group and of those that it is in; in a container only the last may be visible."""
    path = PurePosixPath(group.lstrip("/"))
    yield root / path
    yield from (root / parent for parent in path.parents)


def _version2(folder: Path) -> float:
    quota, _, period = _read(folder / "cpu.max", default="max 100000").partition(" ")
    return math.inf if quota == "max" else int(quota) / int(period)


def _version1(folder: Path) -> float:
    quota = int(_read(folder / "cpu.cfs_quota_us", default="-1"))
    return math.inf if quota < 0 else quota / int(_read(folder / "cpu.cfs_period_us", default="100000"))


def _read(file: Path, *, default: str) -> str:
    try:
        return file.read_text("utf-8").strip()
    except OSError:  # the root group has no limits, nor has one that the container hides
        return default
