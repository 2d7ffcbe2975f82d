"""Samples whose cotangent is zero: they contribute nothing, whatever f is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from equilib.arrays import Array, Tree, host_norm, take_rows, to_host, tree_leaves, tree_map, zeros_like
from equilib.fixed_points.boundary import is_traced
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution

UNDECLARED = (
    "a gradient is nan, maybe of samples that the loss leaves out: 0 · nan is nan where f(z, *inputs) has nan. Declare "
    "batched_inputs, which inputs have the batch axis, as in fixed_point(..., batched_inputs=(False, True)), and such "
    "samples are set aside"
)
"""What `undeclared` finds, for the user."""


def idle_samples(solution: Solution, cotangent: Array) -> np.ndarray:
    """Return which samples, shape (batch,), have a cotangent of `solution.z` that is zero."""
    if is_traced(cotangent):  # of a second derivative, which wants every sample where it is
        return np.zeros(len(solution.status), dtype=bool)
    with np.errstate(all="ignore"):
        size: np.ndarray = host_norm(cotangent if solution.batched else cotangent[None, ...])
        return np.asarray(size == 0)


def without_idle(
    problem: FixedPointProblem, solution: Solution, cotangent: Array
) -> tuple[FixedPointProblem, Solution]:
    """Return both with the samples of zero `cotangent`, shape (batch, ...), set aside."""
    return set_aside(problem, solution, idle_samples(solution, cotangent))


def set_aside(problem: FixedPointProblem, solution: Solution, idle: np.ndarray) -> tuple[FixedPointProblem, Solution]:
    """Return both with the samples `idle`, bool of shape (batch,), replaced by one that has converged.

    Where f or its derivative is nan or infinite, zero times it would be nan in the cotangents of what samples share.
    The inputs' rows are replaced where the problem declares which inputs have the batch axis.
    """
    if not idle.any():
        return problem, solution
    if idle.all():
        zero = problem.of(lambda z, *inputs: zeros_like(z), _nowhere, *problem.inputs)
        return zero, replace(solution, z=zeros_like(solution.z), z0=zeros_like(solution.z0))
    fit = next(each for each in (~idle & ~solution.failed, ~solution.failed, ~idle) if each.any())
    rows = np.where(idle, np.flatnonzero(fit)[0], np.arange(idle.size))
    if problem.batched_inputs is not None:
        problem = problem.restricted(rows)
    # Of what stands in their place nobody knows the residual.
    norm = np.where(idle, np.inf, solution.residual_norm)
    z, z0 = take_rows(solution.z, rows), take_rows(solution.z0, rows)
    return problem, replace(solution, z=z, z0=z0, residual_norm=norm)


def undeclared(problem: FixedPointProblem, solution: Solution, cotangent: Array, pulled: tuple[Tree, ...]) -> bool:
    """Whether cotangents of the inputs are nan where that of z, shape (batch, ...), is finite and somewhere zero.

    It is asked of problems only that do not declare which inputs have the batch axis.
    """
    if problem.batched_inputs is not None or not idle_samples(solution, cotangent).any():
        return False
    finite = [np.isfinite(to_host(each)).all() for each in (cotangent, *tree_leaves(pulled))]
    return bool(finite[0] and not all(finite))


def _nowhere(f: Any, z: Array, *inputs: Tree) -> Linearization:
    """Return the linearization of a map that is zero everywhere."""
    return Linearization(
        value=zeros_like(z), jvp=zeros_like, vjp=zeros_like, inputs_vjp=lambda _: tree_map(zeros_like, inputs)
    )
