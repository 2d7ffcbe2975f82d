"""Kernels compiled by numba for NumPy's arrays, as an equilib plugin."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from equilib.plugin import KernelEntry, hookimpl


@hookimpl
def equilib_kernels() -> Iterable[KernelEntry]:
    """Yield the family `numba`."""
    yield KernelEntry(
        name="numba",
        factory="equilib_numba.family:Numba",
        summary="Convolutions, normalizations, activations and sums compiled for the CPU by numba",
        advice=(
            "Two to four times as fast as the formulas, with results that differ by rounding. The first run compiles "
            "for some seconds; later ones find the code on disk."
        ),
        unavailable="" if find_spec("numba") else 'numba is not installed: pip install "equilib[fast]"',
    )
