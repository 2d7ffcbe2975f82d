"""Record of a kernel: other code for an operation, on one type of array."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

LEAST = 4096
"""Numbers of an array on the host below which the formula takes no longer than to ask for a kernel."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Other code for one operation of the core, for arrays of one type.

    What it computes is what the operation's formula computes, to rounding, in new arrays; it changes no argument, gives
    the same bits at every call, and may be called by several threads at once.

    Attributes
    ----------
    operation : str
        The name of the operation, one of `equilib.kernels.OPERATIONS`.
    name : str
        What the kernel is called among those of its family for the operation.
    about : str
        One line for lists.
    array : str
        The type of the arrays, as in "numpy.ndarray" or "cupy.ndarray".
    dtypes : tuple of str
        Those of the arrays; a call's arrays have one.
    applies : callable
        Tells of all arguments of the operation, by position, whether it can compute them. It is asked at every call,
        so it must be cheap, and it loads nothing.
    load : callable or str
        Imports and compiles, and returns the function that takes the arguments of the operation by position; or
        "module:function" of that.
    seconds : pair of float
        What loading costs: the first time, and when compiled code is found in a cache.
    least : int
        Numbers of the leading array below which the formula takes no longer than to ask, what loading costs counted in.
    priority : int
        Of several that apply the highest is taken; of equals the first by family and name.
    device : str
        Where the arrays are: "cpu" or "cuda".
    """

    operation: str
    name: str
    about: str
    array: str = "numpy.ndarray"
    dtypes: tuple[str, ...] = ("float32", "float64")
    applies: Callable[..., bool]
    load: Callable[[], Callable[..., Any]] | str
    seconds: tuple[float, float] = (0.0, 0.0)
    least: int = LEAST
    priority: int = 0
    device: str = "cpu"

    def function(self) -> Callable[..., Any]:
        """Load the code; raises whatever `load` does."""
        loaded: Callable[..., Any] = (pkgutil.resolve_name(self.load) if isinstance(self.load, str) else self.load)()
        return loaded

    def takes(self, array: Any) -> bool:
        """Tell whether an array has the type, the dtype and the device of this kernel."""
        kind, device = type(array), "cuda" if on_cuda(array) else "cpu"
        dtype = str(array.dtype).rpartition(".")[2]
        # A library may define its type elsewhere than where users find it, as "numpy.ndarray" is where it says.
        return f"{kind.__module__}.{kind.__qualname__}" == self.array and dtype in self.dtypes and device == self.device


def on_cuda(array: Any) -> bool:
    """Tell whether an array lies on a CUDA device."""
    return "cuda" in str(getattr(array, "device", "")).lower()


class KernelFamily(Protocol):
    """**Protocol:** what the entry of a family of kernels makes: a frozen dataclass whose fields are its options.

    It loads none of what its kernels need; they do when they are loaded.
    """

    def kernels(self) -> Iterable[Kernel]:
        """Yield one record per kernel."""
