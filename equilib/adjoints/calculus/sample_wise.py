"""Samples that a derivative leaves out: those that were not found, and those whose cotangent is zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.adjoints.idle import idle_samples, set_aside
from equilib.arrays import Array, from_host, host_norm, rows_like, tree_leaves, zeros_like
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
        """Return the tangent of z: nan where z is, without a solve for it."""
        finite = _finite(self.solution)
        differential, value, sources = self._set_aside(~finite, value, sources)
        dz = differential.push(value, sources, tangents)
        return _kept(finite, _kept(self.followed, dz), np.nan)

    def pull(self, value: Array, sources: Sequence[Array], cotangent: Array) -> Sequence[Array | None]:
        """Return the sources' cotangents, to which a sample that failed adds nothing where its own is zero."""
        g = _kept(self.followed, cotangent)
        left_out = self.solution.failed & idle_samples(self.solution, static_value(g))
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


def _kept(rows: np.ndarray, array: Array, other: Array | float = 0.0) -> Array:
    """Return the array with `other` in the samples that `rows`, shape (batch,), leaves out; a lone one has no batch."""
    if rows.all():
        return array
    like = static_value(array)
    mask = from_host(rows, like)
    return ops.where(rows_like(mask, like) if rows.size > 1 else mask, array, other)


def _finite(solution: Solution) -> np.ndarray:
    """Return which samples, shape (batch,), of a fixed point are finite."""
    if solution.success:
        return np.ones(len(solution.status), dtype=bool)
    with np.errstate(all="ignore"):
        return np.asarray(np.isfinite(host_norm(solution.z if solution.batched else solution.z[None, ...])))
