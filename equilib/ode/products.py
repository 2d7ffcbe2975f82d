"""Products kept with a linearization, for equations (I − c J) x = b with one J and any c and b.

Where J v is known for the columns v of V, the least squares of (I − c J) V = Q R give x in their span without a
product. What is left is for a linear solver, whose products are made orthogonal to Q; then x is in the span of all
columns. Where these become many, those stay that I − c J enlarges least: a Krylov space finds them last (M. L. Parks et
al., Recycling Krylov subspaces for sequences of linear systems, SIAM J. Sci. Comput. 28 (2006), 1651-1674).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    host_norm,
    in_single,
    only_samples,
    rows_like,
    samples_as_rows,
    to_host,
    zeros_like,
)
from equilib.fixed_points.linearization import Linearization
from equilib.numerics.arnoldi import normalized
from equilib.numerics.linear_solver import LinearSolver

MANY, FEW = 60, 30
"""Columns of a sample above which some are dropped, and how many stay then."""


@dataclass(eq=False)
class Products:
    """Those that were made with a linearization, whose samples may be taken as those of any state."""

    span: _Span | None = None

    def renewed(self, samples: np.ndarray) -> Products:
        """Return those for a linearization that is another one in these samples, shape (batch,) or (1,)."""
        span = self.span
        if span is None or samples.all():
            return Products()
        samples = np.broadcast_to(samples, span.present.shape[:1])
        vectors, images = (only_samples(~samples, each) for each in (span.vectors, span.images))
        return Products(_Span(vectors, images, span.present & ~samples[:, None], span.c))

    def solve(
        self,
        linear: Linearization,
        solver: LinearSolver,
        c: np.ndarray,
        b: Array,
        *,
        rtol: np.ndarray,
        active: np.ndarray,
    ) -> Array:
        """Return x, of the shape (batch, ...) of b, with ‖b − x + c J x‖ ≤ rtol·‖b‖ as far as the solver gets.

        c has the shape (batch,); the others are those of `LinearSolver.solve`.
        """
        norm, least = host_norm(b), np.maximum(rtol, 10 * float(array_namespace(b).finfo(b.dtype).eps))
        b = only_samples(active & np.isfinite(norm), b)
        span = None if self.span is None else self.span.at(c)
        x, left = (zeros_like(b), b) if span is None else span.solve(b)
        size = host_norm(left)
        asked = active & (size > least * norm)
        self.span = span
        if not asked.any():
            return x
        factor, made = rows_like(coefficients(c, b), b), []

        def outside(v: Array) -> Array:
            product = linear.jvp(v)
            made.append((v, product))
            image = v - product * factor
            return image if span is None else image - span.part(image)

        relative = np.where(asked, least * norm / np.where(asked, size, 1.0), 1.0)
        solver.solve(outside, left, rtol=relative, active=asked)
        span = _joined(span, made, c)
        self.span = span.reduced() if span.present.shape[1] > MANY else span
        return span.solve(b)[0]


class _Factors(NamedTuple):
    """An orthonormal Q = (I − c J) V W, W on the host; both have columns of zeros where V has fewer directions."""

    q: Array
    weights: np.ndarray


@dataclass(frozen=True)
class _Span:
    """V and J V, shape (batch, elements, columns); columns that a sample has not, as `present` tells, are zero."""

    vectors: Array
    images: Array
    present: np.ndarray
    c: np.ndarray

    def at(self, c: np.ndarray) -> _Span:
        """Return the same columns for another c."""
        return self if np.array_equal(c, self.c) else replace(self, c=c)

    def part(self, b: Array) -> Array:
        """Return Q Qᵀ b, of the shape of b."""
        q = self._factors.q
        return _reshaped(array_namespace(q).matmul(q, self._components(b)), b)

    def solve(self, b: Array) -> tuple[Array, Array]:
        """Return the x of least ‖b − x + c J x‖, and b − x + c J x, both of the shape of b."""
        xp, factors, components = array_namespace(b), self._factors, self._components(b)
        x = xp.matmul(self.vectors, xp.matmul(coefficients(factors.weights, components), components))
        return _reshaped(x, b), b - _reshaped(xp.matmul(factors.q, components), b)

    def reduced(self) -> _Span:
        """Return `FEW` columns for samples that have more than `MANY`."""
        xp, weights = array_namespace(self.vectors), self._factors.weights
        length = to_host(xp.linalg.vector_norm(xp.matmul(self.vectors, coefficients(weights, self.vectors)), axis=1))
        chosen = [
            # Images are of length 1, so that those of the longest vectors are enlarged least.
            weight[:, order] / norm[order] if has.sum() > MANY else np.eye(len(has))[:, has]
            for has, weight, norm in zip(self.present, weights, length, strict=True)
            for order in [np.argsort(-norm)[: min(FEW, np.count_nonzero(norm))]]
        ]
        turn = np.zeros((*self.present.shape, max(each.shape[1] for each in chosen)))
        for i, each in enumerate(chosen):
            turn[i, :, : each.shape[1]] = each
        vectors, images = (xp.matmul(each, coefficients(turn, each)) for each in (self.vectors, self.images))
        return _Span(vectors, images, np.asarray(turn.any(axis=1)), self.c)

    @cached_property
    def _factors(self) -> _Factors:
        xp = array_namespace(self.vectors)
        columns = self.vectors - self.images * rows_like(coefficients(self.c, self.images), self.images)
        q, r = xp.linalg.qr(only_samples(np.isfinite(host_norm(columns)), columns))
        left, size, right = np.linalg.svd(to_host(r).astype(np.float64), full_matrices=False)
        # Columns that depend on others to rounding give no direction.
        usable = size > 10 * columns.shape[2] * float(xp.finfo(columns.dtype).eps) * size[:, :1]
        inverse = np.where(usable, 1 / np.where(usable, size, 1.0), 0.0)
        q = xp.matmul(q, coefficients(np.where(usable[:, None], left, 0.0), q))
        return _Factors(q, np.swapaxes(right, 1, 2) * inverse[:, None])

    def _components(self, b: Array) -> Array:
        xp, q = array_namespace(b), self._factors.q
        return xp.matmul(xp.matrix_transpose(q), xp.astype(samples_as_rows(b), q.dtype, copy=False)[:, :, None])


def _joined(span: _Span | None, made: list[tuple[Array, Array]], c: np.ndarray) -> _Span:
    """Return the span with further columns v and J v, where they are finite and not zero."""
    xp, columns, present = array_namespace(made[0][0]), [], []
    for v, product in made:
        size = host_norm(v)
        usable = np.isfinite(size) & (size > 0) & np.isfinite(host_norm(product))
        columns.append([samples_as_rows(normalized(in_single(each), size, usable)) for each in (v, product)])
        present.append(usable)
    vectors, images = (xp.stack(each, axis=2) for each in zip(*columns, strict=True))
    has = np.stack(present, axis=1)
    if span is not None:
        vectors, images = xp.concat((span.vectors, vectors), axis=2), xp.concat((span.images, images), axis=2)
        has = np.concatenate((span.present, has), axis=1)
    return _Span(vectors, images, has, c)


def _reshaped(rows: Array, like: Array) -> Array:
    xp = array_namespace(rows)
    return xp.reshape(xp.astype(rows, like.dtype, copy=False), like.shape)
