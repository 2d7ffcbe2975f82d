"""Implicit adjoint: cotangents of the inputs from the cotangent of a fixed point.

At z = f(z, θ) the implicit function theorem gives dz = (I − J)⁻¹ (∂f/∂θ) dθ with J = ∂f/∂z, hence for a cotangent g

    θ̄ = (∂f/∂θ)ᵀ w   with   w = Jᵀ w + g:

the backward pass is another fixed point, solved by the same driver and the same solvers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from equilib.adjoints.certified import certified
from equilib.adjoints.equation import RTOL, linearized, relative, solve_adjoint
from equilib.adjoints.sensitivity import Needs, Pullback
from equilib.arrays import Array, check_like, to_host, two_norm, where_samples
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.numerics.affine import Affine
from equilib.numerics.gmres import GMRES
from equilib.numerics.linear_solver import LinearSolver
from equilib.options import Checked, OptionError, option, part


@dataclass(frozen=True)
class ImplicitAdjoint(Checked):
    """Solve w = Jᵀ w + g at the fixed point: exact up to the tolerance.

    A linear solver does it, GMRES unless another is given; or any solver, such as Picard iteration.
    It starts at g, or at the guess, an array like z such as the w of an earlier pass, in the samples where that is
    finite and g is not zero.

    Raises
    ------
    ValueError
        If both a solver and a linear solver are given.
    """

    needs: ClassVar[Needs] = Needs(guess=True)

    solver: Solver | WholeSolver | None = part(
        None, kind="solver", help="iterate on w = Jᵀw + g in place of the linear solver; same: the forward solver"
    )
    linear_solver: LinearSolver | None = part(
        "gmres", lambda: None, kind="linear solver", help="solve (I − Jᵀ) w = g, unless there is a solver"
    )
    rtol: float | None = option(
        None, help="allow this residual relative to ‖g‖; none: the forward tolerance", minimum=0.0
    )
    max_steps: int | None = option(None, help="stop after so many steps; none: the forward max_steps", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver is not None and self.linear_solver is not None:
            raise OptionError("the equation is solved by a solver or by a linear_solver; leave out one of them")
        if self.solver is None and self.linear_solver is None:
            object.__setattr__(self, "linear_solver", GMRES())

    def pullback(
        self, problem: FixedPointProblem, solution: Solution, cotangent: Array, *, guess: Array | None = None
    ) -> Pullback[Solution]:
        """Return the inputs' cotangents for that of z, shape (batch, ...), and how the adjoint equation was solved.

        Raises
        ------
        ValueError
            If `guess` is not an array like the fixed point.
        """
        linear = certified(linearized(problem, solution, cotangent))
        adjoint = self.solve_adjoint(linear, solution, cotangent, guess=guess)
        return Pullback(inputs=linear.inputs_vjp(adjoint.z), solves=(adjoint,))

    def solve_adjoint(
        self, linear: Linearization, solution: Solution, cotangent: Array, *, guess: Array | None = None
    ) -> Solution:
        """Solve w = Jᵀ w + g, shape (batch, ...), with the Jᵀ of `linear`; raises what `pullback` does."""
        start = cotangent if guess is None else _warm_start(guess, cotangent, batched=solution.batched)
        options = self.limits(solution.options, cotangent)
        solver = Affine(self.linear_solver or GMRES()) if self.solver is None else self.solver
        return solve_adjoint(linear, cotangent, solver, start, options, batched=solution.batched)

    def limits(self, forward: SolveOptions, like: Array) -> SolveOptions:
        """Return the options of the solve for cotangents `like` one, shape (batch, ...), after a `forward` solve."""
        return replace(
            forward,
            rtol=relative(forward, like) or RTOL if self.rtol is None else self.rtol,
            atol=0.0,
            max_steps=forward.max_steps if self.max_steps is None else self.max_steps,
        )


def _warm_start(guess: Array, cotangent: Array, *, batched: bool) -> Array:
    check_like(cotangent, guess, "the adjoint guess")
    rows = (guess, cotangent) if batched else (guess[None, ...], cotangent[None, ...])
    # w is zero where g is.
    with np.errstate(all="ignore"):
        size, scale = (to_host(two_norm(each)) for each in rows)
    start = where_samples(np.isfinite(size) & (scale > 0), *rows)
    return start if batched else start[0, ...]
