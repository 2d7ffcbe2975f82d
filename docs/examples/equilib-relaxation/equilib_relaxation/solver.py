"""Relaxation, z ← z + a·(f(z) − z), as a solver for equilib."""

from dataclasses import dataclass

from equilib import State
from equilib.options import Checked, option


@dataclass(frozen=True)
class Relaxation(Checked):
    """Add `step_size` times the residual to the iterate."""

    step_size: float = option(0.5, help="add this share of the residual", exclusive_minimum=0)

    def init(self, f, z0):
        """Evaluate the initial guess."""
        return State(z0, f.residual(z0))

    def step(self, f, state):
        """Return the next iterate."""
        z = state.z + self.step_size * state.residual
        return State(z, f.residual(z))
