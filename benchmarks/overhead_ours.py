"""Our contestant in `benchmarks.overhead`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Arrays, hand_back, receive
from benchmarks.peers.stopwatch import microseconds
from equilib import FixedPointProblem, Solution, SolveOptions, Solver, ops, solve
from equilib.arrays import Array
from equilib.autodiff import value_and_grad
from equilib.plugin.choosing import choose
from equilib.plugin.registry import Registry


def main() -> None:
    """Time the pieces and every solver; return values and times."""
    folder, arrays, settings = receive()
    weight, u, z, w = (arrays[name] for name in ("weight", "injection", "z", "cotangent"))

    def f(z: Array, weight: Array, u: Array) -> Array:
        return ops.tanh(ops.add(ops.matmul(z, weight), u))

    def unrolled(tree: tuple[Array, Array]) -> Array:
        state = z
        for _ in range(settings["depth"]):
            state = f(state, *tree)
        return ops.sum(state)

    problem = FixedPointProblem(f, weight, u)
    linear = problem.linearize(z)
    gradient = value_and_grad(unrolled)
    calls: dict[str, Callable[[], object]] = {
        "f": lambda: f(z, weight, u),
        "linearize": lambda: problem.linearize(z),
        "vjp": lambda: linear.vjp(w),
        "jvp": lambda: linear.jvp(w),
        "gradient": lambda: gradient((weight, u)),
    }
    pieces = {name: microseconds(call, settings["blocks"]) for name, call in calls.items()}
    registry = Registry.discover()
    solvers = {}
    for name in settings["solvers"]:
        method = choose(registry, name)
        solvers[name] = _times(problem, method.solver, z, settings)
    found: Arrays = {"f": f(z, weight, u), "vjp": linear.vjp(w)}
    found |= dict(zip(("weight", "injection"), gradient((weight, u))[1], strict=True))
    versions = {name: version(name) for name in ("equilib", "numpy")}
    hand_back(folder, found, {"pieces": pieces, "solvers": solvers, "versions": versions})


def _times(problem: FixedPointProblem, solver: Solver, z: np.ndarray, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the calls of f and the microseconds of a short and of a long solve, neither of which gets to its end."""
    times: dict[str, Any] = {}
    for length in ("few", "many"):
        steps, done = _steps_to(settings[length], problem, solver, z)
        recorded = done.nfe if done.njvp else 0
        work = {"f": done.nfe - recorded, "linearize": recorded, "jvp": done.njvp}
        times[length] = {**work, "us": microseconds(lambda n=steps: _solve(problem, solver, z, n), settings["blocks"])}
    return times


def _steps_to(evaluations: int, problem: FixedPointProblem, solver: Solver, z: np.ndarray) -> tuple[int, Solution]:
    """Return the fewest steps that need so many evaluations and products, and the solve."""
    steps = 0
    while True:
        done = _solve(problem, solver, z, steps)
        if done.nfe + done.njvp >= evaluations:
            return steps, done
        steps += 1


def _solve(problem: FixedPointProblem, solver: Solver, z: np.ndarray, steps: int) -> Solution:
    return solve(problem, solver, z, SolveOptions(rtol=0.0, atol=0.0, max_steps=steps, on_failure="record"))


if __name__ == "__main__":
    main()
