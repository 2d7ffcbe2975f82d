"""Environment of a run: versions, platform, BLAS and commit, as its record has them."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from equilib.kernels import families_in_use
from equilib.machine.blas import CORETYPE, advised_kernel, numpy_blas
from equilib.machine.cores import available_cores
from equilib.machine.devices import why_no_arrays

PACKAGES = (
    "equilib",
    "numpy",
    "scipy",
    "autograd",
    "pluggy",
    "click",
    "array-api-compat",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "numba",
    "threadpoolctl",
    "scikit-sundae",
    "mpi4py",
    "mpich",
)


def describe_environment(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Return versions, those of further packages too, platform, kernels and NumPy's BLAS library, as plain values."""
    return {
        "versions": package_versions(packages),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "kernels": kernels_in_use(),
        "blas": numpy_blas().describe() | {"cores": available_cores()},
    }


def kernels_in_use() -> dict[str, str]:
    """Return the families of kernels for types of arrays that this process may have, and their packages."""
    return families_in_use(lambda kernel: _may_exist(kernel.array))


def _may_exist(kind: str) -> bool:
    return kind.partition(".")[0] in sys.modules and not why_no_arrays(kind)


def package_versions(packages: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of the packages that decide what a run computes, and of further ones, where installed."""
    names = dict.fromkeys((*PACKAGES, *packages))
    return {name: found for name in names if (found := _version(name)) is not None}


def arithmetic(device: str = "cpu", *, tf32: bool = False) -> str:
    """Return one line about what computes on a kind of device: BLAS, its threads, cores for them, and kernels."""
    if device == "cuda":
        rounded = ", products in TF32" if tf32 else ""
        return f"Arithmetic: CuPy's{rounded}; what it has not compiled before is compiled during the first batches"
    blas, cores = numpy_blas(), available_cores()
    better = advised_kernel(blas)
    hint = f"; {CORETYPE}={better} would be faster" if better else ""
    families = "".join(f"; kernels: {name} ({package})" for name, package in kernels_in_use().items())
    return f"BLAS: {blas} on {cores} {'core' if cores == 1 else 'cores'}{hint}{families}"


def _version(package: str) -> str | None:
    try:
        return version(package) or None
    except Exception:  # not installed, or its METADATA is damaged
        return None


def git_state() -> dict[str, Any] | None:
    """Return commit and cleanliness of the checkout that holds this file; None where it is installed from a wheel."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    tracked = _git(folder, "ls-files", "--error-unmatch", __file__)
    if commit is None or tracked is None:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
