"""Libraries with loops of their own: one call of the library per sample, one call of f for all."""

from __future__ import annotations

from equilib.libraries.lockstep import BridgeState, Ending, run_samples
from equilib.libraries.sample import Sample

__all__ = ["BridgeState", "Ending", "Sample", "run_samples"]
