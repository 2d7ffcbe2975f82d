"""Peak memory of a training step against the number of solver steps, and against the depth of an unrolled loop.

A cell that contracts so slowly that Picard iteration never converges. First its gradient by `ImplicitAdjoint`, with at
most 10 and at most 100 steps; then that of a fixed depth of 10 and of 50, with 8 checkpoints and without; and the
gradients of 4 to 64 steps by `Reversible`, and by `Unrolled` with 8 checkpoints and without, beside the implicit one.
Each in a process of its own, peak resident memory from the operating system.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np

CHECKPOINTS = 8
DOUBLED = (4, 8, 16, 32, 64)


def main() -> None:
    """Print the peaks and their ratios."""
    print(__doc__)
    for name in ("picard", "newton-gmres"):
        _compare(name, "max_steps", 10, 100)
    kept = f"{CHECKPOINTS} checkpoints"
    for name in (kept, "no checkpoints"):
        _compare(f"fixed depth, {name}", "depth", 10, 50)
    for name in ("revdeq", f"unrolled, {kept}", "unrolled, no checkpoints", "picard"):
        _compare(name, "depth" if name.startswith("unrolled") else "max_steps", *DOUBLED)


def _compare(name: str, what: str, *numbers: int) -> None:
    peaks = []
    for number in numbers:
        command = [sys.executable, "-m", "benchmarks.memory", name, str(number)]
        peaks.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        print(f"{name}, {what} {number}: {peaks[-1]:.1f} MB", flush=True)
    print(f"{name}, ratio: {peaks[-1] / peaks[0]:.3f}")


def measure(name: str, number: int) -> float:
    """Take three gradients, or one through a loop, and return this process's peak resident memory in MB."""
    from equilib import GMRES, Picard, SolveOptions, Unrolled, ops
    from equilib.autodiff import value_and_grad
    from equilib.layers import Chain, Conv, TruncatedNormal
    from equilib.models import DeepEquilibrium, InjectedCell
    from equilib_newton_gmres.solver import NewtonGMRES
    from equilib_revdeq.solver import RevDEQ

    def layer() -> Chain:
        return Chain(Conv(64, 64, padding="same", bias=False, initial_weight=TruncatedNormal(0.06)), ops.tanh)

    kept = None if name.endswith("no checkpoints") else CHECKPOINTS
    loop = name.startswith(("fixed depth", "unrolled"))
    # One product per Newton step and an unreachable tolerance: as many steps as allowed.
    solvers = {"newton-gmres": NewtonGMRES(GMRES(1)), "revdeq": RevDEQ()}
    solver = solvers.get(name, Picard())
    steps = 1 if loop else number
    options = SolveOptions(rtol=0.0, atol=1e-30, max_steps=steps, divergence=1e30, on_failure="record")
    deq = DeepEquilibrium(InjectedCell(layer(), layer(), layer()), solver, options=options)
    if name.startswith("fixed depth"):
        deq = deq.unrolled(number, checkpoints=kept)
    if name.startswith("unrolled"):
        deq = replace(deq, sensitivity=Unrolled(number, kept))
    rng = np.random.default_rng(0)
    params = deq.init(rng)
    x = rng.standard_normal((32, 13, 13, 64)).astype(np.float32)
    gradient = value_and_grad(lambda params: ops.mean(ops.pow(deq(params, x).z, 2)))
    for _ in range(1 if loop or name == "revdeq" else 3):
        gradient(params)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(measure(sys.argv[1], int(sys.argv[2])))
