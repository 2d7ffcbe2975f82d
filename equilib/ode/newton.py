"""Newton's method for the slopes of implicit methods, each lane by itself.

A stage asks for k = f(t, base + c k). With z = c k and the Jacobian J of an earlier point, iterate

    (I − c J) δ = c f(t, base + z) − z,   z ← z + δ

until the error that is left, as the rate θ of the last two steps δ tells, is a small part of the tolerance (Hairer &
Wanner, Solving Ordinary Differential Equations II, §IV.8).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    host_norm,
    in_single,
    rows_like,
    where_samples,
    zeros_like,
)
from equilib.errors import NoDerivativeError
from equilib.fixed_points.linearization import Linearization
from equilib.numerics.dense import dense_jacobian, identity_like, invert_dense, solve_dense
from equilib.numerics.gmres import GMRES
from equilib.numerics.linear_solver import LinearSolver
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.joint import as_one, mixes
from equilib.ode.products import Products
from equilib.options import Checked, option, part

KAPPA = 0.1
"""Part of the tolerance that may be left of a slope's error."""

ITERATIONS = 10
"""Steps after which a stage is given up."""

FORCING, RESIDUAL = 0.3, 0.3
"""Residual of a linear equation solved without a matrix: at most this part of the right-hand side, and as little as so
much of the tolerance. An error that stiff components have in it is smaller by far."""

KRYLOV = 60
"""Products of a cycle of GMRES, where no linear solver is chosen."""

UNSOLVED = 1e4
"""Error of a step whose slopes were not found: one much too large."""

ROUNDING = 4.0
"""Units of rounding of y that a slope may be off."""


@dataclass(frozen=True)
class Jacobian:
    """f linearized at a point of each lane, with its matrices, shape (batch, size, size), where these are kept.

    Where f mixes the samples of a batch that steps as one, it is `joint`: `linear` and the matrix are those of a single
    sample with all elements, the former of shape (1, elements).
    """

    t: np.ndarray
    y: Array = field(repr=False)
    linear: Linearization = field(repr=False)
    products: Products = field(repr=False)
    matrix: Array | None = field(repr=False)
    joint: bool

    def product(self, v: Array) -> Array:
        """Return J v, of the shape of y."""
        if self.matrix is not None:
            return _times(self.matrix, v)
        xp = array_namespace(v)
        return xp.reshape(self.linear.jvp(xp.reshape(v, self.linear.value.shape)), v.shape)


@dataclass(frozen=True)
class Implicit(Checked):
    """Options of implicit methods: how they solve their linear equations.

    A Jacobian is made of as many products as a sample has elements. Where the batch steps as one f may mix its samples,
    and is then solved for as one sample: 2 log₂(batch) products at the beginning tell.
    """

    linear_solver: LinearSolver | None = part(
        None, kind="linear solver", help="solve without matrices; none: by LU up to `largest` elements, then by gmres"
    )
    largest: int = option(100, help="keep a matrix for samples of at most so many elements", minimum=0)

    def jacobian(self, flow: Flow, point: FlowPoint, known: Jacobian | None, renewed: np.ndarray) -> Jacobian:
        """Return the Jacobian at a point; where a lane is not `renewed`, shape (lanes,), at that of the `known` one."""
        if known is not None and not renewed.any():
            return known
        t, y = point.t, point.y
        if known is not None:
            t, y = np.where(renewed, t, known.t), flow.select(renewed, y, known.y)
        try:
            linear = flow.linearize(t, y)
        except NoDerivativeError as error:
            way = "an integrator without derivatives, such as Tsit5() or SciPy's BDF()"
            raise NoDerivativeError(f"an implicit step needs products J·v, and {error}; or take {way}") from error
        if flow.mixes is None:
            flow.mixes = flow.lanes == 1 and mixes(linear)
        linear = as_one(linear) if flow.mixes else linear
        dense = self.linear_solver is None and prod(linear.value.shape[1:]) <= self.largest
        products = Products() if known is None else known.products.renewed(renewed)
        return Jacobian(t, y, linear, products, dense_jacobian(linear) if dense else None, flow.mixes)

    def newton(
        self,
        flow: Flow,
        c: np.ndarray,
        jacobian: Jacobian,
        rate: np.ndarray | None = None,
        *,
        limit: int = ITERATIONS,
        kappa: float = KAPPA,
        active: np.ndarray | None = None,
    ) -> Newton:
        """Return the solver of the stages of one step with the factor c, shape (lanes,).

        The `rate`, shape (lanes,), is what was left of an error after a step of Newton's lately, inf where that says
        nothing: a Jacobian of another point may make steps short that lead nowhere. At most `limit` steps
        are made for a stage, and none in lanes that are not `active`; `kappa` of the tolerance may be left.
        """
        rate = np.ones(flow.lanes) if rate is None else rate
        active = np.ones(flow.lanes, dtype=bool) if active is None else active
        return Newton(flow, c, jacobian, self.linear_solver or GMRES(KRYLOV), rate, limit, kappa, active)


class Newton:
    """A `SlopeSolver` for one step.

    Attributes
    ----------
    solved : ndarray of bool, shape (lanes,)
        Whether all slopes so far were found.
    rate : ndarray, shape (lanes,)
        η = θ/(1 − θ), what is left of an error after a step.
    jacobian : Jacobian
    """

    def __init__(
        self,
        flow: Flow,
        c: np.ndarray,
        jacobian: Jacobian,
        linear_solver: LinearSolver,
        rate: np.ndarray,
        limit: int,
        kappa: float,
        active: np.ndarray,
    ) -> None:
        self.c, self.jacobian, self.rate, self.solved = c, jacobian, rate, np.ones(flow.lanes, dtype=bool)
        self._linear_solver, self._limit, self._kappa, self._active = linear_solver, limit, kappa, active
        self._inverse: Array | None = None
        if jacobian.matrix is not None:
            matrix = _shifted(jacobian.matrix, c)
            usable = np.isfinite(host_norm(matrix))
            nan = array_namespace(matrix).full_like(matrix, np.nan)
            self._inverse = where_samples(usable, invert_dense(matrix, usable), nan)

    def solve(self, flow: Flow, start: FlowPoint, t: np.ndarray, base: Array, guess: Array) -> Array:
        """Return the slopes at the times t, of the shape of y, from a guess of c k; `solved` tells for which lanes."""
        z = guess
        eps = float(array_namespace(z).finfo(z.dtype).eps)
        rounding = flow.error_norm(start.y * (ROUNDING * eps), start, start.y)
        enough = np.maximum(self._kappa, rounding)
        running, last = self._active, np.full(flow.lanes, np.nan)
        # A rate of other stages or steps is trusted less than one of this (ibid., eq. IV.8.10).
        rate = np.maximum(self.rate, eps) ** 0.8
        for iteration in range(1, self._limit + 1):
            residual = flow(t, base + z) * flow.coefficient(self.c) - z
            step = self._step(flow, start, base + z, residual, running, enough, first=iteration == 1)
            z = flow.select(running, z + step, z)
            size = flow.error_norm(step, start, base + z)
            with np.errstate(all="ignore"):
                theta = size / last
                rate = np.where(running & (iteration > 1), np.where(theta < 1, theta / (1 - theta), np.inf), rate)
                # The quotient of two steps that are rounding is no rate.
                done = (size == 0) | (rate * size <= enough) | ((size <= rounding) & (iteration > 1))
                # What the rate promises for the steps that are left.
                hopeless = ~done & ~(theta ** (self._limit - iteration) * rate * size <= enough) & (iteration > 1)
            self.rate = np.where(running & done, np.minimum(rate, 1.0), self.rate)
            lost = running & (hopeless | ~np.isfinite(size))
            self.solved &= ~lost
            running, last = running & ~done & ~lost, size
            if not running.any():
                break
        self.solved &= ~running
        single = in_single(z)  # 1/c may be beyond half precision
        slope = single * rows_like(coefficients(inverted(self.c), single), single)
        return slope if single is z else array_namespace(z).astype(slope, z.dtype)

    def filtered(self, flow: Flow, estimate: Array) -> Array:
        """Return (I − c J)⁻¹ estimate, of the shape of y, as a constant; without a matrix the estimate itself.

        An estimate of the error makes too much of stiff components (Shampine; ibid., eq. IV.8.19).
        """
        return estimate if self._inverse is None else _times(self._inverse, flow.constant(estimate))

    def error(self, error: np.ndarray) -> np.ndarray:
        """Return the error of a step, shape (lanes,), `UNSOLVED` where slopes were not found."""
        return np.where(self.solved | ~np.isfinite(error), error, UNSOLVED)

    def _step(
        self,
        flow: Flow,
        start: FlowPoint,
        y: Array,
        residual: Array,
        running: np.ndarray,
        enough: np.ndarray,
        *,
        first: bool,
    ) -> Array:
        if self._inverse is not None:
            return _times(self._inverse, residual)
        size = flow.error_norm(residual, start, y)
        with np.errstate(all="ignore"):
            wanted = np.nan_to_num(np.maximum(RESIDUAL, enough) / size, nan=FORCING, posinf=1.0)
        xp, products = array_namespace(residual), self.jacobian.products
        rows = xp.reshape(residual, self.jacobian.linear.value.shape)
        # Where the residual is small enough already, no step is made, which ends the stage; but the norm may be one of
        # some components only, so there is a first one.
        asked = running & (first | (wanted < 1))
        c, rtol, active = (_of_samples(each, rows) for each in (self.c, np.clip(wanted, 1e-10, FORCING), asked))
        # Linear solvers return zeros for what is not finite.
        solution = products.solve(self.jacobian.linear, self._linear_solver, c, rows, rtol=rtol, active=active)
        return flow.select(np.isfinite(size), xp.reshape(solution, residual.shape), residual)

    def solve_transposed(self, linear: Linearization, cotangent: Array) -> Array:
        """Return the s of s = Aᵀ s + cotangent, shape (batch, ...), to rounding; A is the derivative in `linear`."""
        if self.jacobian.joint and linear.value.shape[0] > 1:
            found = self.solve_transposed(as_one(linear), array_namespace(cotangent).reshape(cotangent, (1, -1)))
            return array_namespace(cotangent).reshape(found, cotangent.shape)
        xp, every, inverse = array_namespace(cotangent), np.ones(cotangent.shape[0], dtype=bool), self._inverse
        if inverse is None or inverse.shape[1] > SMALL:
            sharp = max(SHARP, ROUNDING * float(xp.finfo(cotangent.dtype).eps))
            total, residual, size = zeros_like(cotangent), cotangent, host_norm(cotangent)
            for _ in range(ITERATIONS):
                with np.errstate(all="ignore"):
                    rtol = np.nan_to_num(np.clip(sharp * size / host_norm(residual), 0.0, 1.0), nan=1.0)
                if (rtol >= 1).all():
                    return total
                if inverse is None:
                    step = self._linear_solver.solve(lambda v: v - linear.vjp(v), residual, rtol=rtol, active=every)
                else:
                    step = _times(xp.matrix_transpose(inverse), residual)
                total = total + step
                residual = cotangent - total + linear.vjp(total)
            if inverse is None:
                return total
        matrix = xp.matrix_transpose(dense_jacobian(linear))
        return solve_dense(identity_like(matrix) - matrix, cotangent, every)


SMALL = 8
"""Elements of samples up to which a new matrix costs no more than to iterate with that of the step."""


def of_stage(linear: Linearization, c: float | Array) -> Linearization:
    """Return the linearization of k ↦ f(t, base + c k) for that of f; c is a factor for arrays of the shape of y."""
    return Linearization(
        value=linear.value,
        jvp=lambda v: linear.jvp(v) * c,
        vjp=lambda w: linear.vjp(w) * c,
        inputs_vjp=linear.inputs_vjp,
    )


SHARP = 1e-12
"""Relative residual of a transposed equation, whose solution is a derivative."""


def _times(matrix: Array, v: Array) -> Array:
    """Return the products of matrices, shape (batch, size, size), with samples."""
    xp = array_namespace(v)
    return xp.reshape(xp.matmul(matrix, xp.reshape(v, (matrix.shape[0], -1, 1))), v.shape)


def _shifted(matrix: Array, c: np.ndarray) -> Array:
    """Return I − c J for each sample, shape (batch, size, size)."""
    return identity_like(matrix) - matrix * coefficients(_of_samples(c, matrix), matrix)[:, None, None]


def _of_samples(values: np.ndarray, like: Array) -> np.ndarray:
    """Return numbers of the lanes for each sample, shape (batch,)."""
    return np.ascontiguousarray(np.broadcast_to(values, like.shape[:1]))


def inverted(c: np.ndarray) -> np.ndarray:
    """Return 1/c, shape (lanes,), 0 in lanes that rest."""
    resting = c == 0
    return np.asarray(np.where(resting, 0.0, 1 / np.where(resting, 1.0, c)))
