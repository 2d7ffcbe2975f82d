"""The three contracts that equilib is made of: Layer, Solver, Sensitivity.

They are structural: a class satisfies one by having its methods, there is nothing to inherit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from equilib.arrays import Array
from equilib.trees import Tree

if TYPE_CHECKING:
    from equilib.problem import FixedPointProblem
    from equilib.solution import Solution


@runtime_checkable
class Layer(Protocol):
    """**Protocol:** a pure function of parameters and an array.

    1. Be immutable: the parameters are a tree of arrays that the caller keeps.
    2. `init` draws float32 NumPy arrays from `rng` and from nothing else; {} where there are no parameters.
    3. `__call__` uses operations of `equilib.ops` only, so that it runs, and differentiates, on every array library.
    4. Axis 0 is the batch, images are channels last; no sample influences another.
    """

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters."""

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layer."""


class SolverState(Protocol):
    """**Protocol:** where a solver stands.

    `residual` is f(z) − z. A state may also have `failed`, an ndarray of bool, shape (batch,): samples for which the
    solver knows no further step; they end as `Status.STALLED`.
    """

    @property
    def z(self) -> Array:
        """The iterate."""

    @property
    def residual(self) -> Array:
        """f(z) − z."""


class Solver(Protocol):
    """**Protocol:** one iterative method for z = f(z).

    1. Be a frozen dataclass; its fields are its options, which the command line lists, parses and validates.
    2. `init` and `step` return a state with the iterate `z` and its residual f(z) − z.
    3. Use f and its derivatives only through `problem`, so that the counts are right.
    4. Do one step at a time: `solve` owns the loop, the tolerance, NaN checks and the best iterate.
    5. Keep nothing on `self` and change no array in place; a state may hold whatever the next step needs.
    6. Use only the array namespace of z. Axis 0 is the batch: treat samples separately, or declare in the
       plugin's capabilities that samples are coupled.
    7. Work on finished samples (`problem.active` is false) is wasted, and must not hurt the others.

    A solver may have two more methods:

    - `adjoint() -> Sensitivity`: the sensitivity that suits it.
    - `restrict(problem, state, rows) -> state`: its state with the samples `rows`, an ndarray of int, only, where
      `problem` is that of these samples. With it, f is evaluated on the unfinished samples alone once they are few.
      Mostly it is `equilib.compaction.restricted_state(problem, state, rows)`. When the solve ends, the arrays of the
      two states are put together again by `equilib.compaction.put_samples`.
    """

    def init(self, problem: FixedPointProblem, z0: Array) -> SolverState:
        """Evaluate the initial guess."""

    def step(self, problem: FixedPointProblem, state: Any) -> SolverState:
        """Return the next state."""


@runtime_checkable
class WholeSolver(Protocol):
    """**Protocol:** a method that comes with its own loop, such as one of SciPy's.

    Obligations 1, 3, 5 and 6 of `Solver` hold. The driver tests the state that is returned, so its residual must
    be that of its z.
    """

    def run(self, problem: FixedPointProblem, z0: Array, max_steps: int) -> SolverState:
        """Iterate from z0 until the residual meets `problem.tolerance_at(‖z‖)`, at most `max_steps` steps."""


class LinearSolver(Protocol):
    """**Protocol:** solve A x = b for each sample, with A given by its products only.

    1. Be a frozen dataclass; its fields are its options.
    2. Reduce ‖b − A x‖ of sample i to `rtol[i]`·‖b‖, or do your best and return.
    3. Return zeros for samples that are not `active`, whatever b holds there.
    """

    def solve(self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Return x, of the shape and dtype of b, starting from x = 0.

        Parameters
        ----------
        matvec : callable
            v ↦ A v, of the shape of b.
        b : array, shape (batch, ...)
        rtol : ndarray, shape (batch,)
        active : ndarray of bool, shape (batch,)
            Samples that are to be solved.

        Returns
        -------
        array, shape (batch, ...)
            x, with zeros for samples that are not active or whose b is zero or not finite.
        """


class MatVec(Protocol):
    """**Protocol:** a linear map that takes and returns arrays of one shape, sample by sample."""

    def __call__(self, v: Array, /) -> Array:
        """Return A v."""


@dataclass(frozen=True, kw_only=True)
class Pullback:
    """What a sensitivity returns.

    Attributes
    ----------
    inputs : tuple of trees
        The cotangents of `problem.inputs`.
    guess : array or None
        The cotangent of the initial guess; None where the result does not depend on it.
    adjoint : Solution or None
        The solve of the adjoint equation, with its own statuses and counts; None where nothing is solved.
    """

    inputs: tuple[Tree, ...]
    guess: Array | None = None
    adjoint: Solution | None = None


class Sensitivity(Protocol):
    """**Protocol:** turn the cotangent of a fixed point into cotangents of what it depends on.

    1. Be a frozen dataclass; its fields are its options.
    2. Use f and its derivatives only through `problem`.
    3. `solution` is the forward solve: its `state` may be reused, its `options` are the default tolerances.
    4. Report a solve of your own in `Pullback.adjoint`; never raise because it did not converge.

    A sensitivity that solves w = Jᵀ w + g may have a field `guess: Array | None = None`, excluded from comparison and
    `repr`: where to start. A model puts there the `adjoint_guess` of its call.
    """

    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Pullback:
        """Return the cotangents of `problem.inputs` for `cotangent` of `solution.z`."""
