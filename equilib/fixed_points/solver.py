"""The protocol of a solver: a state, its first guess, and a step."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from equilib.arrays import Array
from equilib.fixed_points.evaluator import Evaluator


class SolverState(Protocol):
    """**Protocol:** where a solver stands.

    `residual` is f(z) − z. A state may also have `failed`, an ndarray of bool, shape (batch,): samples for which the
    solver knows no further step; they end as `Status.STALLED`.
    """

    @property
    def z(self) -> Array:
        """The iterate, shape (batch, ...)."""

    @property
    def residual(self) -> Array:
        """f(z) − z, shape (batch, ...)."""


class Solver(Protocol):
    """**Protocol:** one iterative method for z = f(z).

    1. Be a frozen dataclass; its fields are its options, which the command line lists, parses and validates.
    2. `init` and `step` return a state with the iterate `z` and its residual f(z) − z.
    3. Use the map and its derivatives only through `f`, an `Evaluator`, so that the counts are right.
    4. Do one step at a time: `solve` owns the loop, the tolerance, NaN checks and the best iterate.
    5. Keep nothing on `self` and change no array in place; a state may hold whatever the next step needs.
    6. Use only the array namespace of z. Axis 0 is the batch: treat samples separately, or declare in the
       plugin's capabilities that samples are coupled.
    7. Work on finished samples (`f.active` is false) is wasted, and must not hurt the others.

    A solver may have three more methods:

    - `adjoint() -> Sensitivity`: the sensitivity that suits it.
    - `restrict(f, state, rows) -> state`: its state with the samples `rows`, an ndarray of int, only, where `f` is the
      evaluator of these samples. So f is evaluated on the unfinished samples alone once they are few. Without it,
      `equilib.fixed_points.compaction.restricted_state` takes the rows of every array in the state. When the solve
      ends, the two states are put together again by `equilib.fixed_points.compaction.put_samples`. A solver in whose
      state the samples share something sets `restrict = None`: then all of them stay.
    - `require_size(size)`: raises UserError for samples of more elements than it takes. It is asked before f is
      evaluated, of fallbacks as well, and before training.
    """

    def init(self, f: Evaluator, z0: Array) -> SolverState:
        """Evaluate the initial guess, shape (batch, ...)."""

    def step(self, f: Evaluator, state: Any) -> SolverState:
        """Return the next state."""


@runtime_checkable
class WholeSolver(Protocol):
    """**Protocol:** a method that comes with its own loop, such as one of SciPy's.

    Obligations 1, 3, 5 and 6 of `Solver` hold. The driver tests the state that is returned, so its residual must
    be that of its z.
    """

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> SolverState:
        """Iterate from z0 until the residual meets `f.tolerance_at(z, residual)`, at most `max_steps` steps."""
