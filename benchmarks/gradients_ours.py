"""Our contestant in `benchmarks.gradients`."""

from __future__ import annotations

from importlib.metadata import version
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.cells import CellCase
from benchmarks.peers.exchange import Arrays, hand_back, receive
from equilib import FixedPointProblem, solve
from equilib.fixed_points.evaluator import Counts, counted
from equilib.machine.process import prepare_process
from equilib.plugin.choice import Choice
from equilib.plugin.choosing import choose
from equilib.plugin.registry import Registry


def main() -> None:
    """Take every gradient, some times over; return the gradients, the counts and the times."""
    folder, arrays, settings = receive()
    prepare_process()
    registry = Registry.discover()
    defaults = {"rtol": settings["tolerance"], "atol": 0.0, "max_steps": settings["max_steps"]}
    found: Arrays = {}
    report: dict[str, dict[str, Any]] = {}
    for told in settings["cells"]:
        weights = tuple(arrays[f"{told['name']}/weight{i}"] for i in range(told["weights"]))
        cell = CellCase(told["kind"], told["scale"], weights, arrays[f"{told['name']}/injection"])
        report[told["name"]] = {}
        for way, (solver, adjoint) in settings["ways"].items():
            method = choose(registry, solver, adjoint=adjoint, defaults=defaults)
            takes = [_take(cell, method, arrays[f"{told['name']}/cotangent"]) for _ in range(settings["repeats"] + 1)]
            # The first run fills caches.
            times = {name: median(figures[name] for _, figures in takes[1:]) for name in ("forward", "backward")}
            gradient, figures = takes[-1]
            report[told["name"]][way] = {**figures, **times}
            found |= {f"{told['name']}/{way}/weight{i}": each for i, each in enumerate(gradient)}
    hand_back(folder, found, {"cells": report, "versions": {name: version(name) for name in ("equilib", "numpy")}})


def _take(cell: CellCase, method: Choice, cotangent: np.ndarray) -> tuple[list[np.ndarray], dict[str, Any]]:
    counts = Counts()
    problem = counted(FixedPointProblem(cell.step, list(cell.weights), cell.injection), counts)
    begun = perf_counter()
    solution = solve(problem, method.solver, cell.zeros("float32"), method.options)
    middle = perf_counter()
    before = counts.nvjp
    pulled = method.sensitivity.pullback(problem, solution, cotangent)
    seconds = {"forward": middle - begun, "backward": perf_counter() - middle}
    vjp = counts.nvjp - before + 1  # the last one is that of the inputs
    return pulled.inputs[0], {"nfe": solution.nfe, "njvp": solution.njvp, "vjp": vjp, **seconds}


if __name__ == "__main__":
    main()
