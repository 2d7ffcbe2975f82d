"""Gradients through an equilibrium, ours and torchdeq's: how exact, after how many products, in what time.

The loss is ⟨c, z*⟩ with a random c; its gradient is with respect to the weights, at equilibria solved from zero to a
residual of 1e-3 of ‖z‖, in float32. The error is against the gradient in float64 at 1e-11, relative to its norm, over
all weights; a vjp is a product Jᵀ·w, the one that ends in the weights included. Every library is a process of its own;
they run in turn.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.cells import CellCase, conv_cell, dense_cell
from benchmarks.peers.exchange import Arrays, Finished
from benchmarks.race import Contestant, conditions, race
from benchmarks.request import Request
from equilib import FixedPointProblem, ImplicitAdjoint, SolveOptions, solve
from equilib_newton_gmres.solver import NewtonGMRES

TOLERANCE, MAX_STEPS, BATCH, ROUNDS, REPEATS = 1e-3, 100, 32, 5, 5
# Solver and adjoint, as on the command line.
OURS = {
    "newton-gmres": ("newton-gmres", None),
    "anderson, implicit": ("anderson", None),
    "anderson, implicit:solver=anderson": ("anderson", "implicit:solver=anderson"),
    "lbroyden, shine": ("lbroyden", "shine"),
    "lbroyden, shine:refine=5": ("lbroyden", "shine:refine=5"),
    "anderson, neumann:terms=5": ("anderson", "neumann:terms=5"),
    "anderson, phantom": ("anderson", "phantom"),
    "anderson, jacobian-free": ("anderson", "jacobian-free"),
}
TORCHDEQ: dict[str, dict[str, Any]] = {
    "anderson, ift by anderson": {"f_solver": "anderson", "b_solver": "anderson", "ift": True},
    "anderson, ift by broyden": {"f_solver": "anderson", "b_solver": "broyden", "ift": True},
    "anderson, ift by fixed_point_iter": {"f_solver": "anderson", "b_solver": "fixed_point_iter", "ift": True},
    "anderson, grad=5, tau=0.5": {"f_solver": "anderson", "grad": 5, "tau": 0.5},
    "anderson, grad=1 (its default)": {"f_solver": "anderson", "grad": 1},
}


def main(request: Request) -> None:
    """Compare, and print or save the table."""
    cells = _cells(quick=request.quick)
    arrays, told = _told(cells)
    settings = {
        "cells": told,
        "tolerance": TOLERANCE,
        "max_steps": MAX_STEPS,
        "repeats": 1 if request.quick else REPEATS,
    }
    rounds = request.rounds or (1 if request.quick else ROUNDS)
    contestants = [Contestant("equilib", Path(sys.executable), "benchmarks.gradients_ours", {"ways": OURS})]
    if "torchdeq" in request.peers:
        python = request.python_of("torchdeq")
        contestants.append(Contestant("torchdeq", python, "benchmarks.peers.torchdeq_gradients", {"ways": TORCHDEQ}))
    runs = race(contestants, arrays, settings, rounds=rounds, threads=request.threads)
    rows = [row for cell in cells for row in _rows(cell, arrays[f"{cell}/cotangent"], runs)]
    text = "\n".join(_lines(rows, request, rounds))
    versions = {name: version for each in runs.values() for name, version in each[-1].report["versions"].items()}
    request.deliver("gradients", text, {"settings": settings, "versions": versions, "rows": rows})


def _cells(*, quick: bool) -> list[CellCase]:
    if quick:
        return [dense_cell(0.9, 4)]
    return [*(dense_cell(scale, BATCH) for scale in (0.9, 1.36)), *(conv_cell(scale, BATCH) for scale in (0.01, 0.041))]


def _told(cells: list[CellCase]) -> tuple[Arrays, list[dict[str, Any]]]:
    """Return the arrays of all cells by name, and what the contestants need to know about them."""
    rng = np.random.default_rng(5)
    arrays: Arrays = {}
    told = []
    for cell in cells:
        parts = {"injection": cell.injection} | {f"weight{i}": each for i, each in enumerate(cell.weights)}
        parts["cotangent"] = rng.standard_normal(cell.injection.shape).astype(np.float32) / len(cell.injection)
        arrays |= {f"{cell}/{name}": array for name, array in parts.items()}
        told.append({"name": str(cell), "kind": cell.kind, "scale": cell.scale, "weights": len(cell.weights)})
    return arrays, told


def reference(cell: CellCase, cotangent: np.ndarray) -> np.ndarray:
    """Return the gradient with respect to all weights, one after the other, in float64."""
    weights = [each.astype(np.float64) for each in cell.weights]
    problem = FixedPointProblem(cell.step, weights, cell.injection.astype(np.float64))
    options = SolveOptions(rtol=1e-11, atol=0.0, max_steps=100)
    solution = solve(problem, NewtonGMRES(), cell.zeros("float64"), options)
    pulled = ImplicitAdjoint().pullback(problem, solution, cotangent.astype(np.float64))
    return np.concatenate([each.ravel() for each in pulled.inputs[0]])


def _rows(cell: CellCase, cotangent: np.ndarray, runs: dict[str, list[Finished]]) -> Iterator[dict[str, Any]]:
    exact = reference(cell, cotangent)
    for library, laps in runs.items():
        for way, figures in laps[-1].report["cells"][str(cell)].items():
            parts = [laps[-1].arrays[f"{cell}/{way}/weight{i}"] for i in range(len(cell.weights))]
            found = np.concatenate([each.astype(np.float64).ravel() for each in parts])
            seconds = [lap.report["cells"][str(cell)][way] for lap in laps]
            yield {
                "cell": str(cell),
                "library": library,
                "way": way,
                "error": float(np.linalg.norm(found - exact) / np.linalg.norm(exact)),
                "cosine": float(found @ exact / np.linalg.norm(found) / np.linalg.norm(exact)),
                **{name: figures[name] for name in ("nfe", "njvp", "vjp")},
                "forward_ms": 1e3 * median(each["forward"] for each in seconds),
                "backward_ms": 1e3 * median(each["backward"] for each in seconds),
            }


def _lines(rows: list[dict[str, Any]], request: Request, rounds: int) -> Iterator[str]:
    yield f"# Gradients\n\n{__doc__}"
    yield f"`python -m benchmarks gradients{request.as_typed()}`: {conditions(request.threads, rounds)}.\n"
    titles = ["cell", "library", "solver, adjoint", "relative error", "1 − cosine", "nfe (+ jvp)", "vjp"]
    yield "| " + " | ".join([*titles, "forward ms", "backward ms"]) + " |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        nfe = f"{row['nfe']} + {row['njvp']}" if row["njvp"] else row["nfe"]
        yield (
            f"| {row['cell']} | {row['library']} | {row['way']} | {row['error']:.1e} | {1 - row['cosine']:.1e} | {nfe} "
            f"| {row['vjp']} | {row['forward_ms']:.1f} | {row['backward_ms']:.1f} |"
        )
