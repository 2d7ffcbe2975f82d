"""A sound solver, to be broken, and a state that gives samples up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from equilib import State
from equilib.fixed_points.evaluator import Evaluator

Array = Any


@dataclass(frozen=True)
class Sound:
    """Picard iteration, to be broken."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Evaluate the initial guess."""
        return self.at(f, z0)

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        return self.at(f, state.z + state.residual)

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        return State(z, f.residual(z))


@dataclass(frozen=True)
class Failing(State):
    """A state that gives samples up."""

    failed: Any
