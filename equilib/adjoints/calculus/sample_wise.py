"""Samples that a derivative leaves out: those that were not found, and those whose cotangent is zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.adjoints.idle import idle_samples, set_aside
from equilib.arrays import Array, array_namespace, from_host, host_norm, tree_leaves, zeros_like
from equilib.autodiff import static_value
from equilib.autodiff.custom import Differential
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution


@dataclass(frozen=True, eq=False)
class SampleWise:
    """The differential of a fixed point as a function of the start and the leaves of the inputs, sample by sample.

    Parameters
    ----------
    problem : FixedPointProblem
    solution : Solution
    followed : ndarray of bool, shape (batch,)
        The samples that have a derivative; the others' is taken to be zero.
    differential : callable
        Maps a problem and its solution to the differential of samples that have one.
    """

    problem: FixedPointProblem
    solution: Solution
    followed: np.ndarray
    differential: Callable[[FixedPointProblem, Solution], Differential]

    def push(self, value: Array, sources: Sequence[Array], tangents: Sequence[Array | None]) -> Array:
        """Return the tangent of z: nan where z or f(z) is, without a solve for it."""
        solution = self.solution
        finite = solution.converged if solution.success else self._finite(solution.z, solution.residual)
        differential, value, sources = self._set_aside(~finite, value, sources)
        dz = differential.push(value, sources, tangents)
        return _kept(finite, _kept(self.followed, dz), np.nan)

    def pull(self, value: Array, sources: Sequence[Array], cotangent: Array) -> Sequence[Array | None]:
        """Return the cotangents of all; samples without a derivative add nothing where theirs is zero."""
        g = _kept(self.followed, cotangent)
        left_out = idle_samples(self.solution, static_value(g))
        if left_out.any():
            left_out &= ~self._differentiable()
        if left_out.all():
            return [zeros_like(static_value(source)) for source in sources]
        differential, value, sources = self._set_aside(left_out, value, sources)
        return differential.pull(value, sources, _kept(~left_out, g))

    def _set_aside(
        self, rows: np.ndarray, value: Array, sources: Sequence[Array]
    ) -> tuple[Differential, Array, Sequence[Array]]:
        """Return all with some samples replaced by others, unless that is all of them."""
        if not rows.any() or rows.all():
            return self.differential(self.problem, self.solution), value, sources
        problem, solution = set_aside(self.problem, self.solution, rows)
        before, after = tree_leaves(self.problem.inputs), tree_leaves(problem.inputs)
        leaves = [
            leaf if new is old else _kept(~rows, leaf, new)
            for leaf, old, new in zip(sources[1:], before, after, strict=True)
        ]
        start = _kept(~rows, sources[0], solution.z0)
        return self.differential(problem, solution), _kept(~rows, value, solution.z), [start, *leaves]

    @np.errstate(all="ignore")
    def _finite(self, *arrays: Array) -> np.ndarray:
        """Return in which samples, shape (batch,), arrays like z are finite."""
        rows = [array if self.solution.batched else array[None, ...] for array in arrays]
        finite: np.ndarray = np.all([np.isfinite(host_norm(each)) for each in rows], axis=0)
        return finite

    def _differentiable(self) -> np.ndarray:
        """Return in which samples, shape (batch,), the derivative of f with respect to z is finite."""
        z = self.solution.z
        return self._finite(self.problem.linearize(z).vjp(array_namespace(z).ones_like(z)))


def _kept(rows: np.ndarray, array: Array, other: Array | float = 0.0) -> Array:
    """Return the array with `other` in the samples that `rows`, shape (batch,), leaves out; a lone one has no batch."""
    if rows.all():
        return array
    like = static_value(array)
    shape = (rows.size, *(1,) * (like.ndim - 1)) if rows.size > 1 else (1,) * like.ndim
    return ops.where(from_host(rows.reshape(shape), like), array, other)
