"""The deep equilibrium layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from equilib import ops
from equilib.arrays import Array, array_namespace, from_host
from equilib.autodiff import static_value, stop_gradient, vjp
from equilib.autodiff.custom import with_pullback
from equilib.convergence import Monitor, SolveOptions
from equilib.fixed_point import State
from equilib.models.cell import Cell
from equilib.models.equilibrium import Equilibrium
from equilib.models.initial_guess import InitialGuess, ZeroGuess
from equilib.problem import FixedPointProblem
from equilib.protocols import Sensitivity, Solver
from equilib.sensitivity import ImplicitAdjoint
from equilib.solution import Solution, Status
from equilib.solve import solve
from equilib.trees import Tree, tree_leaves

if TYPE_CHECKING:
    from equilib.diagnostics.gradient_report import GradientCheck


@dataclass(frozen=True)
class DeepEquilibrium:
    """z* = f(z*, x): the output is a fixed point of the cell (Bai et al. 2019, arXiv:1909.01377).

    Parameters
    ----------
    cell : Cell
    solver : Solver
    initial_guess : InitialGuess
    sensitivity : Sensitivity, optional
        How the backward pass is done; by default what suits the solver, else `ImplicitAdjoint()`.
    options : SolveOptions
        Tolerances of the solve. By default samples that do not converge are recorded, not raised.
    fixed_depth : int
        If positive, iterate z ← f(z, x) that many times instead, and differentiate through the iterations.
    jacobian_loss : bool
        Whether to estimate ‖J‖²_F at the fixed point; needs `rng` in the call.

    Raises
    ------
    ValueError
        If `fixed_depth` is negative.
    """

    cell: Cell
    solver: Solver
    initial_guess: InitialGuess = field(default_factory=ZeroGuess)
    sensitivity: Sensitivity | None = None
    options: SolveOptions = field(default_factory=lambda: SolveOptions(on_failure="record"))
    fixed_depth: int = 0
    jacobian_loss: bool = False

    def __post_init__(self) -> None:
        if self.fixed_depth < 0:
            raise ValueError(f"fixed_depth must not be negative, got {self.fixed_depth}")

    def unrolled(self, depth: int) -> DeepEquilibrium:
        """Return the same model with a fixed depth."""
        return replace(self, fixed_depth=depth)

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the cell and of the initial guess."""
        return {"cell": self.cell.init(rng), "initial_guess": self.initial_guess.init(rng)}

    def __call__(self, params: Tree, x: Array, *, rng: np.random.Generator | None = None) -> Equilibrium:
        """Find the fixed point for each sample of x.

        Raises
        ------
        ConvergenceError
            If the options say so and some sample did not converge.
        ValueError
            If the model estimates the Jacobian's norm and `rng` is missing.
        """
        own = params["cell"]
        u = self.cell.inject(own, x)
        z0 = self.initial_guess(params["initial_guess"], self.cell, own, x, u)
        found = self._iterate(own, z0, u) if self.fixed_depth else self._solve(own, z0, u)
        if not self.jacobian_loss:
            return found
        if rng is None:
            raise ValueError("estimating the Jacobian's norm needs random numbers: pass rng=...")
        return replace(found, jacobian_loss=self._jacobian_loss(own, found.z_star, u, rng))

    def check_gradient(
        self, params: Tree, x: Array, *, directions: int = 4, rng: np.random.Generator | None = None
    ) -> GradientCheck:
        """Compare the gradient with finite differences and with the converged implicit one.

        It is `equilib.diagnostics.check_gradient`, which also says what it raises.
        """
        # Deferred: nothing else here needs it.
        from equilib.diagnostics.gradient_check import check_gradient

        return check_gradient(self, params, x, directions=directions, rng=rng)

    @np.errstate(all="ignore")  # what is not finite gets a status
    def _iterate(self, params: Tree, z0: Array, u: Tree) -> Equilibrium:
        previous = z = z0
        for _ in range(self.fixed_depth):
            previous, z = z, self.cell.step(params, z, u)
        last = static_value(z)
        residual = last - static_value(previous)
        monitor = Monitor(self.options, last.shape[0])
        monitor.observe(State(last, residual))
        return Equilibrium(
            z_star=z,
            u0=z0,
            residual=residual,
            residual_norm=monitor.trace[0],
            status=tuple(Status.MAX_STEPS if s is Status.RUNNING else s for s in monitor.status),
            nfe=self.initial_guess.nfe + self.fixed_depth,
        )

    def _solve(self, params: Tree, z0: Array, u: Tree) -> Equilibrium:
        problem = FixedPointProblem(
            lambda z, params, u: self.cell.step(params, z, u), stop_gradient(params), stop_gradient(u)
        )
        solution = solve(problem, self.solver, static_value(z0), self.options)
        adjoints: list[Solution] = []

        def pullback(cotangent: Array) -> Sequence[Array]:
            pulled = self.adjoint().pullback(problem, solution, cotangent)
            if pulled.adjoint is not None:
                adjoints.append(pulled.adjoint)
            guess = array_namespace(cotangent).zeros_like(cotangent) if pulled.guess is None else pulled.guess
            return [guess, *tree_leaves(pulled.inputs)]

        return Equilibrium(
            z_star=with_pullback(solution.z, pullback, z0, *tree_leaves((params, u))),
            u0=z0,
            residual=solution.residual,
            residual_norm=solution.residual_norm,
            status=solution.status,
            nfe=self.initial_guess.nfe + solution.nfe,
            solution=solution,
            adjoints=adjoints,
        )

    def adjoint(self) -> Sensitivity:
        """Return how the backward pass is done."""
        if self.sensitivity is not None:
            return self.sensitivity
        suited = getattr(self.solver, "adjoint", None)
        return ImplicitAdjoint() if suited is None else suited()

    def _jacobian_loss(self, params: Tree, z: Array, u: Tree, rng: np.random.Generator) -> Array:
        # Hutchinson: E ‖Jᵀv‖² = ‖J‖²_F for v ~ N(0, I) (Bai et al. 2021, arXiv:2106.14342, eq. 7), per sample and
        # per element, so that its size does not depend on the batch or on the state.
        value = static_value(z)
        v = from_host(rng.standard_normal(value.shape).astype(str(value.dtype).rpartition(".")[2]), value)
        _, pull = vjp(lambda state: self.cell.step(params, state, u), z)
        (product,) = pull(v)
        return ops.mean(ops.multiply(product, product))
