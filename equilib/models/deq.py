"""The deep equilibrium layer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from equilib import ops
from equilib.adjoints.calculus.differentiable import differentiable_solve
from equilib.adjoints.equilibrium import Equilibrium
from equilib.adjoints.fixed_point import chosen_adjoint
from equilib.adjoints.linearizations import LastLinearization
from equilib.adjoints.sensitivity import Sensitivity
from equilib.arrays import Array, Tree, check_like, from_host, rows_like, to_host, two_norm
from equilib.autodiff import static_value, stop_gradient, vjp
from equilib.fixed_points.arguments import check_samples
from equilib.fixed_points.boundary import checked, copied, read_only
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.packing import packed, packing_of
from equilib.fixed_points.picard import State
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solve import resolved_fallback
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.fixed_points.stopping import judged
from equilib.layers.pass_constants import with_draws
from equilib.models.cell import Cell
from equilib.models.checkpointed import iterate
from equilib.models.fitting_state import check_fitting
from equilib.models.initial_guess import InitialGuess, ZeroGuess
from equilib.models.packed_cell import PackedCell
from equilib.models.random_cell import for_pass, joins
from equilib.models.regularizers import mean_square
from equilib.models.sick_samples import by_sample
from equilib.options import Checked, option
from equilib.options.kinds import check_kind, check_params, check_type
from equilib.options.named import FIXED_POINT, resolved

if TYPE_CHECKING:
    from equilib.diagnostics.gradient_report import GradientCheck


@dataclass(frozen=True)
class DeepEquilibrium(Checked):
    """z* = f(z*, x): the output is a fixed point of the cell (Bai et al. 2019, arXiv:1909.01377).

    Parameters
    ----------
    cell : Cell
    solver : str, Solver or WholeSolver
        A name as on the command line, such as "anderson:memory=5", or an object.
    initial_guess : InitialGuess
    sensitivity : str or Sensitivity, optional
        How the backward pass is done; by default what suits the solver, else `ImplicitAdjoint()`.
    options : SolveOptions
        Tolerances of the solve, and the policy about samples that do not converge in it or in its adjoint equation.
    fixed_depth : int
        If positive, iterate z ← f(z, x) that many times instead, and differentiate through the iterations.
    checkpoints : int, optional
        How many iterates of a fixed depth are kept in memory; the backward pass evaluates the others again. By default
        all that every iteration computes is kept, which also gives second derivatives.
    jacobian_loss : bool
        Whether to estimate ‖J‖²_F at the fixed point in calls with `rng`.
    residual_loss : bool
        Whether to evaluate f once more at the fixed point, so that a loss may use the residual. There z is a constant,
        since the derivative of f(z*) − z* along an exact z*(θ) is zero; after a fixed depth it is not.
    fallback : tuple of Solver or WholeSolver
        They solve, one after another, the samples that have not converged. The adjoint is the solver's.
    gradient_of : str
        Whose z the backward pass follows: "all" samples', or those of the "converged" alone, as if the loss did not
        depend on the others' z.

    Raises
    ------
    ValueError
        If `fixed_depth` is negative, `checkpoints` is not positive or `gradient_of` is something else.
    TypeError
        If a part is not what it must be, such as a class or a name in place of an object.
    """

    cell: Cell
    solver: str | Solver | WholeSolver
    initial_guess: InitialGuess = field(default_factory=ZeroGuess)
    sensitivity: str | Sensitivity[Solution] | None = None
    options: SolveOptions = field(default_factory=SolveOptions)
    fixed_depth: int = option(0, help="iterate so many times instead", minimum=0)
    checkpoints: int | None = option(None, help="keep so many iterates of a fixed depth", minimum=1)
    jacobian_loss: bool = False
    residual_loss: bool = False
    fallback: tuple[str | Solver | WholeSolver, ...] = ()
    gradient_of: str = option("all", help="follow the z of these samples", choices=("all", "converged"))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kind(self.cell, "cell", "cell")
        check_kind(self.initial_guess, "initial_guess", "initial guess")
        self.__dict__["solver"] = resolved(self.solver, "solver", "solver")
        self.__dict__["fallback"] = resolved_fallback(self.fallback)
        if self.sensitivity is not None:
            sensitivity = resolved(self.sensitivity, "sensitivity", "sensitivity", solves=FIXED_POINT)
            self.__dict__["sensitivity"] = sensitivity
        check_type(self.options, "options", SolveOptions)

    def unrolled(self, depth: int, *, checkpoints: int | None = None) -> DeepEquilibrium:
        """Return the same model with a fixed depth, of which `checkpoints` iterates are kept in memory."""
        return replace(self, fixed_depth=depth, checkpoints=checkpoints)

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the cell and of the initial guess."""
        return {"cell": self.cell.init(rng), "initial_guess": self.initial_guess.init(rng)}

    def __call__(
        self,
        params: Tree,
        x: Array,
        *,
        rng: np.random.Generator | None = None,
        guess: Array | None = None,
        start: Array | None = None,
        adjoint_guess: Array | None = None,
    ) -> Equilibrium:
        """Find the fixed point for each sample of x.

        Parameters
        ----------
        params : tree of arrays
        x : array, shape (batch, ...)
        rng : Generator, optional
            Of dropout and of the estimate of the Jacobian's norm, which are for training: without it, neither.
        guess : array like z, optional
            Where to start instead of at the model's own initial guess, which then is not evaluated: a constant, such
            as the `z` of an earlier pass.
        start : array like z, optional
            Where the solve starts, a constant, while `z0` stays the initial guess, so that the loss and its gradient
            are those of a solve from there. Samples in which it is not finite start at the initial guess.
        adjoint_guess : array like z, optional
            Where the adjoint equation starts: the w of an earlier pass, its `adjoints[0].z`.

        Raises
        ------
        ConvergenceError
            If the options say so and some sample did not converge.
        ValueError
            If a guess or the start is not an array like the fixed point, if there is an adjoint guess where the adjoint
            cannot start from one, or a start of a fixed depth, whose result depends on it.
        """
        check_params(params, "cell", "initial_guess")
        check_samples(x)
        if rng is not None:
            check_kind(rng, "rng", "random generator")
        x = read_only(x)
        cell, own = for_pass(self.cell, params["cell"], x, rng)
        if cell is not self.cell:
            drawn = replace(self, cell=cell)
            return drawn({**params, "cell": own}, x, rng=rng, guess=guess, start=start, adjoint_guess=adjoint_guess)
        guess_params = None if guess is not None else with_draws(self.initial_guess, params["initial_guess"], x, rng)

        def begin(x: Array) -> tuple[Tree, Array | None]:
            u = read_only(cell.inject(own, x))
            return u, None if guess is not None else self.initial_guess(guess_params, cell, own, x, u)

        u, z0 = read_only(by_sample(begin, x))
        like = z0 if guess is None else cell.zeros(own, u)
        check_fitting(own, x, like)
        packing, several = packing_of(like, "z0"), joins(cell)
        split = packing.unpack if packing is not None else None if several is None else several.split
        deq = self if packing is None else replace(self, cell=PackedCell(cell, packing))
        z0, guess, start, adjoint_guess = (packed(packing, each) for each in (z0, guess, start, adjoint_guess))
        return replace(deq._from(own, u, z0, rng, guess, start, adjoint_guess), split=split)

    def _from(
        self,
        params: Tree,
        u: Tree,
        z0: Array | None,
        rng: np.random.Generator | None,
        guess: Array | None,
        start: Array | None,
        adjoint_guess: Array | None,
    ) -> Equilibrium:
        """Return the record of a pass from z0, shape (batch, ...), or a guess, by the cell's own parameters."""
        cost = self.initial_guess.nfe
        if guess is not None:
            z0, cost = check_like(static_value(self.cell.zeros(params, u)), stop_gradient(guess), "the guess"), 0
        known = None if adjoint_guess is None else self._known_adjoint(adjoint_guess, z0)
        first = z0 if start is None else self._warm_start(start, z0)
        found = self._iterate(params, first, u) if self.fixed_depth else self._solve(params, first, u, known)
        z, draws = found.z, rng if self.jacobian_loss else None
        return replace(
            found,
            z0=z0,
            nfe=found.nfe + cost + self.residual_loss,
            residual_loss=self._residual_loss(params, z, u) if self.residual_loss else None,
            jacobian_loss=None if draws is None else self._jacobian_loss(params, z, u, draws),
        )

    def check_gradient(
        self, params: Tree, x: Array, *, directions: int = 4, rng: np.random.Generator | None = None
    ) -> GradientCheck:
        """Compare the gradient at x, shape (batch, ...), with finite differences and with the converged implicit one.

        It is `equilib.diagnostics.check_gradient`, which also says what it raises.
        """
        # Deferred: nothing else here needs it.
        from equilib.diagnostics.gradient_check import check_gradient

        return check_gradient(self, params, x, directions=directions, rng=rng)

    @np.errstate(all="ignore")  # what is not finite gets a status
    def _iterate(self, params: Tree, z0: Array, u: Tree) -> Equilibrium:
        def iterates(start: tuple[Array, Tree]) -> tuple[Array, Array]:
            z, u = start
            if self.checkpoints is not None:
                return iterate(self._problem(params, u), z, self.fixed_depth, self.checkpoints, params, u)
            for _ in range(self.fixed_depth):
                previous, z = z, copied(self.cell.step(params, read_only(z), u))
                checked(static_value(z), static_value(previous))
            return previous, z

        previous, z = by_sample(iterates, (z0, u))
        last = static_value(z)
        residual = last - static_value(previous)
        status, norm = judged(self.options, State(last, residual))
        return Equilibrium(
            z=z,
            z0=z0,
            residual=residual,
            residual_norm=norm,
            status=status,
            nfe=self.fixed_depth,
        )

    def _problem(self, params: Tree, u: Tree) -> FixedPointProblem:
        return FixedPointProblem(
            lambda z, params, u: self.cell.step(params, z, u),
            stop_gradient(params),
            stop_gradient(u),
            linearize=LastLinearization(),
            batched_inputs=(False, True),
        )

    def _solve(self, params: Tree, z0: Array, u: Tree, guess: Array | None) -> Equilibrium:
        return differentiable_solve(
            self._problem(params, u),
            self.solver,
            z0,
            (params, u),
            self.options,
            self.adjoint(),
            fallback=self.fallback,
            gradient_of=self.gradient_of,
            guess=guess,
        )

    def loosened(self, factor: float) -> DeepEquilibrium:
        """Return the same model with tolerances `factor` times as large."""
        options = self.options
        return replace(self, options=replace(options, rtol=factor * options.rtol, atol=factor * options.atol))

    def warm_starts(self) -> tuple[str, ...]:
        """Return which of `start` and `adjoint_guess` a call can be given."""
        if self.fixed_depth:
            return ()
        return ("start", "adjoint_guess") if self.adjoint().needs.guess else ("start",)

    def adjoint(self) -> Sensitivity[Solution]:
        """Return how the backward pass is done."""
        return chosen_adjoint(self.sensitivity, self.solver)

    def _warm_start(self, start: Array, z0: Array) -> Array:
        if self.fixed_depth:
            raise ValueError("the result of a fixed depth depends on where it starts; give a guess, not a start")
        known = check_like(static_value(z0), stop_gradient(start), "the start")
        with np.errstate(all="ignore"):
            finite = np.isfinite(to_host(two_norm(known)))
        # Not left out where all are finite: a guess of the model that the loss does not use has the gradient zero.
        return ops.where(rows_like(from_host(finite, known), known), known, z0)

    def _known_adjoint(self, guess: Array, z0: Array) -> Array:
        if self.fixed_depth:
            raise ValueError("a model with a fixed depth solves no adjoint equation; leave out adjoint_guess")
        if not self.adjoint().needs.guess:
            raise ValueError(f"the adjoint {self.adjoint()} cannot start from a guess; leave out adjoint_guess")
        return check_like(static_value(z0), stop_gradient(guess), "the adjoint guess")

    def _residual_loss(self, params: Tree, z: Array, u: Tree) -> Array:
        z = z if self.fixed_depth else static_value(z)
        residual = ops.subtract(self.cell.step(params, z, u), z)
        return mean_square(residual)

    def _jacobian_loss(self, params: Tree, z: Array, u: Tree, rng: np.random.Generator) -> Array:
        # Hutchinson: E ‖Jᵀv‖² = ‖J‖²_F for v ~ N(0, I) (Bai et al. 2021, arXiv:2106.14342, eq. 7), per sample and
        # per element, so that its size does not depend on the batch or on the state.
        value = static_value(z)
        v = from_host(rng.standard_normal(value.shape).astype(str(value.dtype).rpartition(".")[2]), value)
        _, pull = vjp(lambda state: self.cell.step(params, state, u), z)
        (product,) = pull(v)
        return mean_square(product)
