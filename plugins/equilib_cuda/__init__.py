"""Kernels in CUDA C for CuPy's arrays, as an equilib plugin."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from equilib.plugin import KernelEntry, hookimpl


@hookimpl
def equilib_kernels() -> Iterable[KernelEntry]:
    """Yield the family `cuda`."""
    yield KernelEntry(
        name="cuda",
        factory="equilib_cuda.family:Cuda",
        summary="Convolutions, normalizations, combinations and norms in few launches, for CuPy's arrays on a GPU",
        advice=(
            "A third of the launches that the formulas take, with results that differ by rounding. The first run "
            "compiles for some seconds; later ones find the code in ~/.cupy/kernel_cache."
        ),
        unavailable="" if find_spec("cupy") else 'CuPy is not installed: pip install "equilib[cuda12]", or cuda13',
    )
