"""The way between tensors and the arrays that solvers compute with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from equilib.arrays import Array

_HOST_DTYPES = (torch.float32, torch.float64, torch.float16)


class Bridge:
    """Tensors as arrays of a solver, in the same memory: on the CPU NumPy's, whose calls cost least, else themselves.

    Parameters
    ----------
    *like : Tensor
        Of the device and dtypes in question.
    """

    def __init__(self, *like: Tensor) -> None:
        self.on_host = all(each.device.type == "cpu" and each.dtype in _HOST_DTYPES for each in like)

    def array(self, tensor: Tensor) -> Array:
        """Return the numbers of a tensor, any shape, without its derivative."""
        tensor = tensor.detach()
        if not self.on_host:
            return tensor
        return (tensor.resolve_neg() if tensor.is_neg() else tensor).numpy()

    def tensor(self, array: Array) -> Tensor:
        """Return an array, any shape, as a tensor; PyTorch knows none that must not be written to."""
        if not isinstance(array, np.ndarray):
            return array
        return torch.from_numpy(array if array.flags.writeable else _writeable(array))


Options = TypeVar("Options")


def on_host(options: Options) -> Options:
    """Return options of a solve or an integration whose tolerances, if they are tensors, are numbers on the host."""
    given = {name: getattr(options, name) for name in ("rtol", "atol")}
    found = {
        name: each.detach().cpu().double().numpy() if each.ndim else each.item()
        for name, each in given.items()
        if isinstance(each, Tensor)
    }
    return replace(options, **found) if found else options  # type: ignore[type-var]


def _writeable(array: np.ndarray) -> np.ndarray:
    """Return the memory of a read-only array, any shape, as one that may be written to."""
    own = array.base
    # What f is lent in every step is a view of a whole array.
    if (
        type(own) is np.ndarray
        and own.flags.writeable
        and own.shape == array.shape
        and own.strides == array.strides
        and own.dtype == array.dtype
    ):
        return own
    return np.asarray(_Writeable(array))


class _Writeable:
    """The memory of a read-only array, as NumPy's protocol tells of it."""

    __slots__ = ("__array_interface__", "_array")

    def __init__(self, array: np.ndarray) -> None:
        interface: dict[str, Any] = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__, self._array = interface, array  # which keeps the memory
