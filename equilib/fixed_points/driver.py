"""The only loop over the steps of a solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.arrays import Array, put_rows, take_rows, where_samples
from equilib.fixed_points.boundary import copied
from equilib.fixed_points.compaction import SharedStateError, put_samples, restricted_state
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.picard import State
from equilib.fixed_points.returned import check_returned
from equilib.fixed_points.solution import Solution, Status
from equilib.fixed_points.solver import Solver, SolverState, WholeSolver
from equilib.fixed_points.stopping import Monitor

RENEWALS = 4
"""Calls of a method with its own loop, at most: each is asked for a smaller residual than the one before."""


def iterate(f: Evaluator, solver: Solver | WholeSolver, z0: Array) -> Solution:
    """Take step after step until every active sample has ended, whatever `on_failure` says.

    The other samples count as converged from the start; `f` keeps the counts of earlier solves.
    """
    options = f.options
    stepper: Any = solver
    # To ask for a protocol takes ten times longer than to ask for a name.
    if hasattr(solver, "run") and isinstance(solver, WholeSolver):
        stepper = _OneStep(solver, options.max_steps)
    # Overflow and invalid operations are what the monitor looks for.
    with np.errstate(all="ignore"):
        run = _Run(f, stepper, z0)
        monitor = run.monitor
        for number in range(options.max_steps):
            if isinstance(stepper, _OneStep) and number:
                # It goes on from where its residual was small enough, but not for what it says about the distance.
                monitor.finish(monitor.active & ~monitor.test.near if number < RENEWALS else monitor.active)
            if not monitor.running:
                break
            run.advance()
        z, residual, state = run.put_together()
    if monitor.running:
        monitor.finish(monitor.active)
    return Solution(
        z0=z0,
        z=copied(z) if _shared(z, z0) else z,
        residual=residual,
        status=tuple(monitor.status),
        residual_norm=np.where(np.isfinite(monitor.best), monitor.best, monitor.trace[0]),
        steps=monitor.steps,
        **vars(f.counts),
        trace=np.array(monitor.trace),
        solver=str(solver),
        options=options,
        state=state,
        attempt=np.zeros(len(monitor.status), dtype=int),
    )


def _shared(z: Array, z0: Array) -> bool:
    """Tell whether z is the caller's array, as a guess is that needs no step: who changes one would change both."""
    return z is z0 or (type(z) is np.ndarray and np.may_share_memory(z, z0))


@dataclass(frozen=True)
class _OneStep:
    """A method with its own loop, as a solver that takes one long step."""

    solver: WholeSolver
    max_steps: int

    restrict = None  # it knows which samples are active

    def init(self, f: Evaluator, z0: Array) -> State:
        return State(z0, f.residual(z0))

    def step(self, f: Evaluator, state: State) -> SolverState:
        return self.solver.run(f, state.z, self.max_steps)


@dataclass(frozen=True)
class _SetAside:
    """What was put aside when samples were removed: best iterates and residuals, the state, and which ones went on."""

    z: Array
    residual: Array
    state: SolverState
    rows: np.ndarray


class _Run:
    """The samples that f is evaluated on, how far they have come, and what was put aside."""

    def __init__(self, f: Evaluator, solver: Solver, z0: Array) -> None:
        self.f, self.solver = f, solver
        self._blamed = solver.solver if isinstance(solver, _OneStep) else solver
        # A method, not a closure over this run: a circle would keep the solver's arrays until they are collected.
        self.monitor = Monitor(f.options, z0.shape[0], f.active, None if f.affine else f.residual, f.coarse)
        self.rows, self.left = np.arange(z0.shape[0]), z0.shape[0]
        self.aside: list[_SetAside] = []
        self.restrict = getattr(solver, "restrict", restricted_state)
        self.share = f.options.compact if f.restrictable and self.restrict is not None else 0.0
        self.state = solver.init(f, z0)
        check_returned(self._blamed, self.state, z0)
        self.z, self.residual = self.state.z, self.state.residual
        self.monitor.observe(self.state, self.rows)

    def _announce(self) -> None:
        monitor, f = self.monitor, self.f
        told = [monitor.active, monitor.tolerance, monitor.test.scale, monitor.test.strictness]
        if len(self.rows) < len(monitor.active):
            told = [each[self.rows] for each in told]
        f.active, f.tolerance, f.scale, f.strictness = told

    def advance(self) -> None:
        """Take a step without the samples that have finished, where they may leave the batch."""
        try:
            self.remove_finished()
            self.step()
        except Exception as error:
            if self.left < len(self.monitor.active):
                error.add_note(
                    f"{self.left} of {len(self.monitor.active)} samples are left in the batch, as batched_inputs "
                    "allows; if f needs all of them, as batch statistics do, solve with compact=0"
                )
            raise

    def step(self) -> None:
        self._announce()
        if self.f.closing:
            self.f.ended = self.z if self.monitor.ending else None
        self.state = self.solver.step(self.f, self.state)
        check_returned(self._blamed, self.state, self.z)
        improved = self.monitor.observe(self.state, self.rows)
        if getattr(self.state, "coupled", False):
            self.monitor.couple()
            improved = np.ones_like(improved)
        if hasattr(self.state, "lost"):  # given up where something is not finite
            lost = self.rows[self.state.lost]
            self.monitor.status[lost[self.monitor.status[lost] == Status.STALLED]] = Status.NONFINITE
        if np.count_nonzero(improved) == len(improved):
            self.z, self.residual = self.state.z, self.state.residual
        else:
            self.z = where_samples(improved, self.state.z, self.z)
            self.residual = where_samples(improved, self.state.residual, self.residual)

    def remove_finished(self) -> None:
        """Go on without the finished samples where the others are few enough for that to pay."""
        running = self.monitor.running
        if running > self.share * len(self.rows) or running == len(self.rows):
            return
        kept = np.flatnonzero(self.monitor.active[self.rows])
        self._announce()
        part, self.left = self.f.restricted(kept), len(kept)
        try:
            state = self.restrict(part, self.state, kept)
        except SharedStateError:
            self.share, self.left = 0.0, len(self.rows)  # nobody has said what of the state is whose: all stay
            return
        self.aside.append(_SetAside(self.z, self.residual, self.state, kept))
        self.f, self.rows, self.state = part, self.rows[kept], state
        if self.monitor.test.evaluate is not None:
            self.monitor.test.evaluate = part.residual
        self.z, self.residual = take_rows(self.z, kept), take_rows(self.residual, kept)

    def put_together(self) -> tuple[Array, Array, SolverState]:
        """Return the best iterates, their residuals and the state, of all samples."""
        z, residual, state = self.z, self.residual, self.state
        for each in reversed(self.aside):
            z, residual = put_rows(each.z, z, each.rows), put_rows(each.residual, residual, each.rows)
            state = put_samples(each.state, state, each.rows, batch=each.z.shape[0])
        return z, residual, state
