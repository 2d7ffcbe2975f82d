"""Stopping tests of a solve: the bookkeeping of each sample, on the host."""

from __future__ import annotations

import numpy as np

from equilib.fixed_points.coarse import CoarseEvaluations
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.slope import Evaluate
from equilib.fixed_points.solution import GROWTH, Status
from equilib.fixed_points.solver import SolverState
from equilib.fixed_points.tolerance import WHOLE, Tolerance

PROGRESS = 0.99
"""Share of the residual that must be gone within `stagnation` steps. At less than 1 % in so many, a factor of ten would
take 230 times as many: nobody waits for that. The comparison is with the residual at the last progress, so that a solve
that creeps by less than 1 % a step, but steadily, is none."""

DRIFT = 100.0
"""Growth of z over the scale of the solve, with a residual that has hardly fallen, that is called divergence when the
steps are used up."""


class Monitor:
    """Watches the states of one solve and decides for each sample when, and how, it ends.

    Parameters
    ----------
    options : SolveOptions
    batch : int
    active : ndarray of bool, shape (batch,), optional
        The samples to be watched, by default all; the others count as converged.
    evaluate : callable, optional
        z ↦ f(z) − z, as for `Tolerance`.
    coarse : CoarseEvaluations, optional
        What is known of evaluations that are rounded more than those to come.

    Attributes
    ----------
    status : ndarray of Status, shape (batch,)
    active : ndarray of bool, shape (batch,)
        Samples that have not ended.
    running : int
        Their number.
    tolerance : ndarray, shape (batch,)
        The residual norm that would have been enough at the last state.
    best : ndarray, shape (batch,)
        Smallest residual norm of an iterate so far; inf before there is one.
    steps : ndarray of int, shape (batch,)
        Those of the samples that have ended.
    trace : list of ndarray, shape (batch,)
    """

    def __init__(
        self,
        options: SolveOptions,
        batch: int,
        active: np.ndarray | None = None,
        evaluate: Evaluate | None = None,
        coarse: CoarseEvaluations | None = None,
    ) -> None:
        self._options, self._coarse, self._counted = options, coarse, 0 if coarse is None else coarse.number
        self._begins_anew = coarse is not None
        self.test = Tolerance(options, batch, evaluate)
        self.active = np.ones(batch, dtype=bool) if active is None else active
        self.running = int(np.count_nonzero(self.active))
        self.status = np.full(batch, Status.CONVERGED, dtype=object)
        self.status[self.active] = Status.RUNNING
        self.tolerance, self._size = np.zeros(batch), np.zeros(batch)
        self.best = np.full(batch, np.inf)
        self.steps = np.zeros(batch, dtype=int)
        self.trace: list[np.ndarray] = []
        self._progress = np.full(batch, np.inf)
        self._paused = np.zeros(batch, dtype=int)

    def observe(self, state: SolverState, rows: np.ndarray | None = None) -> np.ndarray:
        """Take note of a state; return which of its samples it improves: bool, shape (len(rows),).

        What is not finite gets a status: NumPy's warnings about it are the caller's to switch off.

        Parameters
        ----------
        rows : ndarray of int, optional
            The samples that the state is of, by default all; those that are active must be among them.

        Raises
        ------
        ValueError
            If the norm is none.
        """
        if self._begins_anew:
            self.test.forget()
        which = WHOLE if rows is None or len(rows) == len(self.active) else rows
        active = self.active[which]
        residual, size, tolerance, met = self.test.measure(state.z, state.residual, which, active, self.running)
        failed = getattr(state, "failed", None)
        if isinstance(which, np.ndarray):
            last = self.trace[-1] if self.trace else np.full(len(self.active), np.inf)
            residual, size = _with_rows(last, which, residual), _with_rows(self._size, which, size)
            tolerance = _with_rows(self.tolerance, which, tolerance)
            none = np.zeros_like(self.active)
            met = None if met is None else _with_rows(none, which, met)
            failed = None if failed is None else _with_rows(none, which, failed)
        self._size, self.tolerance = size, tolerance
        if self.running < len(residual) and self.trace:
            residual = np.where(self.active, residual, self.trace[-1])
        self.trace.append(residual)
        if self._coarse is not None and self._begins_anew:
            self._begin_anew(residual, self._coarse)
        improved = self._judge(residual, met)
        self._stall(failed)
        return improved[which]

    def _begin_anew(self, residual: np.ndarray, coarse: CoarseEvaluations) -> None:
        """Compare residuals, shape (batch,), with none before them, and see whether the next ones may be with these."""
        held = self.active & np.isfinite(residual)
        self.best, self._progress = (np.where(held, np.inf, each) for each in (self.best, self._progress))
        self._begins_anew = coarse.number > self._counted or not coarse.over
        self._counted = coarse.number

    @property
    def ending(self) -> bool:
        """Whether every active sample ends with the next state, if its residual falls as it did to the last one."""
        if len(self.trace) < 2:
            return False
        before, last = self.trace[-2:]
        return bool(np.all((last * last <= self.tolerance * before)[self.active]))

    def _judge(self, residual: np.ndarray, met: np.ndarray | None) -> np.ndarray:
        """Give the samples that end here their status; return which of all samples are improved."""
        improved = residual < self.best
        if met is None and self.running == len(improved):
            self.best = np.minimum(residual, self.best)
            return improved
        active, improved = self.active, self.active & improved
        if met is not None:
            if np.count_nonzero(residual < 0):
                least = np.nanmin(residual)
                raise ValueError(f"norm must return numbers of at least zero, of f(z) − z it returned {least:.3g}")
            # Not a number is neither more nor less.
            going = active & ~met & (residual <= self.test.largest) & (self._size <= GROWTH * self.test.scale)
            if np.count_nonzero(going) < self.running:
                improved = self._end(active & ~going, residual, met, improved)
        self.best = np.where(improved, residual, self.best)
        return improved

    def _end(self, ended: np.ndarray, residual: np.ndarray, met: np.ndarray, improved: np.ndarray) -> np.ndarray:
        """Give the samples that end their status, others among them go on; return which of all are improved."""
        first = self.trace[0]
        finite = np.isfinite(residual) & np.isfinite(self._size)
        converged = ended & finite & met
        # Far from where the solve began only a residual that has not fallen is the end.
        ended = ended & ~(finite & ~met & (residual <= np.fmin(self.test.largest, first / 2)))
        grown = (self.trace[-2] if len(self.trace) > 1 else first) > GROWTH * first
        self.status[ended] = Status.DIVERGED
        self.status[ended & ~finite & ~grown] = Status.NONFINITE
        self.status[converged] = Status.CONVERGED
        self._leave(ended)
        return np.asarray(improved & finite | converged)

    def _leave(self, ended: np.ndarray) -> None:
        self.steps[ended] = len(self.trace) - 1
        self.active = self.active & ~ended
        self.running = int(np.count_nonzero(self.active))

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
            failed = self.active & failed
            self.status[failed] = Status.STALLED
            self._leave(failed)

    def couple(self) -> None:
        """End all samples at the last state, those that had converged as well, because they depend on each other."""
        self.status[(self.status == Status.RUNNING) | (self.status == Status.CONVERGED)] = Status.COUPLED
        self.best = self.trace[-1]
        self._leave(self.active)

    def finish(self, samples: np.ndarray) -> None:
        """End some active samples, ndarray of bool, shape (batch,), because the steps are used up."""
        first = self.trace[0]
        grown = self.trace[-1] > GROWTH * first
        drifted = (self._size > DRIFT * self.test.scale) & (self.best > first / 10)
        self.status[samples] = Status.MAX_STEPS
        self.status[samples & (grown | drifted)] = Status.DIVERGED
        self._leave(samples)


def judged(options: SolveOptions, state: SolverState) -> tuple[tuple[Status, ...], np.ndarray]:
    """Return the statuses of the samples of a state that no step follows, and its residual norms, shape (batch,)."""
    monitor = Monitor(options, state.z.shape[0])
    with np.errstate(all="ignore"):
        monitor.observe(state)
    monitor.finish(monitor.active)
    return tuple(monitor.status), monitor.trace[0]


def _with_rows(whole: np.ndarray, rows: np.ndarray, part: np.ndarray) -> np.ndarray:
    changed = whole.copy()
    changed[rows] = part
    return changed
