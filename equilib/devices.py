"""Where arrays live: the host with NumPy, or a CUDA device with CuPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from equilib.arrays import Array, to_host
from equilib.errors import UserError
from equilib.trees import Tree, tree_map

DEVICES = ("auto", "cpu", "cuda")


class DeviceError(UserError):
    """The device that was asked for cannot be used here."""


@dataclass(frozen=True)
class Device:
    """A place for arrays.

    Attributes
    ----------
    kind : str
        "cpu" or "cuda".
    description : str
        One line for logs.
    """

    kind: str
    description: str

    def put(self, tree: Tree) -> Tree:
        """Copy the NumPy arrays of `tree` to the device; on the CPU they are returned as they are."""
        if self.kind == "cpu":
            return tree
        import cupy

        return tree_map(cupy.asarray, tree)

    def fetch(self, tree: Tree) -> Tree:
        """Copy the arrays of `tree` to NumPy."""
        return tree_map(to_host, tree)

    def synchronize(self) -> None:
        """Wait until the device has done what it was asked, so that a clock can be read."""
        if self.kind == "cuda":
            import cupy

            cupy.cuda.get_current_stream().synchronize()


CPU = Device("cpu", "cpu")


def find_device(name: str) -> Device:
    """Return the device called `name`; "auto" is a CUDA device where one works, else the CPU.

    Raises
    ------
    DeviceError
        If `name` is unknown, or "cuda" was asked for and CuPy, a GPU, or CUDA's libraries are missing.
    """
    if name == "cpu":
        return CPU
    if name == "cuda":
        return _cuda()
    if name != "auto":
        raise DeviceError(f"unknown device {name!r}; choose from {', '.join(DEVICES)}")
    try:
        return _cuda()
    except DeviceError:
        return CPU


def _cuda() -> Device:
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f'--device cuda needs CuPy, which cannot be imported ({error}); pip install "equilib[cuda12]" or use '
            "--device cpu"
        ) from error
    if not cupy.is_available():
        raise DeviceError(
            "--device cuda found CuPy but no usable NVIDIA GPU (is a driver installed, and does CUDA_VISIBLE_DEVICES "
            "allow one?); use --device cpu"
        )
    try:
        _exercise(cupy)
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"--device cuda found a GPU but CUDA's libraries are incomplete ({_first_line(error)}); "
            'pip install "cupy-cuda12x[ctk]" or install the CUDA toolkit'
        ) from error
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return Device("cuda", f"cuda: {properties['name'].decode()}, CuPy {cupy.__version__}")


def _exercise(cupy: Any) -> Array:
    """Multiply two matrices: cuBLAS, and what it needs, is loaded when it is first used."""
    one = cupy.ones((2, 2), dtype=cupy.float32)
    return cupy.tanh(one @ one).get()


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
