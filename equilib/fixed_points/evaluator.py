"""The evaluator of f in the course of one solve: counts, the samples that are active, and what is asked of them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from equilib.arrays import Array, Tree, host_norm, where_samples
from equilib.fixed_points.coarse import CoarseEvaluations
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.problem import FixedPointProblem, Problem
from equilib.fixed_points.tolerance import tolerance_at
from equilib.options.kinds import check_type

P = TypeVar("P", bound=Problem)


@dataclass
class Counts:
    """How often f was used.

    Attributes
    ----------
    nfe, njvp, nvjp : int
        Evaluations of f, of J·v and of Jᵀ·w: calls on a batch.
    sample_nfe : int
        Evaluations of f of single samples: the sizes of these batches, added up.
    """

    nfe: int = 0
    njvp: int = 0
    nvjp: int = 0
    sample_nfe: int = 0

    def evaluation(self, z: Array) -> None:
        """Count an evaluation at z, shape (batch, ...)."""
        self.nfe += 1
        self.sample_nfe += z.shape[0] if z.ndim else 1

    def products(self, linear: Linearization) -> Linearization:
        """Return the linearization whose products are counted here; raises TypeError if it is none."""
        check_type(linear, "what linearize returns", Linearization)

        def jvp(v: Array) -> Array:
            self.njvp += 1
            return linear.jvp(v)

        def vjp(w: Array) -> Array:
            self.nvjp += 1
            return linear.vjp(w)

        def both_vjps(w: Array) -> tuple[Array, tuple[Tree, ...]]:
            self.nvjp += 1
            return linear.pull(w)

        return Linearization(value=linear.value, jvp=jvp, vjp=vjp, inputs_vjp=linear.inputs_vjp, both_vjps=both_vjps)


def counted(problem: P, counts: Counts) -> P:
    """Return the same problem, every use of which is counted in `counts`."""
    state = -1 - len(problem.inputs)

    def f(*arguments: Any) -> Array:
        counts.evaluation(arguments[state])
        return problem.f(*arguments)

    def linearize(_: object, *arguments: Any) -> Linearization:
        counts.evaluation(arguments[state])
        return counts.products(problem.derivatives(problem.f, *arguments))

    return problem.of(f, linearize, *problem.inputs)


class Evaluator:
    """F in the course of one solve: what a solver is given.

    The driver makes one, and tells it before each step how far the samples are. Made by hand, `Evaluator(problem, z0)`,
    it is as complete, so that a solver can be stepped by hand: all samples are active, and the tolerance is that at z0.

    Parameters
    ----------
    problem : FixedPointProblem
    z0 : array, shape (batch, ...)
        The initial guess.
    options : SolveOptions, optional
        Tolerances and norm of the solve.
    active : ndarray of bool, shape (batch,), optional
        The samples to be solved, by default all.
    tolerance : ndarray, shape (batch,), optional
        By default that at z0, which costs a norm.
    counts : Counts, optional
        Where uses of f are counted, by default from zero.

    Attributes
    ----------
    options : SolveOptions
    affine, closing : bool
        Whether f is declared to be affine in z, and to have an evaluation of its own for where a solve ends.
    active : ndarray of bool, shape (batch,)
        The samples that are not finished. A solver need not work on the others.
    tolerance : ndarray, shape (batch,)
        The residual norm at which each sample would count as converged now.
    scale, strictness : ndarray, shape (batch,)
        The size of where the solve began, inf by hand, and the share of the tolerance that is left, as
        `equilib.fixed_points.tolerance.Tolerance` has them.
    ended : array, shape (batch, ...), or None
        Where the problem asks for that, and the step that is due is expected to be the last one: the results of the
        samples that are finished.
    counts : Counts
        The uses of f so far.

    Raises
    ------
    ValueError
        If an input that the problem declares to have the batch axis does not have it.
    """

    __slots__ = (
        "_asked",
        "_norm",
        "active",
        "affine",
        "closing",
        "counts",
        "ended",
        "options",
        "scale",
        "strictness",
        "tolerance",
    )

    def __init__(
        self,
        problem: FixedPointProblem,
        z0: Array,
        options: SolveOptions | None = None,
        *,
        active: np.ndarray | None = None,
        tolerance: np.ndarray | None = None,
        counts: Counts | None = None,
    ) -> None:
        problem.check_batch(z0.shape[0])
        self.counts = Counts() if counts is None else counts
        self._asked, self.affine, self.closing = problem, problem.affine, problem.closing is not None
        self.ended: Array | None = None
        self.options = SolveOptions() if options is None else options
        self._norm = self.options.norm_of
        self.active = np.ones(z0.shape[0], dtype=bool) if active is None else active
        self.scale, self.strictness = np.full(z0.shape[0], np.inf), np.ones(z0.shape[0])
        self.tolerance = np.zeros(z0.shape[0]) if tolerance is None else tolerance
        if tolerance is None:
            self.tolerance = self.tolerance_at(z0, z0)

    @property
    def problem(self) -> FixedPointProblem:
        """What is asked; every use is counted."""
        return counted(self._asked, self.counts)

    def __call__(self, z: Array) -> Array:
        """Evaluate f(z), shape (batch, ...); raises what `FixedPointProblem` does."""
        self.counts.evaluation(z)
        return self._asked(z)

    def residual(self, z: Array) -> Array:
        """Evaluate f(z) − z, shape (batch, ...)."""
        self.counts.evaluation(z)
        if self.ended is None:
            return self._asked.residual(z)
        # At the very places where the samples end; what becomes of a finished one does not count.
        return self._asked.residual(where_samples(self.active, z, self.ended), closing=True)

    def linearize(self, z: Array) -> Linearization:
        """Evaluate f(z), shape (batch, ...), and keep what J·v and Jᵀ·w need; raises what the problem's does."""
        return self.problem.linearize(z)

    def size(self, z: Array) -> np.ndarray:
        """Return the norm of each sample of a residual or a state, in the norm of the convergence test.

        Returns
        -------
        ndarray of float64, shape (batch,)
            On the host, which waits for the device.
        """
        return host_norm(z, self._norm)

    def tolerance_at(self, z: Array, residual: Array) -> np.ndarray:
        """Return the residual norm that counts as converged at z, both arrays of shape (batch, ...); shape (batch,)."""
        sizes = self.size(residual), self.size(z)
        tolerance = tolerance_at(self.options, z, residual, sizes, self.scale)
        return np.asarray(self.strictness * tolerance, dtype=np.float64)

    def missing(self, size: np.ndarray) -> np.ndarray:
        """Return the factor by which residuals of these sizes must shrink to meet the tolerance, at most 1.

        Both of shape (batch,); what an inexact method asks of its linear solver follows from it.
        """
        return np.minimum(self.tolerance / np.where(size > 0, size, 1.0), 1.0)

    @property
    def coarse(self) -> CoarseEvaluations | None:
        """What is known of evaluations that are rounded more than those that a solve ends with, if there are such."""
        return self._asked.coarse

    @property
    def restrictable(self) -> bool:
        """Whether the problem declares which inputs have the batch axis, so that `restricted` can be asked for."""
        return self._asked.batched_inputs is not None

    def restricted(self, rows: np.ndarray) -> Evaluator:
        """Return the evaluator of the samples `rows`, ndarray of int, shape (samples,); what it uses is counted here.

        Raises
        ------
        ValueError
            If the problem does not declare which inputs have the batch axis.
        """
        part = copy(self)
        part._asked = self._asked.restricted(rows)
        for name in ("active", "tolerance", "scale", "strictness"):
            setattr(part, name, getattr(self, name)[rows])
        return part
