"""When a sample is finished, and how: the bookkeeping of one solve, on the host, sample by sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from equilib.arrays import Norm, array_namespace, max_norm, rms_norm, to_host, two_norm
from equilib.checks import check_options
from equilib.options import option
from equilib.protocols import SolverState
from equilib.solution import Status

NORMS: dict[str, Norm] = {"rms": rms_norm, "max": max_norm, "two": two_norm}


@dataclass(frozen=True, kw_only=True)
class SolveOptions:
    """When a solve ends. Sample i has converged when ‖f(z)ᵢ − zᵢ‖ ≤ atol + rtol·‖zᵢ‖.

    Raises
    ------
    ValueError
        If a value is of the wrong type or out of its range.
    """

    rtol: float = option(1e-3, help="residual relative to the size of z", minimum=0.0, exclusive_maximum=math.inf)
    atol: float = option(
        1e-12, help="residual that is enough whatever the size of z", minimum=0.0, exclusive_maximum=math.inf
    )
    max_steps: int = option(50, help="steps of the solver", minimum=0)
    norm: str = option("rms", help="norm of one sample", choices=NORMS)
    divergence: float = option(
        1e4, help="growth of the residual over its first value that counts as divergence", minimum=1.0
    )
    on_failure: str = option(
        "raise", help="what to do about samples that did not converge", choices=("raise", "warn", "record")
    )

    def __post_init__(self) -> None:
        check_options(self)

    def tolerance_at(self, size: np.ndarray) -> np.ndarray:
        """Return the residual norm that counts as converged where ‖z‖ is `size`."""
        return self.atol + self.rtol * size


class Monitor:
    """Watches the states of one solve and decides for each sample when, and how, it ends.

    Attributes
    ----------
    status : ndarray of Status, shape (batch,)
    active : ndarray of bool, shape (batch,)
        Samples that have not ended.
    tolerance : ndarray, shape (batch,)
        atol + rtol·‖z‖ at the last state.
    best : ndarray, shape (batch,)
        Smallest residual norm of an iterate so far; inf before there is one.
    steps : ndarray of int, shape (batch,)
    trace : list of ndarray, shape (batch,)
    """

    def __init__(self, options: SolveOptions, batch: int) -> None:
        self._options = options
        self._norm = NORMS[options.norm]
        self._first: np.ndarray | None = None
        self.status = np.full(batch, Status.RUNNING, dtype=object)
        self.active = np.ones(batch, dtype=bool)
        self.tolerance = np.zeros(batch)
        self.best = np.full(batch, np.inf)
        self.steps = np.zeros(batch, dtype=int)
        self.trace: list[np.ndarray] = []

    @np.errstate(all="ignore")  # what is not finite gets a status
    def observe(self, state: SolverState) -> np.ndarray:
        """Take note of a state; return which samples it improves: bool, shape (batch,)."""
        xp = array_namespace(state.z)
        # One transfer from the device per step.
        norms = to_host(xp.stack((self._norm(state.residual), self._norm(state.z)))).astype(np.float64)
        residual, size = norms
        active, self.tolerance = self.active, self._options.tolerance_at(size)
        if self._first is None:
            self._first = residual
        else:
            self.steps += active
        finite = np.isfinite(residual) & np.isfinite(self.tolerance)
        converged = active & finite & (residual <= self.tolerance)
        failed = active & np.asarray(getattr(state, "failed", False), dtype=bool)
        self.status[failed] = Status.STALLED
        self.status[active & (residual > self._options.divergence * self._first)] = Status.DIVERGED
        self.status[active & ~finite] = Status.NONFINITE
        self.status[converged] = Status.CONVERGED
        self.active = self.status == Status.RUNNING
        improved: np.ndarray = active & finite & ((residual < self.best) | converged)
        self.best = np.where(improved, residual, self.best)
        self.trace.append(np.where(active, residual, self.trace[-1] if self.trace else residual))
        return improved
