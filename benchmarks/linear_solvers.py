"""Which GMRES Newton should use by default: ours for each sample, or SciPy's for the whole batch.

The tutorial's cell (state 32×13×13×64, float32) with weights scaled so that solves get harder; the same fixed points,
to the same tolerance, by `newton-gmres` with either linear solver, and the adjoint at the fixed point as well.
"""

from __future__ import annotations

from statistics import median

import numpy as np

from benchmarks.timing import alternate, machine, paired_ratio
from equilib import FixedPointProblem, SolveOptions, ops, solve
from equilib.layers import Chain, Conv, TruncatedNormal
from equilib.machine.process import prepare_process
from equilib.models import InjectedCell
from equilib.numerics.gmres import GMRES
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES

SHAPE = (32, 13, 13, 64)
SCALES = (0.01, 0.03, 0.06)
RTOLS = (1e-2, 1e-3, 1e-5)


def main(rounds: int = 7) -> None:
    """Print a table: time, products and residuals of both."""
    prepare_process()
    print(machine())
    print(f"{__doc__}")
    print(
        "| std of weights | rtol | solver | forward ms | nfe | jvp | residual | adjoint ms | vjp | adjoint residual |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for std in SCALES:
        for rtol in RTOLS:
            _row(std, rtol, rounds)


def _row(std: float, rtol: float, rounds: int) -> None:
    problem, start, cotangent = _problem(std)
    options = SolveOptions(rtol=rtol, atol=0.0, max_steps=30, on_failure="record")
    solvers = {"batched": NewtonGMRES(GMRES(10)), "library": NewtonGMRES(LibraryGMRES(10))}
    forward = {name: solve(problem, solver, start, options) for name, solver in solvers.items()}
    backward = {
        name: solver.adjoint().pullback(problem, forward[name], cotangent).solves[0] for name, solver in solvers.items()
    }
    times = alternate(
        {
            **{f"{name} f": lambda s=solver: solve(problem, s, start, options) for name, solver in solvers.items()},
            **{
                f"{name} b": lambda n=name, s=solver: s.adjoint().pullback(problem, forward[n], cotangent)
                for name, solver in solvers.items()
            },
        },
        rounds,
        warmup=1,
    )
    for name in solvers:
        found, adjoint = forward[name], backward[name]
        print(
            f"| {std} | {rtol:.0e} | {name} | {median(times[name + ' f']):.1f} | {found.nfe} | {found.njvp} "
            f"| {found.residual_norm.max():.1e} | {median(times[name + ' b']):.1f} | {adjoint.nfe + adjoint.njvp} "
            f"| {adjoint.residual_norm.max():.1e} |"
        )
    ratios = (paired_ratio(times, f"batched {way}", f"library {way}") for way in "fb")
    print("| | | batched / library | {:.2f} | | | | {:.2f} | | |".format(*ratios))


def _problem(std: float) -> tuple[FixedPointProblem, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)

    def layer() -> Chain:
        return Chain(
            Conv(SHAPE[-1], SHAPE[-1], padding="same", bias=False, initial_weight=TruncatedNormal(std)), ops.tanh
        )

    cell = InjectedCell(layer(), layer(), layer())
    params = cell.init(rng)
    u = cell.inject(params, rng.standard_normal(SHAPE).astype(np.float32))
    problem = FixedPointProblem(lambda z, params, u: cell.step(params, z, u), params, u)
    cotangent = rng.standard_normal(SHAPE).astype(np.float32) / SHAPE[0]
    return problem, np.zeros(SHAPE, dtype=np.float32), cotangent
