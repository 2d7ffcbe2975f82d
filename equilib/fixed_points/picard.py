"""Picard iteration: the reference solver, and the one to read before writing another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array
from equilib.fixed_points.compaction import restricted_state
from equilib.fixed_points.problem import FixedPointProblem
from equilib.options import check_options, option


@dataclass(frozen=True)
class State:
    """An iterate and its residual f(z) − z: all that a method without memory needs."""

    z: Array
    residual: Array


@dataclass(frozen=True)
class Picard:
    """Damped Picard iteration, z ← z + (1 − damping)·(f(z) − z).

    Converges where the spectral radius of damping·I + (1 − damping)·J is below one.

    Raises
    ------
    ValueError
        If `damping` is out of its range; at 1 nothing would move.
    """

    damping: float = option(0.0, help="share of the old iterate that is kept", minimum=0.0, exclusive_maximum=1.0)

    def __post_init__(self) -> None:
        check_options(self)

    def init(self, problem: FixedPointProblem, z0: Array) -> State:
        """Evaluate the initial guess."""
        return State(z0, problem.residual(z0))

    def step(self, problem: FixedPointProblem, state: State) -> State:
        """Return the next iterate."""
        z = state.z + ((1 - self.damping) * state.residual if self.damping else state.residual)
        return State(z, problem.residual(z))

    def restrict(self, problem: FixedPointProblem, state: State, rows: np.ndarray) -> State:
        """Return the state of the samples `rows` only."""
        return restricted_state(problem, state, rows)
