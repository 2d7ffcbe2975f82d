"""Peak memory of a training step against the number of solver steps.

A cell that contracts so slowly that Picard iteration never converges, gradient by `ImplicitAdjoint`, with at most 10
and at most 100 steps: each in a process of its own, peak resident memory from the operating system.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np


def main() -> None:
    """Print the peaks and their ratio."""
    print(__doc__)
    peaks = {}
    for solver in ("picard", "newton-gmres"):
        for steps in (10, 100):
            command = [sys.executable, "-m", "benchmarks.memory", solver, str(steps)]
            peaks[steps] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"{solver}, max_steps {steps}: {peaks[steps]:.1f} MB")
        print(f"{solver}, ratio: {peaks[100] / peaks[10]:.3f}")


def measure(name: str, max_steps: int) -> float:
    """Take three gradients and return this process's peak resident memory in MB."""
    from equilib import Picard, SolveOptions, ops
    from equilib.autodiff import value_and_grad
    from equilib.layers import Chain, Conv, TruncatedNormal
    from equilib.models import DeepEquilibrium, InjectedCell
    from equilib_newton_gmres.solver import NewtonGMRES

    def layer() -> Chain:
        return Chain(Conv(64, 64, padding="same", bias=False, initial_weight=TruncatedNormal(0.06)), ops.tanh)

    # One product per Newton step and an unreachable tolerance: as many steps as allowed.
    solver = Picard() if name == "picard" else NewtonGMRES(restart=1)
    options = SolveOptions(rtol=0.0, atol=1e-30, max_steps=max_steps, divergence=1e30, on_failure="record")
    deq = DeepEquilibrium(InjectedCell(layer(), layer(), layer()), solver, options=options)
    rng = np.random.default_rng(0)
    params = deq.init(rng)
    x = rng.standard_normal((32, 13, 13, 64)).astype(np.float32)
    gradient = value_and_grad(lambda params: ops.mean(ops.pow(deq(params, x).z_star, 2)))
    for _ in range(3):
        gradient(params)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(measure(sys.argv[1], int(sys.argv[2])))
