"""TF32: products of float32 matrices with factors of eleven bits, on an NVIDIA GPU, while a run asks for it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from equilib.errors import UserError
from equilib.machine.devices import Device

KINDS = ("cuda", "torch:cuda")
"""Devices that have it."""

LEAST_RTOL = 1e-4
"""The tolerance of solves below which it is refused.

A factor is rounded by up to 2**-11 of it, 4.9e-4, and a sum of many products by a part of that: f has no digits below.
"""

_TF32 = 7  # COMPUTE_TYPE_TF32 of cupy/_core/_routines_linalg.pxd
_AMPERE = 80  # the compute capability, 8.0, since which tensor cores have it


def require_tf32(device: Device) -> None:
    """Refuse a device that has no TF32.

    Raises UserError with the reason.
    """
    if device.kind not in KINDS:
        raise UserError(f"--tf32 is for an NVIDIA GPU, and the run is on {device.description}: leave it out")
    if device.kind == "cuda":
        capability = int(importlib.import_module("cupy").cuda.Device().compute_capability)
    else:
        major, minor = importlib.import_module("torch").cuda.get_device_capability()
        capability = 10 * major + minor
    if capability < _AMPERE:
        raise UserError(
            f"--tf32 needs a GPU of compute capability 8.0, and {device.description} has {capability / 10:.1f}: "
            "leave it out"
        )


def in_tf32(dtype: np.dtype) -> bool:
    """Tell whether CuPy makes products of this dtype so."""
    return bool(importlib.import_module("cupy._core").get_compute_type(dtype) == _TF32)


@contextmanager
def using_tf32(kind: str) -> Iterator[None]:
    """Have CuPy or PyTorch, as a kind of device says, multiply so in this process for the time being."""
    with _by_cupy() if kind == "cuda" else _by_torch():
        yield


@contextmanager
def _by_cupy() -> Iterator[None]:
    # The environment variable CUPY_TF32 is read by the first product only, which finds out whether the GPU works.
    core = importlib.import_module("cupy._core")
    before = core.get_compute_type(np.float32)
    core.set_compute_type(np.float32, _TF32)
    try:
        yield
    finally:
        core.set_compute_type(np.float32, before)


@contextmanager
def _by_torch() -> Iterator[None]:
    matmul = importlib.import_module("torch").backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    try:
        yield
    finally:
        matmul.allow_tf32 = before
