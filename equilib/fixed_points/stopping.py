"""Stopping tests of a solve: the bookkeeping of each sample, on the host."""

from __future__ import annotations

import numpy as np

from equilib.arrays import to_host_together
from equilib.fixed_points.options import NORMS, SolveOptions
from equilib.fixed_points.solution import Status
from equilib.fixed_points.solver import SolverState

PROGRESS = 0.99
"""Share of the residual that must be gone within `stagnation` steps. At less than 1 % in so many, a factor of ten would
take 230 times as many: nobody waits for that. The comparison is with the residual at the last progress, so that a solve
that creeps by less than 1 % a step, but steadily, is none."""


class Monitor:
    """Watches the states of one solve and decides for each sample when, and how, it ends.

    Parameters
    ----------
    options : SolveOptions
    batch : int
    active : ndarray of bool, shape (batch,), optional
        The samples to be watched, by default all; the others count as converged.

    Attributes
    ----------
    status : ndarray of Status, shape (batch,)
    active : ndarray of bool, shape (batch,)
        Samples that have not ended.
    running : int
        Their number.
    tolerance : ndarray, shape (batch,)
        atol + rtol·‖z‖ at the last state.
    best : ndarray, shape (batch,)
        Smallest residual norm of an iterate so far; inf before there is one.
    steps : ndarray of int, shape (batch,)
    trace : list of ndarray, shape (batch,)
    """

    def __init__(self, options: SolveOptions, batch: int, active: np.ndarray | None = None) -> None:
        self._options = options
        self._norm = NORMS[options.norm]
        self._largest: np.ndarray | None = None
        self.active = np.ones(batch, dtype=bool) if active is None else active
        self.running = np.count_nonzero(self.active)
        self.status = np.full(batch, Status.CONVERGED, dtype=object)
        self.status[self.active] = Status.RUNNING
        self.tolerance = np.zeros(batch)
        self.best = np.full(batch, np.inf)
        self.steps = np.zeros(batch, dtype=int)
        self.trace: list[np.ndarray] = []
        self._progress = np.full(batch, np.inf)
        self._paused = np.zeros(batch, dtype=int)

    @np.errstate(all="ignore")  # what is not finite gets a status
    def observe(self, state: SolverState, rows: np.ndarray | None = None) -> np.ndarray:
        """Take note of a state; return which of its samples it improves: bool, shape (len(rows),).

        Parameters
        ----------
        rows : ndarray of int, optional
            The samples that the state is of, by default all; those that are active must be among them.
        """
        # One transfer from the device per step.
        residual, size = to_host_together(self._norm(state.residual), self._norm(state.z))
        tolerance, failed = self._options.tolerance_at(size), getattr(state, "failed", None)
        some = rows is not None and len(rows) < len(self.active)
        if some:
            before = self.trace[-1] if self.trace else np.full(len(self.active), np.inf)
            residual, tolerance = _with_rows(before, rows, residual), _with_rows(self.tolerance, rows, tolerance)
            failed = None if failed is None else _with_rows(np.zeros_like(self.active), rows, failed)
        if self._largest is None:
            # At most the largest number, so that what is infinite exceeds it.
            self._largest = np.minimum(self._options.divergence * residual, np.finfo(np.float64).max)
        else:
            self.steps += self.active
        self.tolerance = tolerance
        self.trace.append(np.where(self.active, residual, self.trace[-1]) if self.trace else residual)
        improved = self._judge(residual, tolerance, failed)
        return improved[rows] if some else improved

    def _judge(self, residual: np.ndarray, tolerance: np.ndarray, failed: np.ndarray | None) -> np.ndarray:
        """Give the samples that end here their status; return which of all samples are improved."""
        active, improved = self.active, self.active & (residual < self.best)
        # Not a number is neither more nor less.
        self.active = active & (residual > tolerance) & (residual <= self._largest)
        if np.count_nonzero(self.active) < self.running:
            ended, finite = active & ~self.active, np.isfinite(residual) & np.isfinite(tolerance)
            converged = ended & finite & (residual <= tolerance)
            improved = improved & finite | converged
            self.status[ended] = Status.DIVERGED
            self.status[ended & ~finite] = Status.NONFINITE
            self.status[converged] = Status.CONVERGED
        self.best = np.where(improved, residual, self.best)
        self._stall(failed)
        self.running = np.count_nonzero(self.active)
        return improved

    def _stall(self, failed: np.ndarray | None) -> None:
        """End what the solver has given up and, with the option, what has not come further for too many steps."""
        limit = self._options.stagnation
        if limit is not None:
            progress = self.best <= PROGRESS * self._progress
            self._progress = np.where(progress, self.best, self._progress)
            self._paused = np.where(progress, 0, self._paused + 1)
            stagnant = self._paused >= limit
            failed = stagnant if failed is None else stagnant | failed
        if failed is not None and np.count_nonzero(failed):
            self.status[self.active & failed] = Status.STALLED
            self.active = self.active & np.logical_not(failed)


def _with_rows(whole: np.ndarray, rows: np.ndarray | None, part: np.ndarray) -> np.ndarray:
    changed = whole.copy()
    changed[rows] = part
    return changed
