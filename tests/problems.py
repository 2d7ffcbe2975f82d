"""Maps whose fixed points are known, and maps that have none: what solvers are tried on.

Each is written with `equilib.ops`, so that it runs, traced or not, on every array library; its derivatives are also
given by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from equilib import FixedPointProblem, ops
from tests.arrays_under_test import constant_like, lift

Array = Any


@dataclass(frozen=True, eq=False)
class KnownMap:
    """A map f(z, bias) with one bias per sample, and all that is known of it.

    `jvp(z, v, bias)` and `vjp(z, w, bias)` are its products, by hand; `solution` holds the fixed points, shape
    (batch, size), or is None where there are none. The arrays are NumPy's.
    """

    name: str
    f: Callable[[Array, Array], Array]
    jvp: Callable[[Array, Array, Array], Array]
    vjp: Callable[[Array, Array, Array], Array]
    bias: np.ndarray
    z0: np.ndarray
    solution: np.ndarray | None

    def __str__(self) -> str:
        return self.name

    def problem(
        self, xp: ModuleType = np, *, by_hand: bool = True, dtype: str = "float64", affine: bool = False
    ) -> FixedPointProblem:
        """Return the problem on arrays of `xp`, with the derivatives given by hand or found by autodiff."""
        products = {"jvp": self.jvp, "vjp": self.vjp} if by_hand else {}
        return FixedPointProblem(self.f, lift(xp, self.bias, dtype), affine=affine, **products)

    def rows(self, chosen: slice | list[int]) -> KnownMap:
        """Return the map of some of the samples."""
        solution = None if self.solution is None else self.solution[chosen]
        return replace(self, bias=self.bias[chosen], z0=self.z0[chosen], solution=solution)

    def poisoned(self, sample: int) -> KnownMap:
        """Return the map with nan as the bias of one sample."""
        bias = self.bias.copy()
        bias[sample] = np.nan
        return self.biased(bias)

    def biased(self, bias: np.ndarray) -> KnownMap:
        """Return the map with other biases, shape (batch, size); what was known of its fixed points is not theirs."""
        return replace(self, bias=bias, solution=None)

    def jacobians(self) -> np.ndarray:
        """Return J at the fixed points, shape (batch, size, size), column by column."""
        assert self.solution is not None
        columns = [
            self.jvp(self.solution, np.broadcast_to(unit, self.solution.shape), self.bias)
            for unit in np.eye(self.solution.shape[1])
        ]
        return np.stack(columns, axis=2)


def affine(name: str, J: np.ndarray, z0: np.ndarray, solution: np.ndarray) -> KnownMap:
    """Return z ↦ J z + b with the given fixed points."""
    return KnownMap(
        name,
        f=lambda z, b: ops.add(_times(z, J.T), b),
        jvp=lambda z, v, b: _times(v, J.T),
        vjp=lambda z, w, b: _times(w, J),
        bias=solution - solution @ J.T,
        z0=z0,
        solution=solution,
    )


def tanh_cell(name: str, W: np.ndarray, solution: np.ndarray, z0: np.ndarray, scale: np.ndarray) -> KnownMap:
    """Return z ↦ s·tanh(W (z/s) + b), with the given fixed points s·y, for |y| < 1."""
    y = solution / scale

    def inner(z: Array, b: Array) -> Array:
        return ops.tanh(ops.add(_times(_scaled(z, 1 / scale), W.T), b))

    def slope(z: Array, b: Array) -> Array:
        t = inner(z, b)
        return ops.subtract(1.0, ops.multiply(t, t))

    return KnownMap(
        name,
        f=lambda z, b: _scaled(inner(z, b), scale),
        jvp=lambda z, v, b: _scaled(ops.multiply(slope(z, b), _times(_scaled(v, 1 / scale), W.T)), scale),
        vjp=lambda z, w, b: _scaled(_times(ops.multiply(slope(z, b), _scaled(w, scale)), W), 1 / scale),
        bias=np.arctanh(y) - y @ W.T,
        z0=z0,
        solution=solution,
    )


def elementwise(
    name: str, f: Callable[[Array, Array], Array], slope: Callable[[Array], Array], **known: np.ndarray | None
) -> KnownMap:
    """Return a map whose Jacobian is diagonal, with the entries `slope(z)`."""
    product = lambda z, v, b: ops.multiply(slope(z), v)  # noqa: E731
    return KnownMap(name, f=f, jvp=product, vjp=product, **known)  # type: ignore[arg-type]


def _times(z: Array, M: np.ndarray) -> Array:
    return ops.matmul(z, constant_like(M, z))


def _scaled(z: Array, s: np.ndarray) -> Array:
    return ops.multiply(z, constant_like(s, z))


BATCH, SIZE = 5, 6
_rng = np.random.default_rng(7)


def _matrix(norm: float) -> np.ndarray:
    """Draw a matrix that is not normal, with the given spectral norm."""
    M = _rng.standard_normal((SIZE, SIZE)) + np.diag(np.ones(SIZE - 1), 1)
    return M * (norm / np.linalg.norm(M, 2))


def _values(bound: float = 0.9) -> np.ndarray:
    return _rng.uniform(-bound, bound, (BATCH, SIZE))


def _linear_contraction() -> KnownMap:
    return affine("linear contraction", _matrix(0.5), np.zeros((BATCH, SIZE)), 3 * _values())


def _rotation() -> KnownMap:
    """Rotate each pair of coordinates, and shrink by 0.95: the eigenvalues of J are complex."""
    angles = np.array([0.7, 1.6, 2.9])
    turns = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles]
    J = np.zeros((SIZE, SIZE))
    for k, turn in enumerate(turns):
        J[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = 0.95 * turn
    return affine("rotation 0.95", J, np.zeros((BATCH, SIZE)), _values())


def _singular() -> KnownMap:
    """I − J has rank 3: every sample has a fixed point, and a space of them."""
    A = _matrix(1.0)
    A[:, 3:] = A[:, :3] @ _rng.standard_normal((3, 3))
    return affine("singular I − J", np.eye(SIZE) - A, np.zeros((BATCH, SIZE)), _values())


def _expansive() -> KnownMap:
    """J is near −3, so that Picard iteration diverges, but I − J is near 4."""
    solution = _values()
    return elementwise(
        "expansive",
        f=lambda z, b: ops.subtract(b, ops.add(ops.multiply(z, 3.0), ops.tanh(z))),
        slope=lambda z: ops.subtract(ops.multiply(ops.tanh(z), ops.tanh(z)), 4.0),
        bias=4 * solution + np.tanh(solution),
        z0=solution + _values(),
        solution=solution,
    )


def _no_fixed_point() -> KnownMap:
    return elementwise(
        "no fixed point",
        f=lambda z, b: ops.add(z, b),
        slope=lambda z: ops.add(ops.multiply(z, 0.0), 1.0),
        bias=np.ones((BATCH, SIZE)),
        z0=np.zeros((BATCH, SIZE)),
        solution=None,
    )


def _mixed() -> KnownMap:
    """J is diagonal with entries 0.98·tanh²(z): near 0 in the first sample, near 0.97 in the last."""
    sizes = np.array([0.05, 0.3, 1.0, 2.0, 3.0])
    solution = sizes[:, None] * np.array([0.8, -0.9, 1.0, -1.05, 1.1, -1.2])
    return elementwise(
        "easy and hard samples",
        f=lambda z, b: ops.add(b, ops.multiply(0.98, ops.subtract(z, ops.tanh(z)))),
        slope=lambda z: ops.multiply(0.98, ops.multiply(ops.tanh(z), ops.tanh(z))),
        bias=solution - 0.98 * (solution - np.tanh(solution)),
        z0=np.zeros((BATCH, SIZE)),
        solution=solution,
    )


def _tanh(name: str, norm: float, scale: np.ndarray | None = None) -> KnownMap:
    scale = np.ones((1, SIZE)) if scale is None else scale
    return tanh_cell(name, _matrix(norm), scale * _values(), np.zeros((BATCH, SIZE)), scale)


LINEAR = _linear_contraction()
TANH = _tanh("tanh cell", 0.7)
STEEP = _tanh("steep tanh cell", 2.5)
ROTATION = _rotation()
EXPANSIVE = _expansive()
NO_FIXED_POINT = _no_fixed_point()
BADLY_SCALED = _tanh("badly scaled", 0.4, scale=10.0 ** np.arange(-3, 3)[None, :])
SINGULAR = _singular()
MIXED = _mixed()

CONTRACTIONS = (LINEAR, TANH, ROTATION, BADLY_SCALED)
REGULAR = (*CONTRACTIONS, EXPANSIVE, SINGULAR)
