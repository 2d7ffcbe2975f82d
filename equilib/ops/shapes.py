"""Changes of shape. All are linear: each rule is the operation and its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equilib.arrays import Array, array_namespace, is_array
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, joint_rule, linear_rule, primitive

Index = Any


def shape_of(x: Any) -> tuple[int, ...]:
    """Return the shape of an array, traced or not; a Python scalar has shape ()."""
    return tuple(getattr(static_value(x), "shape", ()))


@primitive
def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    """Return x with its elements, in C order, in another shape."""
    return array_namespace(x).reshape(x, shape)


@linear_rule(reshape)
def _(ans: Array, x: Array, shape: tuple[int, ...]) -> LinearMap:
    before, after = shape_of(x), shape_of(ans)
    return LinearMap(lambda v: reshape(v, after), lambda g: reshape(g, before))


@primitive
def permute_dims(x: Array, axes: tuple[int, ...]) -> Array:
    """Return x with its axes in another order."""
    return array_namespace(x).permute_dims(x, axes)


@linear_rule(permute_dims)
def _(ans: Array, x: Array, axes: tuple[int, ...]) -> LinearMap:
    inverse = tuple(sorted(range(len(axes)), key=lambda position: axes[position] % len(axes)))
    return LinearMap(lambda v: permute_dims(v, axes), lambda g: permute_dims(g, inverse))


def matrix_transpose(x: Array) -> Array:
    """Return x with its last two axes exchanged."""
    ndim = len(shape_of(x))
    return permute_dims(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def expand_dims(x: Array, axis: int) -> Array:
    """Return x with a new axis of length one at position `axis`."""
    shape = list(shape_of(x))
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 1)
    return reshape(x, tuple(shape))


@primitive
def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Return x stretched to `shape`."""
    if shape_of(x) == tuple(shape):
        return x
    return array_namespace(x).broadcast_to(x, shape)


@linear_rule(broadcast_to)
def _(ans: Array, x: Array, shape: tuple[int, ...]) -> LinearMap:
    before = shape_of(x)
    return LinearMap(lambda v: broadcast_to(v, shape), lambda g: sum_to(g, before))


@primitive
def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Sum x over the axes along which an array of `shape` was stretched to it: the transpose of broadcasting."""
    before = shape_of(x)
    if before == tuple(shape):
        return x
    xp = array_namespace(x)
    lead = len(before) - len(shape)
    axes = tuple(i for i, n in enumerate(before) if i < lead or (shape[i - lead] == 1 and n != 1))
    return xp.reshape(xp.sum(x, axis=axes), shape)


@linear_rule(sum_to)
def _(ans: Array, x: Array, shape: tuple[int, ...]) -> LinearMap:
    before = shape_of(x)
    return LinearMap(lambda v: sum_to(v, shape), lambda g: broadcast_to(g, before))


@primitive
def getitem(x: Array, index: Index) -> Array:
    """Return x[index] for integers, slices, None and Ellipsis.

    Raises
    ------
    TypeError
        If `index` holds an array: gathering has no transpose in the array API.
    """
    if any(is_array(part) for part in (index if isinstance(index, tuple) else (index,))):
        raise TypeError("only integers, slices, None and ... can index a traced array; multiply by a mask instead")
    return x[index]


@linear_rule(getitem)
def _(ans: Array, x: Array, index: Index) -> LinearMap:
    before = shape_of(x)
    return LinearMap(lambda v: getitem(v, index), lambda g: scatter(g, index, before))


@primitive
def scatter(x: Array, index: Index, shape: tuple[int, ...]) -> Array:
    """Return zeros of `shape` with x at `index`: the transpose of `getitem`."""
    out = array_namespace(x).zeros(shape, dtype=x.dtype, device=getattr(x, "device", None))
    out[index] = x
    return out


@linear_rule(scatter)
def _(ans: Array, x: Array, index: Index, shape: tuple[int, ...]) -> LinearMap:
    return LinearMap(lambda v: scatter(v, index, shape), lambda g: getitem(g, index))


def pad(x: Array, widths: Sequence[tuple[int, int]]) -> Array:
    """Return x surrounded by zeros; `widths` holds (before, after) for each axis."""
    shape = shape_of(x)
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, shape, strict=True))
    outer = tuple(before + n + after for (before, after), n in zip(widths, shape, strict=True))
    return x if outer == shape else scatter(x, inner, outer)


@primitive
def flip(x: Array, axis: tuple[int, ...]) -> Array:
    """Return x with the order of its elements reversed along `axis`."""
    return array_namespace(x).flip(x, axis=axis)


@linear_rule(flip)
def _(ans: Array, x: Array, axis: tuple[int, ...]) -> LinearMap:
    return LinearMap(lambda v: flip(v, axis), lambda g: flip(g, axis))


def concat(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Join arrays along an existing axis."""
    return _concat(axis, *arrays)


def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Join arrays of one shape along a new axis."""
    return _concat(axis, *[expand_dims(array, axis) for array in arrays])


@primitive
def _concat(axis: int, *arrays: Array) -> Array:
    return array_namespace(*arrays).concat(arrays, axis=axis)


class _ConcatMap:
    """The derivative of concat: pieces go to, and come from, their own stretch of the axis."""

    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...]) -> None:
        axis, arrays = args[0], args[1:]
        self.shape = shape_of(ans)
        lengths = [shape_of(array)[axis] for array in arrays]
        axis %= len(self.shape)
        self.indices = []
        for argnum in argnums:
            start = sum(lengths[: argnum - 1])
            piece = slice(start, start + lengths[argnum - 1])
            self.indices.append((slice(None),) * axis + (piece,))

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        placed = [scatter(t, self.indices[p], self.shape) for p, t in zip(positions, tangents, strict=True)]
        total = placed[0]
        for each in placed[1:]:
            total = total + each
        return total

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        return [getitem(cotangent, self.indices[position]) for position in positions]


@joint_rule(_concat)
def _(argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _ConcatMap:
    return _ConcatMap(argnums, ans, args)
