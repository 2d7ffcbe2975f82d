"""The BLAS library behind NumPy: its kernels, its threads, and whether it has better kernels than it chose.

What it is doing is read by `threadpoolctl`, where that is installed; else only what NumPy was built with is known.

OpenBLAS chooses its kernels by the CPU's model when it is loaded. A model that it does not know, or that a virtual
machine invented, gets those of an older CPU. The environment variable OPENBLAS_CORETYPE decides instead, but is read
at that moment only; so what is found here can be changed by starting the program again (`equilib.cli.restart`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy

CORETYPE = "OPENBLAS_CORETYPE"
"""The environment variable that OpenBLAS takes its kernels from."""

CHOSEN = "EQUILIB_OPENBLAS_CHOSE"
"""The environment variable in which `equilib` notes what OpenBLAS chose, when it chooses better."""

# What OpenBLAS compiles the kernels for (Makefile.x86_64). Of AVX-512 the Knights Landing has the first two parts only.
_NEEDS = {
    "SkylakeX": frozenset(("fma", "avx2", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl")),
    "Haswell": frozenset(("fma", "avx2")),
}
# Measured on an AVX-512 CPU, float32, one thread, (5408, 192) by (192, 64): SkylakeX takes two thirds of Haswell's time
# (OpenBLAS 0.3.27 and 0.3.31), Haswell two thirds of Sandybridge's, and the others are slower (0.3.31; Core2 was not
# measured). Wheels call Prescott Katmai.
_OLD = frozenset(("Katmai", "Prescott", "Core2", "Nehalem", "Sandybridge"))
_SLOWER = {"SkylakeX": _OLD | {"Haswell"}, "Haswell": _OLD}
_OLDEST = (0, 3, 27)  # NumPy 2.1's; AVX-512 kernels of 2019 computed wrong results (OpenBLAS issue 1955)


@dataclass(frozen=True, kw_only=True)
class Blas:
    """A loaded BLAS library."""

    library: str  # "openblas", or what the package that uses it was built with
    version: str
    kernel: str | None = None  # the CPU that its kernels were made for, in OpenBLAS's spelling
    threads: int | None = None  # of a product
    instead_of: str | None = None  # the kernel that OpenBLAS chose, where `equilib` chose another

    def __str__(self) -> str:
        name = {"openblas": "OpenBLAS"}.get(self.library, self.library)
        parts = [f"{name} {self.version}".strip()]
        if self.kernel is not None:
            parts.append(f"{self.kernel} kernels{f' (it chose {self.instead_of})' if self.instead_of else ''}")
        if self.threads is not None:
            parts.append(f"{self.threads} {'thread' if self.threads == 1 else 'threads'}")
        return ", ".join(parts)

    def describe(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def numpy_blas() -> Blas:
    """Return the library that NumPy multiplies matrices with."""
    return _blas(numpy)


def scipy_blas() -> Blas:
    """Return the library that SciPy uses, which in its wheels is another one than NumPy's; loads `scipy.linalg`.

    Raises ImportError if SciPy is missing or broken.
    """
    import scipy.linalg

    return _blas(scipy)


def cpu_flags() -> frozenset[str] | None:
    """Return the instruction sets that Linux says an x86 CPU may use; None elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((frozenset(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None)


def better_kernel(flags: Collection[str], *, chosen: str | None, version: str) -> str | None:
    """Return the kernel that OpenBLAS should have chosen; None where the chosen one is not known to be slower.

    `flags` are the instruction sets of the CPU, as Linux names them.
    """
    # The best that the CPU has, or nothing: on AMD's servers OpenBLAS sets block sizes by the CPU, and the buffers of
    # kernels that are older than the CPU can overflow (OpenBLAS pull request 6027).
    best = next((name for name, needed in _NEEDS.items() if needed <= set(flags)), None)
    if best is None or chosen not in _SLOWER[best] or version_numbers(version) < _OLDEST:
        return None
    return best


def advised_kernel(blas: Blas) -> str | None:
    """Return the kernel that a library should use on this machine instead of its own; None where none is known."""
    flags = cpu_flags()
    if flags is None:
        return None
    return better_kernel(flags, chosen=blas.kernel, version=blas.version)


def version_numbers(version: str) -> tuple[int, ...]:
    """Return "1.26.4rc1" as (1, 26, 4), to be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _blas(package: ModuleType) -> Blas:
    pool = _pool(package.__name__)
    if pool is None:
        built = package.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return Blas(library=built["name"], version=str(built.get("version", "")))
    return Blas(
        library=pool["internal_api"],
        version=pool["version"] or "",
        kernel=pool.get("architecture"),
        threads=pool["num_threads"],
        instead_of=os.environ.get(CHOSEN),
    )


def _pool(package: str) -> dict[str, Any] | None:
    """Return what threadpoolctl reads of the library that a package brought, or of the only one; None without it."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    pools: list[dict[str, Any]] = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    own = [pool for pool in pools if {package, f"{package}.libs"} & set(Path(pool["filepath"]).parts)]
    return next(iter(own or pools), None)
