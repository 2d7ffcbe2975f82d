"""Two small cells in float64 whose fixed points and gradients are known without any solver or adjoint.

Derivatives are dense matrices by the complex step, fixed points are Newton's, gradients are central differences of
fixed points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from equilib import FixedPointProblem, ops
from equilib.arrays.trees import Tree, tree_leaves, tree_map, tree_unflatten
from equilib.layers import Chain, Conv, Dense
from equilib.models import InjectedCell

STEP = 1e-5
"""Of the central differences, relative to inputs of size 1: truncation and rounding are both near 1e-10."""


@dataclass(frozen=True, eq=False)
class SmallEquilibrium:
    """The fixed point of a cell for one batch, as a function of its parameters and its input.

    The loss is Σ weights·sin(z*). Vectors of inputs hold the parameters' elements, then those of x, in the order of
    the tree's leaves.
    """

    name: str
    cell: InjectedCell
    params: Tree = field(repr=False)
    x: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        return self.name

    def __call__(self, z: np.ndarray, params: Tree, x: np.ndarray) -> np.ndarray:
        """Evaluate the cell."""
        return self.cell.step(params, z, self.cell.inject(params, x))

    def problem(self) -> FixedPointProblem:
        """Return the problem, with parameters and x as inputs, and derivatives by automatic differentiation."""
        return FixedPointProblem(self, self.params, self.x)

    @property
    def z0(self) -> np.ndarray:
        """Zeros, of the shape of the state."""
        return np.zeros_like(self.weights)

    def cotangent(self, z: np.ndarray) -> np.ndarray:
        """Return the derivative of the loss with respect to the fixed point."""
        return self.weights * np.cos(z)

    @cached_property
    def vector(self) -> np.ndarray:
        """All inputs, shape (inputs,)."""
        return as_vector((self.params, self.x))

    def _at(self, z: np.ndarray, vector: np.ndarray) -> np.ndarray:
        params, x = self._tree(vector)
        return self(z, params, x)

    def _tree(self, vector: np.ndarray) -> Tree:
        like = (self.params, self.x)
        leaves = tree_leaves(like)
        parts = np.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
        return tree_unflatten(like, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])

    def jacobian(self, z: np.ndarray) -> np.ndarray:
        """Return J, shape (batch, size, size), column by column; samples share an evaluation."""
        size = z[0].size
        units = np.eye(size).reshape(size, 1, *z.shape[1:])
        columns = [complex_step(lambda t, unit=unit: self(z + t * unit, self.params, self.x)) for unit in units]
        return np.stack([column.reshape(len(z), size) for column in columns], axis=2)

    def inputs_jacobian(self, z: np.ndarray) -> np.ndarray:
        """Return ∂f/∂inputs, shape (batch·size, inputs)."""
        units = np.eye(self.vector.size)
        columns = [complex_step(lambda t, unit=unit: self._at(z, self.vector + t * unit)) for unit in units]
        return np.stack([column.reshape(-1) for column in columns], axis=1)

    @cached_property
    def z_star(self) -> np.ndarray:
        """The fixed point, by Newton's method to the last digits."""
        z = self.z0
        for _ in range(20):
            residual = self(z, self.params, self.x) - z
            z = z + times(np.linalg.inv(np.eye(z[0].size) - self.jacobian(z)), residual)
            if np.max(np.abs(residual)) < 1e-14:
                break
        return z

    @cached_property
    def jacobians(self) -> np.ndarray:
        """J at the fixed point, shape (batch, size, size)."""
        return self.jacobian(self.z_star)

    @cached_property
    def by_inputs(self) -> np.ndarray:
        """∂f/∂inputs at the fixed point, shape (batch·size, inputs)."""
        return self.inputs_jacobian(self.z_star)

    @cached_property
    def gradient(self) -> np.ndarray:
        """The gradient of the loss with respect to all inputs, by central differences of fixed points."""
        inverse = np.linalg.inv(np.eye(self.jacobians.shape[1]) - self.jacobians)

        def loss(vector: np.ndarray) -> float:
            z = self.z_star
            # With the Jacobian of a point at a distance of 1e-5 an error shrinks a ten-thousandfold each time.
            for _ in range(4):
                z = z + times(inverse, self._at(z, vector) - z)
            return float(np.sum(self.weights * np.sin(z)))

        ends = [(loss(self.vector + STEP * unit), loss(self.vector - STEP * unit)) for unit in np.eye(self.vector.size)]
        return np.array([(above - below) / (2 * STEP) for above, below in ends])


def complex_step(f: Callable[[complex], np.ndarray]) -> np.ndarray:
    """Return the derivative at 0 of an analytic f, exact to rounding (Squire & Trapp 1998)."""
    return np.imag(f(1e-40j)) * 1e40


def times(matrices: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Apply a matrix to each sample."""
    return np.einsum("bij,bj->bi", matrices, z.reshape(len(z), -1)).reshape(z.shape)


def as_vector(tree: Tree) -> np.ndarray:
    """Return the elements of all leaves, in order."""
    return np.concatenate([np.asarray(leaf).reshape(-1) for leaf in tree_leaves(tree)])


def _small(
    name: str, cell: InjectedCell, x_shape: tuple[int, ...], z_shape: tuple[int, ...], scale: float
) -> SmallEquilibrium:
    rng = np.random.default_rng(12)
    drawn = cell.init(rng)
    # Biases are drawn too: zeros would hide a gradient that is lost.
    params = tree_map(lambda leaf: leaf.astype(np.float64) + 0.1 * rng.standard_normal(leaf.shape), drawn)
    params["recur"] = tree_map(lambda leaf: scale * leaf, params["recur"])
    return SmallEquilibrium(name, cell, params, 0.5 * rng.standard_normal(x_shape), rng.standard_normal(z_shape))


def _same(inputs: int) -> Conv:
    return Conv(inputs, 3, (3, 3), padding="same")


DENSE = _small("dense", InjectedCell(Dense(4, 6), Dense(6, 6), Chain(ops.tanh)), (3, 4), (3, 6), 0.45)
CONV = _small("conv", InjectedCell(_same(2), _same(3), Chain(ops.tanh)), (2, 5, 5, 2), (2, 5, 5, 3), 0.35)
CELLS = (DENSE, CONV)
