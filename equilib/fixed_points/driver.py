"""The only loop over the steps of a solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.arrays import Array, put_rows, take_rows, where_samples
from equilib.fixed_points.compaction import put_samples
from equilib.fixed_points.options import NORMS, SolveOptions
from equilib.fixed_points.picard import State
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution, Status
from equilib.fixed_points.solver import Solver, SolverState, WholeSolver
from equilib.fixed_points.stopping import Monitor


def iterate(
    problem: FixedPointProblem,
    solver: Solver | WholeSolver,
    z0: Array,
    options: SolveOptions,
    active: np.ndarray | None = None,
) -> Solution:
    """Take step after step until every sample has ended, whatever `options.on_failure` says.

    Parameters
    ----------
    active : ndarray of bool, shape (batch,), optional
        The samples to be solved, by default all; the others count as converged from the start.

    Raises
    ------
    ValueError
        If an input that the problem declares to have the batch axis does not have it.
    """
    problem.check_batch(z0.shape[0])
    problem.norm = NORMS[options.norm]
    problem.tolerance_at = options.tolerance_at
    monitor = Monitor(options, z0.shape[0], active)
    stepper: Any = solver
    # To ask for a protocol takes ten times longer than to ask for a name.
    if hasattr(solver, "run") and isinstance(solver, WholeSolver):
        stepper = _OneStep(solver, options.max_steps)
    # Overflow and invalid operations are what the monitor looks for.
    with np.errstate(all="ignore"):
        run = _Run(problem, stepper, z0, monitor, options)
        for _ in range(min(options.max_steps, 1) if isinstance(stepper, _OneStep) else options.max_steps):
            if not monitor.running:
                break
            run.remove_finished()
            run.step()
        z, residual, state = run.put_together()
    monitor.status[monitor.active] = Status.MAX_STEPS
    return Solution(
        z0=z0,
        z=z,
        residual=residual,
        status=tuple(monitor.status),
        residual_norm=np.where(np.isfinite(monitor.best), monitor.best, monitor.trace[0]),
        steps=monitor.steps,
        nfe=problem.nfe,
        njvp=problem.njvp,
        nvjp=problem.nvjp,
        sample_nfe=problem.sample_nfe,
        trace=np.stack(monitor.trace),
        solver=str(solver),
        options=options,
        state=state,
        attempt=np.zeros(len(monitor.status), dtype=int),
    )


@dataclass(frozen=True)
class _OneStep:
    """A method with its own loop, as a solver that takes one long step."""

    solver: WholeSolver
    max_steps: int

    def init(self, problem: FixedPointProblem, z0: Array) -> State:
        return State(z0, problem.residual(z0))

    def step(self, problem: FixedPointProblem, state: State) -> SolverState:
        return self.solver.run(problem, state.z, self.max_steps)


@dataclass(frozen=True)
class _Aside:
    """What was put aside when samples were removed: best iterates and residuals, the state, and which ones went on."""

    z: Array
    residual: Array
    state: SolverState
    rows: np.ndarray


class _Run:
    """The samples that f is evaluated on, how far they have come, and what was put aside."""

    def __init__(
        self, problem: FixedPointProblem, solver: Solver, z0: Array, monitor: Monitor, options: SolveOptions
    ) -> None:
        self.problem, self.solver, self.monitor = problem, solver, monitor
        self.rows = np.arange(z0.shape[0])
        self.aside: list[_Aside] = []
        removable = problem.batched_inputs is not None and hasattr(solver, "restrict")
        self.share = options.compact if removable else 0.0
        self._announce()
        self.state = solver.init(problem, z0)
        self.z, self.residual = self.state.z, self.state.residual
        monitor.observe(self.state, self.rows)

    def _announce(self) -> None:
        active, tolerance = self.monitor.active, self.monitor.tolerance
        if len(self.rows) < len(active):
            active, tolerance = active[self.rows], tolerance[self.rows]
        self.problem.active, self.problem.tolerance = active, tolerance

    def step(self) -> None:
        self._announce()
        self.state = self.solver.step(self.problem, self.state)
        improved = self.monitor.observe(self.state, self.rows)
        self.z = where_samples(improved, self.state.z, self.z)
        self.residual = where_samples(improved, self.state.residual, self.residual)

    def remove_finished(self) -> None:
        """Go on without the finished samples where the others are few enough for that to pay."""
        running = self.monitor.running
        if running > self.share * len(self.rows) or running == len(self.rows):
            return
        kept = np.flatnonzero(self.monitor.active[self.rows])
        self.aside.append(_Aside(self.z, self.residual, self.state, kept))
        self.problem, self.rows = self.problem.restricted(kept), self.rows[kept]
        self._announce()
        restrict: Any = self.solver.restrict  # type: ignore[attr-defined]  # `share` is zero without it
        self.state = restrict(self.problem, self.state, kept)
        self.z, self.residual = take_rows(self.z, kept), take_rows(self.residual, kept)

    def put_together(self) -> tuple[Array, Array, SolverState]:
        """Return the best iterates, their residuals and the state, of all samples."""
        z, residual, state = self.z, self.residual, self.state
        for each in reversed(self.aside):
            z, residual = put_rows(each.z, z, each.rows), put_rows(each.residual, residual, each.rows)
            state = put_samples(each.state, state, each.rows, batch=each.z.shape[0])
        return z, residual, state
