"""How the tests of the driver call it, and a solver whose iterates they write down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Picard, Solution, Solver, solve
from equilib.numerics.gmres import GMRES
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift
from tests.problems import KnownMap

NORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rms": lambda r: np.sqrt(np.mean(r**2, axis=1)),
    "max": lambda r: np.max(np.abs(r), axis=1),
    "two": lambda r: np.sqrt(np.sum(r**2, axis=1)),
}
SOLVERS = (Picard(), Picard(damping=0.3), NewtonGMRES(), NewtonGMRES(LibraryGMRES()))
PER_SAMPLE = (Picard(), NewtonGMRES(), NewtonGMRES(GMRES(2)))

every_norm = pytest.mark.parametrize("norm", NORMS)
every_solver = pytest.mark.parametrize("solver", SOLVERS, ids=str)
every_per_sample_solver = pytest.mark.parametrize("solver", PER_SAMPLE, ids=str)


def solve_map(known: KnownMap, solver: Solver, xp: ModuleType = np, **options: Any) -> Solution:
    """Solve on the arrays of `xp`, from the map's own initial guess, with the derivatives given by hand."""
    options = {"on_failure": "record", "max_steps": 500, **options}
    return solve(known.problem(xp), solver, lift(xp, known.z0), **options)


@dataclass(frozen=True)
class ScriptedState:
    """An iterate, its place in the script, and the samples that the solver gives up."""

    z: Any
    residual: Any
    number: int
    failed: Any


@dataclass(frozen=True)
class Scripted:
    """A solver of z = 0·z that goes through a given list of iterates, shape (steps, batch): residuals are −z."""

    iterates: tuple[tuple[float, ...], ...]
    failing_step: int = -1
    failing: tuple[bool, ...] = ()

    def init(self, problem: FixedPointProblem, z0: Any) -> Any:
        """Take the first iterate."""
        return self._state(problem, 0)

    def step(self, problem: FixedPointProblem, state: Any) -> Any:
        """Take the next one."""
        return self._state(problem, state.number + 1)

    def _state(self, problem: FixedPointProblem, number: int) -> Any:
        z = np.asarray(self.iterates[number])[:, None]
        failed = np.asarray(self.failing if number == self.failing_step else [False] * len(z))
        return ScriptedState(z, problem.residual(z), number, failed)


def play(*samples: list[float], failing_step: int = -1, failing: tuple[bool, ...] = (), **options: Any) -> Solution:
    """Solve with the given iterates for each sample; a sample has converged when its iterate is at most 1e-3."""
    script = Scripted(tuple(zip(*samples, strict=True)), failing_step, failing)
    options = {"rtol": 0.0, "atol": 1e-3, "on_failure": "record", "max_steps": len(samples[0]) - 1, **options}
    return solve(lambda z: 0.0 * z, script, np.zeros((len(samples), 1)), **options)
