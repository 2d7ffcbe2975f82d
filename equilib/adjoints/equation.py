"""Adjoint equation w = Jᵀw + g of a fixed point: a linear problem for any solver, relative to the size of g."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equilib.adjoints.certified import Certified
from equilib.adjoints.idle import without_idle
from equilib.adjoints.sensitivity import check_pullback
from equilib.arrays import Array, array_namespace, coefficients, host_norm, rows_like, to_host
from equilib.fixed_points.boundary import copied
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.reproduced import check_reproduced
from equilib.fixed_points.solution import Solution, Status
from equilib.fixed_points.solve import solve
from equilib.fixed_points.solver import Solver, WholeSolver

RTOL = 1e-3
"""The relative tolerance where the forward solve has none; also the most that an absolute one becomes."""

ROUNDINGS = 1000.0
"""The least that an absolute tolerance becomes, in units of eps."""


def relative(options: SolveOptions, like: Array) -> float:
    """Return the relative tolerance of an adjoint equation after a solve with these options.

    Cotangents are `like` an array of shape (batch, ...). It is the least rtol of a component that is not zero. Where
    there is none, it is the least atol, as cotangents have no size that it could be compared with, between
    `ROUNDINGS`·eps and `RTOL`; 0 where there is none either.
    """
    rtol, atol = map(_least, (options.rtol, options.atol))
    if rtol or not atol:
        return rtol
    return min(RTOL, max(atol, ROUNDINGS * float(array_namespace(like).finfo(like.dtype).eps)))


def _least(tolerance: Array | float) -> float:
    """Return the least tolerance that is not zero, zero if all are."""
    if not getattr(tolerance, "ndim", 0):
        return float(tolerance)
    each = to_host(tolerance)
    return float(np.min(each, where=each > 0, initial=np.inf)) if (each > 0).any() else 0.0


def solve_adjoint(
    linear: Linearization,
    cotangent: Array,
    solver: Solver | WholeSolver,
    start: Array,
    options: SolveOptions,
    *,
    batched: bool,
) -> Solution:
    """Solve w = Jᵀw + g to ‖Jᵀw + g − w‖ ≤ rtol·‖g‖, sample by sample, whatever the policy of the options.

    With the criterion "residual" it is rtol·‖w‖.

    Cotangents have no natural size (a mean over the batch divides them by it): w is linear in g, and the equation is
    solved for w / ‖g‖.

    Parameters
    ----------
    linear : Linearization
        Of f at the fixed point.
    cotangent, start : array, shape (batch, ...)
        g and the first w.
    options : SolveOptions
        Their `atol` counts where they have no `rtol`, see `relative`.
    batched : bool
        False if the arrays have no batch axis.
    """
    rows = cotangent if batched else cotangent[None, ...]
    with np.errstate(all="ignore"):  # what is not finite gets a status
        size = host_norm(rows, options.norm_of)
    rtol = relative(options, rows)
    if options.criterion == "residual":
        plain = replace(options, rtol=rtol, atol=0.0, on_failure="record")
        found = solve(adjoint_problem(linear, cotangent), solver, start, plain, batched=batched)
        return _coupled_where_seen(found, size, start)
    with np.errstate(all="ignore"):
        scale = np.where(np.isfinite(size) & (size > 0), size, 1.0)
        unit = rows_like(coefficients(scale, rows), rows)
        unit = unit if batched else unit[0, ...]
        found = solve(
            adjoint_problem(linear, cotangent / unit, unit),
            solver,
            start / unit,
            replace(options, rtol=0.0, atol=rtol, on_failure="record"),
            batched=batched,
        )
        found = replace(
            found,
            z0=start,
            z=found.z * unit,
            residual=found.residual * unit,
            residual_norm=found.residual_norm * scale,
            trace=found.trace * scale,
            options=replace(options, rtol=rtol, atol=0.0, on_failure="record"),
        )
        return _coupled_where_seen(found, size, start)


def _coupled_where_seen(found: Solution, size: np.ndarray, start: Array) -> Solution:
    """Return the solve with the status of samples that depend on each other, where its start has shown that they do.

    Where g, of `size` zero, shape (batch,), and the first w are zero, so is Jᵀw, but for the w of others.
    """
    moved = (size == 0) & (found.trace[0] > 0)
    if moved.any() and not host_norm(start)[moved].all():
        return replace(found, status=(Status.COUPLED,) * len(found.status))
    return found


def linearized(problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Linearization:
    """Return the linearization at the fixed point, shape (batch, ...), samples of zero cotangent set aside.

    Raises
    ------
    TypeError, ValueError
        As `check_pullback` does.
    ConvergenceError
        As `check_reproduced` does.
    """
    check_pullback(problem, solution, cotangent)
    problem, solution = without_idle(problem, solution, cotangent)
    linear = problem.linearize(solution.z)
    check_reproduced(solution, linear.value)
    return linear


def transposed(linear: Linearization) -> Linearization:
    """Return the transposed products: their adjoint equation is that of tangents, dz = J dz + b."""
    return Linearization(value=linear.value, jvp=linear.vjp, vjp=linear.jvp, inputs_vjp=lambda _: ())


def adjoint_problem(linear: Linearization, cotangent: Array, unit: Array | None = None) -> FixedPointProblem:
    """Return the problem w = Jᵀ w + g of g, shape (batch, ...): its J is Jᵀ, its Jᵀ is J, an evaluation is one vjp.

    Its w and g are in units of `unit`, which broadcasts against them, where that is given.
    """

    def linearize(f: object, w: Array) -> Linearization:
        return replace(transposed(linear), value=linear.vjp(w) + cotangent)

    def closing(w: Array) -> Array:
        if unit is None:
            return linear.pull(copied(w))[0] + cotangent  # the solver may overwrite its own
        return linear.pull(w * unit)[0] / unit + cotangent

    return FixedPointProblem(
        lambda w: linear.vjp(w) + cotangent,
        linearize=linearize,
        affine=True,
        closing=closing if isinstance(linear, Certified) else None,
    )
