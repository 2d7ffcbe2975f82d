"""How much memory the process has needed."""

from __future__ import annotations

import platform
from pathlib import Path


def peak_memory() -> int | None:
    """Return the largest resident size of this process so far, in bytes; None where the system does not say."""
    system = platform.system()
    if system == "Linux":
        # Not getrusage: its maximum outlives exec, so that a child inherits the size of the parent.
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
        return None
    if system == "Darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
