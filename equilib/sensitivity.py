"""From the cotangent of a fixed point to the cotangents of its inputs.

At z = f(z, θ) the implicit function theorem gives dz = (I − J)⁻¹ (∂f/∂θ) dθ with J = ∂f/∂z, hence for a cotangent g

    θ̄ = (∂f/∂θ)ᵀ w   with   w = Jᵀ w + g:

the backward pass is another fixed point, solved by the same driver and the same solvers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from equilib.arrays import Array
from equilib.checks import check_options
from equilib.convergence import Monitor
from equilib.fixed_point import State
from equilib.linear import Affine
from equilib.options import option
from equilib.problem import FixedPointProblem, Linearization
from equilib.protocols import Pullback, Solver
from equilib.solution import Solution, Status
from equilib.solve import solve
from equilib.trees import Tree, tree_map


@dataclass(frozen=True)
class ImplicitAdjoint:
    """Solve w = Jᵀ w + g at the fixed point: exact up to the tolerance.

    Any solver serves: `Affine` with a linear solver, or a fixed-point iteration.

    Raises
    ------
    ValueError
        If an option is out of its range.
    """

    solver: Solver = field(default_factory=Affine)
    rtol: float | None = option(None, help="residual relative to ‖w‖; none takes the forward solve's", minimum=0.0)
    max_steps: int | None = option(None, help="steps of the solver; none takes the forward solve's", minimum=1)

    def __post_init__(self) -> None:
        check_options(self)

    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Pullback:
        """Return the cotangents of the inputs, and how well the adjoint equation was solved."""
        linear = problem.linearize(solution.z)
        forward = solution.options
        options = replace(
            forward,
            rtol=forward.rtol if self.rtol is None else self.rtol,
            # Cotangents have no natural size (a mean over the batch divides them by it), so only rtol counts.
            atol=0.0,
            max_steps=forward.max_steps if self.max_steps is None else self.max_steps,
            on_failure="record",
        )
        equation = adjoint_problem(linear, cotangent)
        adjoint = solve(equation, self.solver, cotangent, options, batched=solution.batched)
        return Pullback(inputs=linear.inputs_vjp(adjoint.z), adjoint=adjoint)


def adjoint_problem(linear: Linearization, cotangent: Array) -> FixedPointProblem:
    """Return the problem w = Jᵀ w + g: its J is Jᵀ, its Jᵀ is J, and an evaluation is one vjp."""

    def transposed(f: object, w: Array) -> Linearization:
        return Linearization(
            value=linear.vjp(w) + cotangent,
            jvp=linear.vjp,
            vjp=linear.jvp,
            inputs_vjp=lambda _: (),
        )

    return FixedPointProblem(lambda w: linear.vjp(w) + cotangent, linearize=transposed)


@dataclass(frozen=True)
class JacobianFree:
    """Take w = g, as if J were zero (Fung et al. 2022, arXiv:2103.12803).

    Inexact: the error is Jᵀw, so it vanishes with the Jacobian only; cheap: no equation is solved.
    """

    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Pullback:
        """Return the cotangents of the inputs through one evaluation of f."""
        return Pullback(inputs=problem.linearize(solution.z).inputs_vjp(cotangent))


@dataclass(frozen=True)
class Unrolled:
    """Differentiate Picard iteration from the initial guess, step by step.

    Exact for the iterate it ends at, which is the fixed point where Picard iteration converges; how far that is from
    converged is what `Pullback.adjoint` reports. Memory grows with the depth.

    Raises
    ------
    ValueError
        If `depth` is not positive.
    """

    depth: int = option(30, help="number of iterations that are differentiated", minimum=1)

    def __post_init__(self) -> None:
        check_options(self)

    @np.errstate(all="ignore")  # what is not finite gets a status
    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Pullback:
        """Repeat the iteration, then carry the cotangent back through each step."""
        z = solution.z0
        steps: list[Linearization] = []
        for _ in range(self.depth):
            steps.append(problem.linearize(z))
            z = steps[-1].value
        total: Tree = None
        w = cotangent
        for linear in reversed(steps):
            inputs = linear.inputs_vjp(w)
            total = inputs if total is None else tree_map(lambda a, b: a + b, total, inputs)
            w = linear.vjp(w)
        return Pullback(inputs=total, guess=w, adjoint=self._report(steps, z, solution))

    def _report(self, steps: list[Linearization], z: Array, solution: Solution) -> Solution:
        previous = steps[-2].value if len(steps) > 1 else solution.z0
        batch = State(z, z - previous) if solution.batched else State(z[None, ...], (z - previous)[None, ...])
        monitor = Monitor(solution.options, batch.z.shape[0])
        monitor.observe(batch)
        status = tuple(Status.MAX_STEPS if each is Status.RUNNING else each for each in monitor.status)
        return replace(
            solution,
            z=z,
            residual=z - previous,
            status=status,
            residual_norm=monitor.trace[0],
            steps=np.full(len(status), self.depth),
            nfe=self.depth,
            njvp=0,
            nvjp=2 * self.depth,
            trace=monitor.trace[0][None, :],
            solver=str(self),
            state=None,
        )
