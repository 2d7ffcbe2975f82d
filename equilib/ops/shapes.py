"""Changes of shape. All are linear: each rule is the operation and its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from equilib.arrays import Array, array_namespace, is_half, set_at, zeros_like
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import joint_rule, primitive, with_transposes
from equilib.kernels import operation
from equilib.options.kinds import described

Index = Any
Axes = int | tuple[int, ...] | None
_BASIC_INDEX = (int, np.integer, slice, type(None), type(...))


def place_of(axis: Any, shape: tuple[int, ...]) -> int:
    """Return the number of an axis among those of a shape, counted from the first.

    Raises numpy.exceptions.AxisError, a ValueError and an IndexError, if there is none of that number; TypeError if it
    is no whole number.
    """
    if not isinstance(axis, int | np.integer):
        raise TypeError(f"an axis is a whole number, got {described(axis)}")
    if not -len(shape) <= axis < len(shape):
        raise AxisError(f"axis {axis} is out of bounds for an array of shape {tuple(shape)}")
    return int(axis) % len(shape)


def places_of(axis: Axes, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the numbers of one axis, several or all, None, among those of a shape; raises what `place_of` does."""
    if axis is None:
        return tuple(range(len(shape)))
    return tuple([place_of(each, shape) for each in (axis if isinstance(axis, tuple | list) else (axis,))])


def shape_of(x: Any) -> tuple[int, ...]:
    """Return the shape of an array, traced or not; a Python scalar has shape ()."""
    shape: tuple[int, ...] = x.shape if type(x) is np.ndarray else tuple(getattr(static_value(x), "shape", ()))
    return shape


@with_transposes(lambda x, shape: lambda w: reshape(w, shape_of(x)))
def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    """Return x with its elements, in C order, in another shape."""
    return array_namespace(x).reshape(x, shape)


@with_transposes(lambda x, axes: lambda w: permute_dims(w, _inverse(axes)))
def permute_dims(x: Array, axes: tuple[int, ...]) -> Array:
    """Return x with its axes, and so its shape, in another order."""
    try:
        return array_namespace(x).permute_dims(x, axes)
    except (IndexError, TypeError, ValueError):
        places_of(axes, shape_of(x))
        raise


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=lambda position: axes[position] % len(axes)))


def matrix_transpose(x: Array) -> Array:
    """Return x with its last two axes exchanged, shape (..., n, m) to (..., m, n)."""
    if type(x) is np.ndarray:
        return x.swapaxes(-1, -2)
    ndim = len(shape_of(x))
    return permute_dims(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def expand_dims(x: Array, axis: int) -> Array:
    """Return x with a new axis of length one at position `axis` of its shape.

    Raises IndexError if `axis` is no position among the axes of the result.
    """
    shape = list(shape_of(x))
    if not -len(shape) - 1 <= axis <= len(shape):
        raise IndexError(f"axis {axis} is out of bounds for a result of {len(shape) + 1} axes")
    shape.insert(axis % (len(shape) + 1), 1)
    return reshape(x, tuple(shape))


@with_transposes(lambda x, shape: lambda w: sum_to(w, shape_of(x)))
def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Return x stretched to `shape`."""
    if shape_of(x) == tuple(shape):
        return x
    return array_namespace(x).broadcast_to(x, shape)


@operation("sum")
def sum_axes(x: Array, axis: Axes, keepdims: bool = False) -> Array:  # noqa: FBT001, FBT002  by position
    """Return the sum of an array, not traced, over `axis`."""
    try:
        return _summed(x, axis, keepdims)
    except (IndexError, ValueError):
        places_of(axis, shape_of(x))
        raise


def _summed(x: Array, axis: Axes, keepdims: bool) -> Array:  # noqa: FBT001
    xp = np if type(x) is np.ndarray else array_namespace(x)
    if is_half(x):
        return xp.astype(xp.sum(x, axis=axis, keepdims=keepdims, dtype=xp.float32), x.dtype)
    if isinstance(axis, tuple) and len(axis) > 1 and len(set(axis)) == len(axis) and min(axis) >= 0:
        # The first axis last: sums of fewer numbers are rounded less.
        first, *rest = sorted(axis)
        x, axis = xp.sum(x, axis=tuple(rest), keepdims=keepdims), first
    return xp.sum(x, axis=axis, keepdims=keepdims)


@with_transposes(lambda x, shape: lambda w: broadcast_to(w, shape_of(x)))
def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Sum x over the axes along which `shape` was stretched to its own: the transpose of broadcasting."""
    before = shape_of(x)
    if before == tuple(shape):
        return x
    lead = len(before) - len(shape)
    axes = tuple(i for i, n in enumerate(before) if i < lead or (shape[i - lead] == 1 and n != 1))
    return array_namespace(x).reshape(sum_axes(x, axes), shape)


@with_transposes(lambda x, index: lambda w: scatter(w, index, shape_of(x)))
def getitem(x: Array, index: Index) -> Array:
    """Return x[index], of NumPy's shape, for integers, slices, None and Ellipsis.

    Raises TypeError if `index` holds anything else: gathering, by an array or a list, has no transpose in the array
    API.
    """
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, bool) or not isinstance(part, _BASIC_INDEX):
            raise TypeError(
                f"only integers, slices, None and ... can index a traced array, not {type(part).__name__}; "
                "multiply by a mask instead"
            )
    return x[index] if hasattr(x, "shape") else np.asarray(x)[index]


@with_transposes(lambda x, index, shape: lambda w: getitem(w, index))
def scatter(x: Array, index: Index, shape: tuple[int, ...]) -> Array:
    """Return zeros of `shape` with x at `index`: the transpose of `getitem`."""
    xp = array_namespace(x)
    out = xp.zeros(shape, dtype=x.dtype, device=getattr(x, "device", None))
    parts = index if isinstance(index, tuple) else (index,)
    if None in parts:  # the standard has no assignment to new axes: assign to what is there without them
        parts = (*(part for part in parts if part is not None), *(() if ... in parts else (...,)))
        x = xp.reshape(x, out[parts].shape)
    return set_at(out, parts, x)


def pad(x: Array, widths: Sequence[tuple[int, int]]) -> Array:
    """Return x surrounded by zeros; `widths` holds (before, after) for each axis of its shape, else ValueError."""
    shape = shape_of(x)
    if len(widths) != len(shape):
        raise ValueError(f"pad needs (before, after) for each of {len(shape)} axes, got {len(widths)} of them")
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, shape, strict=True))
    outer = tuple(before + n + after for (before, after), n in zip(widths, shape, strict=True))
    return x if outer == shape else scatter(x, inner, outer)


@with_transposes(lambda x, axis: lambda w: flip(w, axis))
def flip(x: Array, axis: tuple[int, ...]) -> Array:
    """Return x, in its shape, with the order of its elements reversed along `axis`."""
    return array_namespace(x).flip(x, axis=places_of(axis, shape_of(x)))


def concat(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Join arrays of one shape, but for `axis`, along that axis."""
    return _concat(axis, *arrays)


def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Join arrays of one shape along a new axis."""
    return _concat(axis, *[expand_dims(array, axis) for array in arrays])


@primitive
def _concat(axis: int, *arrays: Array) -> Array:
    return array_namespace(*arrays).concat(arrays, axis=place_of(axis, shape_of(arrays[0])))


@joint_rule(_concat)
class _ConcatMap:
    """The derivative of concat: pieces go to, and come from, their own stretch of the axis."""

    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.axis, self.arrays = args[0], args[1:]
        self.places = [argnum - 1 for argnum in argnums]  # argument 0 is the axis

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        given = {self.places[p]: tangent for p, tangent in zip(positions, tangents, strict=True)}
        return _concat(
            self.axis,
            *[given[k] if k in given else zeros_like(static_value(array)) for k, array in enumerate(self.arrays)],
        )

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        lengths = [shape_of(array)[self.axis] for array in self.arrays]
        whole = [slice(None)] * len(shape_of(cotangent))
        pieces = []
        for position in positions:
            place = self.places[position]
            start = sum(lengths[:place])
            whole[self.axis] = slice(start, start + lengths[place])
            pieces.append(getitem(cotangent, tuple(whole)))
        return pieces
