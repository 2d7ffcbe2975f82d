"""Cases of the changes of shape."""

from __future__ import annotations

import numpy as np

from equilib import ops
from tests.arrays_under_test import constant_like
from tests.ops.case import Case, Shape


def _loops(shape: Shape, place) -> np.ndarray:
    """Return an array filled element by element: out[index] = place(index)."""
    out = np.empty(shape)
    for index in np.ndindex(shape):
        out[index] = place(index)
    return out


def _reshape() -> list[Case]:
    changes = [((2, 3, 4), (6, 4)), ((2, 3, 4), (4, -1)), ((1, 1), ()), ((), (1, 1)), ((0, 3), (3, 0))]
    return [
        Case(
            "reshape",
            lambda x, after=after: ops.reshape(x, after),
            (before,),
            lambda x, after=after: np.array(list(x.flat)).reshape(after),
            f"{before} to {after}",
        )
        for before, after in changes
    ]


def _permutations() -> list[Case]:
    def permuted(axes: Shape):
        def reference(x: np.ndarray) -> np.ndarray:
            order = [axis % x.ndim for axis in axes]
            shape = tuple(x.shape[axis] for axis in order)
            return _loops(shape, lambda index: x[tuple(index[order.index(axis)] for axis in range(x.ndim))])

        return reference

    orders = [((2, 3), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((2, 3, 4, 5), (0, -1, 1, 2)), ((2, 3, 4), (0, 1, 2))]
    cases = [
        Case("permute_dims", lambda x, axes=axes: ops.permute_dims(x, axes), (shape,), permuted(axes), f"axes {axes}")
        for shape, axes in orders
    ]
    return [
        *cases,
        Case("matrix_transpose", ops.matrix_transpose, ((2, 3),), permuted((1, 0)), "a matrix"),
        Case("matrix_transpose", ops.matrix_transpose, ((2, 3, 4, 5),), permuted((0, 1, 3, 2)), "a stack"),
    ]


def _stretches() -> list[Case]:
    pairs = [((3,), (2, 3)), ((2, 1), (2, 3)), ((1, 3, 1), (4, 2, 3, 5)), ((), (2, 3)), ((2, 3), (2, 3))]

    def stretched(shape: Shape):
        return lambda x: x + np.zeros(shape)

    def summed(before: Shape, after: Shape):
        def reference(x: np.ndarray) -> np.ndarray:
            out = np.zeros(after)
            for index in np.ndindex(before):
                own = index[len(before) - len(after) :]
                out[tuple(0 if n == 1 else i for i, n in zip(own, after, strict=True))] += x[index]
            return out

        return reference

    cases = []
    for small, large in pairs:
        cases += [
            Case(
                "broadcast_to",
                lambda x, large=large: ops.broadcast_to(x, large),
                (small,),
                stretched(large),
                f"{small} to {large}",
            ),
            Case(
                "sum_to",
                lambda x, small=small: ops.sum_to(x, small),
                (large,),
                summed(large, small),
                f"{large} to {small}",
            ),
        ]
    return cases


def _expand_dims() -> list[Case]:
    results = {0: (1, 2, 3), 1: (2, 1, 3), 2: (2, 3, 1), -1: (2, 3, 1), -3: (1, 2, 3)}
    return [
        Case(
            "expand_dims",
            lambda x, axis=axis: ops.expand_dims(x, axis),
            ((2, 3),),
            lambda x, shape=shape: np.array(list(x.flat)).reshape(shape),
            f"axis {axis}",
        )
        for axis, shape in results.items()
    ]


def _getitem() -> list[Case]:
    every = slice(None)
    indices = {
        "an integer": (1, ...),
        "a negative integer": (every, -1, ...),
        "a NumPy integer": (np.int64(2), ...),
        "integers to a scalar": (1, 2, 3),
        "slices": (slice(1, 3), slice(None, 2), every),
        "steps": (slice(None, None, 2), ..., slice(1, None, 3)),
        "a negative step": (slice(None, None, -1), slice(2, None, -2), ...),
        "new axes": (None, every, 1, None, slice(0, 2)),
        "an empty slice": (slice(2, 2), ...),
        "an ellipsis": (..., 0),
    }
    return [
        Case(
            "getitem",
            lambda x, index=index: ops.getitem(x, index),
            ((4, 3, 5),),
            lambda x, index=index: np.asarray(x.tolist()).__getitem__(index),
            detail,
        )
        for detail, index in indices.items()
    ]


def _padding_and_order() -> list[Case]:
    def padded(widths):
        return Case(
            "pad",
            lambda x: ops.pad(x, widths),
            ((2, 3, 2),),
            lambda x: np.pad(x, widths),
            f"widths {widths}",
        )

    def flipped(axis):
        return Case(
            "flip",
            lambda x: ops.flip(x, axis),
            ((2, 3, 4),),
            lambda x: x[tuple(slice(None, None, -1 if a in {i % 3 for i in axis} else 1) for a in range(3))],
            f"axes {axis}",
        )

    return [
        padded(((0, 0), (1, 2), (0, 0))),
        padded(((0, 3), (1, 0), (2, 2))),
        padded(((0, 0), (0, 0), (0, 0))),
        flipped((0,)),
        flipped((0, 2)),
        flipped((-1,)),
    ]


def _joins() -> list[Case]:
    fixed = np.arange(4.0).reshape(2, 2)
    columns = ((2, 1), (2, 3), (2, 2))
    three = ((2, 3), (2, 3), (2, 3))
    return [
        Case("concat", lambda *a: ops.concat(a), ((1, 2), (3, 2)), lambda *a: np.vstack(a), "default axis"),
        Case("concat", lambda *a: ops.concat(a, 1), columns, lambda *a: np.hstack(a), "axis 1"),
        Case("concat", lambda *a: ops.concat(a, -1), columns, lambda *a: np.hstack(a), "axis -1"),
        Case("concat", lambda x: ops.concat([x, x, x]), ((2, 2),), lambda x: np.tile(x, (3, 1)), "one array thrice"),
        Case(
            "concat",
            lambda x, y: ops.concat([x, constant_like(fixed, x), y], 1),
            ((2, 1), (2, 2)),
            lambda x, y: np.hstack([x, fixed, y]),
            "with a constant between",
        ),
        Case("stack", lambda *a: ops.stack(a), three, lambda *a: np.array(a), "default axis"),
        Case("stack", lambda *a: ops.stack(a, 1), three, lambda *a: np.array(a).swapaxes(0, 1), "axis 1"),
        Case("stack", lambda *a: ops.stack(a, -1), three, lambda *a: np.dstack(a), "axis -1"),
    ]


CASES = [
    *_reshape(),
    *_permutations(),
    *_stretches(),
    *_expand_dims(),
    *_getitem(),
    *_padding_and_order(),
    *_joins(),
]
