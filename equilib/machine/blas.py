"""The BLAS library behind NumPy: its kernels, its threads, and whether it has better kernels than it chose.

OpenBLAS chooses its kernels by the CPU's model when it is loaded. A model that it does not know, or that a virtual
machine invented, gets those of an older CPU. The environment variable OPENBLAS_CORETYPE decides instead, but is read
at that moment only; so what is found here can be changed by starting the program again (`equilib.cli.restart`).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

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
    kernels: tuple[str, ...] = ()  # those for AVX2 and AVX-512 that it could use instead; empty where it cannot choose
    threads: int | None = None  # of a product; in a run, those that share the samples as well
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
        """Return everything but `kernels` as plain values."""
        return {name: value for name, value in asdict(self).items() if name != "kernels"}


def numpy_blas() -> Blas:
    """Return the library that NumPy multiplies matrices with."""
    return _blas(numpy, "numpy._core._multiarray_umath")


def scipy_blas() -> Blas:
    """Return the library that SciPy uses, which in its wheels is another one than NumPy's; loads `scipy.linalg`.

    Raises ImportError if SciPy is missing or broken.
    """
    import scipy.linalg

    return _blas(scipy, "scipy.linalg._fblas")


def cpu_flags() -> frozenset[str] | None:
    """Return the instruction sets that Linux says an x86 CPU may use; None elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((frozenset(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None)


def better_kernel(flags: Collection[str], *, chosen: str | None, version: str, kernels: Collection[str]) -> str | None:
    """Return the kernel that OpenBLAS should have chosen; None where the chosen one is not known to be slower.

    `flags` are the instruction sets of the CPU, as Linux names them, `kernels` those that OpenBLAS was built with.
    """
    # The best that the CPU has, or nothing: on AMD's servers OpenBLAS sets block sizes by the CPU, and the buffers of
    # kernels that are older than the CPU can overflow (OpenBLAS pull request 6027).
    best = next((name for name, needed in _NEEDS.items() if needed <= set(flags)), None)
    if best is None or best not in kernels or chosen not in _SLOWER[best] or version_numbers(version) < _OLDEST:
        return None
    return best


def advised_kernel(blas: Blas) -> str | None:
    """Return the kernel that a library should use on this machine instead of its own; None where none is known."""
    flags = cpu_flags()
    if flags is None:
        return None
    return better_kernel(flags, chosen=blas.kernel, version=blas.version, kernels=blas.kernels)


class ThreadControl(NamedTuple):
    """How many threads multiply matrices in this process, to be read and to be changed."""

    get: Callable[[], int]
    set: Callable[[int], None]


@cache
def thread_control() -> ThreadControl | None:
    """Return the control over the threads of NumPy's OpenBLAS; None where there is none."""
    origin = _origin("numpy._core._multiarray_umath")
    if origin is None:
        return None
    library = ctypes.PyDLL(origin)  # shorter calls than those that let go of the interpreter lock
    get, change = (_find(library, f"openblas_{verb}_num_threads") for verb in ("get", "set"))
    if get is None or change is None:
        return None
    get.restype, change.argtypes, change.restype = ctypes.c_int, [ctypes.c_int], None
    return ThreadControl(get, change)


def version_numbers(version: str) -> tuple[int, ...]:
    """Return "1.26.4rc1" as (1, 26, 4), to be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _blas(package: ModuleType, extension: str) -> Blas:
    found = package.show_config(mode="dicts")["Build Dependencies"]["blas"]
    built = Blas(library=found["name"], version=str(found.get("version", "")))
    origin = _origin(extension)
    if origin is None:
        return built
    library = ctypes.CDLL(origin)
    config = _call(library, "openblas_get_config", ctypes.c_char_p)
    if config is None:
        return built
    name = _call(library, "openblas_get_corename", ctypes.c_char_p)
    return Blas(
        library="openblas",
        version=config.decode().split()[1],
        kernel=None if name is None else name.decode(),
        kernels=tuple(each for each in _NEEDS if hasattr(library, f"gotoblas_{each.upper()}")),
        threads=_call(library, "openblas_get_num_threads", ctypes.c_int),
        instead_of=os.environ.get(CHOSEN),
    )


def _origin(extension: str) -> str | None:
    """Return the file of a module in which the functions of the library that it was linked with are found."""
    spec = importlib.util.find_spec(extension)
    # Windows looks symbols up in the module only.
    return None if os.name == "nt" or spec is None else spec.origin


def _find(library: ctypes.CDLL, name: str) -> Any:
    """Return a function of OpenBLAS, whose names have affixes in wheels and in builds with long integers, or None."""
    names = (f"{prefix}{name}{suffix}" for prefix in ("scipy_", "") for suffix in ("64_", "", "_64"))
    return next((found for each in names if (found := getattr(library, each, None)) is not None), None)


def _call(library: ctypes.CDLL, name: str, result: Any) -> Any:
    function = _find(library, name)
    if function is None:
        return None
    function.restype = result
    return function()
