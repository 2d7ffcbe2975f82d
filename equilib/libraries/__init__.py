"""Libraries with loops of their own: one call of the library per sample, one call of f for all."""

from __future__ import annotations

from equilib.libraries.lockstep import BridgeState, Ending, run_samples
from equilib.libraries.sample import Sample
from equilib.libraries.steady import Stepper, integrate_to_rest

__all__ = ["BridgeState", "Ending", "Sample", "Stepper", "integrate_to_rest", "run_samples"]
