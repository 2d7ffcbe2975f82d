"""Memory of the host that is free, and sizes that files claim to have."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path

from equilib.errors import UserError

_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_SMALL = 1 << 26  # bytes that no machine lacks


def free_memory() -> int | None:
    """Return how many bytes a process may still take: of the machine, its container and its own limit, the least.

    None where the system does not say.
    """
    found = [each for each in (_of_machine(), _of_container(), _of_process()) if each is not None]
    return min(found, default=None)


def lacking_memory(size: int) -> str:
    """Return why so many bytes cannot be held, as in "takes 8.0 GB, and 1.2 GB of memory are free"; "" if they can."""
    if size <= _SMALL:
        return ""
    free = free_memory()
    if free is None or size <= free:
        return ""
    return f"takes {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free"


def require_file(path: Path) -> None:
    """Refuse a pipe or a device, whose content may never end or come, and a file that the memory cannot hold.

    Raises UserError if it is one; OSError if it is not there.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):  # which says so itself when it is opened
        return
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is a pipe or a device; give a file")
    lack = lacking_memory(status.st_size)
    if lack:
        raise UserError(f"{path} {lack}; give a smaller file, or free memory")


def _of_machine() -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", _MEMINFO.read_text("ascii", errors="replace"), re.MULTILINE)
    except OSError:  # not Linux
        return None
    return None if found is None else 1024 * int(found[1])


def _of_container() -> int | None:
    try:
        limit, used = ((_CGROUP / f"memory.{name}").read_text("ascii").strip() for name in ("max", "current"))
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):  # none, or one of the first version
        return None


def _of_process() -> int | None:
    """Return what `ulimit -v` leaves."""
    if not sys.platform.startswith("linux"):
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    return max(0, limit - used)
