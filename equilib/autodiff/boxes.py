"""Boxes and vector spaces that let autograd trace arrays other than NumPy's.

They are registered when an array of a new type is first traced; before, nothing is imported and no type known.
NumPy arrays keep autograd's own box, so that users' autograd.numpy code composes.
"""

from __future__ import annotations

from math import prod
from typing import Any

from autograd.core import VSpace
from autograd.tracer import Box

from equilib.arrays import Array, Namespace, array_namespace, is_array, zeros_like
from equilib.autodiff.primitives import BOXES


def static_value(value: Any) -> Any:
    """Return the array inside any number of boxes; other values are returned as they are."""
    while type(value) in BOXES:
        value = value._value
    return value


class TracedArray(Box):  # type: ignore[misc]  # autograd has no annotations
    """A traced array; its operators and its namespace are the operations of `equilib.ops`."""

    __slots__ = ()
    __array_priority__ = 100.0
    __array_ufunc__ = None  # NumPy leaves mixed expressions to our operators

    shape = property(lambda self: self._value.shape)
    dtype = property(lambda self: self._value.dtype)
    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: prod(self._value.shape))
    device = property(lambda self: self._value.device)

    def __len__(self) -> int:
        return int(self._value.shape[0])

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return _namespace


_namespace: Namespace = None


def install(namespace: Namespace) -> type[TracedArray]:
    """Make `namespace` that of traced arrays, and return their class, which wants operators.

    `equilib.ops` calls it when it is imported: operations are made of rules, and so stand above this package.
    """
    global _namespace
    _namespace = namespace
    return TracedArray


class ArraySpace(VSpace):  # type: ignore[misc]  # autograd has no annotations
    """The vector space of one array's shape, dtype and device."""

    __slots__ = ("example",)

    def __init__(self, value: Array) -> None:
        self.example = value

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the vectors."""
        return tuple(self.example.shape)

    @property
    def size(self) -> int:
        """Dimension of the space."""
        return prod(self.example.shape)

    def zeros(self) -> Array:
        """Return the zero vector."""
        return zeros_like(self.example)

    def ones(self) -> Array:
        """Return the vector of ones."""
        return array_namespace(self.example).ones_like(self.example)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArraySpace):
            return NotImplemented
        return self.shape == other.shape and self.example.dtype == other.example.dtype

    def __hash__(self) -> int:
        return hash(self.shape)


def ensure_traceable(value: Any) -> None:
    """Register a box and a vector space for the type of `value`, once.

    Raises
    ------
    TypeError
        If `value` is not an array, or if it is not NumPy's and `equilib.ops` has not been imported.
    """
    kind = type(value)
    if kind in Box.type_mappings:
        return
    if not is_array(value):
        raise TypeError(f"only arrays can be differentiated, not {kind.__name__}")
    if _namespace is None:
        raise TypeError(f"to differentiate arrays of type {kind.__name__}, import equilib.ops first")
    TracedArray.register(kind)
    ArraySpace.register(kind)
