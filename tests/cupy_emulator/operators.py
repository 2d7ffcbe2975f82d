"""Operators of the emulated array, which are CuPy's functions; importing this gives them to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cupy_emulator.array import COMPARISONS, SCALARS, library, ndarray

_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift", "divmod": "divmod", "matmul": "matmul",
}  # fmt: skip


def _operator(name: str, swapped: bool = False, in_place: bool = False) -> Callable[..., Any]:
    def apply(self: ndarray, other: Any) -> Any:
        if other is None and name in ("equal", "not_equal"):
            return library["zeros" if name == "equal" else "ones"](self.shape, dtype=bool)
        if not isinstance(other, (ndarray, np.ndarray, *SCALARS)):
            if _prefers_its_own(other):
                return NotImplemented
            raise TypeError(f"Unsupported type {type(other)}")
        if name in COMPARISONS and isinstance(other, np.ndarray) and not other.ndim:
            other = other.item()
        function = library[name]
        if in_place:
            return function(self, other, out=self)
        return function(other, self) if swapped else function(self, other)

    return apply


def _prefers_its_own(other: Any) -> bool:
    """Tell whether an operator is left to the other operand, by NumPy's rules for that."""
    if hasattr(other, "__array_ufunc__"):
        return other.__array_ufunc__ is None
    return getattr(other, "__array_priority__", 0) > ndarray.__array_priority__


for _symbol, _name in _OPERATORS.items():
    setattr(ndarray, f"__{_symbol}__", _operator(_name))
    setattr(ndarray, f"__r{_symbol}__", _operator(_name, swapped=True))
    if _symbol not in ("divmod", "matmul"):
        setattr(ndarray, f"__i{_symbol}__", _operator(_name, in_place=True))
for _symbol, _name in zip(
    ("lt", "le", "gt", "ge", "eq", "ne"),
    ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"),
    strict=True,
):
    setattr(ndarray, f"__{_symbol}__", _operator(_name))


def _single(name: str) -> Callable[[ndarray], Any]:
    def apply(self: ndarray) -> Any:
        return library[name](self)

    return apply


for _symbol, _name in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{_symbol}__", _single(_name))
