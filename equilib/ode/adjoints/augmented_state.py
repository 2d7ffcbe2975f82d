"""States of an adjoint equation as one vector: arrays of the shape of y, then the cotangents of the inputs."""

from __future__ import annotations

from math import prod

from equilib.arrays import Array, Tree, array_namespace, is_array, tree_leaves, tree_unflatten, zeros_like
from equilib.ode.flow import ErrorNorm, FlowPoint


class Packing:
    """The way between (`states` arrays like y, cotangents of the inputs) and one array of shape (1, size).

    Leaves of the inputs that are not floating have no cotangent.
    """

    def __init__(self, y: Array, states: int, inputs: tuple[Tree, ...]) -> None:
        self._y, self._states, self._inputs = y, states, inputs
        self._floating = [is_floating(leaf) for leaf in tree_leaves(inputs)]
        self.state_size = states * prod(y.shape)

    def pack(self, states: tuple[Array, ...], cotangents: tuple[Tree, ...]) -> Array:
        """Return everything as one array of shape (1, size) and of the dtype of y."""
        xp = array_namespace(self._y)
        leaves = [
            cotangent if cotangent.dtype == self._y.dtype else xp.astype(cotangent, self._y.dtype)
            for floating, cotangent in zip(self._floating, tree_leaves(cotangents), strict=True)
            if floating
        ]
        return xp.concat([xp.reshape(array, (-1,)) for array in (*states, *leaves)])[None, :]

    def states(self, packed: Array) -> list[Array]:
        """Return the arrays like y."""
        xp, size = array_namespace(packed), prod(self._y.shape)
        return [
            xp.reshape(packed[0, index * size : (index + 1) * size], self._y.shape) for index in range(self._states)
        ]

    def unpack(self, packed: Array) -> tuple[Array, tuple[Tree, ...]]:
        """Return the last of the arrays like y, and the cotangents of the inputs."""
        xp, place = array_namespace(packed), self.state_size
        leaves = []
        for floating, leaf in zip(self._floating, tree_leaves(self._inputs), strict=True):
            if not floating:
                leaves.append(zeros_like(leaf))
                continue
            size = prod(leaf.shape)
            leaves.append(xp.astype(xp.reshape(packed[0, place : place + size], leaf.shape), leaf.dtype))
            place += size
        return self.states(packed)[-1], tuple(tree_unflatten(self._inputs, leaves))

    def seminorm(self, norm: ErrorNorm) -> ErrorNorm:
        """Return `norm` of the states alone.

        The cotangents of the inputs are integrals that nothing depends on: their error does not grow, and controlling
        it makes steps shorter for nothing (Kidger et al. 2021, arXiv:2009.09457).
        """
        return norm_of_part(norm, slice(0, self.state_size))


def norm_of_part(norm: ErrorNorm, part: slice) -> ErrorNorm:
    """Return `norm` of a part of a state, shape (1, size)."""
    return lambda error, start, y: norm(error[:, part], FlowPoint(start.t, start.y[:, part], start.dy), y[:, part])


def is_floating(leaf: Array) -> bool:
    """Tell whether a leaf of the inputs can have a cotangent."""
    return is_array(leaf) and bool(array_namespace(leaf).isdtype(leaf.dtype, "real floating"))
