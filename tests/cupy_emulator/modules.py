"""The modules `cupy` and `cupyx` of the emulator, and the way to put them in the place of the real ones."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import array_api_compat
import numpy as np

from tests.cupy_emulator import array, gmres, kernels, making, namespace, operators  # noqa: F401  gives it operators
from tests.cupy_emulator.crossing import checked, unknown

API: dict[str, Any] = json.loads(Path(__file__).with_name("api.json").read_text())
ROOTS = ("cupy", "cupyx", "array_api_compat.cupy")
"""What is replaced, with all that is below."""


class OutOfMemoryError(MemoryError):
    """What CuPy raises when the device is full."""

    __module__ = "cupy.cuda.memory"


class CUDARuntimeError(RuntimeError):
    """What CuPy raises when CUDA refuses."""

    __module__ = "cupy_backends.cuda.api.runtime"


@contextmanager
def emulated() -> Iterator[ModuleType]:
    """Put the emulator in the place of CuPy, whatever is loaded, and yield its array-API namespace.

    What was there comes back: tests of the real CuPy's types run in the same process.
    """
    ours = emulator()
    if sys.modules.get("cupy") is ours["cupy"]:
        yield ours["array_api_compat.cupy"]
        return
    before, attribute = _replace(ours), getattr(array_api_compat, "cupy", None)
    _set_attribute(ours["array_api_compat.cupy"])
    try:
        yield ours["array_api_compat.cupy"]
    finally:
        _replace(before)
        _set_attribute(attribute)


def _set_attribute(module: ModuleType | None) -> None:
    """Make a module the attribute `array_api_compat.cupy`; None takes it away."""
    if module is not None:
        array_api_compat.cupy = module
    elif hasattr(array_api_compat, "cupy"):
        del array_api_compat.cupy


def install() -> None:
    """Put the emulator in the place of CuPy for the rest of the process."""
    emulated().__enter__()


def _replace(modules: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """Make these the loaded modules below `ROOTS`, and return those that were."""
    before = {name: module for name, module in sys.modules.items() if _replaced(name)}
    for name in before:
        del sys.modules[name]
    sys.modules.update(modules)
    return before


def _replaced(name: str) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in ROOTS)


@cache
def emulator() -> dict[str, ModuleType]:
    """Return the emulator's modules by name, array-api-compat's for it among them."""
    importlib.import_module("tests.cuda_kernels.twins")
    made: dict[str, ModuleType] = {}
    cupy = _cupy(made)
    _cupyx(made)
    array.library.update(vars(cupy))
    before, attribute = _replace(made), getattr(array_api_compat, "cupy", None)
    importlib.import_module("array_api_compat.cupy")
    array_api_compat.is_cupy_array(cupy.zeros(1))  # remembered by its class
    _set_attribute(attribute)  # which the import has changed
    return {**made, **{name: module for name, module in _replace(before).items() if name not in made}}


def _cupy(made: dict[str, ModuleType]) -> ModuleType:
    names = API["names"]
    space = namespace.fill_namespace(names["cupy"], namespace.OWN)
    namespace.give_methods(names["cupy.ndarray"], space)
    constants = {"newaxis": None, "pi": np.pi, "nan": np.nan, "inf": np.inf, "e": np.e}
    kinds = {kind: kernels.kernel(kind) for kind in kernels.KINDS}
    cupy = _module(made, "cupy", {**space, **constants, **kinds, "ndarray": array.ndarray, "__version__": API["cupy"]})
    for name, entry in names["cupy"].items():
        if entry["kind"] == "module":
            _module(made, f"cupy.{name}", {"__getattr__": _unknown_in(f"cupy.{name}")})
    _module(made, "cupy.linalg", namespace.linalg_namespace(names["cupy.linalg"]))
    _module(made, "cupy.fft", {name: unknown(f"cupy.fft.{name}") for name in names["cupy.fft"]})
    _module(made, "cupy.lib", {})
    views = {"as_strided": making.as_strided, "sliding_window_view": making.sliding_window_view}
    _module(made, "cupy.lib.stride_tricks", views)
    _module(made, "cupy.cublas", {})
    _module(made, "cupy._core", _core())
    _module(made, "cupy.cuda", _cuda())
    _module(made, "cupy.cuda.device", {"Device": array.Device})
    _module(made, "cupy.cuda.memory", {"OutOfMemoryError": OutOfMemoryError})
    return cupy


def _cupyx(made: dict[str, ModuleType]) -> None:
    place = "cupyx"
    _module(made, place, {})
    for part in ("scipy", "sparse", "linalg"):
        place = f"{place}.{part}"
        _module(made, place, {})
    kept = API["names"][place]
    vars(made[place]).update({name: unknown(f"{place}.{name}") for name in kept})
    vars(made[place]).update(
        LinearOperator=gmres.LinearOperator, gmres=checked("gmres", kept["gmres"]["parameters"], gmres.gmres)
    )


def _module(made: dict[str, ModuleType], name: str, content: dict[str, Any]) -> ModuleType:
    module = made[name] = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    vars(module).update(content, __path__=[])
    if name != "cupy":  # of which `*` gives the submodules too
        module.__all__ = [each for each in content if not each.startswith("_")]
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(made[parent], child, module)
    return module


def _unknown_in(place: str) -> Any:
    def missing(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotImplementedError(f"the emulator does not know {place}.{name}")

    return missing


def _core() -> dict[str, Any]:
    """Return how products are to be computed, by dtype; 1 is CuPy's default."""
    kinds: dict[np.dtype, int] = {}
    return {
        "get_compute_type": lambda dtype: kinds.get(np.dtype(dtype), 1),
        "set_compute_type": lambda dtype, kind: kinds.update({np.dtype(dtype): kind}),
    }


def _cuda() -> dict[str, Any]:
    stream = SimpleNamespace(synchronize=lambda: None, ptr=0, use=lambda: None)
    properties = {"name": b"emulated", "major": 9, "minor": 0, "multiProcessorCount": 132}
    return {
        "Device": array.Device,
        "runtime": SimpleNamespace(
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda device: properties,
            memGetInfo=lambda: (2**37, 2**37),
            CUDARuntimeError=CUDARuntimeError,
        ),
        "nvrtc": SimpleNamespace(getVersion=lambda: (12, 9)),
        "get_current_stream": lambda: stream,
        "Stream": SimpleNamespace(null=stream),
        "is_available": lambda: True,
    }
