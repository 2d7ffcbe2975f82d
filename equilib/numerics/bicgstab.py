"""Linear equations without a matrix and without a basis: BiCGStab, batched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, array_namespace, dot, host_norm, rows_like, two_norm, where_samples, zeros_like
from equilib.numerics.linear_solver import MatVec
from equilib.options import Checked, option


@dataclass(frozen=True)
class BiCGStab(Checked):
    """The stabilized bi-conjugate gradient method for each sample by itself (van der Vorst 1992).

    Two products with A an iteration, and a handful of arrays however many there are, where GMRES keeps one for each
    product. Its residual goes up and down, so the best iterate is what counts. It breaks down where A is skew.
    """

    products: int = option(40, help="stop after so many products with A, two for each iteration", minimum=2)

    @np.errstate(all="ignore")  # a sample that overflows ends at its best iterate
    def solve(self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Return x, shape (batch, ...), with ‖b − A x‖ ≤ rtol[i]·‖b‖, as far as `products` products allow.

        Arguments and result as in `LinearSolver.solve`.
        """
        zeros = zeros_like(b)
        norm = host_norm(b)
        running = active & np.isfinite(norm) & (norm > 0)
        x = best = zeros
        least = norm
        r = p = shadow = where_samples(running, b, zeros)
        rho = dot(r, r)
        for _ in range(self.products // 2):
            if not running.any():
                break
            x, r, p, shadow, rho = _iterate(matvec, x, r, p, shadow, rho)
            size = host_norm(r)
            improved = running & (size < least)
            best, least = where_samples(improved, x, best), np.where(improved, size, least)
            running = running & (size > rtol * norm)
        return best


def _iterate(
    matvec: MatVec, x: Array, r: Array, p: Array, shadow: Array, rho: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the next x, r, p, shadow residual and ρ = ⟨shadow, r⟩."""
    v = matvec(p)
    alpha = _ratio(rho, _product(shadow, v))
    s = r - rows_like(alpha, r) * v
    t = matvec(s)
    omega = _ratio(_product(t, s), dot(t, t))
    x = x + rows_like(alpha, p) * p + rows_like(omega, s) * s
    r = s - rows_like(omega, t) * t
    new_rho = _product(shadow, r)
    beta = _ratio(new_rho, rho) * _ratio(alpha, omega)
    p = r + rows_like(beta, p) * (p - rows_like(omega, v) * v)
    # Where r has become orthogonal to the shadow, or ω is zero, nothing would move again: start afresh from r.
    xp = array_namespace(r)
    lost = (new_rho == 0) | (omega == 0)
    p, shadow = xp.where(rows_like(lost, r), r, p), xp.where(rows_like(lost, r), r, shadow)
    return x, r, p, shadow, xp.where(lost, dot(r, r), new_rho)


def _product(one: Array, other: Array) -> Array:
    """Return ⟨one, other⟩, and zero where it is rounding: dividing by that would be a breakdown unnoticed."""
    xp = array_namespace(one)
    product = dot(one, other)
    rounding = 10 * float(xp.finfo(one.dtype).eps) * two_norm(one) * two_norm(other)
    return xp.where(xp.abs(product) <= rounding, xp.zeros_like(product), product)


def _ratio(above: Array, below: Array) -> Array:
    """Return above / below, and zero where below is zero."""
    xp = array_namespace(below)
    zero = below == 0
    return xp.where(zero, xp.zeros_like(below), above / xp.where(zero, xp.ones_like(below), below))
