"""Registers of the CPU: what LLVM is told about it, and the numbers and sums that they hold."""

from __future__ import annotations

import os
from functools import cache

import llvmlite.binding as llvm

# Bytes of a vector register and how many there are, by the CPU's features; the first that fits.
_REGISTERS = (("+avx512f", 64, 32), ("+avx,", 32, 16), ("+neon", 16, 32), ("", 16, 16))

# CPUs whose AVX numba does not use: LLVM's code for it is slow there (numba/core/config.py, avx_default).
_WITHOUT_AVX = ("corei7-avx", "core-avx-i", "sandybridge", "ivybridge", "nocona")


@cache
def cpu() -> tuple[str, str]:
    """Return name and features of the CPU that is compiled for; NUMBA_CPU_NAME and NUMBA_CPU_FEATURES replace them."""
    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    given = os.environ.get("NUMBA_CPU_FEATURES", "" if name.lower() == "generic" else None)
    if given is not None:
        return name, given
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know it
        return name, ""
    if name in _WITHOUT_AVX:
        features.update({each: False for each in features if each.startswith("avx")})
    return name, features.flatten()


BYTES, REGISTERS = next((size, count) for feature, size, count in _REGISTERS if feature in f"{cpu()[1]},")

WIDE = 2
"""Registers of columns of a product that are summed up at a time."""

ROWS = (REGISTERS - WIDE) // WIDE - 1
"""Rows that are: their sums, a row of the second factor and a number of the first fit the registers."""
