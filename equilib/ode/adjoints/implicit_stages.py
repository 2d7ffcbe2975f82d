"""Implicit stages as functions that can be differentiated: the fixed points k of f(t, base + c k)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib.adjoints.calculus.implicit_function import ImplicitFunction, LinearEquations
from equilib.arrays import Array, Tree, tree_leaves, tree_map
from equilib.autodiff import static_value
from equilib.autodiff.custom import with_pullback
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.problem import FixedPointProblem
from equilib.ode.flow import Flow, FlowPoint, ImplicitSlope, SlopeSolver
from equilib.ode.newton import of_stage


def solved_stage(
    plain: Flow, solver: SlopeSolver, start: FlowPoint, t: np.ndarray, base: Array, guess: Array
) -> tuple[Array, Array]:
    """Return the slope k of a stage and its place base + c k as constants, whose `base` and the rest may be traced."""
    start = FlowPoint(start.t, static_value(start.y), static_value(start.dy))
    slope = solver.solve(plain, start, t, static_value(base), static_value(guess))
    return slope, static_value(base) + slope * plain.coefficient(solver.c)


def once_differentiable(
    plain: Flow, near: Callable[[np.ndarray, Array], tuple[Linearization, Callable[[Array], Array]]]
) -> ImplicitSlope:
    """Return what makes a stage a function of its base with the pullback of dk = (I − c J)⁻¹ (J dbase + ∂f/∂θ dθ).

    `near` returns f linearized at a time and a place, and w ↦ Jᵀ w, which sees to the cotangents of θ.
    """

    def implicit(solver: SlopeSolver, start: FlowPoint, t: np.ndarray, base: Array, guess: Array) -> Array:
        slope, place = solved_stage(plain, solver, start, t, base, guess)
        linear, pull = near(t, place)
        stage = of_stage(linear, plain.coefficient(solver.c))
        return with_pullback(slope, lambda bar: (pull(solver.solve_transposed(stage, bar)),), base)

    return implicit


def differentiable(
    at: Callable[[np.ndarray], Callable[..., Array]], plain: Flow, inputs: tuple[Tree, ...]
) -> ImplicitSlope:
    """Return what makes a stage a function of its base and the inputs, all traced, with derivatives of any order.

    `at` maps times, shape (lanes,), to the f there, of a state and the inputs.
    """
    from equilib import ops

    def implicit(solver: SlopeSolver, start: FlowPoint, t: np.ndarray, base: Array, guess: Array) -> Array:
        slope, _ = solved_stage(plain, solver, start, t, base, guess)
        c, f = plain.coefficient(solver.c), at(t)
        stage = FixedPointProblem(
            lambda k, base, *rest: f(ops.add(base, ops.multiply(k, c)), *rest),
            static_value(base),
            *tree_map(static_value, inputs),
        )

        def solved(linear: Linearization, b: Array, *, transpose: bool, guess: Array | None) -> Array:
            return solver.solve_transposed(linear, b)

        function = ImplicitFunction(LinearEquations(stage, slope, solved))
        leaves = [base, *tree_leaves(inputs)]
        fixed = [slope, *map(static_value, leaves)]
        return with_pullback(slope, lambda bar: function.pull(slope, fixed, bar), slope, *leaves, differential=function)

    return implicit
