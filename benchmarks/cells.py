"""Cells of known difficulty, as plain arrays, so that every library can compute the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from equilib import ops
from equilib.arrays import Array
from equilib.layers import TruncatedNormal

CHANNELS, SIDE = 64, 14
UNITS = 256
SAME = ((1, 1), (1, 1))
"""Padding that keeps the size under a 3×3 kernel."""


@dataclass(frozen=True, eq=False)
class CellCase:
    """A cell with its weights and its injection.

    `kind` "dense" is tanh(z W + u); "conv" is tanh(W₂ * (tanh(W₁ * z) + u)) with 3×3 kernels, channels last.
    """

    kind: str
    scale: float
    weights: tuple[np.ndarray, ...]
    injection: np.ndarray

    def __str__(self) -> str:
        return f"{self.kind} {self.scale}"

    def zeros(self, dtype: str) -> np.ndarray:
        """Return the initial guess z = 0."""
        return np.zeros(self.injection.shape, dtype)

    def step(self, z: Array, weights: Sequence[Array], u: Array) -> Array:
        """Return f(z) with these weights and this injection."""
        if self.kind == "dense":
            return ops.tanh(ops.add(ops.dense(z, weights[0]), u))
        block = partial(ops.conv2d_block, activation="tanh", padding=SAME)
        return block(block(z, weights[0], after=u), weights[1])

    def map(self, dtype: str) -> Callable[[Array], Array]:
        """Return f in this precision."""
        weights = [each.astype(dtype) for each in self.weights]
        u = self.injection.astype(dtype)
        return lambda z: self.step(z, weights, u)

    def residual_norms(self, z: np.ndarray) -> np.ndarray:
        """Return ‖f(z) − z‖₂ of each sample, computed in float64."""
        exact = z.astype(np.float64)
        rows = (self.map("float64")(exact) - exact).reshape(len(z), -1)
        norms: np.ndarray = np.linalg.norm(rows, axis=1)
        return norms


def convolve(z: Array, kernel: Array) -> Array:
    """Correlate with a 3×3 kernel, keeping the size."""
    return ops.conv2d(z, kernel, (1, 1), SAME)


def dense_cell(scale: float, batch: int, seed: int = 0) -> CellCase:
    """Return a dense cell whose W has spectral radius near `scale`: normal values of deviation scale / √units."""
    rng = np.random.default_rng(seed)
    weight = (scale / UNITS**0.5 * rng.standard_normal((UNITS, UNITS))).astype(np.float32)
    return CellCase("dense", scale, (weight,), rng.standard_normal((batch, UNITS)).astype(np.float32))


def conv_cell(scale: float, batch: int, seed: int = 0) -> CellCase:
    """Return the cell of the MNIST tutorial, its kernels of standard deviation `scale` (there 0.01)."""
    rng = np.random.default_rng(seed)
    first, second, injecting = (TruncatedNormal(scale)(rng, (3, 3, CHANNELS, CHANNELS)) for _ in range(3))
    x = rng.standard_normal((batch, SIDE, SIDE, CHANNELS)).astype(np.float32)
    return CellCase("conv", scale, (first, second), np.tanh(convolve(x, injecting)))
