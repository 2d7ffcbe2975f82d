"""Kernels of the project's own: the emulator runs their twins, written with NumPy.

A kernel that has no twin cannot be emulated, and says so. That a kernel and its twin agree is for a test on a GPU, or
on the real CuPy over a host CUDA; that it compiles, for NVRTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.cupy_emulator import meter
from tests.cupy_emulator.array import ndarray, wrap

KINDS = ("ElementwiseKernel", "ReductionKernel", "RawKernel")
_twins: dict[str, Callable[..., Any]] = {}
_executors: list[Callable[..., Any]] = []


def twin(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function of NumPy arrays as what the kernel called `name` computes.

    It returns the results; those of a RawKernel it writes into the arrays that it is given.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _twins[name] = function
        return function

    return register


@contextmanager
def executing(execute: Callable[..., Any]) -> Iterator[None]:
    """Let `execute(code, name, grid, threads, args, hosts)` do what the twins of RawKernels do.

    `args` are as they were given, `hosts` have NumPy's arrays in place of those on the device.
    """
    _executors.append(execute)
    try:
        yield
    finally:
        _executors.remove(execute)


def kernel(kind: str) -> type:
    """Return the emulated class of that name."""

    class Kernel:
        def __init__(self, *source: Any, **options: Any) -> None:
            # RawKernel(code, name); the others: in_params, out_params, operation ..., name
            self.name = options.get("name") or (source[1] if kind == "RawKernel" else source[-1])
            self._code = source[0]
            self._outputs = 0 if kind == "RawKernel" else len(source[1].split(","))
            self._inputs = 0 if kind == "RawKernel" else len([part for part in source[0].split(",") if part.strip()])

        def __call__(self, *args: Any, **options: Any) -> Any:
            if self.name not in _twins:
                raise NotImplementedError(f"kernel {self.name!r} has no twin: register one with cupy_emulator.twin")
            grid, block, args = args if kind == "RawKernel" else ((), (), args)
            for arg in args:
                if isinstance(arg, np.ndarray) and kind != "RawKernel":  # where it is a structure that is copied
                    raise TypeError(f"Unsupported type {np.ndarray}")
            meter.launch(self.name, sum(each.nbytes for each in args if isinstance(each, ndarray)))
            hosts = [each._host if isinstance(each, ndarray) else each for each in args]
            if kind == "RawKernel":
                with np.errstate(all="ignore"):
                    if _executors:
                        _executors[-1](self._code, self.name, grid, block[0], args, hosts)
                    else:
                        _twins[self.name](*hosts)
                return None
            given = args[self._inputs :]
            options = {key: value for key, value in options.items() if key in ("axis", "keepdims")}
            with np.errstate(all="ignore"):
                found = _twins[self.name](*hosts[: self._inputs], **options)
            found = found if isinstance(found, tuple) else (found,)
            if given:
                for target, value in zip(given, found, strict=True):
                    target._host[...] = value
                return given[0] if len(given) == 1 else given
            made = tuple(wrap(each) for each in found)
            return made[0] if len(made) == 1 else made

    Kernel.__name__ = Kernel.__qualname__ = kind
    return Kernel
