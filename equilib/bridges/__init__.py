"""What a bridge to a library with loops of its own needs: one call of the library per sample, one call of f for all."""

from __future__ import annotations

from equilib.bridges.jacobian import JACOBIANS
from equilib.bridges.lockstep import BridgeState, Ending, run_samples
from equilib.bridges.sample import Sample
from equilib.bridges.steady import Stepper, integrate_to_rest

__all__ = ["JACOBIANS", "BridgeState", "Ending", "Sample", "Stepper", "integrate_to_rest", "run_samples"]
