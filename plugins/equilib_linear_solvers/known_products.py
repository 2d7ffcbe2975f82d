"""CuPy's GMRES with as many products as the tolerance needs: cycles of growing length that share their products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, to_host


def shortest_cycle(linalg: Any, matvec: Callable[[Array], Array], b: Array, *, target: float, restart: int) -> Array:
    """Return x, shape (size,), after the shortest cycle with ‖b − A x‖ ≤ target, or one of `restart` products.

    `cupyx.scipy.sparse.linalg.gmres` takes all `restart` products of a cycle, whatever the tolerance, and divides by
    zero where the Krylov space ends before. So it is called with one product more each time; those that it asked for
    before are known, and the residual follows from them.
    """
    xp = array_namespace(b)
    products = _Products(matvec)
    operator = linalg.LinearOperator((b.size, b.size), matvec=products, dtype=b.dtype)
    best, least = xp.zeros_like(b), float(to_host(xp.linalg.vector_norm(b)))
    # What is less is rounding: there the space has ended, and there are no more directions.
    target = max(target, 10 * float(xp.finfo(b.dtype).eps) * least)
    for length in range(1, min(restart, b.size) + 1):
        products.begin(length)
        try:
            x, _ = linalg.gmres(operator, b, rtol=0.0, atol=0.0, restart=length, maxiter=length)
        except np.linalg.LinAlgError:  # a direction, or a product, that is not finite
            break
        norm = products.residual_norm(x, b)
        if norm < least:  # it may stand still for some products
            best, least = x, norm
        if norm <= target or not np.isfinite(norm):
            break
    return best


class _Products:
    """The products of a cycle from x = 0, in the order in which GMRES asks for them."""

    def __init__(self, matvec: Callable[[Array], Array]) -> None:
        self.matvec = matvec
        self.vectors: list[Array] = []
        self.images: list[Array] = []

    def begin(self, length: int) -> None:
        """Answer the next cycle, of so many products."""
        self.length, self.asked = length, 0

    def __call__(self, v: Array) -> Array:
        """Return A v; nobody looks at that of the result, and that of x = 0 is 0."""
        place, self.asked = self.asked - 1, self.asked + 1
        if not 0 <= place < self.length:
            return array_namespace(v).zeros_like(v)
        if place == len(self.images):
            self.vectors.append(v)
            self.images.append(self.matvec(v))
        return array_namespace(v).asarray(self.images[place], copy=True)  # GMRES changes it in place

    def residual_norm(self, x: Array, b: Array) -> float:
        """Return ‖b − A x‖ of an x in the span of the vectors, which rounding keeps from being orthonormal."""
        xp = array_namespace(x)
        vectors = xp.stack(self.vectors)
        gram, along = to_host(vectors @ vectors.T), to_host(vectors @ x)
        if not np.isfinite(gram).all():
            return float("nan")
        weights = np.linalg.lstsq(gram, along)[0]
        return float(to_host(xp.linalg.vector_norm(b - coefficients(weights, b) @ xp.stack(self.images))))
