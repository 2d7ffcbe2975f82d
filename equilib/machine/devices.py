"""Devices that hold arrays: the host with NumPy, a CUDA device with CuPy, a device of PyTorch, or JAX's."""

from __future__ import annotations

import importlib
import sys
import textwrap
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from equilib.arrays import Tree, tree_map
from equilib.errors import UserError, did_you_mean

DEVICES = ("auto", "cpu", "cuda", "torch", "torch:cuda", "torch:mps", "jax")

_INSTALL = 'pip install "equilib[cuda12]" (or "equilib[cuda13]")'


class DeviceError(UserError):
    """The device that was asked for cannot be used here."""


class IdleGPUError(DeviceError):
    """There is a GPU, and CuPy cannot compute on it."""


@dataclass(frozen=True)
class Device:
    """A place for arrays: its kind, one of `DEVICES` without "auto", and a line for logs."""

    kind: str
    description: str

    def put(self, tree: Tree) -> Tree:
        """Copy the NumPy arrays of `tree` to the device; on the CPU they are returned as they are."""
        if self.kind == "cpu":
            return tree
        if self.kind.startswith("torch"):
            torch, place = importlib.import_module("torch"), _place(self.kind)
            return tree_map(lambda leaf: torch.asarray(np.array(leaf)).to(place), tree)
        library = importlib.import_module("jax.numpy" if self.kind == "jax" else "cupy")
        return tree_map(library.asarray, tree)

    def synchronize(self) -> None:
        """Wait until the device has done what it was asked, so that a clock can be read."""
        if self.kind.startswith("torch:"):
            getattr(importlib.import_module("torch"), _place(self.kind)).synchronize()
        elif self.kind == "jax":
            jax = importlib.import_module("jax")
            jax.block_until_ready(jax.live_arrays())
        elif self.kind == "cuda":
            import cupy

            cupy.cuda.get_current_stream().synchronize()


CPU = Device("cpu", "cpu")


def find_device(name: str, number: int | None = None) -> Device:
    """Return the device called `name`; "auto" is a CUDA device where one works, else the CPU.

    With a `number` it is that of several GPUs, counted round, and the current one from then on. "jax" is JAX's default
    device; numbers of double precision are turned on, as arrays have the dtype that is written down here.

    Raises DeviceError if `name` is unknown, or "cuda" was asked for and CuPy, a GPU, or CUDA's libraries are missing.
    """
    if name == "cpu":
        return CPU
    if name == "cuda":
        return _cuda(number)
    if name in DEVICES and name.startswith("torch"):
        return _torch(name)
    if name == "jax":
        return _jax()
    if name != "auto":
        raise DeviceError(f"no device {name!r}.{did_you_mean(name, DEVICES)} Available: {', '.join(DEVICES)}.")
    try:
        return _cuda(number)
    except IdleGPUError:
        return Device("cpu", "cpu, although there is a GPU: --device cuda says why")
    except DeviceError:
        return CPU


def why_no_arrays(kind: str) -> str:
    """Return why no array of a type, as in "cupy.ndarray", can be made here; empty where nothing speaks against it."""
    library = kind.partition(".")[0]
    if library == "cupy":
        try:
            _require_gpu(_library("cupy", "CuPy", "cuda", _INSTALL))
        except DeviceError as error:
            return str(error)
        return ""
    return "" if library in sys.modules or _is_installed(library) else f"{library or 'its library'} is not installed"


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):  # no name of a module, or one that hides
        return False


def _place(kind: str) -> str:
    """Return what PyTorch calls the device."""
    return kind.partition(":")[2] or "cpu"


def _library(module: str, name: str, device: str, install: str) -> Any:
    try:
        return importlib.import_module(module)
    except Exception as error:  # where it is damaged, or HOME cannot be written, of many kinds
        raise DeviceError(
            f"--device {device} needs {name}, which cannot be imported ({_reason(error)}); {install}, "
            "or use --device cpu"
        ) from error


def _torch(name: str) -> Device:
    torch = _library("torch", "PyTorch", name, 'pip install "equilib[torch]"')
    try:
        one = torch.ones((2, 2), device=_place(name))
        torch.tanh(one @ one).cpu()
    except Exception as error:  # a driver and several libraries fail here, each in its own way
        raise DeviceError(
            f"--device {name} found PyTorch {torch.__version__}, but a first product failed ({_reason(error)}); "
            "use --device torch or --device cpu"
        ) from error
    return Device(name, f"{name}: PyTorch {torch.__version__}")


def _jax() -> Device:
    jax = _library("jax", "JAX", "jax", 'pip install "equilib[jax]"')
    jax.config.update("jax_enable_x64", val=True)
    try:
        one = jax.numpy.ones((2, 2))
        jax.block_until_ready(jax.numpy.tanh(one @ one))
        place = jax.devices()[0].device_kind
    except Exception as error:  # as for PyTorch
        raise DeviceError(
            f"--device jax found JAX {jax.__version__}, but a first product failed ({_reason(error)}); set "
            "JAX_PLATFORMS=cpu, or use --device cpu"
        ) from error
    return Device("jax", f"jax: JAX {jax.__version__} on {place}")


def _cuda(number: int | None) -> Device:
    cupy = _library("cupy", "CuPy", "cuda", _INSTALL)
    _require_gpu(cupy)
    if number is not None:
        cupy.cuda.Device(number % cupy.cuda.runtime.getDeviceCount()).use()
    _require_libraries(cupy)
    _exercise(cupy)
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return Device("cuda", f"cuda: {properties['name'].decode()}, CuPy {cupy.__version__}")


def _require_gpu(cupy: ModuleType) -> None:
    try:
        reason = "" if cupy.cuda.runtime.getDeviceCount() else "it counts none"
    except Exception as error:  # the driver's
        reason = _reason(error)
    if reason:
        raise DeviceError(
            f"--device cuda found CuPy {cupy.__version__} but no usable NVIDIA GPU ({reason}); check that its driver "
            "is installed and that CUDA_VISIBLE_DEVICES allows it, or use --device cpu"
        )


def _require_libraries(cupy: ModuleType) -> None:
    """Load what the first product and the first kernel would load; it needs no GPU."""
    try:
        importlib.import_module("cupy.cublas")
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # ImportError of cuBLAS, of NVRTC a RuntimeError of its own, or what HOME gives rise to
        raise IdleGPUError(
            f"--device cuda found a GPU, but CUDA's libraries are missing or incomplete ({_reason(error)}); "
            f"{_INSTALL}, or use --device cpu"
        ) from error


def _exercise(cupy: Any) -> None:
    """Compile a kernel and multiply two matrices: what is wrong with a device shows when it is first used."""
    try:
        one = cupy.ones((2, 2), dtype=cupy.float32)
        cupy.tanh(one @ one).get()
    except Exception as error:  # a compiler, a driver and three libraries fail here, each in its own way
        raise IdleGPUError(
            f"--device cuda found a GPU and CUDA's libraries, but a first product failed ({_reason(error)}); "
            f"free the GPU's memory if it is full, else {_INSTALL}, or use --device cpu"
        ) from error


def _reason(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    return textwrap.shorten(text or type(error).__name__, 160, placeholder=" ...")
