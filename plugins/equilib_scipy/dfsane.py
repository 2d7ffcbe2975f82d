"""DF-SANE, the spectral residual method (La Cruz, Martínez & Raydan 2006), as SciPy has it."""

from __future__ import annotations

from dataclasses import dataclass

from equilib import Evaluator
from equilib.arrays import Array
from equilib.libraries import BridgeState, Ending, Sample, run_samples
from equilib.options import Checked, option


@dataclass(frozen=True)
class DFSane(Checked):
    """DF-SANE: steps along the residual, of Barzilai-Borwein length; a step is an evaluation of f."""

    line_search: str = option("cruz", help="choose the nonmonotone line search", choices=("cruz", "cheng"))
    memory: int = option(10, help="compare with so many residuals in the line search, SciPy's M", minimum=1)
    longest_step: float = option(
        10.0, help="bound the step length by this and by its inverse from below: 1/sigma_eps of SciPy", minimum=1.0
    )

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> BridgeState:
        """Solve every sample by a call of its own."""
        options = {
            "maxfev": max_steps + 1,  # the evaluation of the guess is not a step
            "ftol": 0.0,
            "fatol": 1e-300,
            "line_search": self.line_search,
            "M": self.memory,
            "sigma_eps": 1 / self.longest_step,
            # It steps along −sigma·residual, so that this is Picard's first step.
            "sigma_0": -1.0,
            "disp": False,
        }

        def solve(sample: Sample) -> Ending:
            from scipy.optimize import root

            # It has no way to give up: it fails by running out of evaluations only.
            result = root(sample.residual, sample.z0, method="df-sane", options=options)
            return Ending(gave_up=False, message=str(result.message))

        return run_samples(f, z0, solve)
